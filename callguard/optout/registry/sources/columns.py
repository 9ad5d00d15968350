"""Lines of columns: where the delimiter, the heading and the columns lie.

A line is a record: a quoted field may not run over the line's end.
"""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from callguard.optout.registry.sources.lines import LineError

DELIMITERS = ",;\t|"

_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_DIGIT = re.compile(r"\d")
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Columns:
    """``number`` are the columns, from 0, that make the number when they are written one behind
    the other; ``action`` the column of the word that says what to do with it; ``count`` how many
    columns the first line has; ``heading`` whether that line is one."""

    delimiter: str
    number: tuple[int, ...]
    action: int | None
    count: int
    heading: bool


def fields_of(line: str, delimiter: str) -> list[str] | None:
    """The fields of one line without blanks around them; None where its quotes are not in order."""
    if '"' not in line:
        return [field.strip() for field in line.split(delimiter)]
    if '""' not in line and (simple := _simply_quoted(line, delimiter)) is not None:
        return simple
    try:
        rows = list(csv.reader([line], delimiter=delimiter, strict=True, skipinitialspace=True))
    except csv.Error:
        return None
    return [field.strip() for field in rows[0]] if len(rows) == 1 else None


def _simply_quoted(line: str, delimiter: str) -> list[str] | None:
    """The same where no field holds a delimiter or a quote, which is quickly seen."""
    found = []
    for field in line.split(delimiter):
        field = field.strip()
        if '"' in field:
            if len(field) < 2 or field[0] != '"' or field[-1] != '"' or field.count('"') != 2:
                return None
            field = field[1:-1].strip()
        found.append(field)
    return found


def columns_of(
    head: str, delimiter: str | None, number: str | int, action: str | int | None
) -> Columns:
    """Reads the first lines of a file. ``number`` may name several columns, as ``1+2``. Raises
    LineError for a column that is not there."""
    lines = [line for line in head.split("\n") if line.strip()]
    mark = delimiter or _delimiter(lines)
    first = fields_of(lines[0], mark) if lines else []
    if first is None:
        raise LineError(0, "has quotes out of order; no field runs over the end of a line")
    wanted = [number] if isinstance(number, int) else _several(number, first)
    named = [name for name in [*wanted, action] if isinstance(name, str) and not _place(name)]
    if named:
        titles = [title.casefold() for title in first]
        missing = [name for name in named if name.strip().casefold() not in titles]
        if missing:
            raise LineError(0, f"has no column {missing[0][:_SHOWN]!r}: {_titles(first)}")
        twice = [name for name in named if titles.count(name.strip().casefold()) > 1]
        if twice:
            raise LineError(0, f"has two columns {twice[0][:_SHOWN]!r}")
    places = tuple(_column(name, first) for name in wanted)
    act = None if action is None else _column(action, first)
    most = max(*places, -1 if act is None else act)
    if most >= len(first):
        raise LineError(0, f"has {len(first)} columns, no column {most + 1}")
    heading = bool(named) or not any(_DIGIT.search(first[place]) for place in places)
    return Columns(mark, places, act, len(first), heading)


def _several(number: str, first: Sequence[str]) -> list[str | int]:
    if "+" not in number or number.strip().casefold() in [title.casefold() for title in first]:
        return [number]
    return [part.strip() for part in number.split("+")]


def _place(name: str) -> bool:
    return name.strip().isascii() and name.strip().isdigit() and len(name.strip()) <= 4


def _column(name: str | int, first: Sequence[str]) -> int:
    if isinstance(name, str) and not _place(name):
        return [title.casefold() for title in first].index(name.strip().casefold())
    place = int(name)
    if place < 1:
        raise LineError(0, f"has no column {place}: columns are counted from 1")
    return place - 1


def _delimiter(lines: Sequence[str]) -> str:
    """The mark that stands equally often in most lines."""
    best, share = DELIMITERS[0], 0.0
    bare = [_QUOTED.sub("", line) for line in lines]
    for mark in DELIMITERS:
        counts = Counter(line.count(mark) for line in bare)
        often, alike = counts.most_common(1)[0] if counts else (0, 0)
        if often and alike / len(bare) > share:
            best, share = mark, alike / len(bare)
    return best


def _titles(first: Sequence[str]) -> str:
    """The heading as it may be shown: a line of data in its place is not told."""
    if any(_DIGIT.search(title) for title in first):
        return "its first line is no heading"
    told = ", ".join(repr(title) for title in first)
    return f"its columns are {told[: 4 * _SHOWN]}"
