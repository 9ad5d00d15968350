"""What a format knows: how a line holds a number."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from callguard.optout.registry.contract import Format
from callguard.optout.registry.sources.digits import Bytes, Mask, Numbers
from callguard.optout.registry.sources.lines import Lines, Places, lines_of


@dataclass(frozen=True, slots=True)
class Parsed:
    """What one block of ``lines`` lines holds: its numbers in their order, and the lines, counted
    from 0, that hold none though they are not empty."""

    lines: int
    numbers: Numbers
    removed: Mask | None = None
    bad: Places | None = None


class Layout(Protocol):
    """One format, for one source; it may remember what it saw."""

    format: Format

    def begin(self, head: bytes) -> int:
        """Looks at the first lines, which end with a newline; how many bytes of them are heading.
        Raises LineError."""
        ...

    def parse(self, block: Bytes) -> Parsed:
        """Reads a block of whole lines. Raises LineError."""
        ...

    def passes(self, block: Bytes) -> None:
        """Is told of a block that was read in an earlier run."""
        ...

    def whole(self, line: bytes) -> bool:
        """Whether the last line, without a line break, can be trusted to be all there."""
        ...

    def shown(self, line: str) -> str:
        """The part of a bad line that is shown, once it is masked; of columns only those that
        were asked for."""
        ...

    def covers(self) -> tuple[str, ...]:
        """The prefixes that the source is about, as far as the lines up to here tell."""
        ...


def in_rows(block: Bytes, widths: range, pad: int) -> tuple[Bytes, Places, Lines]:
    """The lines whose width lies within ``widths`` (its last being the row's width less one), as
    rows filled up with ``pad``; which lines these are; and all lines."""
    lines = lines_of(block)
    lengths = lines.lengths
    fit = np.flatnonzero((lengths >= widths.start) & (lengths < widths.stop))
    width = widths.stop
    rows = np.empty((len(fit), width), np.uint8)
    last = len(block) - 1
    for place in range(width):
        at = lines.starts[fit] + place
        here = block[np.minimum(at, last)]
        rows[:, place] = np.where(at < lines.ends[fit], here, np.uint8(pad))
    return rows, fit, lines


def bad_lines(lines: Lines, fine: Places) -> Places:
    """The lines that are neither fine nor empty."""
    bad = lines.lengths > 0
    bad[fine] = False
    return np.flatnonzero(bad)
