"""A calling list split into three: may call, must not, cannot tell."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from callguard.optout.scrub.columns import layout_of
from callguard.optout.scrub.contract import (
    NO_COLUMN,
    NO_NUMBER,
    Judge,
    Outcome,
    Read,
    Ruling,
    ScrubError,
    Summary,
)
from callguard.optout.scrub.output import Outputs
from callguard.optout.scrub.reading import Reader
from callguard.optout.scrub.repeats import Repeats
from callguard.optout.scrub.rows import LONGEST_ROW, Block, read_rows
from callguard.optout.scrub.shapes import shapes
from callguard.policy.sorts import SLOW

BLOCK: Final = 2 * 1024 * 1024
"""Bytes read at once."""

_HEAD: Final = 64 * 1024
"""Bytes that are looked at to tell how a list is written."""

_NEWLINE: Final = 0x0A
_QUOTE: Final = '"'

ADDED: Final = ("callguard_reason", "callguard_rule")
"""The headings of the two columns that say why a row is held back."""


@dataclass(frozen=True, slots=True)
class Asked:
    """How a list is written, where that is not to be guessed: ``column`` by its heading or its
    place from 1."""

    column: str | None = None
    delimiter: str | None = None
    header: bool | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is."""

    rows: int
    bytes: int


def split(
    source: BinaryIO,
    out: Path,
    judge: Judge,
    *,
    asked: Asked | None = None,
    path: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
    block: int = BLOCK,
) -> Summary:
    """Splits a list and writes the three files; ``path`` is where the list itself lies, if it does.

    Raises ScrubError or OSError; then nothing was written under any name.
    """
    with Outputs(out, path) as outputs:
        repeats = Repeats(outputs.folder)
        try:
            work = _Splitting(judge, outputs, repeats)
            summary = work.run(source, asked or Asked(), progress, block)
            summary.repeats = repeats.count()
        finally:
            repeats.close()
        outputs.finish()
    return summary


