"""One number a line."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callguard.config import RegistryList
from callguard.optout.registry.contract import RegistryError
from callguard.optout.registry.sources.numbers import plainly as plainly_so
from callguard.policy.numbers import key_of, parse_number
from tests.optout.registry.sources.texts import read_text

NUMBER = st.one_of(
    st.builds("1{}".format, st.integers(2 * 10**9, 10**10 - 1)),
    st.builds("44{}".format, st.integers(10**9, 10**10 - 1)),
    st.builds("49{}".format, st.integers(10**6, 10**12 - 1)),
    st.builds("390{}".format, st.integers(10**6, 10**9 - 1)),
)
GOOD = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "+", " ", " +"]),
    NUMBER,
    st.sampled_from(["", " ", "\t"]),
    st.sampled_from(["", "# ours", "#", " # 12"]),
)
OTHER = st.sampled_from(["", "# comment", "  ", "#"])
BAD = st.sampled_from(
    ["foo", "123456", "+1234567890123456", "0442079460123", "020 7946 0123", "++442079460123",
     "\u0661\u0662\u0663\u0664\u0665\u0666\u0667", "44-2079460123",
     "+", "442079460123x", "-1234567"]
)  # fmt: skip


def plainly(text: str) -> list[int]:
    lines = (line.partition("#")[0].strip(" \t\r") for line in text.split("\n"))
    return [int(line) for line in lines if re.fullmatch(r"\+?[1-9][0-9]{6,14}", line)]


@given(
    good=st.lists(GOOD, min_size=10, max_size=40),
    others=st.lists(st.one_of(OTHER, BAD), max_size=6),
    end=st.sampled_from(["\n", "\r\n"]),
    block=st.integers(1, 200),
    data=st.data(),
)
def test_what_comes_out_is_what_a_plain_reader_finds_in_its_order(
    tmp_path_factory: pytest.TempPathFactory,
    good: list[str],
    others: list[str],
    end: str,
    block: int,
    data: st.DataObject,
) -> None:
    lines = list(good)
    for line in others:
        lines.insert(data.draw(st.integers(0, len(lines))), line)
    text = "".join(line + end for line in lines)
    found = read_text(tmp_path_factory.mktemp("e164"), text.encode(), "e164", block=block)
    assert found.numbers == plainly(text)
    bad = sum(bool(line.partition("#")[0].strip()) for line in others)
    assert (found.tally.lines, found.tally.bad_lines) == (len(lines), bad)


def test_what_has_a_plus_may_have_the_usual_marks_in_it(tmp_path: Path) -> None:
    text = "+44 20 7946 0123\n+1 (201) 555-0123\n+972-3-555-0123\n(201) 555-0123\n"
    found = read_text(tmp_path, text.encode(), "e164")
    assert found.numbers == [442079460123, 12015550123, 97235550123]
    assert found.tally.bad_lines == 1


def test_a_number_outside_of_what_the_list_covers_is_a_bad_line(tmp_path: Path) -> None:
    text = b"+12015550123\n2015550123\n+12025550123\n+442079460123\n+12015550124\n1201555\n"
    settings = RegistryList(covers=("+1201", "+44"))
    found = read_text(tmp_path, text, "e164", settings)
    assert found.numbers == [12015550123, 442079460123, 12015550124]
    assert found.bad == [(2, "********23"), (3, "+*********23"), (6, "*****55")]


@pytest.mark.parametrize("mark", ["", "+"])
def test_a_number_is_the_one_that_a_call_to_it_asks_for(tmp_path: Path, mark: str) -> None:
    written = (4402079460123, 440169773555, 112015550123, 789161234567)
    text = "".join(f"{mark}{number}\n" for number in (*written, 390612345678, 442079460124))
    found = read_text(tmp_path, text.encode(), "e164")
    asked = [parse_number(f"+{number}", "US").e164 for number in written]
    assert [f"+{number}" for number in found.numbers[:4]] == asked
    assert found.numbers[0] == 442079460123
    assert found.numbers[4:] == [390612345678, 442079460124]


def test_numbers_that_lost_a_digit_are_bad_lines(tmp_path: Path) -> None:
    text = "+12015550123\n" * 9 + "+1201555012\n+120155501234\n"
    found = read_text(tmp_path, text.encode(), "e164", RegistryList(covers=("+1",)))
    assert [line for line, _ in found.bad] == [10, 11]


@given(st.lists(st.integers(10**6, 10**15 - 1), min_size=1))
def test_what_is_plainly_a_number_is_no_other_to_the_gate(numbers: list[int]) -> None:
    for number, sure in zip(numbers, plainly_so(np.array(numbers)), strict=True):
        asked = key_of(f"+{number}", "US")
        assert not sure or asked in ("", f"+{number}")


@pytest.mark.parametrize("last", ["+4420794601", "+120155501", "+1201555", "+", "442"])
def test_a_last_line_that_was_cut_off_is_refused(tmp_path: Path, last: str) -> None:
    with pytest.raises(RegistryError, match="line 2: has no line break and is cut off"):
        read_text(tmp_path, f"+442079460123\n{last}".encode(), "e164")


@pytest.mark.parametrize("last", ["+442079460124", "442079460124 # a", "# the end", "  "])
def test_a_last_line_that_is_whole_needs_no_line_break(tmp_path: Path, last: str) -> None:
    found = read_text(tmp_path, f"+442079460123\n{last}".encode(), "e164")
    assert found.numbers[0] == 442079460123
    assert found.tally.bad_lines == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("201,5550123\n" * 9, "it looks like us-dnc"),
        ("01632 960123\n" * 9, "it looks like uk-tps"),
        ("a@b.example\n" * 9, "is none of e164: 9 of the first 9 lines hold no number"),
        ("# nothing\n\n", "holds no number"),
        ("+442079460123\n" * 90 + "201,5550123\n" * 10, "line 100: is of us-dnc"),
        ("+442079460123\n" * 90 + "01632 960123\n" * 10, "line 100: is of uk-tps"),
    ],
)
def test_what_is_no_such_list_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(RegistryError) as refused:
        read_text(tmp_path, text.encode(), "e164", block=64)
    assert said in str(refused.value)
