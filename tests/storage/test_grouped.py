"""Questions to the database that come together are answered together, each alone."""

import asyncio
import threading

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from callguard.storage.database import Database
from callguard.storage.grouped import WAITING, GroupedReads


def two(connection: Connection) -> int:
    return int(connection.execute(text("SELECT 2")).scalar_one())


async def test_who_asks_together_is_answered_in_one_hop(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    hops = 0
    read = database.read

    async def counted(query: object, *, timeout: float = 2.0) -> object:
        nonlocal hops
        hops += 1
        return await read(query, timeout=timeout)  # type: ignore[arg-type] # passed through

    monkeypatch.setattr(database, "read", counted)
    reads = GroupedReads(database)
    asked = [reads.ask(lambda c, n=n: c.execute(text(f"SELECT {n}")).scalar()) for n in range(50)]  # type: ignore[misc] # mypy cannot type a lambda's defaults
    assert await asyncio.gather(*asked) == list(range(50))
    assert hops == 1


async def test_what_one_question_raises_reaches_only_who_asked_it(database: Database) -> None:
    def wrong(connection: Connection) -> int:
        raise ValueError("mine")

    reads = GroupedReads(database)
    bad, good = reads.ask(wrong), reads.ask(lambda c: c.execute(text("SELECT 7")).scalar())
    assert await good == 7
    with pytest.raises(ValueError, match="mine"):
        await bad


async def test_a_database_that_does_not_answer_is_given_up_in_time(database: Database) -> None:
    release = threading.Event()

    def stuck(connection: Connection) -> int:
        release.wait(5)
        return 1

    reads = GroupedReads(database, timeout=0.05)
    try:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await reads.ask(stuck)
    finally:
        release.set()


async def test_after_a_failure_the_next_question_is_answered(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(query: object, *, timeout: float = 2.0) -> object:
        raise OSError("the disk is gone")

    reads = GroupedReads(database)
    with monkeypatch.context() as patched:
        patched.setattr(database, "read", down)
        with pytest.raises(OSError, match="the disk is gone"):
            await reads.ask(two)
    assert await reads.ask(two) == 2


async def test_who_gave_up_asking_is_not_answered(database: Database) -> None:
    asked = []

    def question(connection: Connection) -> int:
        asked.append(1)
        return 1

    reads = GroupedReads(database)
    reads.ask(question).cancel()
    assert await reads.ask(two) == 2
    assert asked == []


async def test_too_many_questions_are_refused_at_once(database: Database) -> None:
    reads = GroupedReads(database)
    asked = [reads.ask(two) for _ in range(WAITING + 1)]
    with pytest.raises(TimeoutError, match="too many"):
        await asked[-1]
    assert await asked[0] == 2
    for one in asked:
        one.cancel()


async def test_who_reads_on_the_event_loop_sees_what_was_committed_since(
    database: Database,
) -> None:
    def count(connection: Connection) -> int:
        return int(connection.execute(text("SELECT count(*) FROM cdr_cursors")).scalar_one())

    reads = GroupedReads(database, inline=database.reader())
    assert await reads.ask(count) == 0
    with database.writing() as connection:
        connection.execute(text("INSERT INTO cdr_cursors VALUES ('a', 1, 1, NULL)"))
    assert await reads.ask(count) == 1


async def test_who_reads_on_the_event_loop_holds_back_no_checkpoint(database: Database) -> None:
    reads = GroupedReads(database, inline=database.reader())
    assert await reads.ask(two) == 2
    with database.writing() as connection:
        connection.execute(text("INSERT INTO cdr_cursors VALUES ('a', 1, 1, NULL)"))
    with database.engine.connect() as connection:
        busy, logged, moved = connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)")).one()
    assert (busy, logged, moved) == (0, 0, 0)


async def test_a_question_that_fails_on_the_event_loop_is_told_to_who_asked(
    database: Database,
) -> None:
    reads = GroupedReads(database, inline=database.reader())
    with pytest.raises(OperationalError, match="no such table"):
        await reads.ask(lambda c: c.execute(text("SELECT * FROM nowhere")).all())
    assert await reads.ask(two) == 2
