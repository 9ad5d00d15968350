"""A judge that knows next to nothing: numbers of which the last digit is 0 may be called."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from callguard.optout.scrub.contract import MAY_CALL, Outcome, Read, Ruling
from callguard.policy.numbers import parse_number
from callguard.policy.sorts import Sort, Sorts

MUST_NOT = Ruling(Outcome.MUST_NOT, 'it is "odd", and listed', ("test.odd", "test.listed"))
CANNOT_TELL = Ruling(Outcome.CANNOT_TELL, "nobody knows", ("test.unknown",))


@cache
def _sorts(home: str) -> Sorts:
    return Sorts(home)


class LastDigit:
    """Numbers that end in 1 to 4 must not be called, of those in 5 to 9 it cannot be told; those
    in 9 are ruled on one by one."""

    def __init__(self, home: str = "US") -> None:
        self.home = home
        self.sorts = _sorts(home)
        self.by_digits = True
        self.rulings = [MAY_CALL, MUST_NOT, CANNOT_TELL]

    def read(self, text: str) -> Read:
        number = parse_number(text, self.home)
        if number.e164 is None:
            return Read(key=number.key)
        return Read(self.sorts.number(Sort.of(number)), int(number.e164[1:]))

    def rule(
        self, sorts: NDArray[np.int32], numbers: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], Sequence[Ruling]]:
        last = numbers % 10
        found = np.where(last == 0, 0, np.where(last < 5, 1, 2)).astype(np.int32)
        alone = np.flatnonzero(last == 9)
        found[alone] = np.arange(-1, -1 - len(alone), -1, dtype=np.int32)
        some = [
            Ruling(Outcome.CANNOT_TELL, f"it is {number}", ("test.alone",))
            for number in numbers[alone].tolist()
        ]
        return found, some

    def wanted(self, text: str) -> Outcome:
        """What becomes of a row, worked out in the plainest way."""
        number = parse_number(text, self.home)
        if number.e164 is None:
            return Outcome.CANNOT_TELL
        last = int(number.e164[-1])
        if last == 0:
            return Outcome.MAY_CALL
        return Outcome.MUST_NOT if last < 5 else Outcome.CANNOT_TELL
