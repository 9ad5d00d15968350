"""How far a wish reaches: every pair of a purpose and a channel is a cell of its own.

A scope is the purposes of a wish by its channels; what is left of one after another wish need not
be such a rectangle, but it is always a set of cells, so nothing is ever rounded up or down.
"""

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import TypeVar

from callguard.policy.facts import CHANNELS, PURPOSES

T = TypeVar("T")
Names = frozenset[str] | tuple[str, ...]
Scope = tuple[frozenset[str], frozenset[str]]
"""Purposes and channels; either is empty where it is all of them."""

EVERYTHING = (1 << len(PURPOSES) * len(CHANNELS)) - 1
"""Every cell: one bit for each purpose and channel."""

_ROW = (1 << len(CHANNELS)) - 1


@lru_cache(maxsize=1_024)
def cells(purposes: Names, channels: Names) -> int:
    """The cells of a scope. A purpose or a channel that this version does not know has none: no
    call can be for it."""
    columns = sum(1 << i for i, name in enumerate(CHANNELS) if not channels or name in channels)
    rows = (i for i, name in enumerate(PURPOSES) if not purposes or name in purposes)
    return sum(columns << i * len(CHANNELS) for i in rows)


@lru_cache(maxsize=1_024)
def stored_cells(purposes: str, channels: str) -> int:
    """The same for the two as they are stored, in JSON. What cannot be read counts for all."""
    return cells(_names(purposes), _names(channels))


def _names(stored: str) -> tuple[str, ...]:
    try:
        found = json.loads(stored)
    except ValueError:
        return ()
    return tuple(map(str, found)) if isinstance(found, list) else ()


@lru_cache(maxsize=1_024)
def scopes(covered: int) -> tuple[Scope, ...]:
    """The fewest scopes, by channels, that cover these cells and no other."""
    by_columns: dict[int, set[str]] = {}
    for i, name in enumerate(PURPOSES):
        if columns := covered >> i * len(CHANNELS) & _ROW:
            by_columns.setdefault(columns, set()).add(name)
    return tuple(
        (_or_all(names, len(PURPOSES)), _or_all(_channels(columns), len(CHANNELS)))
        for columns, names in by_columns.items()
    )


def _channels(columns: int) -> set[str]:
    return {name for i, name in enumerate(CHANNELS) if columns >> i & 1}


def _or_all(names: set[str], every: int) -> frozenset[str]:
    return frozenset() if len(names) == every else frozenset(names)


def laid_over(held: Iterable[tuple[int, T]], covered: int, wish: T | None) -> list[tuple[int, T]]:
    """What holds after a later row: of what held, the cells that the row is not about, and the
    row's own wish, None where it lifts. No cell is held twice."""
    rest = [(left, said) for before, said in held if (left := before & ~covered)]
    if wish is not None and covered:
        rest.append((covered, wish))
    return rest
