"""The journal: what it says is kept is kept, and what it cannot keep it says so."""

import asyncio
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, select
from sqlalchemy.exc import OperationalError

from callguard.storage.bulk import Statement
from callguard.storage.database import Database
from callguard.storage.dictation import Dictation, ScribeError
from callguard.storage.journal import Journal, NotDurableError, Row, waiting
from callguard.storage.migrate import upgrade
from callguard.storage.schema import cdr_cursors, tenant_numbers
from tests.clock import HandClock


def a_row(name: str, position: int = 0) -> Row:
    return Row(cdr_cursors, {"pbx": name, "inode": 1, "position": position})


def kept(database: Database) -> set[str]:
    with database.reading() as connection:
        return set(connection.execute(select(cdr_cursors.c.pbx)).scalars())


async def test_what_was_awaited_is_in_the_file(database: Database, journal: Journal) -> None:
    await journal.insert(a_row("a"), a_row("b"))
    path = database.url.database
    assert path is not None
    with sqlite3.connect(path) as other:
        assert other.execute("SELECT count(*) FROM cdr_cursors").fetchone() == (2,)
    other.close()


async def test_many_writers_share_few_commits(database: Database, journal: Journal) -> None:
    await asyncio.gather(*(journal.insert(a_row(f"n{i}")) for i in range(300)))
    assert len(kept(database)) == 300
    assert journal.state().writes == 300
    assert journal.state().commits < 30


async def test_one_bad_row_takes_no_neighbour_down(database: Database, journal: Journal) -> None:
    results = await asyncio.gather(
        journal.insert(a_row("a")),
        journal.insert(a_row("a")),
        journal.insert(Row(tenant_numbers, {"number": "+44", "tenant_id": "nobody"})),
        journal.insert(a_row("b")),
        return_exceptions=True,
    )
    assert kept(database) == {"a", "b"}
    assert [isinstance(result, NotDurableError) for result in results] == [
        False,
        True,
        True,
        False,
    ]
    assert journal.state().failing is None


async def test_rows_of_one_write_stand_or_fall_together(
    database: Database, journal: Journal
) -> None:
    with pytest.raises(NotDurableError, match="UNIQUE"):
        await journal.insert(a_row("a"), a_row("a"))
    assert kept(database) == set()


async def test_work_runs_between_the_inserts_before_and_after_it(
    database: Database, journal: Journal
) -> None:
    def count(connection: Connection) -> int:
        return connection.execute(select(func.count()).select_from(cdr_cursors)).scalar_one()

    first, counted, last = await asyncio.gather(
        journal.insert(a_row("a")), journal.write(count), journal.insert(a_row("b"))
    )
    assert (first, counted, last) == (None, 1, None)


async def test_what_work_raises_comes_back_to_who_asked(
    database: Database, journal: Journal
) -> None:
    def refuse(connection: Connection) -> None:
        connection.execute(cdr_cursors.insert().values(pbx="x", inode=1, position=1))
        raise LookupError("no")

    with pytest.raises(LookupError, match="no"):
        await journal.write(refuse)
    assert kept(database) == set()


async def test_a_locked_database_is_not_durable_and_heals(
    database: Database, journal: Journal
) -> None:
    path = database.url.database
    assert path is not None
    locker = sqlite3.connect(path, isolation_level=None)
    locker.execute("BEGIN IMMEDIATE")
    with pytest.raises(NotDurableError, match="locked"):
        await journal.insert(a_row("a"), timeout=5)
    assert "locked" in (journal.state().failing or "")
    locker.execute("ROLLBACK")
    locker.close()
    await journal.insert(a_row("b"))
    assert journal.state().failing is None
    assert kept(database) == {"b"}


async def test_a_full_disk_is_not_durable_and_heals(database: Database, journal: Journal) -> None:
    def fill(connection: Connection) -> None:
        connection.exec_driver_sql("PRAGMA max_page_count=10")
        connection.execute(cdr_cursors.insert().values(pbx="x" * 60, inode=1, position=1))
        connection.exec_driver_sql("CREATE TABLE big AS SELECT randomblob(9000000) AS b")

    with pytest.raises(NotDurableError, match="full"):
        await journal.write(fill)
    assert "full" in (journal.state().failing or "")
    assert kept(database) == set()
    await journal.write(lambda c: c.exec_driver_sql("PRAGMA max_page_count=1073741823") and None)
    await journal.write(lambda c: c.execute(cdr_cursors.delete()) and None)
    assert "full" in (journal.state().failing or ""), "nothing was written yet"
    await journal.insert(a_row("a"))
    assert journal.state().failing is None


async def test_a_database_that_is_corrupt_is_failing(tmp_path: Path, clock: HandClock) -> None:
    """SQLite calls it malformed: the database's failure, and not that of the row."""
    url = f"sqlite:///{tmp_path / 'callguard.db'}"
    database = Database(url)
    upgrade(database)
    database.checkpoint()
    database.close()
    file = tmp_path / "callguard.db"
    sound = file.read_bytes()
    file.write_bytes(sound[:8192] + b"\xff" * (len(sound) - 8192))
    corrupt = Database(url)
    journal = Journal(corrupt, clock)
    journal.start()
    for name in ("a", "b"):
        with pytest.raises(NotDurableError, match="malformed"):
            await journal.insert(a_row(name))
    assert "malformed" in (journal.state().failing or "")
    assert journal.state().writes == 0
    await journal.close()
    corrupt.close()


