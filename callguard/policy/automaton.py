"""Several machines that read the same digits, as one: what is told at the end is told as soon as
the digits that come can change nothing."""

from collections.abc import Sequence

from callguard.policy.patterns import DEAD, Machine

OPEN = -1
"""The digits that come can still change what is told."""

Told = tuple[tuple[int, object], ...]
"""What each machine tells, by its place; those that tell nothing are left out."""


class Automaton:
    """States are numbered from 0 as they are met; ``start`` is 0. Nothing is worked out before it
    is asked for."""

    def __init__(self, machines: Sequence[Machine]) -> None:
        self.machines = list(machines)
        self.start = 0
        self._numbers: dict[object, int] = {}
        self._states: list[tuple[tuple[int, int], ...]] = []
        self._steps: list[list[int]] = []
        self._classes: dict[Told, int] = {}
        self.told: list[Told] = []
        self._settled: dict[tuple[int, int], int] = {}
        self._number(tuple((place, one.start) for place, one in enumerate(self.machines)))

    def __len__(self) -> int:
        return len(self._states)

    def _number(self, state: tuple[tuple[int, int], ...]) -> int:
        number = self._numbers.setdefault(state, len(self._states))
        if number == len(self._states):
            self._states.append(state)
            self._steps.append([OPEN] * 10)
        return number

    def step(self, state: int, digit: int) -> int:
        """The state after one more digit."""
        found = self._steps[state][digit]
        if found == OPEN:
            self._reach(state, digit)
            found = self._steps[state][digit]
        return found

    def _reach(self, state: int, digit: int) -> None:
        """Works out the next state for a digit at least; here for all of them at once."""
        machines = self.machines
        rows = [(place, machines[place].row(inner)) for place, inner in self._states[state]]
        self._steps[state] = [
            self._number(tuple([(place, row[one]) for place, row in rows if row[one] != DEAD]))
            for one in range(10)
        ]

    def settled(self, state: int, rest: int) -> int:
        """Which class digits are of that led here, with so many more to come, whichever they are;
        ``OPEN`` where that depends on them."""
        found = self._settled.get((state, rest))
        if found is not None:
            return found
        if rest == 0:
            found = self._class(state)
        else:
            found = self.settled(self.step(state, 0), rest - 1)
            for digit in range(1, 10):
                if found == OPEN:
                    break
                if self.settled(self.step(state, digit), rest - 1) != found:
                    found = OPEN
        self._settled[state, rest] = found
        return found

    def _class(self, state: int) -> int:
        values = ((place, self.machines[place].value(one)) for place, one in self._states[state])
        told = tuple(pair for pair in values if pair[1] is not None)
        number = self._classes.setdefault(told, len(self.told))
        if number == len(self.told):
            self.told.append(told)
        return number
