"""The opt-outs that stand, in memory: what the gate asks for every call.

A country's worth of them: 24 bytes a wish, in small sorted arrays, each of which takes a new wish
in a microsecond or two, however many there are.
"""

import threading
from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from callguard.optout.events import OptOutEvent
from callguard.optout.scope import Scope, laid_over, scopes
from callguard.optout.standing import Change, change
from callguard.policy.facts import OptOut
from callguard.storage.types import from_micros

PAGE = 2_000
"""How many rows are read at once when the image follows the table; taking them in holds the loop
up for 5 to 10 ms."""

_SHARDS = 4_093
"""How many arrays there are. A prime, so that no habit of numbering fills some and not others."""

_MAX_DIGITS = 18
"""What longer numbers would not fit into: E.164 has 15."""

_WAY_BITS = 16
_CELL_BITS = 16
_TENANT_SHIFT = _WAY_BITS + _CELL_BITS
_CELLS = (1 << _CELL_BITS) - 1
_WAYS = (1 << _WAY_BITS) - 1

_LOT = 1_000_000
"""Most rows that are sorted at once when the table is loaded: some 100 MB while that lasts."""

_LIFTED = -(1 << 63)
"""In place of the moment of a row that lifts."""

_Held = list[tuple[int, tuple[int, int]]]
"""Cells, with whom the wish is against and how it came (the word, less its cells), and since
when."""


class _Shard:
    """Wishes in the order of their subjects, and for each subject in the order of the table."""

    __slots__ = ("moments", "subjects", "words")

    def __init__(self) -> None:
        self.subjects = array("q")
        self.words = array("q")
        self.moments = array("q")

    def merge(
        self,
        subjects: NDArray[np.int64],
        words: NDArray[np.int64],
        moments: NDArray[np.int64],
        rows: NDArray[np.intp],
    ) -> NDArray[np.intp]:
        """Puts in subjects that are sorted and differ. Those that are here already are left
        out: of them the numbers among ``rows`` come back."""
        present = np.array(self.subjects)
        if not len(present):
            self.subjects = array("q", subjects.tobytes())
            self.words = array("q", words.tobytes())
            self.moments = array("q", moments.tobytes())
            return rows[:0]
        places = np.searchsorted(present, subjects)
        known = np.zeros(len(subjects), bool)
        inside = places < len(present)
        known[inside] = present[places[inside]] == subjects[inside]
        new, places = ~known, places[~known]
        for column, added in (
            ("subjects", subjects),
            ("words", words),
            ("moments", moments),
        ):
            merged = np.insert(np.array(getattr(self, column)), places, added[new])
            setattr(self, column, array("q", merged.tobytes()))
        return rows[known]


