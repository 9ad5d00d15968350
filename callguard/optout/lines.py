"""A file of people who are not to be called, as any system writes one: a number a line, or
columns between commas, semicolons, tabs or bars.

An opt-out must not be lost to a stray quotation mark: a record goes over several lines only where
none of them would be a record by itself, and every line that holds a number is read.
"""

import csv
import io
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from callguard.optout.events import OptOutError

MAX_LINE = 65_536
"""Longest line, in characters."""

SAMPLE = 20
"""How many lines are looked at to see how the file is made."""

MAX_LINES = 20
"""Most lines of one record."""

DELIMITERS = ",;\t|"
FIELDS = ("number", "purposes", "channels", "since", "tenant")
"""What a column can hold; the names that an export gives them."""

EXPORTED = (*FIELDS, "way", "actor", "call", "prompt", "reason", "evidence")
"""The columns of an export, which are understood without being named."""

_NUMBER_NAMES = frozenset(
    (
        *("number", "phone", "telephone", "tel", "msisdn", "mobile", "cell", "cellphone"),
        *("phone number", "phonenumber", "telephone number", "mobile number"),
        *("telefoon", "telefoonnummer", "nummer", "mobiel"),
        *("numero", "numéro", "téléphone"),
        *("телефон", "номер", "номер телефона"),
        *("טלפון", "מספר", "מספר טלפון", "נייד"),
    )
)
"""What the column of the number is called, in the languages of the page; ``_`` is a space."""

_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
"""Marks of direction and the like, which come along where a number is copied out of Hebrew text."""

_FLOATING = re.compile(r"(\+?[0-9]{5,})\.0", re.ASCII)


@dataclass(frozen=True, slots=True)
class Entry:
    """What one record says, as it is written; "" where it says nothing of that."""

    line: int
    number: str
    purposes: str = ""
    channels: str = ""
    since: str = ""
    tenant: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """A record that cannot be taken over, and why; fit to be shown."""

    line: int
    told: str


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file is made: ``places`` says in which column, from 0, each field is; ``names`` are
    those of its first line, empty where that is a record already."""

    delimiter: str
    places: Mapping[str, int]
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """Which columns the operator named, by name or by number from 1; the delimiter, if any."""

    columns: Mapping[str, str] = field(default_factory=dict)
    delimiter: str = ""


def refuse_what_is_no_text(head: bytes) -> None:
    """Raises OptOutError for the beginning of a file that cannot be such a list."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in head:
        raise OptOutError("it is UTF-16 or no text at all: save it as CSV in UTF-8")
    if head.startswith((b"PK\x03\x04", b"\x1f\x8b", b"\xd0\xcf\x11\xe0")):
        raise OptOutError("it is a workbook or an archive: save it as CSV in UTF-8")


def layout_of(head: bytes, asked: Asked, reads: Callable[[str], bool]) -> Layout:
    """How a file is made, by its beginning. ``reads`` tells what is a number. Raises OptOutError
    where that cannot be told for certain."""
    refuse_what_is_no_text(head)
    lines = [text for _, text in _texts(io.BytesIO(head)) if text is not None and text.strip()]
    lines = lines[:SAMPLE]
    if not lines:
        raise OptOutError("it is empty")
    delimiter = asked.delimiter or _delimiter(lines)
    rows = [_loosely(text, delimiter) for text in lines]
    first = [cell.strip() for cell in rows[0]]
    folded = [_UNSEEN.sub("", cell).strip().casefold() for cell in first]
    if tuple(folded) == EXPORTED and not asked.columns:
        return Layout(delimiter, {name: folded.index(name) for name in FIELDS}, tuple(first))
    headed = any(not name.isdigit() for name in asked.columns.values()) or not any(
        reads(tidy(cell)) or sum(map(str.isdigit, cell)) >= 5 for cell in first
    )
    places = {what: _place(name, folded, headed) for what, name in asked.columns.items()}
    if "number" not in places:
        places["number"] = _number_place(folded, rows[headed:], headed, set(places.values()), reads)
    return Layout(delimiter, places, tuple(first) if headed else ())


def entries(
    source: BinaryIO, layout: Layout, reads: Callable[[str], bool]
) -> Iterator[Entry | Fault]:
    """What each record says, in bounded memory; ``source`` is at its beginning."""
    places = layout.places
    number = places["number"]
    others = [(name, place) for name, place in places.items() if name != "number"]

    def holds(cells: Sequence[str]) -> bool:
        return number < len(cells) and reads(tidy(cells[number]))

    headed = bool(layout.names)
    for line, cells in _records(source, layout.delimiter, holds):
        if cells is None:
            yield Fault(line, f"longer than {MAX_LINE} characters")
        elif headed:
            headed = False
        elif number < len(cells) and cells[number].strip():
            said = {name: cells[at].strip() for name, at in others if at < len(cells)}
            yield Entry(line, tidy(cells[number]), **said)
        elif any(cell.strip() for cell in cells):
            yield Fault(line, f"nothing in column {number + 1}, where the number should be")


