"""Committing one group: what becomes of each write of it."""

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeGuard, cast

from sqlalchemy import Connection, Table
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError

from callguard.storage.background import BackgroundWriter, LogError
from callguard.storage.bulk import Statement, as_statements, insert_rows
from callguard.storage.database import Database
from callguard.storage.dictation import Dictation, ScribeError
from callguard.storage.journal.waiting import Write

Group = Sequence[Write[object]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What each write of a group gave, or the exception it ended with. ``wrote`` is whether any
    row was changed: of a group that changed none SQLite writes nothing."""

    results: Sequence[object]
    wrote: bool


def all_failed(group: Group, error: Exception) -> Outcome:
    return Outcome([error] * len(group), wrote=False)


class Committer:
    """The connections of the one thread that commits."""

    def __init__(self, database: Database, background: BackgroundWriter) -> None:
        self._database = database
        self._background = background
        self._connection: Connection | None = None

    def commit(self, group: Group) -> Outcome:
        """Work in the background is durable only once ``background`` has synced it."""
        if group[0].behind_until is not None and group[0].work is not None:
            return self._commit_behind(group[0].work)
        try:
            if self._connection is None:
                self._connection = self._database.writer()
            with self._connection.begin():
                before = _changes(self._connection)
                results = _apply(self._connection, group)
                changes = _changes(self._connection) - before
        except Exception as error:
            if is_failing(error):
                # Not the background's too: what it wrote may wait for its sync.
                self._disconnect()
                return all_failed(group, error)
            if len(group) == 1:
                return all_failed(group, error)
            return self._commit_alone(group)
        return Outcome(results, changes > 0)

    def close(self) -> None:
        """Closes both connections. For when no sync is under way."""
        self._background.close()
        self._disconnect()

    def _commit_alone(self, group: Group) -> Outcome:
        results: list[object] = []
        wrote = False
        for write in group:
            if results and is_failing(results[-1]):
                results.append(results[-1])
                continue
            outcome = self.commit([write])
            results += outcome.results
            wrote |= outcome.wrote
        return Outcome(results, wrote)

    def _commit_behind(self, work: Callable[[Connection], object]) -> Outcome:
        try:
            result, changes = self._background.run(work)
        except Exception as error:
            if is_failing(error):
                self._background.close()
            return Outcome([error], wrote=False)
        return Outcome([result], changes > 0)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(SQLAlchemyError):
                connection.close()


async def commit_dictated(dictation: Dictation, group: Group) -> Outcome | None:
    """Commits a group of mere rows in the process of its own; None for any other group."""
    try:
        statements = _statements(group)
    except Exception:  # a value that is none: the thread finds out whose it is
        return None
    if statements is None:
        return None
    try:
        await dictation.commit(statements)
    except ScribeError as error:
        if error.failing or len(group) == 1:
            return all_failed(group, error)
    else:
        return Outcome([None] * len(group), wrote=bool(statements))
    results: list[object] = []
    wrote = False
    for write in group:
        if results and is_failing(results[-1]):
            results.append(results[-1])
            continue
        outcome = await commit_dictated(dictation, [write])
        assert outcome is not None
        results += outcome.results
        wrote |= outcome.wrote
    return Outcome(results, wrote)


def is_failing(result: object) -> TypeGuard[Exception]:
    """Whether the database itself failed, and not only one row or one piece of work."""
    if isinstance(result, ScribeError):
        return result.failing
    if isinstance(result, LogError):
        return True
    return isinstance(result, DBAPIError) and not isinstance(result, (IntegrityError, DataError))


def _statements(group: Iterable[Write[object]]) -> list[Statement] | None:
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


def _apply(connection: Connection, group: Iterable[Write[object]]) -> list[object]:
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
