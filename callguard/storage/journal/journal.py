"""The one writer of this process: takes writes in, commits them a group at a time."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar, cast

import structlog
from sqlalchemy import Connection

from callguard.clock import Clock
from callguard.storage.background import BackgroundWriter, LogError
from callguard.storage.database import Database
from callguard.storage.dictation import Dictation, ScribeError
from callguard.storage.faults import one_line
from callguard.storage.journal.committing import (
    Committer,
    Group,
    Outcome,
    all_failed,
    commit_dictated,
)
from callguard.storage.journal.log import WriteAheadLog
from callguard.storage.journal.settling import Settling
from callguard.storage.journal.waiting import BEHIND_S, NotDurableError, Row, Waiting, Write

T = TypeVar("T")
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class JournalState:
    """What the status page and readiness see. Of the ``pending`` writes ``calls`` are not in the
    background."""

    pending: int
    calls: int
    commits: int
    writes: int
    failures: int
    failing: str | None


class Journal:
    """The one writer of this process. Start it inside a running loop; close it to flush."""

    def __init__(
        self, database: Database, clock: Clock, dictation: Dictation | None = None
    ) -> None:
        """``dictation`` commits groups of mere rows in a process of its own; without one they are
        committed in a thread, as work on the database always is."""
        self._dictation = dictation
        self._clock = clock
        self._waiting = Waiting()
        self._settling = Settling()
        background = BackgroundWriter(database)
        self._committer = Committer(database, background)
        self._log = WriteAheadLog(database, background)
        self._syncing: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="db-write")
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._group_since: float | None = None

    def start(self) -> asyncio.Task[None]:
        """Starts the writer task; its owner should watch it."""
        self._task = asyncio.create_task(self._run(), name="journal")
        return self._task

    def state(self) -> JournalState:
        told = self._settling
        failing = told.failing
        if failing is None and self._group_since is not None:
            stuck = self._clock.monotonic() - self._group_since
            failing = f"a commit has taken {stuck:.0f} s" if stuck > 2.0 else None
        pending, calls = len(self._waiting), self._waiting.calls
        return JournalState(pending, calls, told.commits, told.writes, told.failures, failing)

    async def insert(self, *rows: Row, timeout: float = 2.0) -> None:
        """Makes rows durable, together. Raises NotDurableError."""
        await self._submit(rows, None, timeout)

    async def write(self, work: Callable[[Connection], T], *, timeout: float = 2.0) -> T:
        """Runs ``work`` in a writing transaction and returns its value once durable.

        ``work`` may run twice (alone, after its group failed), so it must not act outside the
        database. Raises NotDurableError, or what ``work`` itself raised.
        """
        return cast("T", await self._submit((), work, timeout))

    async def write_behind(self, work: Callable[[Connection], T], *, timeout: float = 2.0) -> T:
        """As ``write``, for work in the background: calls go before it, none is in its transaction,
        and none waits while the disk takes it."""
        until = self._clock.monotonic() + BEHIND_S
        return cast("T", await self._submit((), work, timeout, until))

    def post(
        self,
        *rows: Row,
        work: Callable[[Connection], object] | None = None,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        """Writes without anybody waiting, after all that was submitted before. What is not kept is
        logged, and ``on_lost`` is told."""

        def settle(done: "asyncio.Future[object]") -> None:
            if not done.cancelled() and (error := done.exception()) is not None:
                log.error("write_not_kept", reason=one_line(error))
                on_lost()

        try:
            done = self._enqueue(rows, work)
        except NotDurableError as error:
            log.error("write_not_kept", reason=str(error))
            on_lost()
        else:
            done.add_done_callback(settle)

    async def close(self) -> None:
        """Commits what waits and stops. What cannot be committed fails with NotDurableError."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await self._task
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._log.close()

    async def _submit(
        self,
        rows: Sequence[Row],
        work: Callable[[Connection], T] | None,
        timeout: float,
        behind_until: float | None = None,
    ) -> object:
        done = self._enqueue(rows, work, behind_until)
        try:
            async with asyncio.timeout(timeout):
                return await done
        except TimeoutError as error:
            self._settling.failures += 1
            raise NotDurableError(f"not durable within {timeout:g} s") from error

    def _enqueue(
        self,
        rows: Sequence[Row],
        work: Callable[[Connection], object] | None,
        behind_until: float | None = None,
    ) -> "asyncio.Future[object]":
        if self._closing:
            raise NotDurableError("the journal is closed")
        done: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._waiting.add(Write(done, tuple(rows), work, behind_until))
        self._wake.set()
        return done

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        if self._dictation is not None:
            with suppress(ScribeError):
                await self._dictation.commit([])  # the first call does not wait for its start
        while True:
            await self._wake.wait()
            self._wake.clear()
            while group := self._next_group():
                self._group_since = self._clock.monotonic()
                outcome = await self._commit(group)
                if outcome.wrote and group[0].behind_until is not None:
                    self._syncing = asyncio.create_task(self._sync(group, outcome))
                else:
                    self._settling.settle(group, outcome)
                await self._log.written(len(group))
                self._group_since = None
            if self._closing:
                if self._syncing is not None:
                    await asyncio.wait([self._syncing])
                    continue  # what waited for it comes next
                if self._dictation is not None:
                    self._dictation.close()
                    await loop.run_in_executor(self._thread, self._dictation.wait)
                await loop.run_in_executor(self._thread, self._committer.close)
                return

    def _next_group(self) -> Group:
        # No work in the background is begun while the disk takes the one before.
        return self._waiting.next_group(self._clock.monotonic(), behind=self._syncing is None)

    async def _commit(self, group: Group) -> Outcome:
        try:
            await self._log.mend()
        except LogError as error:
            return all_failed(group, error)
        if self._dictation is not None:
            outcome = await commit_dictated(self._dictation, group)
            if outcome is not None:
                return outcome
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._committer.commit, group)

    async def _sync(self, group: Group, outcome: Outcome) -> None:
        """Beside the writer: the end of work in the background that changed something."""
        try:
            await self._log.sync()
        except LogError as error:
            outcome = all_failed(group, error)
        self._syncing = None
        self._settling.settle(group, outcome)
        self._wake.set()
