"""Fields as telephone numbers by their shape: a plus or none, and digits with the punctuation
between them that changes nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from callguard.optout.scrub.rows import PADDING, Block
from callguard.policy.sorts import LONGEST, SHORTEST

FORMATS: Final = 64
"""Most ways of writing a number, by where the digits stand, in one block; the rest are read one
by one."""

_WIDTHS: Final = (16, PADDING)
"""Bytes looked at of a field, and of a longer one."""

_PUNCTUATION = np.zeros(256, np.bool_)
_PUNCTUATION[list(b" ().-/")] = True
_MASKS = np.array([(1 << min(n, PADDING)) - 1 | 0xFF << 24 for n in range(256)], np.uint32)


def _beginnings() -> dict[int, list[tuple[int, bool]]]:
    """What may stand before the first digit, by its length: its bytes as an integer, and whether
    it holds a plus."""
    found: dict[int, list[tuple[int, bool]]] = {}
    for spaces, plus, bracket in product(("", " ", "  "), ("", "+"), ("", "(")):
        text = f"{spaces}{plus}{bracket}".encode()
        found.setdefault(len(text), []).append((int.from_bytes(text, "little"), bool(plus)))
    return found


_BEFORE: Final = _beginnings()


@dataclass(frozen=True, slots=True)
class Group:
    """Numbers written with as many digits each, all with a plus before them or all without.
    ``rows`` are their places in the block."""

    plus: bool
    digits: int
    values: NDArray[np.int64]
    rows: NDArray[np.int64]


def shapes(block: Block) -> Iterator[Group]:
    """The fields of a block that are plain numbers; what is in no group is no plain number."""
    lengths = block.lasts - block.firsts
    shortest = SHORTEST
    for width in _WIDTHS:
        rows = np.flatnonzero((lengths >= shortest) & (lengths <= width))
        if len(rows):
            yield from _shapes(block, rows, lengths[rows], width)
        shortest = width + 1


def _shapes(
    block: Block, rows: NDArray[np.int64], lengths: NDArray[np.int64], width: int
) -> Iterator[Group]:
    """Those of fields that are no longer than ``width``."""
    windows = np.lib.stride_tricks.as_strided(
        block.cells, (len(block.cells) - PADDING + 1, width), (1, 1), writeable=False
    )[block.firsts[rows]]
    keys = np.zeros((len(rows), 4), np.uint8)
    keys[:, : width // 8] = np.packbits((windows - 48) < 10, axis=1, bitorder="little")
    keys[:, 3] = lengths
    formats = keys.view("<u4")[:, 0] & _MASKS[keys[:, 3]]
    left = np.arange(len(rows))
    for _ in range(FORMATS):
        if not len(left):
            return
        first, same = formats[0], formats == formats[0]
        if same.all() and len(left) == len(rows):
            yield from _numbers(windows, rows, int(first))
            return
        here = left[same]
        yield from _numbers(windows[here], rows[here], int(first))
        other = ~same
        left, formats = left[other], formats[other]


def _numbers(windows: NDArray[np.uint8], rows: NDArray[np.int64], written: int) -> Iterator[Group]:
    length = written >> 24
    at = [place for place in range(length) if written >> place & 1]
    if not SHORTEST <= len(at) <= LONGEST or at[0] not in _BEFORE:
        return
    between = [place for place in range(at[0], length) if not written >> place & 1]
    if between:
        fine = _PUNCTUATION[windows[:, between]].all(axis=1)
        if not fine.all():
            windows, rows = windows[fine], rows[fine]
    if not at[0]:
        yield Group(False, len(at), _values(windows, at), rows)
        return
    before = sum(
        (windows[:, place].astype(np.uint32) << np.uint32(8 * place) for place in range(at[0])),
        np.zeros(len(rows), np.uint32),
    )
    for text, plus in _BEFORE[at[0]]:
        same = before == text
        if same.all():
            yield Group(plus, len(at), _values(windows, at), rows)
            return
        if same.any():
            yield Group(plus, len(at), _values(windows[same], at), rows[same])


def _values(windows: NDArray[np.uint8], at: list[int]) -> NDArray[np.int64]:
    """The integers that the digits at these places are."""
    values = windows[:, at[0]].astype(np.int64)
    for place in at[1:]:
        values *= 10
        values += windows[:, place]
    values -= 48 * (10 ** len(at) // 9)
    return values
