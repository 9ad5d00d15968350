"""The two clocks of the service, as one argument.

Wall time dates what is promised and proved; monotonic time measures waits. Whoever needs the
time takes a ``Clock``, so that tests own it.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol
from weakref import WeakKeyDictionary


class Clock(Protocol):
    """A source of time."""

    def now(self) -> datetime:
        """The wall time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back, also those in which the machine was suspended;
        only differences mean anything."""
        ...


class StillClock:
    """Another clock whose wall time stands still."""

    def __init__(self, clock: Clock, moment: datetime) -> None:
        self._clock, self._moment = clock, moment

    def now(self) -> datetime:
        return self._moment

    def monotonic(self) -> float:
        return self._clock.monotonic()


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)


_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)
"""Linux has it; elsewhere a machine that was suspended looks like a clock that ran ahead."""


_seen: WeakKeyDictionary[Clock, tuple[datetime, float]] = WeakKeyDictionary()


def latest(clock: Clock) -> datetime:
    """The wall time, or where it was set back what it had come to, with the time that has passed
    since. By it readers tell what has expired: what was gone stays gone. Never for the hours in
    which somebody may be called."""
    wall, ticks = clock.now(), clock.monotonic()
    if (known := _seen.get(clock)) is not None:
        wall = max(wall, _advanced(*known, ticks))
    _seen[clock] = wall, ticks
    return wall


def not_before(clock: Clock, moment: datetime) -> None:
    """From now on ``latest`` is no earlier than this: what a former process of ours had seen."""
    now = latest(clock)
    _seen[clock] = max(now, moment), _seen[clock][1]


def _advanced(wall: datetime, since: float, ticks: float) -> datetime:
    try:
        return wall + timedelta(seconds=max(ticks - since, 0))
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)
