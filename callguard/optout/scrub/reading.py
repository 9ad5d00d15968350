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
    """Reads groups of numbers."""

    def __init__(self, sorts: Sorts) -> None:
        self._sorts = sorts
        self._international = _Walk(sorts.international)
        self._national = _Walk(sorts.national) if sorts.national is not None else None
        self._readings: list[Reading] = [SLOWLY]

    def read(self, group: Group) -> tuple[_Ints, _Values]:
        """The sort of each number, and the integer of its E.164 digits; ``UNKNOWN`` for what is no
        number, ``SLOW`` for what must be read one by one."""
        if group.plus:
            return self._e164(group.values, group.digits), group.values
        if self._national is None:
            return np.full(len(group.values), SLOW, np.int32), group.values
        sorts = np.full(len(group.values), SLOW, np.int32)
        numbers = np.zeros(len(group.values), np.int64)
        meant = self._walked(self._national, group.values, group.digits, (3, 3), self._reading)
        for number in range(1, len(self._readings)):
            here = meant == number
            if not here.any():
                continue
            reading = self._readings[number]
            if here.all():
                return self._as_meant(group.values, group.digits, reading)
            found = self._as_meant(group.values[here], group.digits, reading)
            sorts[here], numbers[here] = found
        return sorts, numbers

    def _as_meant(self, values: _Values, digits: int, reading: Reading) -> tuple[_Ints, _Values]:
        left = digits - reading.strip
        code = str(reading.code or "")
        if not SHORTEST <= len(code) + left <= LONGEST:
            return np.full(len(values), SLOW, np.int32), values
        numbers = values % 10**left if reading.strip else values
        if code:
            numbers = numbers + int(code) * 10**left
        sorts = self._e164(numbers, len(code) + left)
        unknown = sorts == UNKNOWN
        if unknown.any():
            # Whether the first digit is a zero is the same for all that are read in this way.
            at = np.flatnonzero(unknown)
            zero = values[at] < 10 ** (digits - 1)
            sorts[at[zero]] = if_unknown(UNKNOWN, reading, "0")
            sorts[at[~zero]] = if_unknown(UNKNOWN, reading, "1")
        return sorts, numbers

    def _e164(self, values: _Values, digits: int) -> _Ints:
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
    ) -> _Ints:
        """What each number means, by the digits that it takes to tell."""
        states = np.zeros(len(values), np.int32)
        found = np.full(len(values), _UNSETTLED, np.int32)
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
                found = means
                if not unsettled.any():
                    return found
                open_rows = np.flatnonzero(unsettled)
            else:
                found[open_rows] = means
                if not unsettled.any():
                    return found
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
