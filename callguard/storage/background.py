"""A writer for work in the background, whose commits keep nobody waiting for the disk.

SQLite's own commit holds the writers' lock until the disk has the log: a call that comes just then
waits for that, and then for its own. Here the transaction ends without, and the log is synced
afterwards, while calls are written. A crash in between takes away the last transactions, whole.
"""

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar, cast

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from callguard.storage.database import Database
from callguard.storage.faults import one_line

T = TypeVar("T")


class LogError(RuntimeError):
    """The write-ahead log cannot be opened, synced or begun anew; one line that says why."""


class BackgroundWriter:
    """One connection. What ``run`` returned is durable once a later ``sync`` has returned; one
    thing at a time, and no ``close`` between those two."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Connection | None = None
        self._log: int | None = None

    def run(self, work: Callable[[Connection], T]) -> tuple[T, int]:
        """What ``work`` gave in a transaction of its own, and how many rows it changed. Raises what
        it raises, LogError and SQLAlchemyError."""
        if self._connection is None:
            self._connection = self._database.writer(synced=False)
        with self._connection.begin():
            if self._log is None:
                # Before a page is written: a disk that fails tells those who have the file open.
                try:
                    self._log = _open_log(self._database)
                except OSError as error:
                    raise LogError(one_line(error)) from error
            driver = cast(sqlite3.Connection, self._connection.connection.dbapi_connection)
            before = driver.total_changes
            result = work(self._connection)
            return result, driver.total_changes - before

    def sync(self) -> None:
        """Raises LogError; what was written since the last one may then be lost."""
        if self._log is not None:
            try:
                os.fdatasync(self._log)
            except OSError as error:
                raise LogError(one_line(error)) from error

    def close(self) -> None:
        """The next ``run`` begins with another connection."""
        connection, self._connection = self._connection, None
        log, self._log = self._log, None
        if connection is not None:
            with suppress(SQLAlchemyError):
                connection.close()
        if log is not None:
            os.close(log)


def _open_log(database: Database) -> int | None:
    """The write-ahead log, which is there as long as somebody has the database open; None where a
    database has none."""
    name = database.url.database
    if not name or name == ":memory:":
        return None
    log = Path(f"{name}-wal")
    folder = os.open(log.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return os.open(log, os.O_RDWR | os.O_CLOEXEC)
