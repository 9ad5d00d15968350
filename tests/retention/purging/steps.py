"""A purge in small steps, and what a test lets happen between them."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy import Connection, select

from callguard.recording.erasure import Write
from callguard.recording.store.folder import FolderStore
from callguard.retention.purging.clock_sense import ClockSense
from callguard.retention.purging.purge import Certificate, Surroundings, purge
from callguard.storage.database import Database
from callguard.storage.schema import purges, recordings
from tests.clock import HandClock
from tests.databases import ledger_of

T = TypeVar("T")
LOT, PART = 4, 2
"""Recordings that go into the ledger at once, and those of one transaction."""


def plain(database: Database) -> Write:
    async def write(work: Callable[[Connection], T], /) -> T:
        with database.writing() as connection:
            return work(connection)

    return write


async def purged(
    database: Database,
    clock: HandClock,
    store: FolderStore,
    write: Write | None = None,
    sense: ClockSense | None = None,
) -> Certificate:
    around = Surroundings(exports=store.objects_folder.parent / "exports", sense=sense)
    write, ledger = write or plain(database), ledger_of(database)
    return await purge(write, store, ledger, clock, actor="test", around=around)


def states(database: Database) -> dict[str, str]:
    with database.reading() as connection:
        rows = connection.execute(select(recordings.c.id, recordings.c.state))
        return {row.id: row.state for row in rows}


def purges_begun(database: Database) -> int:
    with database.reading() as connection:
        return len(connection.execute(select(purges.c.id)).all())


def halfway(database: Database, act: Callable[[], Awaitable[object]]) -> Write:
    """Acts once, when the first half of a lot is tombstoned."""
    alone, acted = plain(database), False

    async def write(work: Callable[[Connection], T], /) -> T:
        nonlocal acted
        result = await alone(work)
        if not acted and list(states(database).values()).count("erasing") == PART:
            acted = True
            await act()
        return result

    return write
