"""Digits in text as numbers, many lines at once.

Lines of one width are read two bytes at a time: each pair looks its part of the number up in a
table, and a pair that may not stand there brings a part so low that the sum is below nought.
"""

from collections.abc import Iterable, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Numbers = NDArray[np.int64]
Mask = NDArray[np.bool_]

MAX_DIGITS = 15
"""Most digits of a number (ITU-T E.164, 6.1)."""

MIN_DIGITS = 7
"""Fewest digits of an international number that is taken for one; the shortest in use have so
many (country code 290, four digits)."""

DIGITS = b"0123456789"
FROM_TWO = b"23456789"
NEWLINE, RETURN, SPACE = 10, 13, 32

_NONE = -(1 << 50)
POWERS: Numbers = np.array([10**power for power in range(MAX_DIGITS + 1)], np.int64)
_WIDE = 65_536
"""Lines looked at in one go where it takes several passes, so that they stay in the cache."""


def pair_table(first: bytes, second: bytes, worth: int) -> Numbers:
    """What each pair of bytes adds, where ``first`` and ``second`` may stand there and the last
    digit of the pair counts ``worth``. Anything else than a digit counts nothing."""
    table = np.full(1 << 16, _NONE, np.int64)
    for one, two in product(first, second):
        value = 0
        for byte in (one, two):
            if byte in DIGITS:
                value = value * 10 + byte - DIGITS[0]
        table[int.from_bytes(bytes((one, two)), "little")] = value * worth
    return table


def sums(rows: Bytes, tables: Sequence[Numbers]) -> Numbers:
    """The number in each row of twice as many bytes as there are tables, all in one piece; below
    nought where the row holds none."""
    pairs = rows.reshape(-1).view("<u2").reshape(-1, len(tables))
    found = tables[0].take(pairs[:, 0])
    for place in range(1, len(tables)):
        found += tables[place].take(pairs[:, place])
    return found


def runs(text: Bytes, starts: NDArray[np.intp], ends: NDArray[np.intp]) -> tuple[Numbers, Mask]:
    """The number in each piece of a text, of any number of digits up to ``MAX_DIGITS`` and with or
    without a plus before it; and whether the piece is such a number, from ``MIN_DIGITS`` digits
    and not beginning with nought."""
    numbers = np.zeros(len(starts), np.int64)
    fine = np.zeros(len(starts), np.bool_)
    for low in range(0, len(starts), _WIDE):
        part = slice(low, low + _WIDE)
        numbers[part], fine[part] = _runs(text, starts[part], ends[part])
    return numbers, fine


def _runs(text: Bytes, starts: NDArray[np.intp], ends: NDArray[np.intp]) -> tuple[Numbers, Mask]:
    numbers = np.zeros(len(starts), np.int64)
    if not len(text):
        return numbers, np.zeros(len(starts), np.bool_)
    last = len(text) - 1
    first = text[np.minimum(starts, last)]
    starts = starts + ((first == ord("+")) & (starts < ends))
    lengths = ends - starts
    fine = (lengths >= MIN_DIGITS) & (lengths <= MAX_DIGITS)
    fine &= text[np.minimum(starts, last)] != DIGITS[0]
    widest = int(lengths[fine].max(initial=0))
    for place in range(widest):
        here = text[np.minimum(starts + place, last)] - np.uint8(DIGITS[0])
        inside = lengths > place
        fine &= (here <= 9) | ~inside
        numbers = np.where(inside, numbers * 10 + here, numbers)
    numbers[~fine] = 0
    return numbers, fine


def lengths_of(numbers: Numbers) -> NDArray[np.intp]:
    """How many digits each has."""
    return np.searchsorted(POWERS, numbers, side="right")


def begin_with(numbers: Numbers, prefixes: Iterable[str]) -> Mask:
    """Which of the numbers begin with one of the prefixes (``+44``)."""
    found = np.zeros(len(numbers), np.bool_)
    if not len(numbers):
        return found
    lengths = lengths_of(numbers)
    for prefix in prefixes:
        digits = prefix.removeprefix("+")
        behind = lengths - len(digits)
        head = numbers // POWERS[np.clip(behind, 0, MAX_DIGITS)]
        found |= (behind >= 0) & (head == int(digits))
    return found
