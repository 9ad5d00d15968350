"""The journal: every call-time write goes through one writer with group commit.

Writers await their own commit. While one group is being committed the next one gathers, so a
commit's fsync is shared by all who came meanwhile. What fails in a group is tried again alone,
so that one bad row never takes its neighbours down.
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeGuard, TypeVar, cast

import structlog
from sqlalchemy import Connection, Table
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError

from callguard.clock import Clock
from callguard.storage.background import BackgroundWriter
from callguard.storage.bulk import Statement, as_statements, insert_rows
from callguard.storage.database import Database
from callguard.storage.dictation import Dictation, ScribeError
from callguard.storage.faults import one_line

T = TypeVar("T")
log = structlog.get_logger(__name__)

GROUP = 512
"""Most writes in one commit."""

PENDING = 20_000
"""Most writes waiting; beyond it the database is not keeping up and new ones are refused."""

BEHIND_S = 0.25
"""How long work in the background lets calls go before it at most; then it is its turn."""

CHECKPOINT_WRITES = 2_000
"""Writes after which the write-ahead log is moved into the database."""


LONG_LOG = 64 * 1024 * 1024
"""Bytes of the write-ahead log beyond which writing pauses until all of it is moved."""


class NotDurableError(RuntimeError):
    """The write is not known to be on disk; whoever asked must act as if it had not happened."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row to insert."""

    table: Table
    values: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class _Write(Generic[T]):
    done: "asyncio.Future[T | None]"
    rows: tuple[Row, ...] = ()
    work: Callable[[Connection], T] | None = None
    behind_until: float | None = None
    """Of work in the background: when it lets no more calls go before it."""


