"""Committing in a process of its own: what is told to be kept is kept, and what is not is told."""

import asyncio
import os
import signal
import sqlite3
import subprocess
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import func, select

from callguard.storage.bulk import Statement
from callguard.storage.database import Database
from callguard.storage.dictation import Dictation, ScribeError
from callguard.storage.journal import Journal, NotDurableError, Row
from callguard.storage.schema import cdr_cursors, erasures, tenant_keys, tenant_numbers
from tests.clock import HandClock

INSERT = "INSERT INTO cdr_cursors (pbx, inode, position) VALUES (?, 1, 1)"


def file_of(database: Database) -> str:
    assert database.url.database is not None
    return database.url.database


def kept(database: Database) -> int:
    with database.reading() as connection:
        return connection.execute(select(func.count()).select_from(cdr_cursors)).scalar_one()


def rows(*names: str) -> list[Statement]:
    return [(INSERT, f'[["{name}"]]') for name in names]


@pytest.fixture
async def dictation(database: Database) -> AsyncIterator[Dictation]:
    one = Dictation(file_of(database))
    yield one
    one.close()
    await asyncio.to_thread(one.wait)


@pytest.fixture
async def apart(database: Database, clock: HandClock) -> AsyncIterator[Journal]:
    """A journal that writes in a process of its own."""
    started = Journal(database, clock, Dictation(file_of(database)))
    started.start()
    yield started
    await started.close()


def a_row(name: str) -> Row:
    return Row(cdr_cursors, {"pbx": name, "inode": 1, "position": 0})


def scribe_of(one: Dictation) -> "subprocess.Popen[bytes]":
    assert one._process is not None
    return one._process


async def test_what_was_committed_is_in_the_file(database: Database, dictation: Dictation) -> None:
    await dictation.commit(rows("a", "b"))
    with closing(sqlite3.connect(file_of(database))) as other:
        assert other.execute("SELECT count(*) FROM cdr_cursors").fetchone() == (2,)


async def test_a_group_goes_in_whole_or_not_at_all(
    database: Database, dictation: Dictation
) -> None:
    with pytest.raises(ScribeError, match="UNIQUE") as refused:
        await dictation.commit(rows("a", "b", "a"))
    assert not refused.value.failing
    assert kept(database) == 0
    await dictation.commit(rows("a"))
    assert kept(database) == 1


async def test_a_statement_that_is_none_is_a_failure_and_the_next_group_goes_in(
    database: Database, dictation: Dictation
) -> None:
    with pytest.raises(ScribeError, match="syntax") as failed:
        await dictation.commit([("INSRT", "[[]]")])
    assert failed.value.failing
    await dictation.commit(rows("a"))
    assert kept(database) == 1


async def test_rows_that_are_none_are_a_failure_and_the_next_group_goes_in(
    database: Database, dictation: Dictation
) -> None:
    with pytest.raises(ScribeError):
        await dictation.commit([(INSERT, "nonsense")])
    await dictation.commit(rows("a"))
    assert kept(database) == 1