class OptOutImage:
    """Follows the table of opt-outs. Events of this process are applied as soon as they are
    durable, those of others as they are read; for one subject and scope the later row wins, in
    whatever order they arrive.

    What was read is kept as what stands after it, for rows are read in order. What this process
    wrote and has not read yet is laid over that, row by row, until it is. May be asked in any
    thread.
    """

    def __init__(self) -> None:
        self._shards = [_Shard() for _ in range(_SHARDS)]
        self._ahead: dict[int, list[Change]] = {}
        self._named: dict[str, int] = {}
        self._tenants: dict[str | None, int] = {None: 0}
        self._tenant_names: list[str | None] = [None]
        self._ways: dict[str, int] = {}
        self._way_names: list[str] = []
        self._read = 0
        self._count = 0
        self._lock = threading.Lock()

    @property
    def read_up_to(self) -> int:
        """The sequence number up to which the table was read."""
        return self._read

    def of(self, subject: str, tenant: str) -> tuple[OptOut, ...]:
        """The wishes of a subject that bind this tenant: against it, and against everyone."""
        key = _number(subject) or self._named.get(subject)
        if key is None:
            return ()
        with self._lock:
            subjects = self._shards[key % _SHARDS].subjects
            first = bisect_left(subjects, key)
            if (first == len(subjects) or subjects[first] != key) and key not in self._ahead:
                return ()
            held = self._held(key)
        return self._binding(held, tenant)

    def of_many(self, numbers: Iterable[int], tenant: str) -> Iterator[tuple[OptOut, ...]]:
        """What ``of`` says of each of these numbers (the digits of E.164), in order, when it is
        asked for; many times as fast where most have one wish."""
        alike: dict[int, tuple[str | None, str, tuple[Scope, ...]]] = {}
        for key in numbers:
            held: _Held | None = None
            with self._lock:
                shard = self._shards[key % _SHARDS]
                first = bisect_left(shard.subjects, key)
                end = bisect_right(shard.subjects, key, first)
                if end - first == 1 and key not in self._ahead:
                    word, at = shard.words[first], shard.moments[first]
                else:
                    held = self._held(key)
                whom = self._tenants.get(tenant, 0)
            if held is not None:
                yield self._binding(held, tenant)
            elif word >> _TENANT_SHIFT not in (whom, 0):
                yield ()
            else:
                if word not in alike:
                    against = self._tenant_names[word >> _TENANT_SHIFT]
                    way = self._way_names[word >> _CELL_BITS & _WAYS]
                    alike[word] = (against, way, scopes(word & _CELLS))
                against, way, every = alike[word]
                since = from_micros(at)
                yield tuple([OptOut(against, since, way, *scope) for scope in every])

    def _binding(self, held: _Held, tenant: str) -> tuple[OptOut, ...]:
        """Those of a subject's wishes that bind this tenant."""
        whom = self._tenants.get(tenant)
        return tuple(
            OptOut(
                self._tenant_names[said >> _TENANT_SHIFT],
                from_micros(at),
                self._way_names[said >> _CELL_BITS & _WAYS],
                purposes,
                channels,
            )
            for one in ((whom, 0) if whom is not None else (0,))
            for covered, (said, at) in held
            if said >> _TENANT_SHIFT == one
            for purposes, channels in scopes(covered)
        )

    def cells(self, subject: str, tenant: str | None) -> int:
        """The cells of the subject's wishes against this tenant, or against all."""
        key, whom = _number(subject) or self._named.get(subject), self._tenants.get(tenant)
        with self._lock:
            held = [] if key is None else self._held(key)
        return sum(covered for covered, (said, _) in held if said >> _TENANT_SHIFT == whom)

    def apply(self, sequence: int, event: OptOutEvent) -> None:
        """Takes in one durable event of this process."""
        with self._lock:
            if sequence <= self._read:
                return
            rows = self._ahead.setdefault(self._key(event.subject), [])
            if all(row[0] != sequence for row in rows):
                insort(rows, change(sequence, event))

    def follow(self, rows: Iterable[Change]) -> None:
        """Takes in the rows after ``read_up_to``, in order."""
        with self._lock:
            for sequence, subject, tenant, standing, covered, way, at in rows:
                if sequence <= self._read:
                    continue
                self._read = sequence
                key = _number(subject) or self._key(subject)
                word = self._word(tenant, way, covered)
                self._take(key, word, at if standing else None)
            if self._ahead:
                self._drop_what_was_read()

    def load(self, pages: Iterable[Sequence[Change]]) -> None:
        """The same for a whole table, page by page; faster, and no row is seen before the end of
        its lot. Before the first call."""
        lot, read = _Shard(), self._read
        with self._lock:
            for page in pages:
                new = [row for row in page if row[0] > read]
                if not new:
                    continue
                read = new[-1][0]
                keys = (_number(row[1]) or self._key(row[1]) for row in new)
                lot.subjects += array("q", keys)
                lot.words += array("q", [self._word(row[2], row[5], row[4]) for row in new])
                lot.moments += array("q", [row[6] if row[3] else _LIFTED for row in new])
                if len(lot.subjects) >= _LOT:
                    self._take_lot(lot)
                    lot, self._read = _Shard(), read
            self._take_lot(lot)
            self._read = read
            if self._ahead:
                self._drop_what_was_read()

    def count(self) -> int:
        """How many wishes stand: those of a subject against one tenant, or all, are one."""
        with self._lock:
            return self._count + sum(
                _pairs(self._held(key)) - _pairs(self._read_of(key)) for key in self._ahead
            )

    def numbers_against(self, tenant: str) -> NDArray[np.int64]:
        """The numbers (the digits of E.164) of all who have a wish that binds this tenant, sorted,
        each once; for whatever purpose and channel. May be called in any thread: it holds those
        who write up for no longer than the copy of one small array takes."""
        whom = self._tenants.get(tenant, -1)
        parts = [np.empty(0, np.int64)]
        for shard in filter(lambda shard: shard.subjects, self._shards):
            with self._lock:
                subjects, words = shard.subjects.tobytes(), shard.words.tobytes()
            said = np.frombuffer(words, np.int64) >> _TENANT_SHIFT
            bound = (said == whom) | (said == 0)
            parts.append(np.frombuffer(subjects, np.int64)[bound])
        with self._lock:
            ahead = {key: self._held(key) for key in self._ahead}
            whom = self._tenants.get(tenant, -1)  # which may have come with those
        if ahead:
            keys = np.fromiter(ahead, np.int64, len(ahead))
            binding = [
                key
                for key, held in ahead.items()
                if any(said >> _TENANT_SHIFT in (whom, 0) for _, (said, _) in held)
            ]
            parts = [part[~np.isin(part, keys)] for part in parts]
            parts.append(np.array(binding, np.int64))
        every = np.concatenate(parts)
        every.sort()
        first = np.ones(len(every), bool)
        first[1:] = every[1:] != every[:-1]
        return every[first & (every > 0)]

    def _key(self, subject: str) -> int:
        """The digits of a number; what is none (an address, a short code) is counted down."""
        return _number(subject) or self._named.setdefault(subject, -1 - len(self._named))

    def _word(self, tenant: str | None, way: str, covered: int) -> int:
        whom, how = self._tenants.get(tenant), self._ways.get(way)
        if whom is None:
            whom = self._tenants[tenant] = len(self._tenant_names)
            self._tenant_names.append(tenant)
        if how is None:
            how = self._ways[way] = len(self._way_names)
            self._way_names.append(way)
        return whom << _TENANT_SHIFT | how << _CELL_BITS | covered

    def _take(self, key: int, word: int, at: int | None) -> None:
        """The next row of the table; ``at`` is None for one that lifts."""
        shard = self._shards[key % _SHARDS]
        subjects = shard.subjects
        first = bisect_left(subjects, key)
        if first < len(subjects) and subjects[first] == key:
            self._lay_over(shard, first, word, at)
        elif at is not None and word & _CELLS:
            subjects.insert(first, key)
            shard.words.insert(first, word)
            shard.moments.insert(first, at)
            self._count += 1

    def _take_lot(self, lot: _Shard) -> None:
        """Many rows. Most are the only word of a new subject, and those of a shard go in
        together; the others follow in their order."""
        keys, words, moments = (
            np.frombuffer(column, np.int64) for column in (lot.subjects, lot.words, lot.moments)
        )
        homes = keys % _SHARDS
        order = np.lexsort((keys, homes))
        by_home = homes[order]
        again = np.zeros(len(order) + 1, bool)
        again[1:-1] = keys[order[1:]] == keys[order[:-1]]
        lone = ~(again[1:] | again[:-1]) & (moments[order] != _LIFTED) & (words[order] & _CELLS > 0)
        bounds = np.searchsorted(by_home, np.arange(_SHARDS + 1))
        late = [order[~lone]]
        for home, shard in enumerate(self._shards):
            mine = slice(bounds[home], bounds[home + 1])
            chosen = order[mine][lone[mine]]
            if not len(chosen):
                continue
            late.append(shard.merge(keys[chosen], words[chosen], moments[chosen], chosen))
            self._count += len(chosen) - len(late[-1])
        for row in np.sort(np.concatenate(late)).tolist():
            at = lot.moments[row]
            self._take(lot.subjects[row], lot.words[row], None if at == _LIFTED else at)

    def _read_of(self, key: int) -> _Held:
        shard = self._shards[key % _SHARDS]
        first, end = bisect_left(shard.subjects, key), bisect_right(shard.subjects, key)
        return [
            (word & _CELLS, (word & ~_CELLS, at))
            for word, at in zip(shard.words[first:end], shard.moments[first:end], strict=True)
        ]

    def _held(self, key: int) -> _Held:
        held = self._read_of(key)
        for _, _, tenant, standing, covered, way, at in self._ahead.get(key, ()):
            held = _changed(held, self._word(tenant, way, covered), at if standing else None)
        return held

    def _lay_over(self, shard: _Shard, first: int, word: int, at: int | None) -> None:
        key = shard.subjects[first]
        end = bisect_right(shard.subjects, key)
        before = self._read_of(key)
        held = _changed(before, word, at)
        shard.subjects[first:end] = array("q", [key] * len(held))
        shard.words[first:end] = array("q", [said | left for left, (said, _) in held])
        shard.moments[first:end] = array("q", [since for _, (_, since) in held])
        self._count += _pairs(held) - _pairs(before)

    def _drop_what_was_read(self) -> None:
        for key, rows in list(self._ahead.items()):
            left = [row for row in rows if row[0] > self._read]
            if left:
                self._ahead[key] = left
            else:
                del self._ahead[key]


def _number(subject: str) -> int | None:
    """The digits of an E.164 number as an integer; None for any other subject."""
    digits = subject[1:]
    if subject[:1] != "+" or not digits.isdigit() or not digits.isascii():
        return None
    return None if digits[0] == "0" or len(digits) > _MAX_DIGITS else int(digits)


def _changed(held: _Held, word: int, at: int | None) -> _Held:
    """After a later row, which leaves the wishes against others alone."""
    said, covered = word & ~_CELLS, word & _CELLS
    whom = word >> _TENANT_SHIFT
    others = [one for one in held if one[1][0] >> _TENANT_SHIFT != whom]
    own = (one for one in held if one[1][0] >> _TENANT_SHIFT == whom)
    return others + laid_over(own, covered, None if at is None else (said, at))


def _pairs(held: _Held) -> int:
    return len({said >> _TENANT_SHIFT for _, (said, _) in held})
