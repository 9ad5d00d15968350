"""The two clocks of the service, as one argument.

Wall time dates what is promised and proved; monotonic time measures waits. Whoever needs the
time takes a ``Clock``, so that tests own it.
"""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """A source of time."""

    def now(self) -> datetime:
        """The wall time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back; only differences mean anything."""
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
        return time.monotonic()
