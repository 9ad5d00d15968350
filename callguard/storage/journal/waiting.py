"""What waits to be written, and which group of it is next. Pure: the time comes in."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from sqlalchemy import Connection, Table

T = TypeVar("T")

GROUP: Final = 512
"""Most writes in one commit."""

PENDING: Final = 20_000
"""Most writes waiting; beyond it the database is not keeping up and new ones are refused."""

BEHIND_S: Final = 0.25
"""How long work in the background lets calls go before it at most; then it is its turn."""


class NotDurableError(RuntimeError):
    """The write is not known to be on disk; whoever asked must act as if it had not happened."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row to insert."""

    table: Table
    values: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Write(Generic[T]):
    """What is to be durable together: rows, or work. ``done`` is over already where whoever asked
    has given up."""

    done: "asyncio.Future[T | None]"
    rows: tuple[Row, ...] = ()
    work: Callable[[Connection], T] | None = None
    behind_until: float | None = None
    """Of work in the background: when it lets no more calls go before it."""


class Waiting:
    """Two queues: of calls, and of work in the background, which lets calls go before it."""

    def __init__(self) -> None:
        self._calls: deque[Write[object]] = deque()
        self._behind: deque[Write[object]] = deque()

    def __len__(self) -> int:
        return len(self._calls) + len(self._behind)

    @property
    def calls(self) -> int:
        """How many of calls wait."""
        return len(self._calls)

    def add(self, write: Write[object]) -> None:
        """Raises NotDurableError where too many wait."""
        if len(self) >= PENDING:
            raise NotDurableError("the journal is full")
        (self._calls if write.behind_until is None else self._behind).append(write)

    def next_group(self, now: float, *, behind: bool = True) -> list[Write[object]]:
        """Takes the next group out: calls, or one piece of work where it may be ``behind``. Empty
        where none is left. Who gave up waiting must not find it written later."""
        _forget(self._calls)
        _forget(self._behind)
        if behind and self._behind and (not self._calls or now >= _until(self._behind[0])):
            return [self._behind.popleft()]
        group: list[Write[object]] = []
        while self._calls and len(group) < GROUP:
            write = self._calls.popleft()
            if not write.done.done():
                group.append(write)
        return group


def _forget(queue: deque[Write[object]]) -> None:
    """Leaves out those at its head who gave up: else calls that nobody makes would go first."""
    while queue and queue[0].done.done():
        queue.popleft()


def _until(write: Write[object]) -> float:
    return write.behind_until or 0.0
