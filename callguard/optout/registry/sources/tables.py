"""Lists in columns: a CSV of numbers, and a list of changes.

The numbers are E.164, with or without the plus, or where a region is set as somebody there writes
them. Without a region, marks between the digits need the plus before them.
"""

from collections.abc import Iterable

import numpy as np

from callguard.optout.registry.contract import Format
from callguard.optout.registry.sources.columns import Columns, columns_of, fields_of
from callguard.optout.registry.sources.digits import Bytes, Mask, Numbers, begin_with, runs
from callguard.optout.registry.sources.layout import Parsed, bad_lines
from callguard.optout.registry.sources.lines import Lines, Places, lines_of, texts, trimmed
from callguard.optout.registry.sources.numbers import number_of, plainly, possible

_QUOTE = ord('"')
_PLUS = ord("+")


class Csv:
    """``number`` names the column by its heading or its place, from 1; ``covers`` are the prefixes
    that the list can speak for, and a number under none of them is a bad line."""

    format: Format = "csv"

    def __init__(
        self,
        number: str | int = 1,
        region: str | None = None,
        covers: tuple[str, ...] = (),
        delimiter: str | None = None,
    ) -> None:
        self._number = number
        self._region = region
        self._covers = covers
        self._delimiter = delimiter
        self._columns: Columns | None = None

    def begin(self, head: bytes) -> int:
        text = head.decode("utf-8", "replace")
        self._columns = columns_of(text, self._delimiter, self._number, None)
        return _heading(head, self._columns)

    def parse(self, block: Bytes) -> Parsed:
        lines = lines_of(block)
        columns = self._begun
        if len(columns.number) == 1 and columns.delimiter.isascii():
            numbers, fine, left = self._plain(block, lines)
        else:
            numbers = np.zeros(len(lines.starts), np.int64)
            fine = np.zeros(len(numbers), np.bool_)
            left = np.flatnonzero(lines.lengths > 0)
        for line, text in texts(block, lines, left):
            found = self._number_in(text)
            if found is not None:
                numbers[line], fine[line] = found, True
        if self._covers:
            fine &= begin_with(numbers, self._covers)
        bad = bad_lines(lines, np.flatnonzero(fine))
        return Parsed(len(lines.starts), numbers[fine], None, bad)

    def passes(self, block: Bytes) -> None:
        pass

    def whole(self, line: bytes) -> bool:
        text = line.decode("utf-8", "replace")
        fields = fields_of(text, self._begun.delimiter)
        if fields is None or len(fields) != self._begun.count:
            return not text.strip()
        if max(self._begun.number) < len(fields) - 1:
            return True
        found = self._number_in(text)
        return found is not None and possible(found)

    def shown(self, line: str) -> str:
        return _number_text(line, self._begun) or ""  # beside it may stand a name

    def covers(self) -> tuple[str, ...]:
        return ()

    @property
    def _begun(self) -> Columns:
        assert self._columns is not None, "begin comes first"
        return self._columns

    def _number_in(self, line: str) -> int | None:
        text = _number_text(line, self._begun)
        return number_of(text, self._region) if text is not None else None

    def _plain(self, block: Bytes, lines: Lines) -> tuple[Numbers, Mask, Places]:
        """The numbers that are mere digits in lines without quotes; and the lines that want a
        closer look."""
        columns = self._begun
        starts, ends, there = _field(block, lines, ord(columns.delimiter), columns.number[0])
        field = trimmed(block, starts, ends)
        numbers, fine = runs(block, field.starts, field.ends)
        fine &= there & plainly(numbers)
        if self._region is not None and len(block):
            fine &= block[np.minimum(field.starts, len(block) - 1)] == _PLUS
        quotes = np.flatnonzero(block == _QUOTE)
        if len(quotes):
            fine &= np.searchsorted(quotes, lines.starts) == np.searchsorted(quotes, lines.ends)
        return numbers, fine, np.flatnonzero(~fine & (lines.lengths > 0))


