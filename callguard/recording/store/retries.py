"""When to try again what failed: later each time, never all at once. Pure."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from datetime import datetime

FIRST_S = 1.0
LONGEST_S = 60.0


@dataclass(frozen=True, slots=True)
class Failing:
    """One thing that fails, since when, and why it did so last."""

    since: datetime
    times: int
    reason: str
    again_at: float


class Retries:
    """Every failure delays that thing, and failures in a row delay everything: one thing that
    cannot succeed holds up no other, and a store that is down is not asked for each of them."""

    def __init__(self) -> None:
        self._failing: dict[str, Failing] = {}
        self._in_a_row = 0
        self._paused_until = float("-inf")

    @property
    def failing(self) -> tuple[Failing, ...]:
        """What failed and has not succeeded since, the oldest first."""
        return tuple(sorted(self._failing.values(), key=lambda one: one.since))

    def failed(self, what: str, reason: str, now: datetime, at: float, jitter: float) -> float:
        """Takes a failure down, and returns after how many seconds it may be tried again. ``at``
        is monotonic, ``jitter`` from 0 to 1."""
        before = self._failing.get(what)
        times = 1 + (before.times if before else 0)
        self._in_a_row += 1
        self._paused_until = at + _delay(self._in_a_row, jitter)
        delay = _delay(times, jitter)
        since = before.since if before else now
        self._failing[what] = Failing(since, times, reason, at + delay)
        return max(delay, self._paused_until - at)

    def succeeded(self, what: str) -> None:
        """Nothing is paused any more."""
        self._failing.pop(what, None)
        self._in_a_row = 0
        self._paused_until = float("-inf")

    def paused(self, at: float) -> bool:
        """Whether nothing may be tried now."""
        return at < self._paused_until

    def may(self, what: str, at: float) -> bool:
        """Whether it may be tried now."""
        failing = self._failing.get(what)
        return not self.paused(at) and (failing is None or at >= failing.again_at)

    def only(self, *there: Container[str]) -> None:
        """Forgets what is no longer wanted."""
        for what in list(self._failing):
            if not any(what in some for some in there):
                del self._failing[what]


def _delay(times: int, jitter: float) -> float:
    return min(FIRST_S * 2.0 ** min(times - 1, 30), LONGEST_S) * (0.5 + jitter / 2)
