"""The environment parser: torn, endless and forged environments."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callguard.agi.wire import EnvironmentParser, RemoteProtocolError
from tests.agi.samples import ENVIRONMENT


def parsed(*chunks: bytes, limit: int = 65536) -> tuple[dict[str, str] | None, bytes]:
    parser = EnvironmentParser(limit)
    values = None
    for chunk in chunks:
        parser.receive(chunk)
        if values is None:
            values = parser.next()
    return values, parser.rest()


def test_values_keep_their_colons_and_may_be_empty() -> None:
    values, rest = parsed(ENVIRONMENT)
    assert values is not None
    assert len(values) == 18
    assert values["agi_calleridname"] == "Zoë: sales"
    assert values["agi_accountcode"] == ""
    assert rest == b""


def test_the_environment_means_the_same_cut_at_every_byte() -> None:
    stream = ENVIRONMENT + b"HANGUP\n"
    whole = parsed(stream)
    assert whole[1] == b"HANGUP\n"
    for cut in range(len(stream)):
        assert parsed(stream[:cut], stream[cut:]) == whole


@given(st.lists(st.integers(0, len(ENVIRONMENT)), max_size=20))
def test_the_cutting_of_the_environment_does_not_matter(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(ENVIRONMENT)]
    chunks = [ENVIRONMENT[a:b] for a, b in pairwise(edges)]
    assert parsed(*chunks) == parsed(ENVIRONMENT)


def test_an_unfinished_environment_is_not_handed_out() -> None:
    assert parsed(ENVIRONMENT[:-1]) == (None, ENVIRONMENT[:-1])


@pytest.mark.parametrize(
    "sent",
    [
        b"\n\n",
        b"no colon\n\n",
        b": no key\n\n",
        b"agi_a: 1\n\x00\n\n",
        b"agi_calleridname: Eve\nagi_extension: 1\nagi_extension: 2\n\n",
    ],
)
def test_a_forged_or_broken_environment_is_refused_for_good(sent: bytes) -> None:
    parser = EnvironmentParser()
    parser.receive(sent)
    for _ in range(2):
        with pytest.raises(RemoteProtocolError):
            parser.next()
        parser.receive(ENVIRONMENT)


def test_the_environment_may_have_the_whole_cap_and_not_one_byte_more() -> None:
    assert parsed(ENVIRONMENT, limit=len(ENVIRONMENT))[0] is not None
    with pytest.raises(RemoteProtocolError):
        parsed(ENVIRONMENT, limit=len(ENVIRONMENT) - 1)
    with pytest.raises(RemoteProtocolError):
        parsed(*[b"x" * 1000] * 70)


def test_bytes_that_are_no_utf8_do_not_lose_the_call() -> None:
    values, _ = parsed(b"agi_calleridname: Zo\xeb\n\n")
    assert values == {"agi_calleridname": "Zo\ufffd"}


def test_a_value_may_stand_right_behind_its_colon() -> None:
    assert parsed(b"agi_a:1\nagi_b:\n\n")[0] == {"agi_a": "1", "agi_b": ""}