class Changes:
    """A list of changes: what is added to a list and what is taken off it, in their order. Other
    columns are left alone."""

    format: Format = "changes"

    def __init__(
        self,
        number: str | int = 1,
        action: str | int = 2,
        add: Iterable[str] = ("A",),
        remove: Iterable[str] = ("D",),
        region: str | None = None,
        covers: tuple[str, ...] = (),
        delimiter: str | None = None,
    ) -> None:
        self._number = number
        self._action = action
        self._removes = {word.strip().casefold(): False for word in add}
        self._removes |= {word.strip().casefold(): True for word in remove}
        self._region = region
        self._covers = covers
        self._delimiter = delimiter
        self._columns: Columns | None = None

    def begin(self, head: bytes) -> int:
        text = head.decode("utf-8", "replace")
        self._columns = columns_of(text, self._delimiter, self._number, self._action)
        return _heading(head, self._columns)

    def parse(self, block: Bytes) -> Parsed:
        lines = lines_of(block)
        numbers = np.zeros(len(lines.starts), np.int64)
        removed = np.zeros(len(numbers), np.bool_)
        fine = np.zeros(len(numbers), np.bool_)
        for line, text in texts(block, lines, np.flatnonzero(lines.lengths > 0)):
            change = self._change_in(text)
            if change is not None:
                numbers[line], removed[line] = change
                fine[line] = True
        if self._covers:
            fine &= begin_with(numbers, self._covers)
        bad = bad_lines(lines, np.flatnonzero(fine))
        return Parsed(len(lines.starts), numbers[fine], removed[fine], bad)

    def passes(self, block: Bytes) -> None:
        pass

    def whole(self, line: bytes) -> bool:
        text = line.decode("utf-8", "replace")
        fields = fields_of(text, self._begun.delimiter)
        if fields is None or len(fields) != self._begun.count:
            return not text.strip()
        change = self._change_in(text)
        return change is not None and possible(change[0])

    def shown(self, line: str) -> str:
        fields = fields_of(line, self._begun.delimiter) or []
        wanted = (*self._begun.number, self._begun.action or 0)
        if max(wanted) >= len(fields):
            return ""
        return self._begun.delimiter.join(fields[place] for place in wanted)

    def covers(self) -> tuple[str, ...]:
        return ()

    @property
    def _begun(self) -> Columns:
        assert self._columns is not None, "begin comes first"
        return self._columns

    def _change_in(self, line: str) -> tuple[int, bool] | None:
        columns = self._begun
        assert columns.action is not None, "a list of changes has one"
        fields = fields_of(line, columns.delimiter)
        if fields is None or max(*columns.number, columns.action) >= len(fields):
            return None
        removed = self._removes.get(fields[columns.action].casefold())
        number = number_of("".join(fields[place] for place in columns.number), self._region)
        return None if removed is None or number is None else (number, removed)


def _heading(head: bytes, columns: Columns) -> int:
    """The bytes up to the end of the heading; empty lines may stand before it."""
    if not columns.heading:
        return 0
    blank = len(head) - len(head.lstrip(b" \t\r\n"))
    return head.index(b"\n", blank) + 1


def _number_text(line: str, columns: Columns) -> str | None:
    fields = fields_of(line, columns.delimiter)
    if fields is None or max(columns.number) >= len(fields):
        return None
    return "".join(fields[place] for place in columns.number)


def _field(block: Bytes, lines: Lines, delimiter: int, column: int) -> tuple[Places, Places, Mask]:
    """Where one column lies in each line, and whether it is there."""
    # A mark behind the last one spares the question whether there is one.
    marks = np.append(np.flatnonzero(block == delimiter), [len(block)] * (column + 1))
    after = np.searchsorted(marks, lines.starts)
    ends = np.minimum(marks[after + column], lines.ends)
    if column == 0:
        return lines.starts, ends, np.ones(len(ends), np.bool_)
    before = marks[after + column - 1]
    return before + 1, np.maximum(ends, before + 1), before < lines.ends
