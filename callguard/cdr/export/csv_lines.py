"""Call records as CSV: RFC 4180, UTF-8, a row of names first. Pure.

A spreadsheet takes a cell that begins with ``=``, ``+``, ``-``, ``@`` or some white space for a
formula, and whoever can set a campaign's or a caller's name could so have it run one. Such a cell
gets an apostrophe in front. A plus and nothing but digits is a number and stays. To have the text
back, take one apostrophe off each cell that begins with one or more of them and then such a sign.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

from callguard.cdr.columns import COLUMNS, NAMES, Told, moment

_SIGNS: Final = "=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20"
"""What begins a formula, in full width too (OWASP, "CSV Injection")."""

_FORMULA: Final = re.compile(f"'*[{_SIGNS}]")
_NUMBER: Final = re.compile(r"\+[0-9]+")
_FIRST: Final = frozenset("'=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")

_MOMENTS: Final = [place for place, one in enumerate(COLUMNS) if one.kind == "moment"]
_SEVERAL: Final = [(at, one.between) for at, one in enumerate(COLUMNS) if one.kind == "texts"]
_TEXTS: Final = [place for place, one in enumerate(COLUMNS) if one.kind in ("text", "texts")]


def csv_pieces(pages: Iterable[Sequence[Told]], *, as_is: bool = False) -> Iterator[bytes]:
    """The file, a page of records at a time; with ``as_is`` no cell is made harmless."""
    yield _rows([NAMES])
    for page in pages:
        if page:
            yield _rows([_cells(record, as_is) for record in page])


def harmless(text: str) -> str:
    """The text as a cell that no spreadsheet takes for a formula."""
    if text[:1] not in _FIRST or not _FORMULA.match(text) or _NUMBER.fullmatch(text):
        return text
    return f"'{text}"


def harmed(cell: str) -> str:
    """The text that ``harmless`` was given."""
    return cell[1:] if cell[:1] == "'" and _FORMULA.match(cell) else cell


def _cells(record: Told, as_is: bool) -> list[object]:
    cells: list[object] = list(record)  # the writer makes texts of numbers, and nothing of None
    for place in _MOMENTS:
        at = record[place]
        cells[place] = moment(at) if isinstance(at, datetime) else at
    for place, between in _SEVERAL:
        texts = record[place]
        cells[place] = between.join(texts) if isinstance(texts, tuple) else texts
    if not as_is:
        for place in _TEXTS:
            text = cells[place]
            if isinstance(text, str) and text[:1] in _FIRST:
                cells[place] = harmless(text)
    return cells


def _rows(rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)  # it ends lines as RFC 4180 does
    return text.getvalue().encode()
