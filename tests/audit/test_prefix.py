"""The oldest entries of the audit log go from its beginning on, and what is left verifies."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, insert, select, update

from callguard.audit.log import CUT, Entry, append, first_broken
from callguard.recording.store.folder import FolderStore
from callguard.retention.purging import pace as pace_module
from callguard.retention.purging.purge import Certificate, Surroundings, purge
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from callguard.storage.schema import audit, audit_beginning, holds
from tests.clock import HandClock
from tests.databases import ledger_of
from tests.retention.rows import patient

OLD, NEW = 7, 3
KEPT = timedelta(days=730)


def keep(since: datetime) -> datetime:
    return since + KEPT


@pytest.fixture
def filled(database: Database, clock: HandClock) -> Database:
    """Entries that are over, entries that are not yet."""
    with database.writing() as connection:
        for number in range(OLD + NEW):
            at = clock.now() - KEPT + timedelta(seconds=number - OLD + 1)
            tenant = "acme" if number == 3 else None
            append(connection, Entry(at, "test", "act", f"target:{number}", tenant))
    return database


async def purged(
    database: Database, journal: Journal, clock: HandClock, folder: Path, *, on: bool = True
) -> Certificate:
    around = Surroundings(audit=keep if on else None)
    store, ledger = FolderStore(folder / "objects"), ledger_of(database)
    return await purge(patient(journal), store, ledger, clock, actor="test", around=around)


def targets(database: Database) -> list[str]:
    with database.reading() as connection:
        return list(
            connection.execute(
                select(audit.c.target).where(audit.c.action == "act").order_by(audit.c.seq)
            ).scalars()
        )


def broken(database: Database) -> int | None:
    with database.reading() as connection:
        return first_broken(connection)


@pytest.mark.parametrize("most", [2, 1_000])
async def test_what_is_over_goes_and_the_rest_is_one_chain(
    filled: Database,
    journal: Journal,
    clock: HandClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    most: int,
) -> None:
    monkeypatch.setattr(pace_module, "MOST", most)
    made = await purged(filled, journal, clock, tmp_path)
    assert made.counts["audit"] == OLD
    assert targets(filled) == [f"target:{n}" for n in range(OLD, OLD + NEW)]
    assert broken(filled) is None
    clock.advance(NEW)
    assert (await purged(filled, journal, clock, tmp_path)).counts["audit"] == NEW
    assert (targets(filled), broken(filled)) == ([], None)
    with filled.writing() as connection:
        append(connection, Entry(clock.now(), "test", "act", "target:after"))
    assert (targets(filled), broken(filled)) == (["target:after"], None)


async def test_nothing_of_it_goes_unless_it_is_asked_for(
    filled: Database, journal: Journal, clock: HandClock, tmp_path: Path
) -> None:
    assert "audit" not in (await purged(filled, journal, clock, tmp_path, on=False)).counts
    assert len(targets(filled)) == OLD + NEW


@pytest.mark.parametrize(("tenant", "gone"), [("acme", 3), ("other", OLD), (None, 0)])
async def test_a_hold_on_a_tenant_keeps_its_entries_and_all_behind_them(
    filled: Database,
    journal: Journal,
    clock: HandClock,
    tmp_path: Path,
    tenant: str | None,
    gone: int,
) -> None:
    with filled.writing() as connection:
        connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
        for name in ("acme", "other"):
            connection.exec_driver_sql(
                "INSERT INTO tenants (id, name, settings, created_at, updated_at)"
                " VALUES (?, ?, '{}', 0, 0)",
                (name, name),
            )
        said = {"reason": "r", "author": "a", "at": clock.now()}
        connection.execute(insert(holds).values(id="h", tenant_id=tenant, **said))
    made = await purged(filled, journal, clock, tmp_path)
    assert made.counts.get("audit", 0) == gone
    assert targets(filled)[0] == f"target:{gone}"
    assert broken(filled) is None


@pytest.mark.parametrize("what", ["more rows", "the beginning", "both", "the entry that says so"])
async def test_whoever_cuts_more_off_is_found(
    filled: Database, journal: Journal, clock: HandClock, tmp_path: Path, what: str
) -> None:
    await purged(filled, journal, clock, tmp_path)
    with filled.writing() as connection:
        first = connection.execute(select(audit).order_by(audit.c.seq).limit(1)).one()
        if what in ("more rows", "both"):
            connection.execute(delete(audit).where(audit.c.seq == first.seq))
        if what == "both":
            moved = {"seq": first.seq, "digest": first.digest}
            connection.execute(update(audit_beginning).values(moved))
        if what == "the beginning":
            connection.execute(delete(audit_beginning))
        if what == "the entry that says so":
            connection.execute(delete(audit).where(audit.c.action == CUT))
    assert broken(filled) is not None
