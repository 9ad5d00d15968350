"""When the purge runs, and the watch on the clock that it needs."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import func, select

from callguard.clock import Clock
from callguard.config import Purge
from callguard.recording.store.objects import ObjectStore
from callguard.retention.erasures.ledger import ErasureLedger
from callguard.retention.purging.certificates import Certificate, last_begun
from callguard.retention.purging.clock_sense import ClockError, ClockSense
from callguard.retention.purging.cron import missed, next_run
from callguard.retention.purging.leader import BusyError
from callguard.retention.purging.purge import Surroundings, Write, finish_erasures, purge
from callguard.storage.journal import NotDurableError
from callguard.storage.schema import tenants

log = structlog.get_logger(__name__)

_FIRST_TENANT = select(func.min(tenants.c.created_at))
"""Before any purge: there was nothing to take until then."""

LOOK_S = 30.0
"""Longest sleep between two looks at the clock, so that a clock that is set is noticed."""

START = timedelta(minutes=1)
"""How long after the start a purge runs that was missed: calls come first."""

NEVER = datetime.max.replace(tzinfo=UTC)


class DailyPurge:
    """Purges by its schedule, and remembers the last certificate for the page. At the start it
    takes away what was begun to be erased and not finished, and soon after it runs where its time
    passed while nobody was there. Where somebody else purges just now, the clock is not believed
    or the database takes nothing, it waits until that is over."""

    def __init__(
        self,
        write: Write,
        store: ObjectStore,
        ledger: ErasureLedger,
        clock: Clock,
        settings: Purge,
        *,
        tidy: Callable[[], object],
        drop: Callable[[], Awaitable[object]] | None = None,
        around: Surroundings | None = None,
    ) -> None:
        """After each purge ``drop`` takes away what was kept only for the rows that went, then
        ``tidy`` runs in a thread, to leave nothing of it in logs, and to check the ledger."""
        self._write = write
        self._tidy = tidy
        self._drop = drop
        self._store = store
        self._ledger = ledger
        self._clock = clock
        self._settings = settings
        around = around or Surroundings()
        self._sense = around.sense or ClockSense(clock, settings.max_gap_days)
        self._around = replace(around, sense=self._sense)
        self.last: Certificate | None = None
        self.fault: str | None = None
        self.clock_fault: str | None = None
        """Why nothing is purged at all."""
        self.waits_for: str | None = None
        self.next = self._after(clock.now())

    async def run(self) -> None:
        """Purges for ever."""
        try:
            await self._catch_up()
            await finish_erasures(self._write, self._store, self._clock)
        except Exception as error:
            self._failed(error)
        while True:
            await self._look()
            now = self._clock.now()
            self.next = min(self.next, self._after(now))  # the clock may be set back
            left = (self.next - now).total_seconds()
            if left > 0 or self.clock_fault is not None:
                await asyncio.sleep(min(left, LOOK_S) if left > 0 else LOOK_S)
                continue
            try:
                await self._purge()
            except (BusyError, ClockError, NotDurableError) as error:
                self.waits_for = str(error)
                log.warning("purge_waits", reason=self.waits_for)
                await asyncio.sleep(LOOK_S)
                continue
            except Exception as error:  # the next time tries again; the page shows the fault
                self._failed(error)
                self.waits_for = None
            self.next = self._after(self._clock.now())

    async def _purge(self) -> None:
        self.last = await purge(
            self._write,
            self._store,
            self._ledger,
            self._clock,
            actor="callguard",
            around=self._around,
        )
        self.waits_for = self.fault = None
        for room, reason in self.last.faults.items():
            self.fault = f"{room}: {reason}"
        if self._drop is not None:
            await self._drop()
        await asyncio.to_thread(self._tidy)

    async def _catch_up(self) -> None:
        """Sets the next run to soon, where one was missed."""
        now = self._clock.now()
        last = await self._write(lambda c: last_begun(c) or c.scalar(_FIRST_TENANT))
        if missed(last, now, self._settings):
            self.next = min(self.next, now + START)
            log.info("purge_missed", at=self.next.isoformat())

    async def _look(self) -> None:
        """At the clock: each time, so that a jump is seen against what really passed."""
        try:
            fault = await self._write(self._sense.look)
        except Exception as error:  # the journal says why on the page
            log.warning("clock_not_looked_at", reason=type(error).__name__)
            return
        if fault is not None and fault != self.clock_fault:
            log.error("clock_not_believed", reason=fault)
        elif fault is None and self.clock_fault is not None:
            log.info("clock_believed_again")
        self.clock_fault = fault

    def _after(self, moment: datetime) -> datetime:
        found = next_run(moment, self._settings)
        return found if found is not None else NEVER

    def _failed(self, error: Exception) -> None:
        self.fault = str(error) or type(error).__name__
        log.error("purge_failed", reason=self.fault)
