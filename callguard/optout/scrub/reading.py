"""Many numbers of one shape, read at once by their sorts."""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from callguard.optout.scrub.shapes import Group
from callguard.policy.automaton import OPEN, Automaton
from callguard.policy.sorts import (
    LONGEST,
    SHORTEST,
    SLOW,
    SLOWLY,
    UNKNOWN,
    Reading,
    Sorts,
    if_unknown,
)

_CHUNK: Final = 3
"""Digits taken in one look."""

_UNASKED: Final = -9
_UNSETTLED: Final = -8

_FIRST: Final = 6
"""Digits by which a number is looked up at once, after the first one behind a plus."""

TABLES: Final = 12
"""Most tables of such digits, one for numbers that are written with as many digits and begin
alike, 4 MB each."""

_BELOW: Final = 2
_READING_BITS: Final = 5
_READINGS: Final = 1 << _READING_BITS
"""What a table holds: a sort counted from the least, and the reading in the lowest bits."""

AS_IT_STANDS: Final = Reading(0, None)

_Ints = NDArray[np.int32]
_Values = NDArray[np.int64]


class _Walk:
    """An automaton as tables."""

    def __init__(self, automaton: Automaton) -> None:
        self._automaton = automaton
        self._steps = np.zeros((1, 10), np.int32)
        self._stepped = np.zeros(1, np.bool_)
        self._places = np.full(1, OPEN, np.int32)
        self._jumps = np.zeros((1, 10**_CHUNK), np.int32)
        self._jumping = 0
        self._told: dict[tuple[int, int], _Ints] = {}

    def one(self, states: _Ints, digits: _Values) -> _Ints:
        """After one digit more."""
        self._step(states)
        found: _Ints = self._steps.reshape(-1).take(states * np.int64(10) + digits)
        return found

    def chunk(self, states: _Ints, digits: _Values) -> _Ints:
        """After ``_CHUNK`` digits more."""
        self._cover()
        places = self._places.take(states)
        if len(places) and places.min() < 0:
            for state in np.unique(states[places < 0]).tolist():
                self._add(state)
            places = self._places.take(states)
        # One flat look is twice as fast as one by two indexes.
        found: _Ints = self._jumps.reshape(-1).take(places * np.int64(10**_CHUNK) + digits)
        return found

    def _cover(self) -> None:
        """Makes the tables long enough for every state there is."""
        states = len(self._automaton)
        if states > len(self._places):
            self._places = _longer(self._places, states)
            steps = np.zeros((2 * states, 10), np.int32)
            steps[: len(self._steps)] = self._steps
            stepped = np.zeros(2 * states, np.bool_)
            stepped[: len(self._stepped)] = self._stepped
            self._steps, self._stepped = steps, stepped

    def _step(self, states: _Ints) -> None:
        """Works the next states out of all these that it was not done for."""
        self._cover()
        done = self._stepped.take(states)
        if done.all():
            return
        step = self._automaton.step
        for state in np.unique(states[~done]).tolist():
            self._steps[state] = [step(state, digit) for digit in range(10)]
            self._stepped[state] = True
        self._cover()

    def _add(self, state: int) -> None:
        reached = np.array([state], np.int32)
        for _ in range(_CHUNK):
            self._step(reached)
            reached = self._steps[reached].reshape(-1)
        if self._jumping == len(self._jumps):
            grown = np.zeros((2 * self._jumping, 10**_CHUNK), np.int32)
            grown[: self._jumping] = self._jumps
            self._jumps = grown
        self._cover()
        self._jumps[self._jumping] = reached
        self._places[state] = self._jumping
        self._jumping += 1

    def told(self, states: _Ints, rest: int, length: int) -> tuple[_Ints, _Ints]:
        """For each state with so many digits of a text of ``length`` to come its class, ``OPEN``
        where those digits matter, or ``_UNASKED``; and the table, which may be written."""
        table = self._told.get((rest, length))
        if table is None or len(table) < len(self._automaton):
            table = _longer(table, len(self._automaton), _UNASKED)
            self._told[rest, length] = table
        return table[states], table

    def settled(self, state: int, rest: int) -> int:
        return self._automaton.settled(state, rest)


