"""Connections: one writing engine and one reading engine on the same database."""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar, cast

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from callguard.storage.pragmas import BUSY_MS, set_up

T = TypeVar("T")

READERS = 4

TIDY_MS = 100
"""How long emptying the write-ahead log after an erasure may hold up who writes."""

READER_BUSY_MS = 50
"""How long a reader on the event loop waits for SQLite, which is only while a log is recovered."""


class DatabaseError(RuntimeError):
    """The database cannot be used; one line that says why."""


class Database:
    """A database, opened. Synchronous inside; ``read`` is for the event loop."""

    def __init__(self, url: str) -> None:
        try:
            parsed = make_url(url)
        except SQLAlchemyError as error:
            raise DatabaseError("the database address cannot be read") from error
        if parsed.get_backend_name() != "sqlite":
            raise DatabaseError(f"{parsed.get_backend_name()} is not a database callguard knows")
        self.url = parsed
        self._engine = create_engine(parsed, pool_size=READERS + 2, max_overflow=4)
        event.listen(self._engine, "connect", _open_sqlite)
        event.listen(self._engine, "begin", _begin_sqlite)
        self._writing = self._engine.execution_options(callguard_writes=True)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="db-read")

    def make_private(self) -> None:
        """Creates the file of a SQLite database for its owner alone, before SQLite would create
        it for everybody; its log and its index take the same mode. Raises OSError."""
        if self.url.database and self.url.database != ":memory:":
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            os.close(os.open(self.url.database, flags, 0o600))

    def is_private(self) -> bool:
        """Whether nobody but the owner may read the file."""
        if not self.url.database or self.url.database == ":memory:":
            return True
        return Path(self.url.database).stat().st_mode & 0o077 == 0

    @property
    def engine(self) -> Engine:
        """The reading engine."""
        return self._engine

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One writing transaction, committed at the end.

        Raises sqlalchemy.exc.OperationalError when it cannot be had or be made durable.
        """
        with self._writing.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One reading transaction."""
        with self._engine.connect() as connection:
            yield connection

    async def read(self, query: Callable[[Connection], T], *, timeout: float = 2.0) -> T:
        """Runs ``query`` in a reading thread. Raises TimeoutError after ``timeout`` seconds."""

        def run() -> T:
            with self.reading() as connection:
                return query(connection)

        loop = asyncio.get_running_loop()
        async with asyncio.timeout(timeout):
            return await loop.run_in_executor(self._readers, run)

    def writer(self, *, synced: bool = True) -> Connection:
        """A connection for one thread that writes and keeps it; its transactions are begun with
        ``begin``. It leaves checkpoints to ``checkpoint``, so that no commit waits for one. Unless
        ``synced``, a commit does not wait for the disk either, in a database with a log."""
        connection = self._writing.connect()
        try:
            connection.exec_driver_sql("PRAGMA wal_autocheckpoint=0")
            connection.rollback()
            if not synced:
                connection.detach()  # nobody else must come by it
                driver = cast(sqlite3.Connection, connection.connection.dbapi_connection)
                driver.execute("PRAGMA synchronous=NORMAL")  # not in a transaction
        except BaseException:
            connection.close()  # else each attempt at a locked database would keep one
            raise
        return connection

    def reader(self) -> Connection:
        """A connection for reading on the event loop, each statement for itself. SQLite's readers
        wait for no writer."""
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        connection.exec_driver_sql(f"PRAGMA busy_timeout={READER_BUSY_MS}")
        return connection

    def log_bytes(self) -> int:
        """How long the write-ahead log is."""
        if not self.url.database or self.url.database == ":memory:":
            return 0
        try:
            return Path(f"{self.url.database}-wal").stat().st_size
        except OSError:
            return 0

    def checkpoint(self, *, emptying: bool = True) -> int:
        """Moves SQLite's write-ahead log into the database; ``emptying`` also cuts it to nothing,
        so that purged rows are in neither, and waits for writers. Returns how many pages of the log
        are left to be moved.

        Readers that are at work may hold part of it back until the next one.
        """
        how = "TRUNCATE" if emptying else "PASSIVE"
        connection = self._engine.raw_connection()
        try:
            found = connection.cursor().execute(f"PRAGMA wal_checkpoint({how})").fetchone()
            return max(0, int(found[1]) - int(found[2]))
        finally:
            connection.close()

    def tidy(self) -> bool:
        """Takes what was erased out of the write-ahead log and the file, and says whether all of it
        is gone. Most of it is moved beside the writers; none waits longer than ``TIDY_MS``, also
        where a reader is in the way."""
        self.checkpoint(emptying=False)
        connection = self._engine.raw_connection()
        try:
            cursor = connection.cursor()
            cursor.execute(f"PRAGMA busy_timeout={TIDY_MS}")
            try:
                busy, _, _ = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            except sqlite3.OperationalError:
                return False
            finally:
                cursor.execute(f"PRAGMA busy_timeout={BUSY_MS}")
            return not busy
        finally:
            connection.close()

    def close(self) -> None:
        self._readers.shutdown(wait=False, cancel_futures=True)
        self._engine.dispose()


def _open_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    set_up(connection)


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    if options.get("isolation_level") == "AUTOCOMMIT":
        return  # one that began would see the database as it was then, for ever
    # A writer asks for the lock at once; upgrading a read later could fail past the busy time-out.
    writes = options.get("callguard_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
