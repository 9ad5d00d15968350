"""Lists that are scrubbed for programs: one at a time, in a process of its own, so that no call
waits for one; and gone, with all they led to, when their time is over.

A list lies in a folder of its own name, made for its owner alone. What a run makes lies in a
folder of that run until it has ended well; a run that was cut off is begun anew at the next start,
and what an orphan of it still writes is nobody's.
"""

import asyncio
import json
import os
import shutil
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal, Protocol

import structlog
from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from callguard.audit.log import Entry, append
from callguard.clock import Clock
from callguard.config import Scrubs
from callguard.ids import uuid7
from callguard.storage.database import Database
from callguard.storage.faults import one_line
from callguard.storage.journal import Journal, NotDurableError
from callguard.storage.schema import scrubs

log = structlog.get_logger(__name__)

State = Literal["queued", "running", "done", "failed", "cancelled"]
OVER: Final = ("done", "failed", "cancelled")

LIST: Final = "in.csv"
OUT: Final = "out"
SWEEP_S: Final = 300.0
AGAIN_S: Final = 5.0
"""How long after a write that was not kept it is tried again."""

SILENT_S: Final = 600.0
"""A run that says nothing for so long hangs, and is ended."""

GRACE_S: Final = 5.0
MOST_SAID: Final = 1024 * 1024
NICENESS: Final = 10


class ScrubError(RuntimeError):
    """A list that cannot be taken in or handed out; one line that says why."""


class NoRoomError(ScrubError):
    """There is no room for the list: of the disk, or among those that are here."""