def tidy(cell: str) -> str:
    """A number without what spreadsheets and text in two directions put around it."""
    text = _UNSEEN.sub("", cell).replace("\u00a0", " ").strip()
    text = text.strip("\"'=").strip()
    whole = _FLOATING.fullmatch(text)
    return whole[1] if whole else text


def veiled(text: str) -> str:
    """A cell that was no number, fit to be shown: only its last two signs can be read."""
    kept = "".join(c if c.isprintable() else "?" for c in text[:32])
    hidden = "".join("*" if c.isalnum() else c for c in kept[:-2])
    return hidden + kept[-2:] + ("…" if len(text) > 32 else "")


def _delimiter(lines: Sequence[str]) -> str:
    """The sign that parts most lines, and all into as many cells; "" where a line is one cell."""
    first = {sign: len(_loosely(lines[0], sign)) for sign in DELIMITERS}
    alike = {
        sign: sum(len(_loosely(text, sign)) == first[sign] for text in lines)
        for sign in DELIMITERS
        if first[sign] > 1
    }
    return max(alike, key=lambda sign: (alike[sign], first[sign])) if alike else ""


def _place(name: str, header: Sequence[str], headed: bool) -> int:
    if name.isdigit():
        place = int(name) - 1
        if not 0 <= place < len(header):
            raise OptOutError(f"it has {len(header)} columns and no column {name}")
        return place
    wanted = name.strip().casefold()
    if not headed or header.count(wanted) != 1:
        raise OptOutError(f"its first line does not name a column {name!r}, or more than one")
    return header.index(wanted)


def _number_place(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    headed: bool,
    taken: set[int],
    reads: Callable[[str], bool],
) -> int:
    if len(header) == 1:
        return 0
    free = [place for place in range(len(header)) if place not in taken]
    if headed:
        named = [place for place in free if header[place].replace("_", " ") in _NUMBER_NAMES]
        if len(named) == 1:
            return named[0]
        free = named or free
    held = [p for p in free if any(p < len(cells) and reads(tidy(cells[p])) for cells in rows)]
    if len(held) != 1:
        raise OptOutError("it cannot be told which column holds the number: say so with --column")
    return held[0]


def _texts(source: BinaryIO) -> Iterator[tuple[int, str | None]]:
    """The lines with their numbers from 1; None for one that is too long. What is not UTF-8 stays
    as it is: a name in another encoding spoils no number."""
    text = io.TextIOWrapper(source, "utf-8-sig", errors="surrogateescape", newline=None)
    line = 0
    try:
        while read := text.readline(MAX_LINE + 1):
            line += 1
            if len(read) > MAX_LINE and not read.endswith("\n"):
                while read and not read.endswith("\n"):
                    read = text.readline(MAX_LINE)
                yield line, None
            else:
                yield line, read.rstrip("\n")
    finally:
        text.detach()


def _records(
    source: BinaryIO, delimiter: str, holds: Callable[[Sequence[str]], bool]
) -> Iterator[tuple[int, list[str] | None]]:
    """The cells of each record, with the number of its first line."""
    lines = _texts(source)
    waiting: deque[tuple[int, str | None]] = deque()
    while (found := waiting.popleft() if waiting else next(lines, None)) is not None:
        line, text = found
        if text is None:
            yield line, None
        elif not delimiter or '"' not in text:
            yield line, text.split(delimiter) if delimiter else [text]
        elif (cells := _strictly([text], delimiter)) is not None:
            yield line, cells
        else:
            further = _rest_of(text, delimiter, lines, waiting, holds)
            yield line, _loosely(text, delimiter) if further is None else further


def _rest_of(
    text: str,
    delimiter: str,
    lines: Iterator[tuple[int, str | None]],
    waiting: deque[tuple[int, str | None]],
    holds: Callable[[Sequence[str]], bool],
) -> list[str] | None:
    """The record that begins in a line whose quotation is open, where the lines after it end it;
    those are then used up. None where the mark is but a stray one."""
    if _strictly([text, '"'], delimiter) is None:
        return None  # no quotation is open: it is a mark in the wrong place
    gathered = [text]
    for used in range(1, MAX_LINES):
        if len(waiting) < used:
            if (following := next(lines, None)) is None:
                return None
            waiting.append(following)
        after = waiting[used - 1][1]
        if after is None or holds(_loosely(after, delimiter)):
            return None
        gathered.append(after)
        if (cells := _strictly(gathered, delimiter)) is not None:
            for _ in range(used):
                waiting.popleft()
            return cells
    return None


def _strictly(lines: Sequence[str], delimiter: str) -> list[str] | None:
    try:
        rows = list(csv.reader((f"{text}\n" for text in lines), delimiter=delimiter, strict=True))
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 else None


def _loosely(text: str, delimiter: str) -> list[str]:
    if not delimiter:
        return [text]
    try:
        return next(csv.reader([text], delimiter=delimiter), [])
    except csv.Error:
        return text.split(delimiter)
