"""How a list is written: its delimiter, whether it has a heading, and which column the numbers
stand in."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from callguard.optout.scrub.contract import ScrubError
from callguard.optout.scrub.rows import read_rows

BOM: Final = b"\xef\xbb\xbf"
DELIMITERS: Final = (",", ";", "\t", "|")
LOOKED_AT: Final = 100
"""Rows that the column and the delimiter are told by."""

_WORDS: Final = (
    "phone",
    "telephone",
    "tel",
    "mobile",
    "cell",
    "msisdn",
    "number",
    "telefon",
    "telefoon",
    "telefono",
    "teléfono",
    "téléphone",
    "telephone number",
    "phone number",
    "handy",
    "mobil",
    "mobiel",
    "portable",
    "numéro",
    "nummer",
    "טלפון",
    "נייד",
    "מספר",
    "телефон",
    "номер",
    "мобильный",
    "e-mail",
    "email",
)
"""What the column of the numbers is called, in part or in whole."""

_Cells = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Layout:
    """``column`` counts from 0; ``name`` is its heading, or its place from 1 where it has none."""

    delimiter: str
    column: int
    header: bool
    name: str
    begins: int
    """Bytes before the first row: those of a byte order mark."""


def layout_of(
    head: bytes,
    *,
    whole: bool,
    is_number: Callable[[str], bool],
    column: str | None = None,
    delimiter: str | None = None,
    header: bool | None = None,
) -> Layout:
    """Tells it from the beginning of a list; ``whole`` is whether that is all of it. What is given
    is not guessed. Raises ScrubError, also for what is no text in UTF-8 or one of the alphabets
    that leave its digits alone."""
    _refuse_wide(head)
    begins = len(BOM) if head.startswith(BOM) else 0
    if delimiter is not None and (len(delimiter.encode()) != 1 or delimiter in '"\r\n'):
        raise ScrubError(f"{delimiter!r} is no delimiter: one character of ASCII, and no quote")
    tried = [
        (one, _cells(head[begins:], one, whole=whole))
        for one in ((delimiter,) if delimiter else DELIMITERS)
    ]
    if not any(cells for _, cells in tried):
        if head[begins:].strip(b"\r\n"):
            raise ScrubError("the first row cannot be read: is a quote left open?")
        return Layout(delimiter or ",", 0, False, "1", begins)
    found = [
        (_worth(cells, place, is_number), one, place, cells)
        for one, cells in tried
        if cells and (place := _place(cells, column, is_number)) is not None
    ]
    if not found:
        if column is not None:
            raise ScrubError(f"there is no column {column!r} in the first row")
        raise ScrubError("no column holds mostly numbers; say which one with --column")
    _, chosen, place, cells = max(found, key=lambda one: one[0])
    first = cells[0][place] if place < len(cells[0]) else ""
    if header is None:
        named = column is not None and not column.isdecimal()
        header = named or not is_number(first)
    return Layout(chosen, place, header, first if header and first else str(place + 1), begins)


def _refuse_wide(head: bytes) -> None:
    looked = head[:1024]
    if looked[:2] in (b"\xff\xfe", b"\xfe\xff") or (
        len(looked) > 3 and max(looked[::2].count(0), looked[1::2].count(0)) > len(looked) // 4
    ):
        raise ScrubError("the list is written in UTF-16; save it as UTF-8")


def _cells(head: bytes, delimiter: str, *, whole: bool) -> list[list[str]]:
    """The first rows, cut into their fields."""
    try:
        used = read_rows(head, delimiter, 0, final=whole).used
        text = io.StringIO(head[:used].decode("utf-8", "replace"), newline="")
        cut = (row for row in csv.reader(text, delimiter=delimiter) if row)
        return list(islice(cut, LOOKED_AT + 1))
    except (ScrubError, csv.Error):
        return []


def _place(cells: _Cells, column: str | None, is_number: Callable[[str], bool]) -> int | None:
    heading = [cell.strip().casefold() for cell in cells[0]]
    if column is not None:
        wanted = column.strip().casefold()
        if wanted in heading:
            return heading.index(wanted)
        if wanted.isdecimal() and 1 <= int(wanted) <= max(map(len, cells)):
            return int(wanted) - 1
        return None
    shares = [_share(cells, place, is_number) for place in range(len(heading))]
    named = [place for place, name in enumerate(heading) if _is_named(name)]
    by_name = max(named, key=lambda place: shares[place], default=None)
    if by_name is not None and shares[by_name] > 0:
        return by_name
    by_content = max(range(len(heading)), key=lambda place: shares[place])
    return by_content if shares[by_content] > 0.5 else by_name


def _is_named(name: str) -> bool:
    return any(name == word or (len(word) > 3 and word in name) for word in _WORDS) or any(
        part in ("tel", "tel.") for part in name.replace("_", " ").split()
    )


def _share(cells: _Cells, place: int, is_number: Callable[[str], bool]) -> float:
    """How many of the fields below the first row are numbers; of one row alone, whether it is."""
    below = cells[1:] or cells
    return sum(place < len(row) and is_number(row[place]) for row in below) / len(below)


def _worth(
    cells: _Cells, place: int, is_number: Callable[[str], bool]
) -> tuple[float, bool, float]:
    """How well a delimiter fits: numbers in the column, and rows of one length, of more than one
    field."""
    length = len(cells[0])
    even = sum(len(row) == length for row in cells) / len(cells)
    return (round(_share(cells, place, is_number), 2), length > 1, even)
