"""Work in the background: durable as any other, and never before a call."""

import asyncio
import os
import threading
from collections.abc import Callable

import pytest
from sqlalchemy import Connection, func, select

from callguard.storage.background import BackgroundWriter
from callguard.storage.database import Database
from callguard.storage.journal import Journal, NotDurableError, Row
from callguard.storage.schema import cdr_cursors
from tests.clock import HandClock


def a_row(name: str) -> Row:
    return Row(cdr_cursors, {"pbx": name, "inode": 1, "position": 0})


def enter(connection: Connection) -> int:
    connection.execute(cdr_cursors.insert().values(pbx="behind", inode=1, position=0))
    return connection.execute(select(func.count()).select_from(cdr_cursors)).scalar_one()


async def begun(journal: Journal) -> threading.Event:
    """Holds the writer until the event is set."""
    started, go = threading.Event(), threading.Event()

    def hold(_: Connection) -> None:
        started.set()
        assert go.wait(10)

    journal.post(work=hold)
    assert await asyncio.to_thread(started.wait, 10)
    return go


async def test_calls_go_before_work_that_was_asked_for_earlier(journal: Journal) -> None:
    go = await begun(journal)
    behind = asyncio.create_task(journal.write_behind(enter))
    await asyncio.sleep(0)
    calls = asyncio.gather(journal.insert(a_row("a")), journal.insert(a_row("b")))
    await asyncio.sleep(0)
    assert journal.state().pending == 3
    go.set()
    await calls
    assert await behind == 3


async def test_work_has_its_turn_however_many_calls_come(
    journal: Journal, clock: HandClock
) -> None:
    go = await begun(journal)
    behind = asyncio.create_task(journal.write_behind(enter))
    await asyncio.sleep(0)
    call = asyncio.create_task(journal.insert(a_row("a")))
    await asyncio.sleep(0)
    clock.advance(seconds=1)
    go.set()
    assert await behind == 1
    await call


async def test_a_call_is_kept_while_the_disk_takes_the_work(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, go = threading.Event(), threading.Event()

    def slow(self: BackgroundWriter) -> None:
        started.set()
        assert go.wait(10)

    monkeypatch.setattr(BackgroundWriter, "sync", slow)
    behind = asyncio.create_task(journal.write_behind(enter))
    assert await asyncio.to_thread(started.wait, 10)
    await journal.insert(a_row("a"))
    assert not behind.done()
    go.set()
    assert await behind == 1


async def test_what_the_disk_did_not_take_is_not_said_to_be_durable(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(NotDurableError, match="Input/output error"):
        await journal.write_behind(enter)
    monkeypatch.undo()
    with pytest.raises(LookupError):
        await journal.write_behind(_refuse)


def _refuse(connection: Connection) -> None:
    connection.execute(cdr_cursors.insert().values(pbx="x", inode=1, position=0))
    raise LookupError("no")


async def test_work_that_fails_leaves_nothing(database: Database, journal: Journal) -> None:
    with pytest.raises(LookupError):
        await journal.write_behind(_refuse)
    with database.reading() as connection:
        assert connection.execute(select(cdr_cursors.c.pbx)).all() == []


async def test_what_waits_is_written_before_the_journal_closes(
    database: Database, clock: HandClock
) -> None:
    journal = Journal(database, clock)
    journal.start()
    works = [asyncio.create_task(journal.write_behind(enter_as(n))) for n in range(3)]
    await asyncio.sleep(0)
    await journal.close()
    await asyncio.gather(*works)
    with database.reading() as connection:
        assert len(connection.execute(select(cdr_cursors.c.pbx)).all()) == 3


def enter_as(n: int) -> Callable[[Connection], None]:
    def work(connection: Connection) -> None:
        connection.execute(cdr_cursors.insert().values(pbx=f"{n}", inode=1, position=0))

    return work


def test_only_its_own_connection_does_not_wait_for_the_disk(database: Database) -> None:
    writer = BackgroundWriter(database)
    own, _ = writer.run(lambda c: c.exec_driver_sql("PRAGMA synchronous").scalar())
    writer.close()
    others = []
    for _ in range(3):
        with database.writing() as connection:
            others.append(connection.exec_driver_sql("PRAGMA synchronous").scalar())
    assert (own, others) == (1, [2, 2, 2])
