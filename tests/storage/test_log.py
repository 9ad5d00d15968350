"""The write-ahead log and a disk that does not take it: nothing is told to be durable that a power
cut would take away."""

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest
import structlog
from sqlalchemy import Connection

from callguard.storage import background
from callguard.storage.database import Database
from callguard.storage.journal import Journal, NotDurableError, Row
from callguard.storage.journal import log as journal_log
from callguard.storage.schema import cdr_cursors
from tests.clock import HandClock

SYNC = os.fdatasync


def a_row(name: str) -> Row:
    return Row(cdr_cursors, {"pbx": name, "inode": 1, "position": 0})


def enter(name: str) -> Callable[[Connection], None]:
    def work(connection: Connection) -> None:
        connection.execute(cdr_cursors.insert().values(pbx=name, inode=1, position=0))

    return work


def file_of(database: Database) -> str:
    assert database.url.database is not None
    return database.url.database


def without_log(database: Database) -> set[str]:
    """What is in the database where nothing of its log can be read."""
    address = f"file:{file_of(database)}?immutable=1"
    with closing(sqlite3.connect(address, uri=True)) as alone:
        return {name for (name,) in alone.execute("SELECT pbx FROM cdr_cursors")}


@contextmanager
def locked(database: Database) -> Iterator[None]:
    with closing(sqlite3.connect(file_of(database), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def reader(database: Database) -> Iterator[None]:
    """One that takes long."""
    with closing(sqlite3.connect(file_of(database), isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM cdr_cursors").fetchall()
        yield


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether the disk fails to sync."""
    state = [True]

    def sync(descriptor: int) -> None:
        if state[0]:
            raise OSError(5, "Input/output error")
        SYNC(descriptor)

    monkeypatch.setattr(os, "fdatasync", sync)
    return state


async def test_a_disk_that_does_not_sync_is_told_as_failing_until_it_writes(
    journal: Journal, broken: list[bool]
) -> None:
    with structlog.testing.capture_logs() as logs, pytest.raises(NotDurableError):
        await journal.write_behind(enter("a"))
    assert "Input/output error" in (journal.state().failing or "")
    assert "database_does_not_write" in [entry["event"] for entry in logs]
    assert journal.state().failures == 1
    broken[0] = False
    await journal.write_behind(enter("b"))
    assert journal.state().failing is None


async def test_behind_a_log_with_a_hole_nothing_is_durable_until_it_has_begun_anew(
    database: Database, journal: Journal, broken: list[bool]
) -> None:
    await journal.insert(a_row("before"))
    with reader(database):
        with pytest.raises(NotDurableError, match="Input/output error"):
            await journal.write_behind(enter("unsynced"))
        for _ in range(2):
            with pytest.raises(NotDurableError, match="a reader is in the way"):
                await journal.insert(a_row("refused"))
        assert "a reader is in the way" in (journal.state().failing or "")
    await journal.insert(a_row("after"))
    assert journal.state().failing is None
    assert without_log(database) == {"before", "unsynced"}, "they need no log any more"


async def test_work_is_synced_though_a_call_fails_meanwhile(
    database: Database, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    go = threading.Event()
    journal._log._thread.submit(go.wait, 10)  # the log is being moved, which takes its time
    behind = asyncio.create_task(journal.write_behind(enter("behind"), timeout=10))
    while journal._syncing is None:
        await asyncio.sleep(0.001)
    with locked(database), pytest.raises(NotDurableError, match="locked"):
        await journal.insert(a_row("a"), timeout=5)
    assert not behind.done()
    go.set()
    await behind
    assert len(synced) == 1


async def test_a_log_that_cannot_be_opened_is_the_failure_of_the_database(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Database) -> None:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(background, "_open_log", refuse)
        with pytest.raises(NotDurableError, match="Too many open files"):
            await journal.write_behind(enter("a"))
    assert "Too many open files" in (journal.state().failing or "")
    await journal.write_behind(enter("a"))
    assert journal.state().failing is None


async def test_the_journal_closes_once_the_disk_has_answered(
    database: Database, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, go = threading.Event(), threading.Event()

    def slow(_: int) -> None:
        started.set()
        assert go.wait(10)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", slow)
    journal = Journal(database, clock)
    journal.start()
    works = [asyncio.create_task(journal.write_behind(enter(name))) for name in ("a", "b")]
    call = asyncio.create_task(journal.insert(a_row("c")))
    assert await asyncio.to_thread(started.wait, 10)
    closing_it = asyncio.create_task(journal.close())
    await asyncio.sleep(0)
    await call
    with pytest.raises(NotDurableError, match="closed"):
        await journal.write_behind(enter("d"))
    assert not any(task.done() for task in (*works, closing_it))
    go.set()
    await closing_it
    told = await asyncio.gather(*works, return_exceptions=True)
    assert [type(error) for error in told] == [NotDurableError] * 2


@pytest.fixture
def long_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every log is too long."""
    monkeypatch.setattr(journal_log, "LONG_LOG", 0)
    monkeypatch.setattr(journal_log, "CHECKPOINT_WRITES", 1)


@pytest.mark.usefixtures("long_at_once")
async def test_a_reader_that_takes_long_holds_up_no_call(
    database: Database, journal: Journal
) -> None:
    await journal.insert(a_row("a"))
    with reader(database):
        for name in ("b", "c", "d"):
            await journal.insert(a_row(name), timeout=1.0)


@pytest.mark.usefixtures("long_at_once")
async def test_a_log_that_hangs_while_it_is_emptied_is_told(
    database: Database, journal: Journal, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, go = threading.Event(), threading.Event()

    def hang(_: Database) -> bool:
        started.set()
        return go.wait(10)

    with monkeypatch.context() as patched:
        patched.setattr(Database, "tidy", hang)
        patched.setattr(Database, "checkpoint", lambda *_, **__: 0)
        await journal.insert(a_row("a"))
        assert await asyncio.to_thread(started.wait, 10)
        clock.advance(3)
        assert "has taken 3 s" in (journal.state().failing or "")
        go.set()
    await journal.insert(a_row("b"))
    assert journal.state().failing is None
