"""Places that failed just now, which are left alone for a while whatever waits for them. Pure."""

from collections.abc import Callable, Container
from dataclasses import dataclass
from datetime import datetime, timedelta

from callguard.recording.delivery.retrying import REST_S, delay

At = tuple[str, str]
"""A tenant and the name of its place."""


@dataclass(frozen=True, slots=True)
class _Rest:
    failures: int
    until: datetime


class Rests:
    """Which places rest, and until when. It is forgotten with the process: it spares them and
    others time, and nothing depends on it."""

    def __init__(self, jitter: Callable[[], float]) -> None:
        self._jitter = jitter
        self._rests: dict[At, _Rest] = {}

    def failed(self, at: At, now: datetime) -> None:
        """The more often in a row, the longer."""
        before = self._rests.get(at)
        if before is not None and now < before.until:
            return  # what was sent beside it failed for the same reason
        failures = before.failures + 1 if before else 1
        wait = delay(failures, self._jitter(), longest=REST_S)
        self._rests[at] = _Rest(failures, now + wait)

    def worked(self, at: At) -> None:
        """It does again."""
        self._rests.pop(at, None)

    @property
    def doubted(self) -> set[At]:
        """Those that failed, and have not worked since."""
        return set(self._rests)

    def left_alone(self, now: datetime, busy: Container[At]) -> set[At]:
        """Those that rest, and those that failed before and are being tried (``busy``)."""
        far = now + timedelta(seconds=2 * REST_S)  # a clock that was set back
        return {at for at, rest in self._rests.items() if at in busy or now < rest.until < far}
