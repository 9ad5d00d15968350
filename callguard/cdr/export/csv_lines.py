"""Call records as CSV: RFC 4180, UTF-8, a row of names first. Pure.

A spreadsheet takes a cell that begins with ``=``, ``+``, ``-``, ``@`` or some white space for a
formula, and whoever can set a campaign's or a caller's name could so have it run one. Such a cell
gets an apostrophe in front. So does what follows a semicolon, a tab or the end of a line within a
cell: where lists are written with semicolons, a spreadsheet takes these for the ends of cells,
whatever is quoted. A plus and nothing but digits is a number and stays. To have the text back, take
one apostrophe away wherever one or more of them and then such a sign stand in these places.
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

_FIRST: Final = frozenset("'=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
_ENDS: Final = re.compile(r"[;\t\r\n]")
_BEGIN: Final = r"(?:\A|(?<=[;\t\r\n]))"
"""Where a cell begins, for whatever spreadsheet."""

_FORMULA: Final = re.compile(f"{_BEGIN}(?='*[{_SIGNS}])")
_HARMLESS: Final = re.compile(f"{_BEGIN}'(?='*[{_SIGNS}])")
_NUMBER: Final = re.compile(r"\+[0-9]+")

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
    return text if _NUMBER.fullmatch(text) else _FORMULA.sub("'", text)


def harmed(cell: str) -> str:
    """The text that ``harmless`` was given."""
    return _HARMLESS.sub("", cell)


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
            if isinstance(text, str) and (text[:1] in _FIRST or _ENDS.search(text)):
                cells[place] = harmless(text)
    return cells


def _rows(rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)  # it ends lines as RFC 4180 does
    return text.getvalue().encode()
