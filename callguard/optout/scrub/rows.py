"""The rows of a CSV file and one field of each, a block at a time, as Python's ``csv`` reads them.

A block whose quotes stand where quotes belong is cut up with numpy; any other is given to the
``csv`` module itself. Bytes that end no row are left for the next block.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from callguard.optout.scrub.contract import ScrubError

PADDING: Final = 24
"""Bytes behind the fields of a block that may be read."""

LONGEST_ROW: Final = 16 * 1024 * 1024
"""Most bytes of one row. A quote that is never closed would make one of the whole file."""

_QUOTE: Final = 0x22
_NEWLINE: Final = 0x0A
_RETURN: Final = 0x0D
_LINES = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")

_Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Block:
    """Whole rows. ``starts`` and ``ends`` are their bounds in the bytes given, with what ends the
    row; ``cells`` holds the fields asked for, each from ``firsts`` to ``lasts``, which is before it
    where a row has no such field. ``doubled`` is whether a quote in a field is written twice.
    ``blank`` counts lines with nothing on them, which are no rows and are left out."""

    used: int
    starts: _Places
    ends: _Places
    cells: NDArray[np.uint8]
    firsts: _Places
    lasts: _Places
    doubled: bool
    blank: int = 0

    def text(self, row: int) -> str:
        """The field of a row; what is no UTF-8 is replaced, and is no part of a number."""
        told = self.cells[self.firsts[row] : self.lasts[row]].tobytes()
        if self.doubled:
            told = told.replace(b'""', b'"')
        return told.decode("utf-8", "replace")


def read_rows(data: bytes, delimiter: str, column: int, *, final: bool) -> Block:
    """The whole rows at the beginning of the data; ``final`` is whether nothing follows it.
    Raises ScrubError for a row that does not end."""
    quoted = data.find(b'"') >= 0
    block = _plain(data, ord(delimiter), column, quoted=quoted, final=final)
    if block is None or (not block.used and (quoted or b"\r" in data)):
        block = _slow(data, delimiter, column, final=final)
    if not block.used and len(data) > LONGEST_ROW:
        raise ScrubError(
            f"a row is longer than {LONGEST_ROW // 1024 // 1024} MiB: is a quote left open?"
        )
    return block


def _plain(data: bytes, delimiter: int, column: int, *, quoted: bool, final: bool) -> Block | None:
    """None where only the ``csv`` module can tell what is what."""
    end = len(data)
    cells = np.frombuffer(data + bytes(PADDING), np.uint8)
    every = cells[:end]
    parts = every == delimiter
    parts |= every == _NEWLINE
    if quoted:
        quotes = every == _QUOTE
        inside = np.bitwise_xor.accumulate(quotes.view(np.uint8)).view(np.bool_)
        parts &= ~inside
    places = np.flatnonzero(parts)
    is_end = every[places] == _NEWLINE
    if final and end and (not len(places) or places[-1] != end - 1 or not is_end[-1]):
        if quoted and inside[-1]:
            return None
        places, is_end = np.append(places, end), np.append(is_end, True)
    row_ends = np.flatnonzero(is_end)
    if not len(row_ends):
        return _nothing(cells)
    used = min(int(places[row_ends[-1]]) + 1, end)
    if quoted and not _quotes_belong(every, np.flatnonzero(quotes[:used]), delimiter, used):
        return None
    if data.find(b"\r", 0, used) >= 0:
        returns = np.flatnonzero(every[:used] == _RETURN)
        if quoted:
            returns = returns[~inside[returns]]
        if (cells[returns + 1] != _NEWLINE).any():
            return None
    ends = places[row_ends] + 1
    starts = np.empty_like(ends)
    starts[0], starts[1:] = 0, ends[:-1]
    begins = np.empty_like(row_ends)
    begins[0], begins[1:] = 0, row_ends[:-1] + 1
    has = row_ends - begins >= column
    at = np.minimum(begins + column, row_ends)
    lasts = places[at]
    firsts = starts if column == 0 else np.where(has, places[at - 1] + 1, lasts)
    last_one = (at == row_ends) & (lasts > firsts)
    lasts = lasts - (last_one & (cells[lasts - 1] == _RETURN))
    if quoted:
        wrapped = (cells[firsts] == _QUOTE) & (lasts - firsts >= 2)
        firsts, lasts = firsts + wrapped, lasts - wrapped
    if not has.all():
        lasts = np.where(has, lasts, firsts - 1)
    length = places[row_ends] - starts
    blank = (length == 0) | ((length == 1) & (cells[starts] == _RETURN))
    ends[-1] = min(int(ends[-1]), end)
    block = Block(used, starts, ends, cells, firsts, lasts, quoted)
    return _without_blank(block, blank) if blank.any() else block


def _nothing(cells: NDArray[np.uint8]) -> Block:
    none = np.zeros(0, np.int64)
    return Block(0, none, none, cells, none, none, doubled=False)


def _without_blank(block: Block, blank: NDArray[np.bool_]) -> Block:
    kept = ~blank
    return Block(
        block.used,
        block.starts[kept],
        block.ends[kept],
        block.cells,
        block.firsts[kept],
        block.lasts[kept],
        block.doubled,
        int(blank.sum()),
    )


def _quotes_belong(every: NDArray[np.uint8], quotes: _Places, delimiter: int, used: int) -> bool:
    """Whether each quote opens a field at its beginning, closes one at its end, or is one of two
    that stand for one; then the ``csv`` module takes them so too."""
    if len(quotes) % 2:
        return False
    before = every[quotes[::2] - 1]
    opens = (before == delimiter) | (before == _NEWLINE) | (before == _QUOTE)
    if len(quotes) and quotes[0] == 0:
        opens[0] = True
    behind = quotes[1::2] + 1
    after = every[np.minimum(behind, used - 1)]
    closes = (after == delimiter) | (after == _NEWLINE) | (after == _RETURN) | (after == _QUOTE)
    closes |= behind >= used
    return bool(opens.all() and closes.all())


class _Lines:
    """Gives the ``csv`` module line by line, and knows how far it has read."""

    def __init__(self, text: str) -> None:
        self._lines = _LINES.finditer(text)
        self.end = 0
        self.last = ""
        self.dry = False

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.end = line.end()
            self.last = line[0]
            yield line[0]
        self.dry = True


def _slow(data: bytes, delimiter: str, column: int, *, final: bool) -> Block:
    """The same by the ``csv`` module. Latin-1 keeps every byte a character of its own."""
    text = data.decode("latin-1")
    lines = _Lines(text)
    starts, ends, firsts, lasts = list[int](), list[int](), list[int](), list[int]()
    found, length, used, blank = list[bytes](), 0, 0, 0
    before = csv.field_size_limit(max(len(data), 1))
    try:
        for row in csv.reader(lines, delimiter=delimiter):
            ended = lines.last.endswith(("\n", "\r"))
            # A return at the very end may yet be followed by a newline.
            whole = ended and not (lines.end == len(text) and lines.last.endswith("\r"))
            if lines.dry:
                if not final:
                    break
                raise ScrubError("the last row has a quote that is never closed")
            if not whole and not final:
                break
            if row:
                starts.append(used)
                ends.append(lines.end)
                cell = row[column].encode("latin-1") if column < len(row) else None
                firsts.append(length)
                length += len(cell or b"")
                lasts.append(length if cell is not None else length - 1)
                found.append(cell or b"")
            else:
                blank += 1
            used = lines.end
    except csv.Error as error:
        raise ScrubError(f"a row cannot be read: {error}") from error
    finally:
        csv.field_size_limit(before)
    cells = np.frombuffer(b"".join(found) + bytes(PADDING), np.uint8)
    bounds = [np.array(one, np.int64) for one in (starts, ends, firsts, lasts)]
    return Block(used, bounds[0], bounds[1], cells, bounds[2], bounds[3], False, blank)