class _Splitting:
    def __init__(self, judge: Judge, outputs: Outputs, repeats: Repeats) -> None:
        self._judge = judge
        self._reader = Reader(judge.sorts)
        self._files = outputs.files
        self._repeats = repeats
        self._summary = Summary()
        self._counts = np.zeros(0, np.int64)
        self._few: Counter[tuple[str, ...]] = Counter()
        self._tails: list[bytes] = []
        self._delimiter, self._mark = ",", b","
        self._rules: dict[tuple[str, ...], bytes] = {}

    def run(
        self,
        source: BinaryIO,
        asked: Asked,
        progress: Callable[[Progress], None] | None,
        size: int,
    ) -> Summary:
        summary = self._summary
        listed = _List(source)
        layout = layout_of(
            listed.head,
            whole=listed.whole,
            is_number=self._is_number,
            column=asked.column,
            delimiter=asked.delimiter,
            header=asked.header,
        )
        self._delimiter = summary.delimiter = layout.delimiter
        self._mark = layout.delimiter.encode()
        summary.column, summary.header = layout.name, layout.header
        bom, data, final = listed.read(layout.begins), b"", False
        summary.bytes = len(bom)
        if not layout.header:
            for file in self._files:
                file.write(bom)
        first = layout.header
        data = listed.read(size)
        while True:
            block = read_rows(data, layout.delimiter, layout.column, final=final)
            if first and len(block.starts):
                block = self._heading(bom, data, block)
                first = False
            self._take(data, block)
            summary.bytes += block.used
            if progress is not None:
                progress(Progress(summary.rows, summary.bytes))
            if final:
                break
            rest = data[block.used :]
            more = listed.read(size if block.used else max(size, len(rest)))
            final = not more
            data = rest + more
        self._told()
        return summary

    def _is_number(self, text: str) -> bool:
        read = self._judge.read(text)
        return read.sort >= 0 or read.key != ""

    def _heading(self, bom: bytes, data: bytes, block: Block) -> Block:
        row = data[int(block.starts[0]) : int(block.ends[0])]
        bare = row.rstrip(b"\r\n")
        ending = row[len(bare) :] or b"\n"
        added = _written(ADDED, self._delimiter)
        self._files[0].write(bom + row)
        for file in self._files[1:]:
            file.write(bom + bare + self._delimiter.encode() + added + ending)
        return Block(
            block.used,
            block.starts[1:],
            block.ends[1:],
            block.cells,
            block.firsts[1:],
            block.lasts[1:],
            block.doubled,
            block.blank,
        )

    def _take(self, data: bytes, block: Block) -> None:
        """Rules on the rows of a block and writes them."""
        self._summary.blank_lines += block.blank
        rows = len(block.starts)
        if not rows:
            return
        self._summary.rows += rows
        ids, few = self._ruled(block)
        rulings = self._judge.rulings
        outcomes = np.empty(rows, np.uint8)
        shared = ids >= 0
        table = np.fromiter((one.outcome for one in rulings), np.uint8, len(rulings))
        outcomes[shared] = table[ids[shared]]
        if few:
            told = np.fromiter((one.outcome for one in few), np.uint8, len(few))
            outcomes[~shared] = told[-1 - ids[~shared]]
        counts = np.bincount(ids[shared], minlength=len(rulings))
        counts[: len(self._counts)] += self._counts
        self._counts = counts
        for one in ids[~shared].tolist():
            self._few[few[-1 - one].rules] += 1
        self._write(data, block, outcomes, ids, few)

    def _ruled(self, block: Block) -> tuple[NDArray[np.int32], list[Ruling]]:
        """The ruling of each row: one that is shared or, counted down from -1, one of a few."""
        rows = len(block.starts)
        sorts = np.full(rows, SLOW, np.int32)
        numbers = np.zeros(rows, np.int64)
        if self._judge.by_digits:
            for group in shapes(block):
                sorts[group.rows], numbers[group.rows] = self._reader.read(group)
        ids = np.empty(rows, np.int32)
        few: list[Ruling] = [NO_NUMBER, NO_COLUMN]
        ids[:] = -1
        named: list[int] = []
        places: dict[Ruling, int] = {NO_NUMBER: -1, NO_COLUMN: -2}
        for row in np.flatnonzero(sorts == SLOW).tolist():
            if block.lasts[row] < block.firsts[row]:
                ids[row] = -2
                continue
            read = self._judge.read(block.text(row))
            if read.sort >= 0:
                sorts[row], numbers[row] = read.sort, read.number
                continue
            if read.ruling not in places:
                few.append(read.ruling)
                places[read.ruling] = -len(few)
            ids[row] = places[read.ruling]
            if read.key:
                named.append(_hashed(read))
        known = np.flatnonzero(sorts >= 0)
        if len(known):
            self._repeats.add(numbers[known] if len(known) < rows else numbers)
            every = len(known) == rows
            asked = (sorts, numbers) if every else (sorts[known], numbers[known])
            found, some = self._judge.rule(*asked)
            if some:
                found = np.where(found < 0, found - np.int32(len(few)), found)
                few.extend(some)
            if every:
                ids = found
            else:
                ids[known] = found
        if named:
            self._repeats.add(np.array(named, np.int64))
        return ids, few

    def _write(
        self,
        data: bytes,
        block: Block,
        outcomes: NDArray[np.uint8],
        ids: NDArray[np.int32],
        few: Sequence[Ruling],
    ) -> None:
        may = outcomes == Outcome.MAY_CALL
        number = int(may.sum())
        self._summary.outcomes[Outcome.MAY_CALL] += number
        if number == len(may) and not block.blank:
            start, end = int(block.starts[0]), int(block.ends[-1])
            self._files[0].write(memoryview(data)[start:end])
            return
        if number:
            self._files[0].write(_cut(data, block, may))
        tails = self._tails
        tails += [self._tail(one) for one in self._judge.rulings[len(tails) :]]
        # Counted from the end, as the rulings on a few are.
        tails = tails + [self._tail(one) for one in reversed(few)]
        for outcome in (Outcome.MUST_NOT, Outcome.CANNOT_TELL):
            here = np.flatnonzero(outcomes == outcome)
            self._summary.outcomes[outcome] += len(here)
            if len(here):
                added = list(map(tails.__getitem__, ids[here].tolist()))
                self._files[outcome].write(_with_tails(data, block, here, added))

    def _tail(self, ruling: Ruling) -> bytes:
        told = self._rules.get(ruling.rules)
        if told is None:
            told = self._rules[ruling.rules] = _written((" ".join(ruling.rules),), self._delimiter)
        reason = _written((ruling.reason,), self._delimiter)
        return b"%b%b%b%b\n" % (self._mark, reason, self._mark, told)

    def _told(self) -> None:
        """Adds up how often each rule held a row back."""
        rulings = self._judge.rulings
        totals = Counter(self._few)
        for one, count in enumerate(self._counts.tolist()):
            if count:
                totals[rulings[one].rules] += count
        by_rule: Counter[str] = Counter()
        for rules, count in totals.items():
            for rule in rules:
                by_rule[rule] += count
        self._summary.by_rule = dict(by_rule)
        self._summary.not_numbers = by_rule[NO_NUMBER.rules[0]]


