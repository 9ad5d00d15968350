"""What holds for every message and every way of cutting it."""

from hypothesis import given
from hypothesis import strategies as st

from callguard.ami.wire import LocalProtocolError, Parser, build_action
from tests.ami.transcript import CALL, GREETING

names = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=":"), min_size=1
)
values = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), max_size=80)
headers = st.lists(st.tuples(names, values), max_size=20)


@given(values, headers, values)
def test_what_is_built_reads_back(name: str, given: list[tuple[str, str]], action_id: str) -> None:
    try:
        data = build_action(name, given, action_id)
    except LocalProtocolError:
        assert not name or {key.lower() for key, _ in given} & {"action", "actionid"}
        return
    [message] = Parser().feed(GREETING + data)
    assert message.headers == (("Action", name), ("ActionID", action_id), *given)


@given(st.lists(st.integers(0, len(CALL)), max_size=30))
def test_cutting_changes_nothing(cuts: list[int]) -> None:
    whole, cut = Parser({"VarSet", "Hangup"}), Parser({"VarSet", "Hangup"})
    got = []
    ends = [*sorted(cuts), len(CALL)]
    for start, end in zip([0, *ends], ends, strict=False):
        got += cut.feed(CALL[start:end])
    assert got == whole.feed(CALL)
    assert (cut.skipped, cut.held) == (whole.skipped, 0)


messy = st.lists(
    st.sampled_from(
        [b"\r", b"\n", b"\r\n", b"Event: ", b"X", b": ", b":", b"\xc3", b"\xab", b"\0"]
    ),
    max_size=60,
).map(b"".join)


@given(messy, st.integers(1, 9))
def test_cutting_nonsense_changes_nothing(data: bytes, size: int) -> None:
    whole, cut = Parser({"XX"}), Parser({"XX"})
    whole.feed(GREETING)
    cut.feed(GREETING)
    got = []
    for start in range(0, len(data), size):
        got += cut.feed(data[start : start + size])
    assert got == whole.feed(data)
    assert (cut.skipped, cut.held) == (whole.skipped, whole.held)