async def test_who_gave_up_waiting_does_not_find_it_written_later(
    database: Database, journal: Journal
) -> None:
    running, go_on = threading.Event(), threading.Event()

    def block(_: Connection) -> None:
        running.set()
        go_on.wait(10)

    blocker = asyncio.create_task(journal.write(block, timeout=10))
    await asyncio.to_thread(running.wait, 10)
    with pytest.raises(NotDurableError, match="not durable within"):
        await journal.insert(a_row("late"), timeout=0.01)
    go_on.set()
    await blocker
    await journal.insert(a_row("after"))
    assert kept(database) == {"after"}


async def test_a_commit_that_hangs_is_told_while_it_hangs(
    journal: Journal, clock: HandClock
) -> None:
    running, go_on = threading.Event(), threading.Event()

    def block(_: Connection) -> None:
        running.set()
        go_on.wait(10)

    blocker = asyncio.create_task(journal.write(block, timeout=10))
    await asyncio.to_thread(running.wait, 10)
    assert journal.state().failing is None
    clock.advance(3)
    assert "has taken 3 s" in (journal.state().failing or "")
    go_on.set()
    await blocker
    assert journal.state().failing is None


async def test_a_full_journal_refuses_at_once(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "PENDING", 0)
    with pytest.raises(NotDurableError, match="full"):
        await journal.insert(a_row("a"))


async def test_closing_commits_what_waits_and_refuses_the_rest(
    tmp_path: Path, database: Database, clock: HandClock
) -> None:
    journal = Journal(database, clock)
    journal.start()
    write = asyncio.create_task(journal.insert(a_row("a")))
    await asyncio.sleep(0)
    await journal.close()
    await write
    assert kept(database) == {"a"}
    with pytest.raises(NotDurableError, match="closed"):
        await journal.insert(a_row("b"))


async def test_closing_does_work_that_waits_behind_a_call_that_was_given_up(
    database: Database, clock: HandClock
) -> None:
    journal = Journal(database, clock)
    journal.start()
    running, go_on = threading.Event(), threading.Event()

    def block(_: Connection) -> None:
        running.set()
        go_on.wait(10)

    blocker = asyncio.create_task(journal.write(block, timeout=10))
    await asyncio.to_thread(running.wait, 10)
    call = asyncio.create_task(journal.insert(a_row("given up")))
    behind = asyncio.create_task(
        journal.write_behind(lambda c: c.execute(cdr_cursors.select()).all())
    )
    await asyncio.sleep(0)
    call.cancel()
    closing_it = asyncio.create_task(journal.close())
    await asyncio.sleep(0)
    go_on.set()
    assert await behind == []
    await blocker
    await closing_it


async def test_once_the_database_fails_nobody_else_of_the_group_is_tried(
    database: Database, journal: Journal
) -> None:
    tried: list[str] = []

    def work_of(name: str, error: Exception | None) -> asyncio.Task[None]:
        def work(_: Connection) -> None:
            tried.append(name)
            if error is not None:
                raise error

        return asyncio.create_task(journal.write(work))

    broken = OperationalError("", None, sqlite3.OperationalError("disk I/O error"))
    works = [work_of("a", None), work_of("bad", LookupError("no")), work_of("b", broken)]
    works += [work_of(name, None) for name in ("c", "d")]
    told = await asyncio.gather(*works, return_exceptions=True)
    assert [type(result) for result in told] == [type(None), LookupError, *[NotDurableError] * 3]
    assert tried == ["a", "bad", "a", "bad", "b"]
    state = journal.state()
    assert (state.writes, state.failures) == (1, 4)
    assert "disk I/O error" in (state.failing or "")


async def test_who_gave_up_is_one_failure(journal: Journal, database: Database) -> None:
    path = database.url.database
    assert path is not None
    with closing(sqlite3.connect(path, isolation_level=None)) as locker:
        locker.execute("BEGIN IMMEDIATE")
        with pytest.raises(NotDurableError, match="not durable within"):
            await journal.insert(a_row("a"), timeout=0.05)
        while journal.state().failing is None:
            await asyncio.sleep(0.01)
    assert journal.state().failures == 1


async def test_a_refused_row_is_no_sign_that_the_disk_takes_rows_again(
    database: Database, clock: HandClock
) -> None:
    dictation = Refusing(str(database.url.database))
    journal = Journal(database, clock, dictation)
    journal.start()
    for failing in (True, False):
        dictation.failing = failing
        with pytest.raises(NotDurableError, match="refused"):
            await journal.insert(a_row("a"))
        assert "refused" in (journal.state().failing or "")
    await journal.close()


class Refusing(Dictation):
    """Commits nothing."""

    failing = True

    async def commit(self, statements: Sequence[Statement]) -> None:
        if statements:
            raise ScribeError("refused", failing=self.failing)
