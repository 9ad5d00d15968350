"""Lists that are scrubbed for programs: one at a time, in a process of its own, so that no call
waits for one; and gone, with all they led to, when their time is over.

A list lies in a folder of its own name, made for its owner alone. What a run makes lies in a
folder of that run until it has ended well; a run that was cut off is begun anew at the next start,
and what an orphan of it still writes is nobody's.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

import structlog
from sqlalchemy import Connection, delete
from sqlalchemy.exc import SQLAlchemyError

from callguard.clock import Clock, latest
from callguard.config import Scrubs
from callguard.ids import uuid7
from callguard.retention.holds.covering import HeldError
from callguard.retention.purging.clock_sense import ClockSense
from callguard.storage.database import Database
from callguard.storage.faults import one_line
from callguard.storage.journal import Journal, NotDurableError
from callguard.storage.schema import scrubs
from callguard.web import scrub_job
from callguard.web.scrub_folder import OUT, keep_only_results, names_in, size_of
from callguard.web.scrub_incoming import Incoming, NoRoomError, remove
from callguard.web.scrub_job import OVER, Job
from callguard.web.scrub_process import GRACE_S
from callguard.web.scrub_run import Running, Scrubber, scrub, why

log = structlog.get_logger(__name__)

SWEEP_S: Final = 300.0
AGAIN_S: Final = 5.0
"""How long after a write that was not kept it is tried again."""


class ScrubJobs:
    """The lists that are here. ``run`` does the work; the service owns it."""

    def __init__(
        self,
        folder: Path,
        settings: Scrubs,
        database: Database,
        journal: Journal,
        clock: Clock,
        scrubber: Scrubber,
        durable_s: float = 2.0,
        keep: Callable[[str, datetime], datetime | None] = lambda _tenant, _at: None,
    ) -> None:
        """``keep`` is until when a tenant keeps its lists, where it chose that: no longer than the
        settings let any lie here."""
        self._tenant_keeps = keep
        self._folder = folder
        self._settings = settings
        self._database = database
        self._journal = journal
        self._clock = clock
        self._sense = ClockSense(clock)
        self._scrubber = scrubber
        self._durable_s = durable_s
        self._jobs: dict[str, Job] = {}
        self._coming: set[str] = set()
        self._leaving: dict[str, asyncio.Lock] = {}
        self._running: Running | None = None
        self._wake = asyncio.Event()

    def get(self, job_id: str) -> Job | None:
        """The list of that id, if its time is not over."""
        job = self._jobs.get(job_id)
        return job if job is not None and job.expires_at > latest(self._clock) else None

    def file(self, job: Job, name: str) -> Path | None:
        """What the scrub made of a list under that name, if it is there."""
        if job.state != "done" or self.get(job.id) is None:
            return None
        file = self._folder / job.id / OUT / name
        return file if file.is_file() else None

    def begin(self, size: int | None) -> Incoming:
        """Makes room for a list of so many bytes, where that is known. Raises NoRoomError, or
        ScrubError where no folder can be made."""
        here = sum(job.state != "cancelled" for job in self._jobs.values())
        if here + len(self._coming) >= self._settings.max_waiting:
            raise NoRoomError("too many lists are here; remove one, or wait until one expires")
        job_id = str(uuid7(self._clock.now()))
        incoming = Incoming(self._folder / job_id, job_id, self._settings, self._coming)
        incoming.open(size or 0)
        return incoming

    async def add(
        self, incoming: Incoming, tenant: str, asked: Mapping[str, str], actor: str
    ) -> Job:
        """Takes a list in that has come whole. Raises ScrubError, NotDurableError; then nothing of
        it is left."""
        await incoming.keep()
        now = self._clock.now()
        expires = now + timedelta(days=self._settings.keep_days)
        if (chosen := self._tenant_keeps(tenant, now)) is not None:
            expires = min(expires, chosen)
        job = Job(
            incoming.id, tenant, "queued", dict(asked), actor, now, expires, size=incoming.size
        )
        try:
            await self._journal.write(partial(scrub_job.enter, job=job), timeout=self._durable_s)
        except (NotDurableError, asyncio.CancelledError):
            self._journal.post(work=partial(scrub_job.take_back, job=job))
            raise
        self._jobs[job.id] = job
        incoming.done()
        self._wake.set()
        log.info("scrub_queued", scrub=job.id, tenant=tenant, bytes=job.size)
        return job

    async def cancel(self, job: Job, actor: str) -> Job:
        """Ends the work on a list and removes it with all that it led to. Raises HeldError where a
        hold keeps it, ScrubError or NotDurableError where it is not certain yet."""
        try:
            async with self._leaving.setdefault(job.id, asyncio.Lock()):
                return await self._cancel(job, actor)
        finally:
            self._wake.set()

    async def _cancel(self, job: Job, actor: str) -> Job:
        if job.id in await self._database.read(scrub_job.held):
            raise HeldError("a hold keeps this list")
        running = self._running
        if running is not None and running.job.id == job.id:
            running.cancelled.set()
            async with asyncio.timeout(2 * GRACE_S + 1):
                await running.ended.wait()
        before = self._jobs.get(job.id, job)
        if before.state != "cancelled":
            now = self._clock.now()
            present = replace(before, state="cancelled", finished_at=now)
            self._jobs[job.id] = present
            work = partial(scrub_job.cancel, job=present, actor=actor, now=now)
            try:
                await self._journal.write(work, timeout=self._durable_s)
            except (NotDurableError, HeldError):
                self._jobs[job.id] = before
                raise
            log.info("scrub_cancelled", scrub=job.id)
        await asyncio.to_thread(remove, self._folder / job.id)
        return self._jobs.get(job.id, before)

    def _leaves(self, job_id: str) -> bool:
        """Whether somebody is about to remove a list; it is not certain yet that it goes."""
        return job_id in self._leaving and self._leaving[job_id].locked()

    async def run(self) -> None:
        """Scrubs the lists one after another and removes those whose time is over, for ever."""
        await self._until_kept(self._load)
        sweeping = asyncio.create_task(self._sweep_for_ever(), name="scrub-sweep")
        try:
            while True:
                self._wake.clear()
                if (job := self._next()) is not None:
                    await self._work_on(job)
                    continue
                waking = asyncio.create_task(self._wake.wait())
                try:
                    await asyncio.wait({waking, sweeping}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    waking.cancel()
                if sweeping.done():
                    await sweeping
        finally:
            sweeping.cancel()
            await asyncio.wait({sweeping})

    def _next(self) -> Job | None:
        """The list that came first, of those that wait. One whose time is over is not scrubbed,
        and keeps no other waiting."""
        waiting = (
            job
            for job in self._jobs.values()
            if job.state == "queued" and self.get(job.id) is not None and not self._leaves(job.id)
        )
        return min(waiting, key=lambda job: job.id, default=None)

    async def _load(self) -> None:
        """What was here before; what was running then is begun anew."""
        for job in await self._database.read(scrub_job.read):
            home = self._folder / job.id
            size = await asyncio.to_thread(size_of, home)
            if job.id in self._jobs:
                continue  # it came in meanwhile
            if job.state in OVER:
                await asyncio.to_thread(keep_only_results, home)
                self._jobs[job.id] = replace(job, size=size)
            else:
                self._jobs[job.id] = replace(job, state="queued", rows=None, size=size)

    async def _work_on(self, job: Job) -> None:
        running = Running(replace(job, state="running"))
        self._running, self._jobs[job.id] = running, running.job
        home = self._folder / job.id
        try:
            await self._keep(running.job)
            try:
                outcome = await self._scrub(running, home)
            except Exception as error:  # one list must not take the calls down
                log.error("scrub_failed", scrub=job.id, error=type(error).__name__)
                outcome = replace(self._jobs[job.id], state="failed", reason=why(error))
            if running.cancelled.is_set():
                self._jobs[job.id] = job  # until it is certain that it goes
            else:
                outcome = replace(outcome, finished_at=self._clock.now())
                await self._keep(outcome)
                await asyncio.to_thread(keep_only_results, home)
                self._jobs[job.id] = outcome
                log.info("scrub_ended", scrub=job.id, state=outcome.state, reason=outcome.reason)
        finally:
            self._running = None
            running.ended.set()

    async def _scrub(self, running: Running, home: Path) -> Job:
        job_id = running.job.id

        def heard(rows: int, read: int) -> None:
            self._jobs[job_id] = replace(self._jobs[job_id], rows=rows, read=read)

        summary = await scrub(running, home, self._scrubber, heard, self._clock)
        done = self._jobs[job_id]
        if summary is None:
            return done
        rows = summary.get("rows")
        return replace(
            done,
            state="done",
            summary=summary,
            rows=rows if isinstance(rows, int) else done.rows,
            read=done.size,
        )

    async def _keep(self, job: Job) -> None:
        async def write() -> None:
            await self._journal.write(partial(scrub_job.write, job=job), timeout=self._durable_s)

        await self._until_kept(write)

    async def _until_kept(self, step: Callable[[], Awaitable[None]]) -> None:
        failing = False
        while True:
            try:
                await step()
            except (NotDurableError, SQLAlchemyError, TimeoutError) as error:
                if not failing:
                    log.error("scrub_not_kept", reason=one_line(error))
                failing = True
                await asyncio.sleep(AGAIN_S)
            else:
                return

    async def _sweep_for_ever(self) -> None:
        failing = False
        while True:
            try:
                await self.sweep()
                failing = False
            except (OSError, NotDurableError, SQLAlchemyError, TimeoutError) as error:
                if not failing:
                    log.error("scrubs_not_swept", reason=one_line(error))
                failing = True
            await asyncio.sleep(SWEEP_S)

    async def sweep(self) -> int:
        """Removes the lists whose time is over, and folders that belong to none; how many lists.
        What cannot be removed keeps nothing else here. Raises OSError, NotDurableError."""
        now, held = self._clock.now(), await self._database.read(scrub_job.held)
        over = [job for job in self._jobs.values() if job.expires_at <= now and job.id not in held]
        for job in over:
            if self._running is not None and self._running.job.id == job.id:
                self._running.cancelled.set()
                await self._running.ended.wait()
        take = partial(self._take, over=[job.id for job in over])
        ids, held = await self._journal.write(take, timeout=self._durable_s)
        for job_id in ids:
            self._jobs.pop(job_id, None)
            self._leaving.pop(job_id, None)
        found = await asyncio.to_thread(names_in, self._folder)
        stay = held | {
            job.id
            for job in self._jobs.values()
            if job.state != "cancelled" or self._leaves(job.id)
        }
        failed: dict[str, OSError] = {}
        for name in found - stay - self._coming:
            try:
                await asyncio.to_thread(remove, self._folder / name)
            except OSError as error:
                failed[name] = error
        if ids:
            log.info("scrubs_expired", count=len(ids))
        if failed:
            raise next(iter(failed.values()))
        return len(ids)

    def _take(self, connection: Connection, over: Sequence[str]) -> tuple[list[str], set[str]]:
        """Which of the rows whose time is over are gone, and which lists are held. Their files go
        after them: what a crash leaves belongs to no list. None goes while the clock is not
        believed."""
        held = scrub_job.held(connection)
        if self._sense.look(connection) is not None:
            return [], held
        ids = [name for name in over if name not in held]
        connection.execute(delete(scrubs).where(scrubs.c.id.in_(ids)))
        return ids, held
