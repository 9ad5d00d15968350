"""What splitting a list needs of whoever judges its numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from callguard.policy.sorts import Sorts


class ScrubError(ValueError):
    """A list that cannot be split; one line that says what, where and why. Nothing was written
    under any of the names asked for."""


class Outcome(IntEnum):
    """What becomes of a row."""

    MAY_CALL = 0
    MUST_NOT = 1
    CANNOT_TELL = 2


NAMES: Final = ("may_call", "must_not", "cannot_tell")
"""The outcomes by their names in a summary."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """What is told of a number: why it is held back, and by which rules; nothing of one that may
    be called."""

    outcome: Outcome
    reason: str = ""
    rules: tuple[str, ...] = ()


MAY_CALL: Final = Ruling(Outcome.MAY_CALL)
NO_NUMBER: Final = Ruling(
    Outcome.CANNOT_TELL, "this is no telephone number that can be looked up", ("scrub.number",)
)
NO_COLUMN: Final = Ruling(Outcome.CANNOT_TELL, "the row has no such column", ("scrub.column",))


@dataclass(frozen=True, slots=True)
class Read:
    """A text that was read one by one: its sort and the integer of its E.164 digits, or, where it
    is no number of the world, its ruling and the key under which it is kept ("" for none)."""

    sort: int = -1
    number: int = 0
    ruling: Ruling = NO_NUMBER
    key: str = ""


class Judge(Protocol):
    """Knows whom a tenant may call, for one purpose at one moment."""

    sorts: Sorts

    by_digits: bool
    """Whether the numbers are telephone numbers, which their digits tell apart."""

    @property
    def rulings(self) -> Sequence[Ruling]:
        """The rulings that many numbers share; grows."""
        ...

    def read(self, text: str) -> Read:
        """Reads one text, as the gate would."""
        ...

    def rule(
        self, sorts: NDArray[np.int32], numbers: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], Sequence[Ruling]]:
        """The ruling of each number of a known sort: its place in ``rulings`` or, counted down
        from -1, among those that come back."""
        ...


@dataclass(slots=True)
class Summary:
    """What was done. ``repeats`` are rows whose number stands in an earlier one, ``not_numbers``
    those with no number; ``by_rule`` counts the rows that each rule held back, alone or with
    others."""

    rows: int = 0
    blank_lines: int = 0
    outcomes: list[int] = field(default_factory=lambda: [0, 0, 0])
    by_rule: dict[str, int] = field(default_factory=dict)
    not_numbers: int = 0
    repeats: int = 0
    bytes: int = 0
    column: str = ""
    header: bool = False
    delimiter: str = ","

    def as_json(self) -> Mapping[str, object]:
        return {
            "rows": self.rows,
            "outcomes": dict(zip(NAMES, self.outcomes, strict=True)),
            "by_rule": dict(sorted(self.by_rule.items(), key=lambda one: (-one[1], one[0]))),
            "not_numbers": self.not_numbers,
            "repeats": self.repeats,
            "blank_lines": self.blank_lines,
            "bytes": self.bytes,
            "column": self.column,
            "header": self.header,
            "delimiter": self.delimiter,
        }
