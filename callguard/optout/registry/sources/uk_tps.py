"""The files of the Telephone Preference Service and its corporate sister, TPS and CTPS.

A line has twelve columns and CRLF: either the dialling code in five and the number to the right of
seven, or the whole number filled up with blanks; with or without the nought before it. The files
hold numbers and nothing else.
"""

import re

import numpy as np

from callguard.optout.registry.contract import Format
from callguard.optout.registry.sources.digits import (
    NEWLINE,
    RETURN,
    SPACE,
    Bytes,
    Mask,
    Numbers,
)
from callguard.optout.registry.sources.layout import Parsed, bad_lines, in_rows

WIDTH = 12
CODE = 5
COUNTRY = 44
LENGTHS = (9, 10)
"""Digits of a national number (Ofcom, National Telephone Numbering Plan)."""

FIRST = (1, 2, 3, 5, 7, 8, 9)
"""What a national number can begin with (the same)."""

_CRLF_ROW = WIDTH + 2
_LINE = re.compile(rb"[0-9 ]{12}\r?\Z")


class UkTps:
    """Both ways of writing, which may stand beside one another."""

    format: Format = "uk-tps"

    def begin(self, head: bytes) -> int:
        return 0

    def parse(self, block: Bytes) -> Parsed:
        if len(block) % _CRLF_ROW == 0:
            rows = block.reshape(-1, _CRLF_ROW)
            if (rows[:, WIDTH] == RETURN).all() and (rows[:, WIDTH + 1] == NEWLINE).all():
                numbers, fine = _numbers(rows[:, :WIDTH])
                if fine.all():
                    return Parsed(len(rows), numbers)
        # A line whose blanks at the end were taken off is filled up again.
        rows, fit, lines = in_rows(block, range(1, WIDTH + 1), SPACE)
        numbers, fine = _numbers(rows[:, :WIDTH])
        taken = fit[fine]
        return Parsed(len(lines.starts), numbers[fine], None, bad_lines(lines, taken))

    def passes(self, block: Bytes) -> None:
        pass

    def whole(self, line: bytes) -> bool:
        return _LINE.match(line) is not None

    def shown(self, line: str) -> str:
        return line

    def covers(self) -> tuple[str, ...]:
        return (f"+{COUNTRY}",)


def _numbers(rows: Bytes) -> tuple[Numbers, Mask]:
    numbers = np.zeros(len(rows), np.int64)
    fine = np.ones(len(rows), np.bool_)
    noughts = np.zeros(len(rows), np.bool_)
    digits, pieces, codes = (np.zeros(len(rows), np.int8) for _ in range(3))
    before = np.zeros(len(rows), np.bool_)
    for place in range(WIDTH):
        here = rows[:, place]
        value = here - np.uint8(ord("0"))
        digit = value <= 9
        fine &= digit | (here == SPACE)
        ended = before & ~digit
        pieces += ended
        if place <= CODE:
            codes += ended
        if place < CODE:
            fine &= ~digit | before | (pieces == 0)
        numbers = np.where(digit, numbers * 10 + value, numbers)
        nought = digit & (value == 0) & (digits == 0) & ~noughts
        noughts |= nought
        digits += digit & ~nought
        before = digit
    # Where blanks part the number, the code stands in its columns and the rest ends the row.
    fine &= ((pieces + before) == 1) | ((pieces == 1) & (codes == 1) & before)
    fine &= (digits == LENGTHS[0]) | (digits == LENGTHS[1])
    worth = np.where(digits == LENGTHS[0], 10 ** LENGTHS[0], 10 ** LENGTHS[1])
    fine &= np.isin(numbers * 10 // worth, FIRST)
    return numbers + COUNTRY * worth, fine