class _List:
    """A list whose beginning was looked at before it is read."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self.head = source.read(_HEAD)
        self.whole = len(self.head) < _HEAD
        while not self.whole and b"\n" not in self.head and b"\r" not in self.head:
            more = source.read(_HEAD)
            self.head += more
            self.whole = not more
            if len(self.head) > LONGEST_ROW:
                raise ScrubError("the first row does not end; is this a list with a row a line?")
        self._ahead = self.head

    def read(self, size: int) -> bytes:
        """The next bytes, as many as that or fewer; none at the end."""
        if self._ahead:
            found, self._ahead = self._ahead[:size], self._ahead[size:]
            return found if len(found) == size else found + self._source.read(size - len(found))
        return self._source.read(size)


def _hashed(read: Read) -> int:
    """Something below zero that stands for a key which is no number."""
    digest = hashlib.blake2b(read.key.encode(), digest_size=8).digest()
    return -1 - (int.from_bytes(digest, "little") >> 1)


def _cut(data: bytes, block: Block, rows: NDArray[np.bool_]) -> bytes:
    """The bytes of some rows."""
    lengths = block.ends - block.starts
    if len(rows) and not block.blank:
        first, last = int(block.starts[0]), int(block.ends[-1])
        chosen = np.repeat(rows, lengths)
        return np.frombuffer(data, np.uint8)[first:last][chosen].tobytes()
    bounds = zip(block.starts[rows].tolist(), block.ends[rows].tolist(), strict=True)
    return b"".join([data[start:end] for start, end in bounds])


def _bare_ends(data: bytes, block: Block, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where rows end without what ends them."""
    every = np.frombuffer(data, np.uint8)
    ends = block.ends[rows]
    for mark in (0x0A, 0x0D):
        ends = ends - ((ends > block.starts[rows]) & (every[ends - 1] == mark))
    return ends


def _with_tails(
    data: bytes, block: Block, rows: NDArray[np.int64], tails: Sequence[bytes]
) -> bytes:
    """Rows, each with something added before what ends it; so does a newline what is added."""
    bare, ends = _bare_ends(data, block, rows), block.ends[rows]
    firsts, lasts = block.starts[rows].tolist(), bare.tolist()
    every = np.frombuffer(data, np.uint8)
    if (ends - bare == 1).all() and (every[bare] == _NEWLINE).all():
        pieces = [b""] * (2 * len(rows))
        pieces[::2] = [data[start:end] for start, end in zip(firsts, lasts, strict=True)]
        pieces[1::2] = tails
        return b"".join(pieces)
    cut = zip(firsts, lasts, ends.tolist(), tails, strict=True)
    return b"".join(
        [data[start:at] + tail[:-1] + (data[at:end] or b"\n") for start, at, end, tail in cut]
    )


def _written(fields: Sequence[str], delimiter: str) -> bytes:
    """Fields as they stand in a row."""
    special = _special(delimiter)
    return delimiter.join(
        [f'"{field.replace(_QUOTE, _QUOTE * 2)}"' if special(field) else field for field in fields]
    ).encode()


@lru_cache(maxsize=8)
def _special(delimiter: str) -> Callable[[str], object]:
    """Tells whether a field is to stand in quotes."""
    return re.compile(f'[{re.escape(delimiter)}"\r\n]').search
