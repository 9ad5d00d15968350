"""Lists that are scrubbed for programs: one at a time, in a process of its own, so that no call
waits for one; and gone, with all they led to, when their time is over.

A list lies in a folder of its own name, made for its owner alone. What a run makes lies in a
folder of that run until it has ended well; a run that was cut off is begun anew at the next start,
and what an orphan of it still writes is nobody's.
"""

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final, Literal, Protocol

import structlog
from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from callguard.audit.log import Entry, append
from callguard.clock import Clock, latest
from callguard.config import Scrubs
from callguard.ids import uuid7
from callguard.retention.holds.covering import HeldError, is_held
from callguard.retention.purging.clock_sense import ClockSense
from callguard.storage.database import Database
from callguard.storage.faults import one_line
from callguard.storage.journal import Journal, NotDurableError
from callguard.storage.schema import scrubs
from callguard.web.scrub_incoming import LIST, Incoming, NoRoomError, ScrubError, remove
from callguard.web.scrub_process import GRACE_S
from callguard.web.scrub_process import run as run_process

log = structlog.get_logger(__name__)

State = Literal["queued", "running", "done", "failed", "cancelled"]
OVER: Final = ("done", "failed", "cancelled")

OUT: Final = "out"
SWEEP_S: Final = 300.0
AGAIN_S: Final = 5.0
"""How long after a write that was not kept it is tried again."""


@dataclass(frozen=True, slots=True)
class Job:
    """One list. ``asked`` is how it is to be scrubbed; ``rows`` and ``read`` (bytes) are how far
    it has come, ``size`` its bytes; ``summary`` is what the scrub said at its end."""

    id: str
    tenant: str
    state: State
    asked: Mapping[str, str]
    actor: str
    at: datetime
    expires_at: datetime
    finished_at: datetime | None = None
    rows: int | None = None
    read: int = 0
    size: int = 0
    summary: Mapping[str, object] | None = None
    reason: str | None = None


class Scrubber(Protocol):
    """How a list is scrubbed."""

    def command(self, job: Job, source: Path, out: Path) -> Sequence[str]:
        """The program and its arguments; ``out`` is an empty folder."""
        ...

    def progress(self, line: str) -> tuple[int, int] | None:
        """The rows and bytes done, in a line of its standard error; None in any other line."""
        ...


