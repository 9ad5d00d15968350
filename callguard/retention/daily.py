"""When the daily purge runs."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, time, timedelta

import structlog

from callguard.clock import Clock
from callguard.recording.store.objects import ObjectStore
from callguard.retention.ledger import ErasureLedger
from callguard.retention.purge import Certificate, Write, finish_erasures, purge

log = structlog.get_logger(__name__)

LOOK_S = 30.0
"""Longest sleep between two looks at the clock, so that a clock that is set is noticed."""


def next_run(now: datetime, at: str) -> datetime:
    """The next time of day ``at`` ("HH:MM", UTC) after ``now``."""
    today = datetime.combine(now.date(), time.fromisoformat(at), tzinfo=now.tzinfo)
    return today if today > now else today + timedelta(days=1)


class DailyPurge:
    """Purges once a day, and remembers the last certificate for the page. At the start it takes
    away what was begun to be erased and not finished."""

    def __init__(
        self,
        write: Write,
        store: ObjectStore,
        ledger: ErasureLedger,
        clock: Clock,
        at: str,
        *,
        tidy: Callable[[], object],
        drop: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        """After each purge ``drop`` takes away what was kept only for the rows that went, then
        ``tidy`` runs in a thread, to leave nothing of it in logs, and to check the ledger."""
        self._write = write
        self._tidy = tidy
        self._drop = drop
        self._store = store
        self._ledger = ledger
        self._clock = clock
        self._at = at
        self.last: Certificate | None = None
        self.fault: str | None = None
        self.next = next_run(clock.now(), at)

    async def run(self) -> None:
        """Purges for ever."""
        try:
            await finish_erasures(self._write, self._store, self._clock)
        except Exception as error:
            self._failed(error)
        while True:
            now = self._clock.now()
            self.next = min(self.next, next_run(now, self._at))  # the clock may be set back
            left = (self.next - now).total_seconds()
            if left > 0:
                await asyncio.sleep(min(left, LOOK_S))
                continue
            try:
                self.last = await purge(
                    self._write, self._store, self._ledger, self._clock, actor="callguard"
                )
                self.fault = None
                if self._drop is not None:
                    await self._drop()
                await asyncio.to_thread(self._tidy)
            except Exception as error:  # the next day tries again; the page shows the fault
                self._failed(error)
            self.next = next_run(self._clock.now(), self._at)

    def _failed(self, error: Exception) -> None:
        self.fault = str(error) or type(error).__name__
        log.error("purge_failed", reason=self.fault)
