"""The flat files of the National Do Not Call Registry of the United States.

One number a line, ``AAA,NNNNNNN``, in one file an area code; the file is named
``2026-11-1_201_<guid>.txt``, zipped or not. The name says what the list can speak for, and a file
that holds other numbers than its name says is refused.
"""

import re
from datetime import date

import numpy as np

from callguard.optout.registry.contract import GROUP, Format
from callguard.optout.registry.sources.digits import (
    DIGITS,
    FROM_TWO,
    NEWLINE,
    RETURN,
    Bytes,
    Numbers,
    pair_table,
    sums,
)
from callguard.optout.registry.sources.layout import Parsed, bad_lines, in_rows
from callguard.optout.registry.sources.lines import LineError

WIDTH = 11
COUNTRY = 10_000_000_000

_NAME = re.compile(
    r"(?P<year>[0-9]{4})-(?P<month>[0-9]{1,2})-(?P<day>[0-9]{1,2})"
    r"(?:_(?P<code>[2-9][0-9]{2})(?=[_.]|\Z))?(?![0-9])",
    re.ASCII,
)
_LINE = re.compile(rb"[2-9][0-9]{2},[2-9][0-9]{6}[ \t\r]*\Z")

_TABLES = (
    pair_table(FROM_TWO, DIGITS, 10**8),
    pair_table(DIGITS, b",", 10**7),
    pair_table(FROM_TWO, DIGITS, 10**5),
    pair_table(DIGITS, DIGITS, 10**3),
    pair_table(DIGITS, DIGITS, 10),
    pair_table(DIGITS, b"\n\r", 1),
)
_LF_ROW = WIDTH + 1
_CRLF_ROW = np.dtype({"names": ["row"], "formats": ["V12"], "offsets": [0], "itemsize": WIDTH + 2})


def date_in(name: str) -> date | None:
    """The list date in a file's name; None where there is none. Raises ValueError for one that no
    calendar has."""
    found = _NAME.match(name)
    return date(int(found["year"]), int(found["month"]), int(found["day"])) if found else None


def code_in(name: str) -> str | None:
    """The area code in a file's name."""
    found = _NAME.match(name)
    return found["code"] if found else None


class UsDnc:
    """``code`` is the area code that the name says."""

    format: Format = "us-dnc"

    def __init__(self, code: str | None = None) -> None:
        self._named = int(code) if code else None
        self._seen: int | None = None
        self._several = False

    def begin(self, head: bytes) -> int:
        first, newline, _ = head.partition(b"\n")
        words = any(chr(byte).isalpha() for byte in first) and not re.search(rb"[0-9]", first)
        return len(first) + len(newline) if words else 0

    def parse(self, block: Bytes) -> Parsed:
        numbers = _all_alike(block)
        if numbers is not None:
            self._of_one_code(numbers, None)
            return Parsed(len(numbers), numbers)
        rows, fit, lines = in_rows(block, range(WIDTH, WIDTH + 1), NEWLINE)
        numbers = sums(rows, _TABLES)
        good = numbers >= 0
        fine = fit[good]
        numbers = numbers[good] + COUNTRY
        self._of_one_code(numbers, fine)
        return Parsed(len(lines.starts), numbers, None, bad_lines(lines, fine))

    def passes(self, block: Bytes) -> None:
        if self._named is None:
            self.parse(block)

    def whole(self, line: bytes) -> bool:
        return _LINE.match(line) is not None

    def shown(self, line: str) -> str:
        return line

    def covers(self) -> tuple[str, ...]:
        """The area code in the name, or else the only one seen: what a file of several codes is
        about, nobody can tell from its lines."""
        code = self._named if self._named is not None else self._seen
        return () if code is None or self._several else (f"+1{code}",)

    def _of_one_code(self, numbers: Numbers, lines: np.ndarray | None) -> None:
        """Raises LineError for a line of another area code than the name says."""
        if not len(numbers):
            return
        low, high = (int(end) // GROUP % 1000 for end in (numbers.min(), numbers.max()))
        if self._named is None:
            self._several |= low != high or self._seen not in (None, low)
            self._seen = low
            return
        if low == high == self._named:
            return
        other = int(np.flatnonzero(numbers // GROUP % 1000 != self._named)[0])
        code = int(numbers[other]) // GROUP % 1000
        at = other if lines is None else int(lines[other])
        raise LineError(at, f"is of area code {code}, but the file is named for {self._named}")


def _all_alike(block: Bytes) -> Numbers | None:
    """The numbers of a block whose lines are all right and end alike; None for any other."""
    if len(block) % _LF_ROW == 0 and block[WIDTH] == NEWLINE:
        rows = block
    elif len(block) % (WIDTH + 2) == 0 and block[WIDTH] == RETURN:
        if not (block[WIDTH + 1 :: WIDTH + 2] == NEWLINE).all():
            return None
        rows = block.view(_CRLF_ROW)["row"].copy().view(np.uint8)
    else:
        return None
    if not (rows[WIDTH::_LF_ROW] == rows[WIDTH]).all():
        return None
    numbers = sums(rows, _TABLES)
    if numbers.min() < 0:
        return None
    numbers += COUNTRY
    return numbers
