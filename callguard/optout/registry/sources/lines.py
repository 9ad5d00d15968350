"""A text in blocks of whole lines, read ahead of whoever parses it."""

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from callguard.optout.registry.sources.digits import NEWLINE, RETURN, SPACE, Bytes

BLOCK = 4 << 20
"""Bytes of text parsed in one go; at most half a million numbers."""

MAX_LINE = 4096
"""Longest line, in bytes."""

_TAB = 9
_T = TypeVar("_T")

Places = NDArray[np.intp]


class LineError(Exception):
    """What makes a whole list unusable, and in which line of the block, from 0, it lies."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line
        self.what = what


@dataclass(frozen=True, slots=True)
class Lines:
    """Where the lines of a block lie, their ends without line break and blanks behind."""

    starts: Places
    ends: Places

    @property
    def lengths(self) -> Places:
        return self.ends - self.starts


def lines_of(block: Bytes) -> Lines:
    """The lines of a block, each of which ends with a newline. Raises LineError for one that is too
    long."""
    breaks = np.flatnonzero(block == NEWLINE)
    starts = np.concatenate((np.zeros(1, np.intp), breaks[:-1] + 1))
    long = np.flatnonzero(breaks - starts > MAX_LINE)
    if len(long):
        raise LineError(int(long[0]), f"is longer than {MAX_LINE} bytes")
    return Lines(starts, _blanks_off(block, starts, breaks, -1))


def trimmed(block: Bytes, starts: Places, ends: Places) -> Lines:
    """Pieces of a block without the blanks before and behind them."""
    ends = _blanks_off(block, starts, ends, -1)
    return Lines(_blanks_off(block, ends, starts, 0), ends)


def _blanks_off(block: Bytes, limits: Places, edges: Places, beside: int) -> Places:
    """The edges moved inwards, towards their limits, over blanks; the byte beside an edge is at
    that distance from it."""
    step = -1 if beside else 1
    edges = edges.copy()
    left = np.flatnonzero(edges != limits)
    while len(left):
        byte = block[edges[left] + beside]
        left = left[(byte == SPACE) | (byte == RETURN) | (byte == _TAB)]
        edges[left] += step
        left = left[edges[left] != limits[left]]
    return edges


def texts(block: Bytes, lines: Lines, which: Places) -> Iterator[tuple[int, str]]:
    """Some of the lines as text, each with its place; what is no UTF-8 is replaced."""
    if not len(which):
        return
    raw = block.tobytes()
    starts, ends = lines.starts[which].tolist(), lines.ends[which].tolist()
    for line, start, end in zip(which.tolist(), starts, ends, strict=True):
        yield line, raw[start:end].decode("utf-8", "replace")


def count_lines(block: Bytes) -> int:
    """How many lines end in a block."""
    return int(np.count_nonzero(block == NEWLINE))


def whole_lines(read: Callable[[int], bytes], size: int) -> Iterator[bytes]:
    """The text in blocks that end with a line, of about ``size`` bytes. What follows the last line
    break comes as it is, and so does the beginning of a line that is too long, after which
    nothing more is read."""
    rest = b""
    while chunk := read(size):
        text = rest + chunk
        cut = text.rfind(b"\n") + 1
        rest = text[cut:]
        if cut:
            yield text[:cut]
        if len(rest) > MAX_LINE:
            break
    if rest:
        yield rest


def ahead(items: Iterator[_T]) -> Generator[_T, None, None]:
    """The same items, the next of which is fetched in a thread while one is worked on."""

    def fetch() -> tuple[_T, ...]:
        return tuple(islice(items, 1))

    with ThreadPoolExecutor(1, thread_name_prefix="list") as thread:
        coming: Future[tuple[_T, ...]] = thread.submit(fetch)
        while found := coming.result():
            coming = thread.submit(fetch)
            yield found[0]
