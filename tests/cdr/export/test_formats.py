"""What is exported is read back as it was, whatever is in it."""

import csv
import io
import json
import os
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import cycle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callguard.cdr.columns import COLUMNS, NAMES, Kind, Told, moment
from callguard.cdr.export import ExportError, Form, Format, Tally, exported
from callguard.cdr.export.csv_lines import csv_pieces, harmed, harmless
from callguard.cdr.reading import Page
from callguard.recording import age
from callguard.storage.types import from_micros
from tests.cdr.export.reading_back import row_groups, table_of
from tests.recording.sealing import X25519

LONG = bool(os.environ.get("CALLGUARD_LONG"))
NASTY = (
    "a;=1;'+2", "x\t'@y;;-1",
    "דנה כהן", 'a "quoted", cell', "two\nlines", "two\r\nlines", "nul \0 here", "☎️😀", "", " ",
    "=1+1", "+44 20", "-1", "@SUM(A1)", "\tx", "\rx", "'=1", "''", "＝1", "+442079460123",
    "\u202eabc", "\u2028", ";", "null",
)  # fmt: skip

texts = st.sampled_from(NASTY) | st.text(max_size=12)
moments = st.integers(0, 32_000_000_000_000_000).map(from_micros)


@st.composite
def pages_of(draw: st.DrawFn) -> list[list[Told]]:
    """A few pages; each record takes what is drawn in turn, so that little has to be drawn."""
    some, times = draw(st.lists(texts, min_size=3, max_size=7)), draw(st.lists(moments, min_size=2))
    wholes = draw(st.lists(st.integers(-(1 << 31), 1 << 31), min_size=2, max_size=4))
    of: dict[Kind, Iterator[Any]] = {
        "text": cycle([None, *some]),
        "whole": cycle([None, *wholes]),
        "moment": cycle([None, *times]),
        "texts": cycle([(), tuple(some[:1]), tuple(some[:2])]),
    }
    sizes = draw(st.lists(st.integers(0, 3), max_size=3))
    return [[tuple(next(of[column.kind]) for column in COLUMNS) for _ in range(n)] for n in sizes]


pages = pages_of()
SEEDED = settings(max_examples=500 if LONG else 25, derandomize=True)


def written(given_pages: Sequence[Sequence[Told]], form: Form) -> tuple[bytes, Tally]:
    tally = Tally()
    pieces = exported((Page(one, len(one), None) for one in given_pages), form, tally)
    data = b"".join(pieces)
    assert tally.size == len(data)
    return data, tally


def flat(given_pages: Sequence[Sequence[Told]]) -> list[Told]:
    return [record for page in given_pages for record in page]


@SEEDED
@given(pages)
def test_csv_is_read_back(given_pages: list[list[Told]]) -> None:
    for as_is in (False, True):
        data, tally = written(given_pages, Form("csv", as_is=as_is))
        head, *rows = csv.reader(io.StringIO(data.decode(), newline=""), strict=True)
        assert tuple(head) == NAMES
        assert tally.rows == len(rows)
        back = [row if as_is else [harmed(cell) for cell in row] for row in rows]
        assert back == [_cells(record) for record in flat(given_pages)]


@SEEDED
@given(pages)
def test_json_lines_are_read_back(given_pages: list[list[Told]]) -> None:
    data, tally = written(given_pages, Form("jsonl"))
    lines = data.decode().split("\n")
    assert lines.pop() == ""
    assert tally.rows == len(lines)
    found = [json.loads(line) for line in lines]
    assert [list(one) for one in found] == [list(NAMES)] * len(found)
    assert [list(one.values()) for one in found] == [
        [_json(value) for value in record] for record in flat(given_pages)
    ]


@SEEDED
@given(pages)
def test_parquet_is_read_back(given_pages: list[list[Told]]) -> None:
    data, tally = written(given_pages, Form("parquet"))
    table = table_of(data)
    assert tuple(table.column_names) == NAMES
    assert tally.rows == table.num_rows
    found = [tuple(one.values()) for one in table.to_pylist()]
    assert found == [
        tuple(list(value) if isinstance(value, tuple) else value for value in record)
        for record in flat(given_pages)
    ]