def _longer(table: _Ints | None, least: int, filler: int = OPEN) -> _Ints:
    grown = np.full(2 * least, filler, np.int32)
    if table is not None:
        grown[: len(table)] = table
    return grown


class Reader:
    """Reads groups of numbers.

    What the first digits settle is looked up by them at once; the rest is walked through digit by
    digit.
    """

    def __init__(self, sorts: Sorts) -> None:
        self._sorts = sorts
        self._international = _Walk(sorts.international)
        self._national = _Walk(sorts.national) if sorts.national is not None else None
        self._readings: list[Reading] = [SLOWLY, AS_IT_STANDS]
        self._tables: dict[tuple[bool, int, int], _Ints] = {}

    def read(self, group: Group) -> tuple[_Ints, _Values]:
        """The sort of each number, and the integer of its E.164 digits; ``UNKNOWN`` for what is no
        number, ``SLOW`` for what must be read one by one."""
        values, digits = group.values, group.digits
        if not len(values) or (self._national is None and not group.plus):
            return np.full(len(values), SLOW, np.int32), values
        lead = int(values[0]) // 10 ** (digits - 1) if group.plus else 0
        key = (group.plus, digits, lead)
        table = self._tables.get(key)
        if table is None:
            if len(self._tables) >= TABLES:
                return self._walk(values, digits, plus=group.plus)[:2]
            table = self._tables[key] = np.full(10**_FIRST, _UNASKED, np.int32)
        firsts = values // 10 ** (digits - _FIRST - group.plus) - lead * 10**_FIRST
        if group.plus and (firsts.min() < 0 or firsts.max() >= 10**_FIRST):
            return self._walk(values, digits, plus=True)[:2]  # they do not begin alike
        means = table.take(firsts)
        unasked = means == _UNASKED
        if unasked.any():
            self._fill(table, firsts[unasked], values[unasked], digits, plus=group.plus)
            means = table.take(firsts)
        return self._looked_up(means, values, digits, plus=group.plus)

    def _fill(
        self, table: _Ints, firsts: _Values, values: _Values, digits: int, *, plus: bool
    ) -> None:
        new, rows = np.unique(firsts, return_index=True)
        sorts, _, readings, settled = self._walk(values[rows], digits, plus=plus)
        means = (sorts + np.int32(_BELOW)) * np.int32(_READINGS) + readings
        settled &= readings < _READINGS
        table[new] = np.where(settled, means, _UNSETTLED)

    def _looked_up(
        self, means: _Ints, values: _Values, digits: int, *, plus: bool
    ) -> tuple[_Ints, _Values]:
        sorts = (means >> _READING_BITS) - np.int32(_BELOW)
        readings = means & np.int32(_READINGS - 1)
        open_rows = np.flatnonzero(means == _UNSETTLED)
        first = int(readings[0])
        if not len(open_rows) and (readings == first).all():
            return sorts, _meant(values, digits, self._readings[first])
        numbers = np.zeros(len(values), np.int64)
        for number, reading in enumerate(self._readings[:_READINGS]):
            here = np.flatnonzero(readings == number)
            if len(here):
                numbers[here] = _meant(values[here], digits, reading)
        if len(open_rows):
            walked = self._walk(values[open_rows], digits, plus=plus)
            sorts[open_rows], numbers[open_rows] = walked[:2]
        return sorts, numbers

    def _walk(
        self, values: _Values, digits: int, *, plus: bool
    ) -> tuple[_Ints, _Values, _Ints, NDArray[np.bool_]]:
        """The same without a table; beside it how each was read, by its place in ``_readings``,
        and whether its first digits settled all of that."""
        if plus:
            sorts, settled = self._e164(values, digits)
            return sorts, values, np.ones(len(values), np.int32), settled
        assert self._national is not None
        sorts = np.full(len(values), SLOW, np.int32)
        numbers = np.zeros(len(values), np.int64)
        readings, settled = self._walked(self._national, values, digits, (3, 3), self._reading)
        for number in range(1, len(self._readings)):
            here = np.flatnonzero(readings == number)
            if len(here):
                reading = self._readings[number]
                found = self._as_meant(values[here], digits, reading)
                sorts[here], numbers[here] = found[:2]
                code = len(str(reading.code or ""))
                settled[here] &= found[2] & (code + _FIRST - reading.strip > _FIRST)
        return sorts, numbers, readings, settled

    def _as_meant(
        self, values: _Values, digits: int, reading: Reading
    ) -> tuple[_Ints, _Values, NDArray[np.bool_]]:
        length = len(str(reading.code or "")) + digits - reading.strip
        if not SHORTEST <= length <= LONGEST:
            return np.full(len(values), SLOW, np.int32), values, np.ones(len(values), np.bool_)
        numbers = _meant(values, digits, reading)
        sorts, settled = self._e164(numbers, length)
        unknown = np.flatnonzero(sorts == UNKNOWN)
        if len(unknown):
            zero = values[unknown] < 10 ** (digits - 1)
            sorts[unknown[zero]] = if_unknown(UNKNOWN, reading, "0")
            sorts[unknown[~zero]] = if_unknown(UNKNOWN, reading, "1")
        return sorts, numbers, settled

    def _e164(self, values: _Values, digits: int) -> tuple[_Ints, NDArray[np.bool_]]:
        return self._walked(
            self._international, values, digits, (1, 3, 3), self._sorts.international_sort
        )

    def _reading(self, told: int, digits: str) -> int:
        reading = self._sorts.reading(told, digits)
        if reading not in self._readings:
            self._readings.append(reading)
        return self._readings.index(reading)

    def _walked(
        self,
        walk: _Walk,
        values: _Values,
        length: int,
        chunks: tuple[int, ...],
        meaning: Callable[[int, str], int],
    ) -> tuple[_Ints, NDArray[np.bool_]]:
        """What each number means, by the digits that it takes to tell, and whether ``chunks`` of
        them were enough."""
        states = np.zeros(len(values), np.int32)
        found, settled = states, np.zeros(0, np.bool_)
        open_rows: _Values | None = None
        rest, before, planned = length, np.zeros(len(values), np.int64), list(chunks)
        while True:
            size = planned.pop(0) if planned else min(rest, _CHUNK)
            size = size if rest >= size else 1
            if size == 2:
                size = 1
            rest -= size
            upto = values // 10**rest
            digits = upto - before * 10**size
            before = upto
            states = walk.chunk(states, digits) if size == _CHUNK else walk.one(states, digits)
            if planned:
                continue
            means = self._means(walk, states, values, rest, length, meaning)
            unsettled = means == _UNSETTLED
            if open_rows is None:
                found, settled = means, ~unsettled
                if settled.all():
                    return found, settled
                open_rows = np.flatnonzero(unsettled)
            else:
                found[open_rows] = means
                if not unsettled.any():
                    return found, settled
                open_rows = open_rows[unsettled]
            values, states, before = values[unsettled], states[unsettled], before[unsettled]

    def _means(
        self,
        walk: _Walk,
        states: _Ints,
        values: _Values,
        rest: int,
        length: int,
        meaning: Callable[[int, str], int],
    ) -> _Ints:
        means, table = walk.told(states, rest, length)
        unasked = means == _UNASKED
        if not unasked.any():
            return means
        new, rows = np.unique(states[unasked], return_index=True)
        examples = values[unasked][rows]
        answers = []
        for state, example in zip(new.tolist(), examples.tolist(), strict=True):
            told = walk.settled(state, rest)
            asked = f"{example:0{length}d}"
            answers.append(_UNSETTLED if told == OPEN else meaning(told, asked))
        _, table = walk.told(states[:0], rest, length)
        table[new] = answers
        found: _Ints = table[states]
        return found


def _meant(values: _Values, digits: int, reading: Reading) -> _Values:
    """The integers of the E.164 digits that are meant."""
    left = digits - max(reading.strip, 0)
    if reading.strip > 0:
        values = values % 10**left
    return values if reading.code is None else values + reading.code * 10**left
