"""Lists in columns and lists of changes."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callguard.config import RegistryList
from callguard.optout.registry.contract import RegistryError
from callguard.optout.registry.sources.numbers import number_of
from tests.optout.registry.sources.texts import read_text

WORDS = st.text(st.sampled_from('ab ,;"\t|\u05d0\u05d1'), max_size=8)
NUMBER = st.builds(
    "{}{}{}".format, st.sampled_from(["", "+"]), st.just(49), st.integers(10**6, 10**12 - 1)
)
BAD = st.sampled_from(
    ["", "foo", "123", "0442079460123", "\u0661\u0662\u0663\u0664\u0665\u0666\u0667"]
)
DELIMITERS = st.sampled_from(",;\t|")


@given(
    rows=st.lists(st.tuples(WORDS, NUMBER, WORDS), min_size=4, max_size=30),
    bad=st.lists(st.tuples(WORDS, BAD, WORDS), max_size=3),
    delimiter=DELIMITERS,
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    end=st.sampled_from(["\n", "\r\n"]),
    heading=st.booleans(),
    block=st.integers(1, 300),
    data=st.data(),
)
def test_what_comes_out_of_a_csv_is_what_the_csv_module_finds(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str, str]],
    bad: list[tuple[str, str, str]],
    delimiter: str,
    quoting: int,
    end: str,
    heading: bool,
    block: int,
    data: st.DataObject,
) -> None:
    lines = list(rows)
    for line in bad:
        lines.insert(data.draw(st.integers(1, len(lines))), line)
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator=end)  # type: ignore[arg-type] # one of the module's own
    writer.writerows([("name", "Number", "note")] * heading + lines)
    column: str | int = " number" if heading and data.draw(st.booleans()) else 2
    settings = RegistryList(number=column, delimiter=delimiter)
    text = out.getvalue().encode()
    found = read_text(tmp_path_factory.mktemp("csv"), text, "csv", settings, block)
    assert found.numbers == [int(number) for _, number, _ in rows]
    # With tabs between them, fields that are all empty make a blank line, which is passed over.
    blank = sum(not line.strip() for line in out.getvalue().removesuffix(end).split(end))
    assert found.tally.bad_lines == len(bad) - blank
    assert found.tally.lines == len(lines) + heading


@given(
    numbers=st.lists(NUMBER, min_size=2, max_size=30),
    delimiter=DELIMITERS,
    column=st.integers(1, 4),
    quoted=st.booleans(),
)
def test_the_delimiter_is_found_out(
    tmp_path_factory: pytest.TempPathFactory,
    numbers: list[str],
    delimiter: str,
    column: int,
    quoted: bool,
) -> None:
    rows = [
        ["x"] * (column - 1) + [f'"{n}"' if quoted else n] + ["y"] * (4 - column) for n in numbers
    ]
    text = "".join(delimiter.join(row) + "\n" for row in rows).encode()
    folder = tmp_path_factory.mktemp("csv")
    found = read_text(folder, text, "csv", RegistryList(number=column))
    assert found.numbers == [int(number) for number in numbers]


def test_national_numbers_are_read_as_somebody_in_the_region_writes_them(tmp_path: Path) -> None:
    gb = RegistryList(region="GB")
    text = "020 7946 0123\n02079460124\n+442079460125\n+1 201 555 0123\n999\n07400123456,x\n"
    found = read_text(tmp_path, text.encode(), "csv", gb)
    assert found.numbers == [442079460123, 442079460124, 442079460125, 12015550123, 447400123456]
    us = RegistryList(region="US")
    text = "2015550123\n12015550124\n(201) 555-0125\n201-555-0126\n+12015550127\n5550123\n911\n"
    found = read_text(tmp_path, text.encode(), "csv", us)
    assert found.numbers == [12015550123 + more for more in range(5)]
    assert found.tally.bad_lines == 2


@pytest.mark.parametrize("region", ["IL", "DE", "NL", "US"])
def test_a_number_that_a_spreadsheet_took_for_a_quantity_is_a_bad_line(
    tmp_path: Path, region: str
) -> None:
    text = b"502345678.0,x\n612345678.0,x\n5.02345678E+08,x\n"
    with pytest.raises(RegistryError, match="3 of the first 3 lines hold no number"):
        read_text(tmp_path, text, "csv", RegistryList(region=region))


def test_the_nought_of_the_country_itself_is_left_off(tmp_path: Path) -> None:
    text = b"+4402079460123,A\n4402079460124,A\n+44 (0)20 7946 0125,A\n+4402079460126,D\n"
    wanted = [442079460123 + more for more in range(4)]
    for settings in (RegistryList(), RegistryList(region="US"), RegistryList(covers=("+44",))):
        assert read_text(tmp_path, text, "csv", settings).numbers == wanted
        assert read_text(tmp_path, text, "changes", settings).numbers == wanted


def test_what_is_shown_of_a_bad_line_is_its_number_and_nobodys_name(tmp_path: Path) -> None:
    text = "Ada Lovelace,+442079460123\nAda Lovelace,020 7946 0124\nAda Lovelace,\n"
    text += "Ada,+442079460125\n" * 9
    found = read_text(tmp_path, text.encode(), "csv", RegistryList(number=2))
    assert found.bad == [(2, "*** **** **24"), (3, "")]


def test_a_quoted_field_does_not_run_over_the_end_of_a_line(tmp_path: Path) -> None:
    text = "+442079460124,c\n" * 9 + '+442079460123,"a\nb"\n'
    found = read_text(tmp_path, text.encode(), "csv")
    assert found.numbers == [442079460124] * 9
    assert [line for line, _ in found.bad] == [10, 11]


@pytest.mark.parametrize(
    ("text", "settings", "said"),
    [
        ("name,phone\na,+12015550123\n", RegistryList(number="Number"), "has no column 'Number'"),
        ("name,phone\na,+12015550123\n", RegistryList(number="x"), "columns are 'name', 'phone'"),
        ("a,+12015550123\n", RegistryList(number="phone"), "its first line is no heading"),
        ("a,+12015550123\n", RegistryList(number=3), "has 2 columns, no column 3"),
        ("a,+12015550123\n", RegistryList(number=0), "columns are counted from 1"),
        ("phone,phone\na,+12015550123\n", RegistryList(number="phone"), "two columns 'phone'"),
        ("201,5550123\n" * 9, RegistryList(), "it looks like us-dnc"),
        ("a,b\n" * 9, RegistryList(), "is none of csv"),
        ('"a\nb",x\n' * 9, RegistryList(), "line 1: has quotes out of order"),
        ("phone\n", RegistryList(), "holds no number"),
        (
            "x,+12015550123\ny,+1201555",
            RegistryList(number=2),
            "line 2: has no line break and is cut",
        ),
        ("+12015550123,x\n+12015550124", RegistryList(), "line 2: has no line break and is cut"),
        ('+12015550123,x\n+12015550124,"x', RegistryList(), "line 2: has no line break and is cut"),
    ],
)
def test_what_is_no_such_list_is_refused(
    tmp_path: Path, text: str, settings: RegistryList, said: str
) -> None:
    with pytest.raises(RegistryError) as refused:
        read_text(tmp_path, text.encode(), "csv", settings, block=16)
    assert said in str(refused.value)
    assert "5550123" not in str(refused.value)


def test_a_last_record_that_is_whole_needs_no_line_break(tmp_path: Path) -> None:
    found = read_text(tmp_path, b"+12015550123,x\n+12015550124,", "csv")
    assert found.numbers == [12015550123, 12015550124]


CHANGE = st.tuples(
    st.integers(200, 999),
    st.integers(2_000_000, 9_999_999),
    st.sampled_from(["A", "d", "Add", "X"]),
)


@given(changes=st.lists(CHANGE, min_size=1, max_size=40), block=st.integers(1, 100), data=st.data())
def test_changes_come_in_their_order_with_what_is_to_be_done(
    tmp_path_factory: pytest.TempPathFactory,
    changes: list[tuple[int, int, str]],
    block: int,
    data: st.DataObject,
) -> None:
    lines = [(201, 5_550_123, "A")] * len(changes) + changes
    text = "".join(f"{code},{rest},2026-11-01,{word}\n" for code, rest, word in lines)
    settings = RegistryList(number="1+2", action=4, region="US")
    folder = tmp_path_factory.mktemp("changes")
    found = read_text(folder, text.encode(), "changes", settings, block)
    wanted = [(int(f"1{code}{rest}"), word == "d") for code, rest, word in lines if word != "X"]
    assert list(zip(found.numbers, found.removed, strict=True)) == wanted
    assert found.tally.bad_lines == len(lines) - len(wanted)


def test_columns_of_changes_may_be_named(tmp_path: Path) -> None:
    text = (
        b'Date;Area;Phone;What\n1;201;"555-0123";"Remove"\n2;201;5550124;added\n3;201;5550125;?\n'
    )
    settings = RegistryList(
        format="us-dnc", number="area + phone", action="what", add=("added",), remove=("remove",)
    )
    found = read_text(tmp_path, text, "changes", settings)
    assert (found.numbers, found.removed) == ([12015550123, 12015550124], [True, False])
    assert found.bad == [(4, "***;*****25;?")]


def test_a_heading_may_hold_a_plus_sign_of_its_own(tmp_path: Path) -> None:
    text = b"tel+ext,do\n+12015550123,A\n"
    found = read_text(tmp_path, text, "changes", RegistryList(number="tel+ext", action="do"))
    assert found.numbers == [12015550123]


def test_no_changes_are_a_list_of_changes_but_nothing_at_all_is_none(tmp_path: Path) -> None:
    settings = RegistryList(number="number", action="action")
    assert read_text(tmp_path, b"number,action\n", "changes", settings).numbers == []
    with pytest.raises(RegistryError, match="is empty"):
        read_text(tmp_path, b"", "changes", settings)


@pytest.mark.parametrize("last", ["+12015550124", "+12015550124,", "+120155,A", "+12015550124,AD"])
def test_a_last_change_that_was_cut_off_is_refused(tmp_path: Path, last: str) -> None:
    with pytest.raises(RegistryError, match="line 2: has no line break and is cut off"):
        read_text(tmp_path, f"+12015550123,A\n{last}".encode(), "changes")


@pytest.mark.parametrize(
    ("text", "region", "number"),
    [
        ("2015550123", "US", 12015550123),
        ("2015550123", None, 2015550123),
        ("+2015550123", "US", 2015550123),
        ("(201) 555-0123", None, None),
        ("+1 (201) 555-0123", None, 12015550123),
        ("0", None, None),
        ("", "GB", None),
        ("112", "GB", None),
    ],
)
def test_a_number_in_words_of_a_region(text: str, region: str | None, number: int | None) -> None:
    assert number_of(text, region) == number
