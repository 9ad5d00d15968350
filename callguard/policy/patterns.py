"""The patterns of the numbering data as automata, which say what the digits that come can still
change.

A pattern of phonenumbers is a small regular expression over digits. It is read with Python's own
parser of expressions; one that holds anything else than is known here raises UnprovableError, and
whoever asked falls back to asking number by number.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from re import _constants, _parser  # type: ignore[attr-defined] # without stubs
from typing import Any, Protocol

sre: Any = _constants

DEAD = 0
"""The state from which nothing is matched any more."""

_MOST_REPEATS = 32


class UnprovableError(ValueError):
    """A pattern that is no plain expression over digits."""


class Machine(Protocol):
    """Reads digits one by one. States are small integers, ``DEAD`` one in which it may be
    forgotten."""

    start: int

    def row(self, state: int) -> Sequence[int]:
        """The state after each of the ten digits."""
        ...

    def value(self, state: int) -> object:
        """What is told where the digits end in this state; None for nothing."""
        ...


class Pattern:
    """An expression that is to match all digits."""

    def __init__(self, text: str, *, anchors: bool = False) -> None:
        """``anchors`` takes the end of a text for nothing, so that more is matched than should be.
        Raises UnprovableError."""
        self._moves: list[tuple[frozenset[int], int] | None] = []
        self._empty: list[list[int]] = []
        first, self._end = self._node(), self._node()
        self._add(_parsed(text), first, self._end, anchors)
        self._numbers: dict[frozenset[int], int] = {frozenset(): DEAD}
        self._sets: list[frozenset[int]] = [frozenset()]
        self._rows: dict[int, tuple[int, ...]] = {}
        self.start = self._number(self._closure([first]))

    def row(self, state: int) -> Sequence[int]:
        found = self._rows.get(state)
        if found is None:
            moves = [move for node in self._sets[state] if (move := self._moves[node])]
            reached = ([move[1] for move in moves if digit in move[0]] for digit in range(10))
            found = tuple(self._number(self._closure(nodes)) for nodes in reached)
            self._rows[state] = found
        return found

    def value(self, state: int) -> object:
        return True if self.accepts(state) else None

    def accepts(self, state: int) -> bool:
        """Whether the digits so far are matched."""
        return self._end in self._sets[state]

    def _number(self, nodes: frozenset[int]) -> int:
        number = self._numbers.setdefault(nodes, len(self._sets))
        if number == len(self._sets):
            self._sets.append(nodes)
        return number

    def _node(self) -> int:
        self._moves.append(None)
        self._empty.append([])
        return len(self._moves) - 1

    def _closure(self, nodes: Iterable[int]) -> frozenset[int]:
        found = set(nodes)
        waiting = list(found)
        while waiting:
            for node in self._empty[waiting.pop()]:
                if node not in found:
                    found.add(node)
                    waiting.append(node)
        return frozenset(found)

    def _add(self, parsed: Iterable[Any], begin: int, end: int, anchors: bool) -> None:
        """Adds the nodes of an expression between two nodes."""
        for operator, given in parsed:
            after = self._node()
            if operator is sre.LITERAL:
                self._moves[begin] = _digits([(operator, given)]), after
            elif operator is sre.IN:
                self._moves[begin] = _digits(given), after
            elif operator is sre.BRANCH:
                for part in given[1]:
                    self._aside(part, begin, after, anchors)
            elif operator is sre.SUBPATTERN:
                if given[1] or given[2]:
                    raise UnprovableError("a pattern has flags")
                self._aside(given[3], begin, after, anchors)
            elif operator in (sre.MAX_REPEAT, sre.MIN_REPEAT):
                self._repeat(given, begin, after, anchors)
            elif operator is sre.AT and given is sre.AT_END and anchors:
                self._empty[begin].append(after)
            else:
                raise UnprovableError(f"a pattern has {operator}")
            begin = after
        self._empty[begin].append(end)

    def _aside(self, parsed: Iterable[Any], begin: int, end: int, anchors: bool) -> None:
        first = self._node()
        self._empty[begin].append(first)
        self._add(parsed, first, end, anchors)

    def _repeat(self, given: tuple[int, Any, Any], begin: int, end: int, anchors: bool) -> None:
        least, most, parsed = given
        if most is sre.MAXREPEAT or most > _MOST_REPEATS:
            raise UnprovableError("a pattern repeats without end")
        parsed = list(parsed)
        for number in range(most):
            if number >= least:
                self._empty[begin].append(end)
            after = self._node()
            self._aside(parsed, begin, after, anchors)
            begin = after
        self._empty[begin].append(end)


class Opening:
    """An expression that matches the beginning of the digits, as ``re.match`` does: tells where
    the match ends, and whether a zero follows it. The digits themselves are remembered only as
    long as they can still change that."""

    def __init__(self, text: str) -> None:
        """Raises UnprovableError."""
        self._match = re.compile(text, re.ASCII).match
        self._pattern = Pattern(rf"(?:{text})\d?")
        self._states: list[tuple[str, int] | tuple[int, bool] | None] = [None, ("", 0)]
        self._states[1] = ("", self._pattern.start)
        self._numbers: dict[object, int] = {None: DEAD, self._states[1]: 1}
        self.start = 1

    def row(self, state: int) -> Sequence[int]:
        present = self._states[state]
        if present is None or isinstance(present[0], int):
            return (state,) * 10
        inner = self._pattern.row(present[1])
        return tuple(self._reached(f"{present[0]}{digit}", inner[digit]) for digit in range(10))

    def _reached(self, text: str, inner: int) -> int:
        reached = (text, inner) if inner != DEAD else self._told(text)
        number = self._numbers.setdefault(reached, len(self._states))
        if number == len(self._states):
            self._states.append(reached)
        return number

    def value(self, state: int) -> object:
        present = self._states[state]
        if present is None or isinstance(present[0], int):
            return present
        return self._told(present[0])

    def _told(self, text: str) -> tuple[int, bool] | None:
        found = self._match(text)
        return None if found is None else (found.end(), text[found.end() :][:1] == "0")


class Doubt:
    """Tells that an expression may match the beginning of the digits, and never where."""

    def __init__(self, text: str) -> None:
        """Raises UnprovableError."""
        self._pattern = Pattern(text, anchors=True)
        self.start = self._number(self._pattern.start)

    def _number(self, state: int) -> int:
        return -1 if self._pattern.accepts(state) else state

    def row(self, state: int) -> Sequence[int]:
        if state == -1:
            return (state,) * 10
        return tuple(self._number(one) for one in self._pattern.row(state))

    def value(self, state: int) -> object:
        return True if state == -1 else None


class Prefixes:
    """Tells the value of the longest of some prefixes that the digits begin with."""

    def __init__(self, values: dict[str, object], begun: str = "") -> None:
        """``begun`` are the digits that were read before."""
        self._values = values
        self._inner = {key[:end] for key in values for end in range(len(key))}
        self._states: list[tuple[str | None, object]] = [(None, None)]
        self._numbers: dict[tuple[str | None, object], int] = {(None, None): DEAD}
        best: object = None
        for end in range(len(begun) + 1):
            best = values.get(begun[:end], best)
        self.start = self._number(begun, best)

    def _number(self, text: str | None, best: object) -> int:
        key = (text if text in self._inner else None, best)
        number = self._numbers.setdefault(key, len(self._states))
        if number == len(self._states):
            self._states.append(key)
        return number

    def row(self, state: int) -> Sequence[int]:
        text, best = self._states[state]
        if text is None:
            return (state,) * 10
        longer = (f"{text}{digit}" for digit in range(10))
        return tuple(self._number(one, self._values.get(one, best)) for one in longer)

    def value(self, state: int) -> object:
        return self._states[state][1]


@lru_cache(maxsize=4_096)
def _parsed(text: str) -> Any:
    return _parser.parse(text, re.ASCII)


def widths(text: str) -> tuple[int, int]:
    """The fewest and the most digits that an expression matches."""
    least, most = _parsed(text).getwidth()
    return int(least), int(most)


def anchored(text: str) -> bool:
    """Whether an expression asks for the end of the text."""
    return "$" in text or "\\Z" in text


def _digits(given: Iterable[Any]) -> frozenset[int]:
    """The digits that a set of characters holds."""
    found: set[int] = set()
    for operator, value in given:
        if operator is sre.LITERAL:
            span = range(value, value + 1)
        elif operator is sre.RANGE:
            span = range(value[0], value[1] + 1)
        elif operator is sre.CATEGORY and value is sre.CATEGORY_DIGIT:
            span = range(ord("0"), ord("9") + 1)
        else:
            raise UnprovableError(f"a pattern has {operator}")
        if not all(ord("0") <= code <= ord("9") for code in (span[0], span[-1])):
            raise UnprovableError("a pattern is not of digits alone")
        found.update(code - ord("0") for code in span)
    return frozenset(found)
