"""Posting: writes that nobody waits for, in their order, and told where they are not kept."""

import asyncio
import threading
from collections.abc import Callable

import pytest
import structlog
from sqlalchemy import Connection, delete, select

from callguard.storage.database import Database
from callguard.storage.journal import Journal, NotDurableError, Row, waiting
from callguard.storage.journal.committing import Group, Outcome
from callguard.storage.schema import cdr_cursors


def a_row(name: str) -> Row:
    return Row(cdr_cursors, {"pbx": name, "inode": 1, "position": 0})


def kept(database: Database) -> set[str]:
    with database.reading() as connection:
        return set(connection.execute(select(cdr_cursors.c.pbx)).scalars())


def forget(name: str) -> Callable[[Connection], None]:
    def work(connection: Connection) -> None:
        connection.execute(delete(cdr_cursors).where(cdr_cursors.c.pbx == name))

    return work


async def test_what_was_posted_is_kept(database: Database, journal: Journal) -> None:
    journal.post(a_row("a"), a_row("b"))
    journal.post(work=forget("b"))
    await journal.write(lambda _: None)
    assert kept(database) == {"a"}
    assert journal.state().writes == 3


async def test_what_was_posted_before_the_end_is_kept(database: Database, journal: Journal) -> None:
    journal.post(a_row("a"))
    await journal.close()
    assert kept(database) == {"a"}


async def test_what_is_posted_comes_after_a_commit_that_is_under_way(
    database: Database, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who gave up on a write can undo it, though it becomes durable all the same."""
    under_way, go_on = threading.Event(), threading.Event()
    punctual = journal._committer.commit

    def slowly(group: Group) -> Outcome:
        under_way.set()
        go_on.wait(10)
        return punctual(group)

    with monkeypatch.context() as slow:
        slow.setattr(journal._committer, "commit", slowly)
        waiting = asyncio.create_task(journal.insert(a_row("late"), timeout=0.05))
        await asyncio.to_thread(under_way.wait, 10)
        with pytest.raises(NotDurableError, match="not durable within"):
            await waiting
    journal.post(work=forget("late"))
    committed: list[set[str]] = []
    journal.post(work=lambda _: committed.append(kept(database)))
    go_on.set()
    await journal.write(lambda _: None)
    assert committed == [{"late"}]  # it was durable until the group of the two posts
    assert kept(database) == set()


@pytest.mark.parametrize("why", ["a bad row", "full", "closed"])
async def test_what_is_posted_and_not_kept_is_told(
    database: Database, journal: Journal, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    if why == "full":
        monkeypatch.setattr(waiting, "PENDING", 0)
    if why == "closed":
        await journal.close()
    await journal.insert(a_row("a")) if why == "a bad row" else None
    with structlog.testing.capture_logs() as logs:
        journal.post(a_row("a"))
        if why == "a bad row":
            await journal.write(lambda _: None)
    told = [entry["reason"] for entry in logs if entry["event"] == "write_not_kept"]
    assert len(told) == 1
    assert ("UNIQUE" if why == "a bad row" else why) in told[0]