@dataclass(frozen=True, slots=True)
class JournalState:
    """What the status page and readiness see."""

    pending: int
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
        self._database = database
        self._dictation = dictation
        self._clock = clock
        self._waiting: deque[_Write[object]] = deque()
        self._behind: deque[_Write[object]] = deque()
        self._background = BackgroundWriter(database)
        self._syncing: asyncio.Future[None] | None = None
        self._wake = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="db-write")
        self._checkpoints = ThreadPoolExecutor(1, thread_name_prefix="db-checkpoint")
        self._checkpoint: asyncio.Future[None] | None = None
        self._since_checkpoint = 0
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._commits = self._writes = self._failures = 0
        self._failing: str | None = None
        self._changes = 0
        self._group_since: float | None = None

    def start(self) -> asyncio.Task[None]:
        """Starts the writer task; its owner should watch it."""
        self._task = asyncio.create_task(self._run(), name="journal")
        return self._task

    def state(self) -> JournalState:
        failing = self._failing
        if failing is None and self._group_since is not None:
            stuck = self._clock.monotonic() - self._group_since
            failing = f"a commit has taken {stuck:.0f} s" if stuck > 2.0 else None
        return JournalState(self._pending(), self._commits, self._writes, self._failures, failing)

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
        self._checkpoints.shutdown(wait=False, cancel_futures=True)

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
            self._failures += 1
            raise NotDurableError(f"not durable within {timeout:g} s") from error

    def _enqueue(
        self,
        rows: Sequence[Row],
        work: Callable[[Connection], object] | None,
        behind_until: float | None = None,
    ) -> "asyncio.Future[object]":
        if self._closing:
            raise NotDurableError("the journal is closed")
        if self._pending() >= PENDING:
            raise NotDurableError("the journal is full")
        done: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        queue = self._waiting if behind_until is None else self._behind
        queue.append(_Write(done, tuple(rows), work, behind_until))
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
                results, before = await self._dictated(group), self._changes
                wrote = results is not None
                if results is None:
                    results = await loop.run_in_executor(self._thread, self._commit, group)
                    wrote = self._changes > before
                self._group_since = None
                if wrote and group[0].behind_until is not None:
                    self._syncing = asyncio.create_task(self._sync(group, results))
                else:
                    self._settle(group, results, wrote=wrote)
                self._checkpoint_if_due(len(group))
                if self._log_is_long():
                    # With nobody writing meanwhile, so that SQLite begins the log anew.
                    await loop.run_in_executor(self._checkpoints, self._move_log, True)
            if self._closing:
                if self._syncing is not None:
                    await asyncio.wait([self._syncing])
                    continue  # what waited for it comes next
                if self._dictation is not None:
                    self._dictation.close()
                    await loop.run_in_executor(self._thread, self._dictation.wait)
                await loop.run_in_executor(self._thread, self._disconnect)
                return

    async def _sync(self, group: Sequence[_Write[object]], results: Sequence[object]) -> None:
        """Beside the writer: the end of work in the background that changed something."""
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._checkpoints, self._background.sync)
        except Exception as error:
            log.error("log_not_synced", reason=one_line(error))
            results = [NotDurableError(one_line(error))]
        self._syncing = None
        self._settle(group, results, wrote=True)
        self._wake.set()

    async def _dictated(self, group: Sequence[_Write[object]]) -> list[object] | None:
        """What became of each write of a group of mere rows; None for any other group."""
        if self._dictation is None:
            return None
        try:
            statements = _statements(group)
        except Exception:  # a value that is none: the thread finds out whose it is
            return None
        if statements is None:
            return None
        try:
            await self._dictation.commit(statements)
        except ScribeError as error:
            if error.failing or len(group) == 1:
                return [error] * len(group)
            alone = [await self._dictated([write]) for write in group]
            return [result for results in alone for result in results or ()]
        return [None] * len(group)

    def _checkpoint_if_due(self, written: int) -> None:
        """Beside the writer, so that no commit waits for it."""
        self._since_checkpoint += written
        busy = self._checkpoint is not None and not self._checkpoint.done()
        if self._since_checkpoint >= CHECKPOINT_WRITES and not busy:
            self._since_checkpoint = 0
            loop = asyncio.get_running_loop()
            self._checkpoint = loop.run_in_executor(self._checkpoints, self._move_log)

    def _log_is_long(self) -> bool:
        """Asked once in a while: a log that is written without a pause never begins anew."""
        if self._since_checkpoint > 0:
            return False
        return self._database.log_bytes() > LONG_LOG

    def _move_log(self, emptying: bool = False) -> None:
        try:
            self._database.checkpoint(emptying=emptying)
        except Exception as error:
            log.warning("checkpoint_failed", reason=one_line(error))

    def _pending(self) -> int:
        return len(self._waiting) + len(self._behind)

    def _next_group(self) -> list[_Write[object]]:
        now = self._clock.monotonic()
        while self._behind and self._syncing is None:
            if self._waiting and now < (self._behind[0].behind_until or 0.0):
                break
            if not (write := self._behind.popleft()).done.done():
                return [write]
        group: list[_Write[object]] = []
        while self._waiting and len(group) < GROUP:
            write = self._waiting.popleft()
            if not write.done.done():  # who gave up waiting must not find it written later
                group.append(write)
        return group

    def _commit_behind(self, work: Callable[[Connection], object]) -> object:
        try:
            result, changes = self._background.run(work)
        except Exception as error:
            if _is_failing(error):
                self._background.close()
            return error
        self._changes += changes
        return result

    def _commit(self, group: Sequence[_Write[object]]) -> list[object]:
        if group[0].behind_until is not None and group[0].work is not None:
            return [self._commit_behind(group[0].work)]
        try:
            if self._connection is None:
                self._connection = self._database.writer()
            with self._connection.begin():
                before = _changes(self._connection)
                results = _apply(self._connection, group)
                changes = _changes(self._connection) - before
        except Exception as error:
            if _is_failing(error):
                self._disconnect()
                return [error] * len(group)
            if len(group) == 1:
                return [error]
            return [result for write in group for result in self._commit([write])]
        self._changes += changes
        return results

    def _disconnect(self) -> None:
        self._background.close()
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(SQLAlchemyError):
                connection.close()

    def _settle(
        self, group: Sequence[_Write[object]], results: Sequence[object], *, wrote: bool
    ) -> None:
        """Of a group that changed no row SQLite writes nothing: that the disk takes writes again is
        known only where it ``wrote``."""
        failed: Exception | None = None
        kept = 0
        for write, result in zip(group, results, strict=True):
            kept += not isinstance(result, Exception)
            if _is_failing(result):
                failed = result
                reason = one_line(result)
                if not write.done.done():
                    write.done.set_exception(NotDurableError(reason))
            elif write.done.done():
                continue
            elif isinstance(result, Exception):
                error = (
                    NotDurableError(one_line(result))
                    if isinstance(result, (SQLAlchemyError, ScribeError))
                    else result
                )
                self._failures += 1
                write.done.set_exception(error)
            else:
                write.done.set_result(result)
        if failed is None:
            if self._failing is not None and wrote:
                log.info("database_writes_again")
                self._failing = None
            self._commits += 1
            self._writes += kept
        else:
            self._failures += len(group)
            if self._failing is None:
                log.error("database_does_not_write", reason=one_line(failed))
            self._failing = one_line(failed)


def _statements(group: Iterable[_Write[object]]) -> list[Statement] | None:
    gathered: dict[Table, list[Mapping[str, object]]] = {}
    for write in group:
        if write.work is not None:
            return None
        for row in write.rows:
            gathered.setdefault(row.table, []).append(row.values)
    found: list[Statement] = []
    for table, rows in gathered.items():
        statements = as_statements(table, rows)
        if statements is None:
            return None
        found += statements
    return found


def _apply(connection: Connection, group: Iterable[_Write[object]]) -> list[object]:
    """Applies a group in order; neighbouring inserts are joined by table."""
    results: list[object] = []
    gathered: dict[Table, list[Mapping[str, object]]] = {}
    for write in group:
        if write.work is not None:
            _flush(connection, gathered)
            results.append(write.work(connection))
            continue
        for row in write.rows:
            gathered.setdefault(row.table, []).append(row.values)
        results.append(None)
    _flush(connection, gathered)
    return results


def _flush(connection: Connection, gathered: dict[Table, list[Mapping[str, object]]]) -> None:
    for table, rows in gathered.items():
        insert_rows(connection, table, rows)
    gathered.clear()


def _changes(connection: Connection) -> int:
    """How many rows that connection has changed so far."""
    return cast(sqlite3.Connection, connection.connection.dbapi_connection).total_changes


def _is_failing(result: object) -> TypeGuard[Exception]:
    """Whether the database itself failed, and not only one row or one piece of work."""
    if isinstance(result, ScribeError):
        return result.failing
    return isinstance(result, DBAPIError) and not isinstance(result, (IntegrityError, DataError))
