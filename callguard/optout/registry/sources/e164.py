"""One number a line in E.164, with or without its plus; empty lines, and comments from ``#`` on.

What is written with a plus may have the usual marks between its digits.
"""

import numpy as np

from callguard.optout.registry.contract import Format
from callguard.optout.registry.sources.digits import (
    Bytes,
    begin_with,
    runs,
)
from callguard.optout.registry.sources.layout import Parsed, bad_lines
from callguard.optout.registry.sources.lines import Lines, lines_of, texts, trimmed
from callguard.optout.registry.sources.numbers import number_of, plainly, possible

_COMMENT = ord("#")


class E164:
    """``covers`` are the prefixes that the list can speak for; a number under none of them is a
    bad line, for it was most likely written without its country code. Empty lets all pass."""

    format: Format = "e164"

    def __init__(self, covers: tuple[str, ...] = ()) -> None:
        self._covers = covers

    def begin(self, head: bytes) -> int:
        return 0

    def parse(self, block: Bytes) -> Parsed:
        lines = _without_comments(block, lines_of(block))
        numbers, fine = runs(block, lines.starts, lines.ends)
        fine &= plainly(numbers)
        for line, text in texts(block, lines, np.flatnonzero(~fine & (lines.lengths > 0))):
            found = number_of(text, None)
            if found is not None:
                numbers[line], fine[line] = found, True
        if self._covers:
            fine &= begin_with(numbers, self._covers)
        bad = bad_lines(lines, np.flatnonzero(fine))
        return Parsed(len(lines.starts), numbers[fine], None, bad)

    def passes(self, block: Bytes) -> None:
        pass

    def whole(self, line: bytes) -> bool:
        text = line.decode("utf-8", "replace").partition("#")[0].strip()
        found = number_of(text, None)
        return not text or (found is not None and possible(found))

    def shown(self, line: str) -> str:
        return line

    def covers(self) -> tuple[str, ...]:
        return ()


def _without_comments(block: Bytes, lines: Lines) -> Lines:
    """The lines up to their comments, without blanks before and behind."""
    marks = np.flatnonzero(block == _COMMENT)
    starts, ends = lines.starts.copy(), lines.ends.copy()
    if len(marks):
        after = np.append(marks, len(block))
        ends = np.minimum(ends, after[np.searchsorted(marks, starts)])
    return trimmed(block, starts, ends)
