"""Which country calling code a number begins with (ITU-T E.164; the list is phonenumbers')."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE

from callguard.optout.registry.contract import GROUP

CODES = frozenset(COUNTRY_CODE_TO_REGION_CODE)
LEAST = 10**4
BEYOND = 10**15
"""Numbers have 5 to 15 digits."""


def _by_first_three() -> NDArray[np.int64]:
    table = np.zeros(1000, np.int64)
    for code in CODES:
        width = 10 ** (3 - len(str(code)))
        table[code * width : (code + 1) * width] = code
    return table


OF_FIRST_THREE = _by_first_three()
"""Calling code by a number's first three digits; 0 where there is none."""


def calling_code(number: int) -> int:
    """The calling code of a number, 0 if it is no number or begins with none."""
    if not LEAST <= number < BEYOND:
        return 0
    return int(OF_FIRST_THREE[int(str(number)[:3])])


def calling_codes(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """The calling code of each number, 0 where it is no number or begins with none."""
    codes = np.zeros(len(numbers), np.int64)
    for digits in range(5, 16):
        here = (numbers >= 10 ** (digits - 1)) & (numbers < 10**digits)
        if here.any():
            codes[here] = OF_FIRST_THREE[numbers[here] // 10 ** (digits - 3)]
    return codes


def agrees(group: int, code: int) -> bool:
    """Whether a group (all digits of a number but the last seven) may hold numbers of a code."""
    if group >= 100:
        return group < BEYOND // GROUP and str(group).startswith(str(code))
    return any(
        group <= ((code + 1) * scale - 1) // GROUP and group >= code * scale // GROUP
        for digits in range(5, 10)
        for scale in (10 ** (digits - len(str(code))),)
    )