@dataclass(slots=True)
class _Running:
    job: Job
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)


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
        self._running: _Running | None = None
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

        def work(connection: Connection) -> None:
            connection.execute(insert(scrubs).values(**_as_row(job)))
            entry = Entry(now, actor, "scrub.add", f"scrub:{job.id}", tenant, {"bytes": job.size})
            append(connection, entry)

        await self._journal.write(work, timeout=self._durable_s)
        self._jobs[job.id] = job
        incoming.done()
        self._wake.set()
        log.info("scrub_queued", scrub=job.id, tenant=tenant, bytes=job.size)
        return job

    async def cancel(self, job: Job, actor: str) -> Job:
        """Ends the work on a list and removes it with all that it led to. Raises HeldError where a
        hold keeps it, ScrubError or NotDurableError where it is not certain yet."""
        if job.id in await self._database.read(_held):
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

            def work(connection: Connection) -> None:
                if job.id in _held(connection):
                    raise HeldError("a hold keeps this list")
                _write(connection, present)
                entry = Entry(now, actor, "scrub.remove", f"scrub:{job.id}", job.tenant, {})
                append(connection, entry)

            try:
                await self._journal.write(work, timeout=self._durable_s)
            except (NotDurableError, HeldError):
                again = replace(before, state="queued") if before.state == "running" else before
                self._jobs[job.id] = again
                self._wake.set()
                raise
            log.info("scrub_cancelled", scrub=job.id)
        await asyncio.to_thread(remove, self._folder / job.id)
        return self._jobs.get(job.id, before)

    async def run(self) -> None:
        """Scrubs the lists one after another and removes those whose time is over, for ever."""
        await self._until_kept(self._load)
        sweeping = asyncio.create_task(self._sweep_for_ever(), name="scrub-sweep")
        try:
            while True:
                self._wake.clear()
                job = min(
                    (j for j in self._jobs.values() if j.state == "queued"),
                    key=lambda j: j.id,
                    default=None,
                )
                if job is not None and self.get(job.id) is not None:
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

    async def _load(self) -> None:
        """What was here before; what was running then is begun anew."""
        rows = await self._database.read(lambda c: c.execute(select(scrubs)).all())
        for row in rows:
            size = await asyncio.to_thread(_size, self._folder / row.id / LIST)
            job = Job(
                row.id,
                row.tenant_id,
                row.state,
                row.asked,
                row.actor,
                row.at,
                row.expires_at,
                row.finished_at,
                row.rows,
                size=size,
                summary=row.summary,
                reason=row.reason,
            )
            if job.state in OVER:
                await asyncio.to_thread(_keep_only_results, self._folder / row.id)
            else:
                job = replace(job, state="queued", rows=None)
            self._jobs[job.id] = job

    async def _work_on(self, job: Job) -> None:
        running = _Running(replace(job, state="running"))
        self._running, self._jobs[job.id] = running, running.job
        home = self._folder / job.id
        try:
            await self._keep(running.job)
            try:
                outcome = await self._scrub(running, home)
            except Exception as error:  # one list must not take the calls down
                log.error("scrub_failed", scrub=job.id, error=type(error).__name__)
                outcome = replace(self._jobs[job.id], state="failed", reason=_reason(error))
            if not running.cancelled.is_set():
                outcome = replace(outcome, finished_at=self._clock.now())
                await self._keep(outcome)
                await asyncio.to_thread(_keep_only_results, home)
                self._jobs[job.id] = outcome
                log.info("scrub_ended", scrub=job.id, state=outcome.state, reason=outcome.reason)
        finally:
            self._running = None
            running.ended.set()

    async def _scrub(self, running: _Running, home: Path) -> Job:
        job = running.job
        work = home / f"run-{uuid7(self._clock.now())}"

        def prepare() -> None:
            for left in home.glob("run-*"):
                shutil.rmtree(left)
            work.mkdir(mode=0o700)

        await asyncio.to_thread(prepare)
        said = await run_process(
            self._scrubber.command(job, home / LIST, work),
            running.cancelled,
            partial(self._heard, job.id),
            self._clock,
        )
        if running.cancelled.is_set():
            return job
        summary = _summary(said)

        def publish() -> None:
            for made in work.iterdir():
                made.chmod(0o600)
            shutil.rmtree(home / OUT, ignore_errors=True)
            work.rename(home / OUT)

        await asyncio.to_thread(publish)
        done = self._jobs[job.id]
        rows = summary.get("rows")
        return replace(
            done,
            state="done",
            summary=summary,
            rows=rows if isinstance(rows, int) else done.rows,
            read=done.size,
        )

    def _heard(self, job_id: str, line: str) -> bool:
        """Takes in a line of a run, if it tells of progress."""
        progress = self._scrubber.progress(line)
        if progress is not None:
            rows, read = progress
            self._jobs[job_id] = replace(self._jobs[job_id], rows=rows, read=read)
        return progress is not None

    async def _keep(self, job: Job) -> None:
        async def write() -> None:
            await self._journal.write(lambda c: _write(c, job), timeout=self._durable_s)

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
        now, held = self._clock.now(), await self._database.read(_held)
        over = [job for job in self._jobs.values() if job.expires_at <= now and job.id not in held]
        for job in over:
            if self._running is not None and self._running.job.id == job.id:
                self._running.cancelled.set()
                await self._running.ended.wait()
        take = partial(self._take, over=[job.id for job in over])
        ids, held = await self._journal.write(take, timeout=self._durable_s)
        for job_id in ids:
            self._jobs.pop(job_id, None)
        found = await asyncio.to_thread(_names, self._folder)
        stay = held | {job.id for job in self._jobs.values() if job.state != "cancelled"}
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
        held = _held(connection)
        if self._sense.look(connection) is not None:
            return [], held
        ids = [name for name in over if name not in held]
        connection.execute(delete(scrubs).where(scrubs.c.id.in_(ids)))
        return ids, held


def _reason(error: Exception) -> str:
    if isinstance(error, ScrubError):
        return one_line(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"the scrub broke: {type(error).__name__}"


def _summary(said: bytes) -> dict[str, object]:
    try:
        summary = json.loads(said)
    except ValueError as error:
        raise ScrubError("the scrub did not say what it did") from error
    if not isinstance(summary, dict):
        raise ScrubError("the scrub did not say what it did")
    summary.pop("files", None)  # where they lie here says nothing to whoever asked
    return summary


def _as_row(job: Job) -> dict[str, object]:
    return {
        "id": job.id,
        "tenant_id": job.tenant,
        "state": job.state,
        "asked": dict(job.asked),
        "actor": job.actor,
        "at": job.at,
        "finished_at": job.finished_at,
        "rows": job.rows,
        "summary": job.summary,
        "reason": job.reason,
        "expires_at": job.expires_at,
    }


def _write(connection: Connection, job: Job) -> None:
    connection.execute(update(scrubs).where(scrubs.c.id == job.id).values(**_as_row(job)))


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _keep_only_results(home: Path) -> None:
    """Removes the list that was scrubbed, and what a run left that did not end well. What stays
    all the same goes with the folder."""
    with suppress(OSError):
        (home / LIST).unlink(missing_ok=True)
    for left in home.glob("run-*"):
        shutil.rmtree(left, ignore_errors=True)


def _held(connection: Connection) -> set[str]:
    """The lists that a hold keeps."""
    return set(connection.execute(select(scrubs.c.id).where(is_held(scrubs))).scalars())


def _names(folder: Path) -> set[str]:
    return {found.name for found in folder.iterdir()} if folder.is_dir() else set()