class TooLongError(NoRoomError):
    """The list is longer than any that is taken."""


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
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._database = database
        self._journal = journal
        self._clock = clock
        self._scrubber = scrubber
        self._durable_s = durable_s
        self._jobs: dict[str, Job] = {}
        self._coming: set[str] = set()
        self._running: _Running | None = None
        self._wake = asyncio.Event()

    def get(self, job_id: str) -> Job | None:
        """The list of that id, if its time is not over."""
        job = self._jobs.get(job_id)
        return job if job is not None and job.expires_at > self._clock.now() else None

    def file(self, job: Job, name: str) -> Path | None:
        """What the scrub made of a list under that name, if it is there."""
        if job.state != "done" or self.get(job.id) is None:
            return None
        file = self._folder / job.id / OUT / name
        return file if file.is_file() else None

    def begin(self, size: int | None) -> "Incoming":
        """Makes room for a list of so many bytes, where that is known. Raises NoRoomError, or
        ScrubError where no folder can be made."""
        if len(self._jobs) + len(self._coming) >= self._settings.max_waiting:
            raise NoRoomError("too many lists are here; remove one, or wait until one expires")
        job_id = str(uuid7(self._clock.now()))
        incoming = Incoming(self._folder / job_id, job_id, self._settings, self._coming)
        incoming.open(size or 0)
        return incoming

    async def add(
        self, incoming: "Incoming", tenant: str, asked: Mapping[str, str], actor: str
    ) -> Job:
        """Takes a list in that has come whole. Raises ScrubError, NotDurableError; then nothing of
        it is left."""
        await incoming.keep()
        now = self._clock.now()
        expires = now + timedelta(days=self._settings.keep_days)
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
        """Ends the work on a list and removes it with all that it led to. Raises ScrubError or
        NotDurableError where that is not certain yet."""
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
                _write(connection, present)
                entry = Entry(now, actor, "scrub.remove", f"scrub:{job.id}", job.tenant, {})
                append(connection, entry)

            try:
                await self._journal.write(work, timeout=self._durable_s)
            except NotDurableError:
                again = replace(before, state="queued") if before.state == "running" else before
                self._jobs[job.id] = again
                self._wake.set()
                raise
            log.info("scrub_cancelled", scrub=job.id)
        await asyncio.to_thread(_remove, self._folder / job.id)
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
                await asyncio.wait({waking, sweeping}, return_when=asyncio.FIRST_COMPLETED)
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
            if job.state not in OVER:
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
                self._jobs[job.id] = outcome
                with suppress(OSError):  # the sweep removes it with the folder
                    await asyncio.to_thread((home / LIST).unlink, missing_ok=True)
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
        said = await self._process(running, self._scrubber.command(job, home / LIST, work))
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

    async def _process(self, running: _Running, command: Sequence[str]) -> bytes:
        """What the process said at its end. Raises ScrubError where it fails, OSError where it
        cannot be started. However this ends, the process and its children have ended then."""
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
        assert process.stdout is not None
        assert process.stderr is not None
        told = _Told(self._clock.monotonic())
        tasks = {
            asyncio.create_task(_read(process.stdout, told)),
            asyncio.create_task(self._listen(running.job.id, process.stderr, told)),
            asyncio.create_task(process.wait()),
        }
        stopping = asyncio.create_task(running.cancelled.wait())
        try:
            pending = set(tasks)
            while pending:
                finished, _ = await asyncio.wait(
                    pending | {stopping},
                    timeout=SILENT_S / 10,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if stopping in finished:
                    return b""
                for task in finished:
                    task.result()
                pending -= finished
                if pending and self._clock.monotonic() - told.at > SILENT_S:
                    raise ScrubError(f"it said nothing for {SILENT_S:.0f} s, and was ended")
        finally:
            stopping.cancel()
            await _end(process)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        if process.returncode != 0:
            raise ScrubError(told.last or f"the scrub ended with status {process.returncode}")
        return bytes(told.out)

    async def _listen(self, job_id: str, stream: asyncio.StreamReader, told: "_Told") -> None:
        rest = b""
        while chunk := await stream.read(65_536):
            told.at = self._clock.monotonic()
            *lines, rest = (rest + chunk).split(b"\n")
            rest = rest[-4_096:]
            for line in lines:
                text = line.decode("utf-8", "replace").strip()
                progress = self._scrubber.progress(text)
                if progress is not None:
                    rows, read = progress
                    self._jobs[job_id] = replace(self._jobs[job_id], rows=rows, read=read)
                elif text:
                    told.last = text.removeprefix("callguard: ")[:500]

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
        Raises OSError, NotDurableError."""
        now = self._clock.now()
        over = [job for job in self._jobs.values() if job.expires_at <= now]
        for job in over:
            if self._running is not None and self._running.job.id == job.id:
                self._running.cancelled.set()
                await self._running.ended.wait()
        found = await asyncio.to_thread(_names, self._folder)
        stay = {j.id for j in self._jobs.values() if j.expires_at > now and j.state != "cancelled"}
        for name in found - stay - self._coming:
            await asyncio.to_thread(_remove, self._folder / name)
        if over:
            ids = [job.id for job in over]
            gone = delete(scrubs).where(scrubs.c.id.in_(ids))
            await self._journal.write(lambda c: c.execute(gone).rowcount, timeout=self._durable_s)
            for job_id in ids:
                self._jobs.pop(job_id, None)
            log.info("scrubs_expired", count=len(ids))
        return len(over)


class Incoming:
    """A list on its way in."""

    def __init__(self, folder: Path, job_id: str, settings: Scrubs, coming: set[str]) -> None:
        self.id = job_id
        self.size = 0
        self._folder = folder
        self._settings = settings
        self._coming = coming
        self._descriptor = -1

    def open(self, size: int) -> None:
        """Makes the folder and the file. Raises NoRoomError, ScrubError."""
        try:
            self._folder.parent.mkdir(mode=0o700, exist_ok=True)
            self._check_room(size)
            self._folder.mkdir(mode=0o700)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._descriptor = os.open(self._folder / LIST, flags, 0o600)
        except OSError as error:
            raise ScrubError(f"the list cannot be kept: {error.strerror}") from error
        self._coming.add(self.id)

    async def write(self, chunk: bytes) -> None:
        """Raises NoRoomError, ScrubError."""
        self.size += len(chunk)
        if self.size > self._settings.max_bytes:
            raise TooLongError(f"the list is longer than {self._settings.max_bytes} bytes")
        await asyncio.to_thread(self._write, chunk)

    async def keep(self) -> None:
        """Makes what has come durable. Raises ScrubError."""
        await asyncio.to_thread(self._sync)

    def done(self) -> None:
        """The list is somebody else's now."""
        self._close()
        self._coming.discard(self.id)

    async def give_up(self) -> None:
        """Removes what has come, unless it is somebody else's."""
        self._close()
        if self.id in self._coming:
            try:
                await asyncio.to_thread(_remove, self._folder)
            except OSError as error:  # the next sweep tries again
                log.error("scrub_not_removed", scrub=self.id, reason=error.strerror)
            finally:
                self._coming.discard(self.id)

    def _check_room(self, size: int) -> None:
        if size > self._settings.max_bytes:
            raise TooLongError(f"the list is longer than {self._settings.max_bytes} bytes")
        # What the scrub makes of a list is about as long again.
        if shutil.disk_usage(self._folder.parent).free - 2 * size < self._settings.reserve_bytes:
            raise NoRoomError("the disk has no room for the list")

    def _write(self, chunk: bytes) -> None:
        try:
            self._check_room(len(chunk))
            view = memoryview(chunk)
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError as error:
            raise NoRoomError(f"the list cannot be kept: {error.strerror}") from error

    def _sync(self) -> None:
        try:
            os.fsync(self._descriptor)
            for folder in (self._folder, self._folder.parent):
                descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
        except OSError as error:
            raise ScrubError(f"the list cannot be kept: {error.strerror}") from error

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


@dataclass(slots=True)
class _Told:
    """What a process has said so far, and when it last said anything."""

    at: float
    last: str = ""
    out: bytearray = field(default_factory=bytearray)


async def _read(stream: asyncio.StreamReader, told: _Told) -> None:
    while chunk := await stream.read(65_536):
        told.out += chunk
        if len(told.out) > MOST_SAID:
            raise ScrubError("the scrub said more than it should at its end")


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ends the process with all its children, asking first."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            break
        with suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE_S):
                await process.wait()


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


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _names(folder: Path) -> set[str]:
    return {found.name for found in folder.iterdir()} if folder.is_dir() else set()
