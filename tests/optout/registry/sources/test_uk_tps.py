"""The files of the Telephone Preference Service."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callguard.optout.registry.contract import RegistryError
from tests.optout.registry.sources.texts import read_text

NATIONAL = st.one_of(
    st.builds("{}{:08}".format, st.sampled_from("1235789"), st.integers(0, 10**8 - 1)),
    st.builds("{}{:09}".format, st.sampled_from("1235789"), st.integers(0, 10**9 - 1)),
)


@st.composite
def rows(draw: st.DrawFn) -> str:
    """A number in one of the ways in which it may be written."""
    number = draw(NATIONAL)
    if draw(st.booleans()):
        number = f"0{number}"
    if draw(st.booleans()) and len(number) - 7 <= 5:
        code = draw(st.integers(max(1, len(number) - 7), 5))
        row = f"{number[:code]:5}{number[code:]:>7}"
        return draw(st.sampled_from([row, f"{number[:code]:>5}{number[code:]:>7}"]))
    return draw(st.sampled_from([f"{number:12}", f"{number:>12}", number]))


BAD = st.sampled_from(
    [
        "foo",
        "016329601",
        "01632960123456",
        "0",
        "441632960123",
        "+441632960123",
        "00632960123",
        "01632 960 12",
        "016329 60123",
        "4163296012",
        "6163296012",
        "01632-960123",
        "0163\u0662960123",
        "0121 496012 ",
        "0 1632960123",
        "(01632)96012",
    ]
)


def plainly(text: str) -> list[int]:
    found = []
    for line in text.split("\n"):
        row = f"{line.rstrip():12}"
        one = re.fullmatch(r" *([0-9]+) *", row)
        two = re.fullmatch(r" *([0-9]+) *", row[:5]), re.fullmatch(r" *([0-9]+)", row[5:])
        digits = one[1] if one else two[0][1] + two[1][1] if two[0] and two[1] else ""
        national = digits.removeprefix("0")
        if len(row) == 12 and re.fullmatch("[1235789][0-9]{8,9}", national):
            found.append(int(f"44{national}"))
    return found


@given(
    lines=st.lists(rows(), min_size=1, max_size=40),
    bad=st.lists(BAD, max_size=3),
    end=st.sampled_from(["\r\n", "\n"]),
    block=st.integers(1, 200),
    data=st.data(),
)
def test_what_comes_out_is_what_a_plain_reader_finds_in_its_order(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[str],
    bad: list[str],
    end: str,
    block: int,
    data: st.DataObject,
) -> None:
    good = len(lines)
    for line in bad[: (good - 1) // 2]:
        lines.insert(data.draw(st.integers(0, len(lines))), line)
    text = "".join(line + end for line in lines)
    folder = tmp_path_factory.mktemp("uk")
    try:
        found = read_text(folder, text.encode(), "uk-tps", block=block)
    except RegistryError as error:
        assert "mixed" in str(error)  # noqa: PT017 - two of the bad lines may be of e164
        return
    assert found.numbers == plainly(text)
    assert len(found.numbers) == good
    assert found.tally.bad_lines == len(lines) - good


def test_both_ways_of_writing_mean_the_same_number(tmp_path: Path) -> None:
    text = b"01632 960123\r\n01632960123 \r\n1632960123  \r\n 01632960123\r\n1632  960123\r\n"
    found = read_text(tmp_path, text, "uk-tps")
    assert found.numbers == [441632960123] * 5
    assert found.source.covers == ("+44",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("01632 960123\r\n01632 9601", "line 2: has no line break and is cut off"),
        ("01632 960123\r\n01632960123", "line 2: has no line break and is cut off"),
        ("201,5550123\r\n" * 9, "it looks like us-dnc"),
        ("+441632960123\r\n" * 9, "it looks like e164"),
        ("01632 960123\r\n" * 90 + "201,5550123\r\n" * 10, "line 100: is of us-dnc"),
        ("01632 960123\r\n" * 90 + "+441632960123\r\n" * 10, "line 100: is of e164"),
        ("", "is empty"),
    ],
)
def test_what_is_no_such_list_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(RegistryError) as refused:
        read_text(tmp_path, text.encode(), "uk-tps", block=64)
    assert said in str(refused.value)


def test_a_whole_last_row_needs_no_line_break(tmp_path: Path) -> None:
    found = read_text(tmp_path, b"01632 960123\r\n01632 960124\r", "uk-tps")
    assert found.numbers == [441632960123, 441632960124]
