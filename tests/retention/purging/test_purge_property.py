"""Purges at random times of random rows: exactly what is due and not held goes, each time."""

import asyncio
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, delete, event, insert, select, update
from sqlalchemy.exc import OperationalError

from callguard.recording.store.folder import FolderStore
from callguard.retention.purging import pace as pace_module
from callguard.retention.purging.purge import BusyError, Surroundings, purge
from callguard.storage.database import Database
from callguard.storage.schema import erasures, holds, leases, purges
from tests.clock import HandClock
from tests.databases import add_tenant, ledger_of
from tests.retention.rows import EVERY, certified, open_tombstones, put
from tests.schema import upgrade

T = TypeVar("T")
TENANTS = ("acme", "other")
LONG = os.environ.get("CALLGUARD_LONG", "") not in ("", "0")

ROWS = st.lists(
    st.tuples(
        st.sampled_from(sorted(EVERY)),
        st.integers(0, 6),
        st.sampled_from(TENANTS),
    ),
    max_size=24,
)
RUNS = st.lists(
    st.tuples(st.integers(0, 3), st.sets(st.sampled_from(TENANTS))), min_size=1, max_size=3
)
"""How far the time goes on before each purge, and which tenants a hold stands on then."""


def there(database: Database) -> set[tuple[str, str, int]]:
    """Class, tenant and day of every row."""
    start = HandClock().now()
    with database.reading() as connection:
        return {
            (name, tenant, round((expires - start) / timedelta(days=1) * 1000))
            for name, table in EVERY.items()
            for tenant, expires in connection.execute(
                select(table.c.tenant_id, table.c.expires_at)
            ).all()
        }


def write_of(database: Database) -> Callable[..., object]:
    async def write(work: Callable[[Connection], T], /) -> T:
        with database.writing() as connection:
            return work(connection)

    return write


def emptied(database: Database) -> None:
    with database.writing() as connection:
        for table in (*EVERY.values(), holds, erasures, purges, leases):
            connection.execute(delete(table))


FOLDER = TemporaryDirectory(prefix="callguard-purge-")


def opened(clock: HandClock) -> Database:
    path = Path(FOLDER.name) / "callguard.db"
    known = path.exists()
    database = Database(f"sqlite:///{path}")
    event.listen(database.engine, "connect", lambda c, _: c.execute("PRAGMA synchronous=OFF"))
    if not known:
        upgrade(database)
        for tenant in TENANTS:
            add_tenant(database, clock, tenant)
    return database


@settings(max_examples=200 if LONG else 8)
@given(ROWS, RUNS, st.integers(1, 4))
def test_what_goes_is_what_is_due_and_not_held(
    rows: list[tuple[str, int, str]], runs: list[tuple[int, set[str]]], most: int
) -> None:
    clock, start = HandClock(), HandClock().now()
    database = opened(clock)
    emptied(database)
    folder = Path(FOLDER.name)
    ledger, store = ledger_of(database), FolderStore(folder / "objects")
    around = Surroundings(exports=folder / "exports")
    expected = set[tuple[str, str, int]]()
    former, pace_module.MOST = pace_module.MOST, most
    try:
        for number, (name, day, tenant) in enumerate(rows):
            # No two at one instant, so that each row is known by it.
            expires = start + timedelta(days=day + number / 1000)
            put(database, name, number, expires, tenant=tenant, at=start)
            expected.add((name, tenant, day * 1000 + number))
        for days, held in runs:
            clock.advance(days=days)
            now = (clock.now() - start).days * 1000
            with database.writing() as connection:
                connection.execute(update(holds).values(released_at=clock.now()))
                for tenant in sorted(held):
                    said = {"tenant_id": tenant, "reason": "r", "author": "a", "at": clock.now()}
                    name = f"{tenant}-{now}-{connection.execute(select(holds.c.id)).all()!r}"
                    connection.execute(insert(holds).values(id=str(hash(name)), **said))
            due = {row for row in expected if row[2] <= now and row[1] not in held}
            kept = {row for row in expected if row[2] <= now and row[1] in held}
            made = asyncio.run(
                purge(write_of(database), store, ledger, clock, actor="test", around=around)  # type: ignore[arg-type]  # it is one
            )
            expected -= due
            assert there(database) == expected
            assert sum(made.counts.values()) == len(due)
            assert sum(made.tally.held.values()) == len(kept)
            assert len(made.tally.holds) == len({row[1] for row in kept})
            assert open_tombstones(database) == 0
        assert sum(certified(database).values()) == len(rows) - len(expected)
    finally:
        pace_module.MOST = former
        ledger.path.unlink(missing_ok=True)
        with database.writing() as connection:
            connection.exec_driver_sql("DELETE FROM erasure_mark")
        database.close()


async def test_two_purges_at_once_take_each_row_once(
    database: Database, clock: HandClock, tenant: str, tmp_path: Path
) -> None:
    for number, name in enumerate(EVERY):
        put(database, name, number, clock.now())
    around = Surroundings(exports=tmp_path / "exports")
    store, ledger = FolderStore(tmp_path / "objects"), ledger_of(database)

    async def one(actor: str) -> object:
        write = write_of(database)
        return await purge(write, store, ledger, clock, actor=actor, around=around)  # type: ignore[arg-type]  # it is one

    told = await asyncio.gather(one("ann"), one("ben"), return_exceptions=True)
    busy = [error for error in told if isinstance(error, BusyError)]
    assert [str(error).partition(" on ")[0] for error in busy] == [
        "somebody else purges just now: ann"
    ]
    assert certified(database) == dict.fromkeys(EVERY, 1)
    assert not any(isinstance(error, OperationalError) for error in told)