async def test_a_database_that_another_holds_is_a_failure(
    database: Database, dictation: Dictation
) -> None:
    with closing(sqlite3.connect(file_of(database), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ScribeError, match="locked") as failed:
            await dictation.commit(rows("a"))
        other.execute("ROLLBACK")
    assert failed.value.failing
    await dictation.commit(rows("a"))
    assert kept(database) == 1


async def test_a_scribe_that_is_killed_is_told_and_replaced(
    database: Database, dictation: Dictation
) -> None:
    await dictation.commit(rows("a"))
    scribe_of(dictation).kill()
    scribe_of(dictation).wait()
    with pytest.raises(ScribeError, match="writing process failed") as failed:
        await dictation.commit(rows("b"))
    assert failed.value.failing
    await dictation.commit(rows("c"))
    assert kept(database) == 2


async def test_who_gives_up_waiting_leaves_no_answer_for_the_next(
    database: Database, dictation: Dictation
) -> None:
    await dictation.commit([])
    os.kill(scribe_of(dictation).pid, signal.SIGSTOP)
    stopped = scribe_of(dictation)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await dictation.commit(rows("a", "a"))
    os.kill(stopped.pid, signal.SIGCONT)
    await dictation.commit(rows("b"))
    await asyncio.to_thread(stopped.wait, 10)
    assert kept(database) == 1


async def test_the_scribe_heeds_no_signal_that_is_meant_for_the_service(
    database: Database, dictation: Dictation
) -> None:
    await dictation.commit([])
    for name in (signal.SIGTERM, signal.SIGINT):
        os.kill(scribe_of(dictation).pid, name)
    await dictation.commit(rows("a"))
    assert kept(database) == 1


async def test_the_scribe_ends_with_the_service(dictation: Dictation) -> None:
    await dictation.commit([])
    scribe = scribe_of(dictation)
    dictation.close()
    assert await asyncio.to_thread(scribe.wait, 10) == 0


async def test_a_database_that_is_not_there_is_told(tmp_path: Path) -> None:
    nowhere = Dictation(str(tmp_path / "none" / "callguard.db"))
    with pytest.raises(ScribeError, match="unable to open") as failed:
        await nowhere.commit([])
    assert failed.value.failing
    nowhere.close()
    await asyncio.to_thread(nowhere.wait)


async def test_the_journal_keeps_many_rows_in_few_commits(
    database: Database, apart: Journal
) -> None:
    await asyncio.gather(*(apart.insert(a_row(f"n{i}")) for i in range(300)))
    assert kept(database) == 300
    assert apart.state().commits < 30


async def test_one_bad_row_takes_no_neighbour_down(database: Database, apart: Journal) -> None:
    results = await asyncio.gather(
        apart.insert(a_row("a")),
        apart.insert(a_row("a")),
        apart.insert(Row(tenant_numbers, {"number": "+44", "tenant_id": "nobody"})),
        apart.insert(a_row("b")),
        return_exceptions=True,
    )
    assert [isinstance(result, NotDurableError) for result in results] == [
        False,
        True,
        True,
        False,
    ]
    assert kept(database) == 2
    assert apart.state().failing is None


async def test_rows_and_work_keep_their_order(
    database: Database, apart: Journal, tenant: str
) -> None:
    """Work, and rows with bytes in them, are done in the service itself."""
    apart.post(a_row("a"))
    moved = apart.write(lambda c: c.execute(cdr_cursors.update().values(position=7)).rowcount)
    key = {"tenant_id": tenant, "version": 9, "kind": "pq", "recipient": "r"}
    made = {"wrapped_identity": b"\0\xff", "created_at": HandClock().now()}
    bytes_row = apart.insert(Row(tenant_keys, {**key, **made}))
    last = apart.insert(a_row("b"))
    assert await moved == 1
    await bytes_row
    await last
    with database.reading() as connection:
        found = connection.execute(select(cdr_cursors.c.pbx, cdr_cursors.c.position))
        assert {row.pbx: row.position for row in found} == {"a": 7, "b": 0}


async def test_a_failing_database_is_told_to_all_and_seen(
    database: Database, apart: Journal
) -> None:
    with closing(sqlite3.connect(file_of(database), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        results = await asyncio.gather(
            *(apart.insert(a_row(f"n{i}"), timeout=5) for i in range(3)), return_exceptions=True
        )
        other.execute("ROLLBACK")
    assert all(isinstance(result, NotDurableError) for result in results)
    assert "locked" in (apart.state().failing or "")
    await apart.insert(a_row("after"))
    assert apart.state().failing is None
    assert kept(database) == 1


async def test_a_scribe_that_hangs_is_killed_so_that_it_commits_nothing_late(
    database: Database, dictation: Dictation, monkeypatch: pytest.MonkeyPatch
) -> None:
    await dictation.commit([])
    hung = scribe_of(dictation)
    os.kill(hung.pid, signal.SIGSTOP)
    with monkeypatch.context() as patched:  # the next one may take its time to start
        patched.setattr("callguard.storage.dictation.HUNG_S", 0.1)
        with pytest.raises(ScribeError, match="writing process failed"):
            await dictation.commit(rows("late"))
    assert hung.poll() == -signal.SIGKILL
    await dictation.commit(rows("a"))
    assert kept(database) == 1


async def test_a_scribe_that_died_while_nobody_wrote_costs_nobody_a_row(
    database: Database, dictation: Dictation
) -> None:
    await dictation.commit([])
    scribe_of(dictation).kill()
    scribe_of(dictation).wait()
    await asyncio.sleep(0.05)
    await dictation.commit(rows("a"))
    assert kept(database) == 1


async def test_a_value_that_is_none_costs_its_neighbours_nothing(
    database: Database, apart: Journal
) -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 - that is what is wrong with it
    wrong = {"data_class": "x", "object_id": "1", "at": naive}
    huge = {"pbx": "huge", "inode": 2**70, "position": 0}
    results = await asyncio.gather(
        apart.insert(a_row("a")),
        apart.insert(Row(erasures, wrong)),
        apart.insert(Row(cdr_cursors, huge)),
        apart.insert(a_row("b")),
        return_exceptions=True,
    )
    assert [isinstance(result, Exception) for result in results] == [False, True, True, False]
    assert kept(database) == 2
    assert apart.state().failing is None


async def test_a_log_that_is_written_without_a_pause_begins_anew(
    database: Database, apart: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callguard.storage.journal.log.LONG_LOG", 200_000)
    monkeypatch.setattr("callguard.storage.journal.log.CHECKPOINT_WRITES", 50)
    checkpoint, sizes = Database.checkpoint, [0]

    def never_catching_up(self: Database, *, emptying: bool = True) -> None:
        sizes.append(self.log_bytes())
        if emptying:
            checkpoint(self, emptying=True)

    monkeypatch.setattr(Database, "checkpoint", never_catching_up)
    for turn in range(60):
        await asyncio.gather(*(apart.insert(a_row(f"{turn}-{i}")) for i in range(20)))
    assert kept(database) == 1200
    assert 200_000 < max(sizes) < 2_000_000
    assert database.log_bytes() < max(sizes)