@SEEDED
@given(texts)
def test_a_cell_made_harmless_begins_no_formula_and_can_be_had_back(text: str) -> None:
    cell = harmless(text)
    assert harmed(cell) == text
    assert cell.replace("'", "") == text.replace("'", "")
    assert not re.search("[;\t\r\n][=+\\-@＝＋－＠]", cell)
    if cell[:1] in set("=+-@\t\r\n＝＋－＠"):
        assert cell[0] == "+"
        assert cell[1:].isascii()
        assert cell[1:].isdigit()


@pytest.mark.parametrize("end", [";", "\t", "\n", "\r\n", ";;"])
def test_no_formula_follows_what_another_spreadsheet_takes_for_the_end_of_a_cell(end: str) -> None:
    text = f"spring{end}=HYPERLINK(1)"
    (line,) = b"".join(csv_pieces([[_record(campaign=text)]])).split(b"campaign", 1)[1:]
    assert b"'=HYPERLINK" in line
    assert harmed(harmless(text)) == text


def test_a_number_keeps_its_plus_and_a_formula_gets_an_apostrophe() -> None:
    record = _record(caller="+442079460123", campaign="=HYPERLINK(1)", agent="+1+cmd|' /C'!A0")
    data, _ = written([[record]], Form("csv"))
    (row,) = csv.DictReader(io.StringIO(data.decode(), newline=""))
    assert row["caller"] == "+442079460123"
    assert row["campaign"] == "'=HYPERLINK(1)"
    assert row["agent"] == "'+1+cmd|' /C'!A0"
    data, _ = written([[record]], Form("csv", as_is=True))
    assert b",=HYPERLINK(1)," in data


def test_several_values_stand_in_one_cell() -> None:
    record = _record(verdict_reasons=("one", "two"), consent_ids=("a", "b"))
    data, _ = written([[record]], Form("csv"))
    (row,) = csv.DictReader(io.StringIO(data.decode(), newline=""))
    assert (row["verdict_reasons"], row["consent_ids"]) == ("one; two", "a b")


@pytest.mark.parametrize("how", ["csv", "jsonl", "parquet"])
def test_sealed_it_is_an_age_file_of_the_same(how: Format) -> None:
    given_pages = [[_record(agent=str(number)) for number in range(300)] for _ in range(3)]
    plain, _ = written(given_pages, Form(how))
    sealed, tally = written(given_pages, Form(how, recipients=(X25519.recipient,)))
    assert age.open_file(sealed, [X25519]) == plain
    assert tally.rows == 900


@pytest.mark.parametrize("how", ["csv", "jsonl", "parquet"])
def test_masked_no_number_is_in_the_file(how: Format) -> None:
    data, _ = written([[_record(called="+442079460123")]], Form(how, masked=True))
    assert b"+442079460123" not in data


def test_without_pyarrow_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ExportError, match=r"pip install callguard\[parquet\]"):
        written([], Form("parquet"))


@pytest.mark.parametrize("how", ["csv", "jsonl"])
def test_lines_go_out_a_page_at_a_time(how: Format) -> None:
    read = list[int]()

    def some() -> Iterator[Page]:
        for number in range(5):
            read.append(number)
            yield Page([_record()] * 5, 5, None)

    seen = [(piece.count(b"\n"), len(read)) for piece in exported(some(), Form(how), Tally())]
    assert seen[how == "csv" :] == [(5, number) for number in range(1, 6)]


def test_parquet_goes_out_a_row_group_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callguard.cdr.export.parquet.GROUP", 10)
    read = 0

    def some() -> Any:
        nonlocal read
        for _ in range(20):
            read += 1
            yield Page([_record()] * 5, 5, None)

    pieces = exported(some(), Form("parquet"), Tally())
    first = next(pieces)
    assert read == 2, "no more than one group is in memory"
    data = first + b"".join(pieces)
    assert row_groups(data) == 10


def _record(**values: Any) -> Told:
    empty: dict[Kind, Any] = {"text": "", "whole": 0, "moment": None, "texts": ()}
    return tuple(values.get(column.name, empty[column.kind]) for column in COLUMNS)


def _cells(record: Told) -> list[str]:
    cells = []
    for column, value in zip(COLUMNS, record, strict=True):
        if isinstance(value, tuple):
            cells.append(column.between.join(value))
        elif isinstance(value, datetime):
            cells.append(moment(value))
        else:
            cells.append("" if value is None else str(value))
    return cells


def _json(value: object) -> object:
    if isinstance(value, datetime):
        return moment(value)
    return list(value) if isinstance(value, tuple) else value
