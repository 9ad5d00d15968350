"""A clock that a test turns by hand."""

from datetime import UTC, datetime, timedelta


class HandClock:
    """Stands still until it is moved."""

    def __init__(self, start: datetime = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)) -> None:
        self._now = start
        self._monotonic = 1000.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float = 0, *, days: int = 0) -> None:
        """Lets time pass on both clocks."""
        step = timedelta(days=days, seconds=seconds)
        self._now += step
        self._monotonic += step.total_seconds()
