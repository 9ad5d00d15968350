"""What a hold covers stays until it is released, hidden as if it were gone."""

from pathlib import Path

import pytest
from sqlalchemy import update

from callguard.recording.store.folder import FolderStore
from callguard.retention.holds.covering import holds_on
from callguard.retention.purging.purge import due, purge
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from callguard.storage.schema import calls, consents, holds, recordings
from tests.clock import HandClock
from tests.databases import add_tenant, ledger_of
from tests.recording.playback.vault import hold
from tests.retention.rows import CLASSES, left, put, put_recording

SUBJECT = "2"
CALL = "c"
OF_SUBJECT = {"call_record", "verdict", "attempt", "consent", "opt_out_claim"}
OF_CALL = {"consent", "recording", "recording_event", "opt_out_claim"}


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "objects")


HOLDS: dict[str, tuple[dict[str, str], set[str]]] = {
    "everything": ({}, set(CLASSES)),
    "the tenant": ({"tenant_id": "acme"}, set(CLASSES)),
    "a call": ({"call_id": CALL}, OF_CALL),
    "a subject, and what belongs to a call of theirs": (
        {"subject": SUBJECT},
        OF_SUBJECT | OF_CALL,
    ),
    "all three": ({"tenant_id": "acme", "subject": SUBJECT, "call_id": CALL}, OF_CALL),
    "another tenant": ({"tenant_id": "other"}, set()),
    "the tenant and another's call": ({"tenant_id": "acme", "call_id": "x"}, set()),
    "another subject": ({"subject": "3"}, set()),
    "the subject in another call": ({"subject": SUBJECT, "call_id": "x"}, set()),
}


@pytest.mark.parametrize(("what", "stays"), HOLDS.values(), ids=HOLDS.keys())
async def test_what_is_held_stays_until_it_is_released(
    database: Database,
    journal: Journal,
    clock: HandClock,
    store: FolderStore,
    tenant: str,
    what: dict[str, str],
    stays: set[str],
) -> None:
    add_tenant(database, clock, "other")
    for data_class in CLASSES:
        put(database, data_class, 1, clock.now())
    hold(database, clock.now(), **what)
    with database.reading() as connection:
        assert {one.data_class for one in due(connection, clock.now())} == set(CLASSES) - stays
    ledger = ledger_of(database)
    await purge(journal.write, store, ledger, clock, actor="test")
    assert {name for name, count in left(database).items() if count} == stays
    with database.writing() as connection:
        connection.execute(update(holds).values(released_at=clock.now(), released_by="test"))
    await purge(journal.write, store, ledger, clock, actor="test")
    assert left(database) == dict.fromkeys(CLASSES, 0)


@pytest.mark.parametrize("by", ["the call's own subject", "another party's consent"])
def test_a_hold_on_a_subject_is_on_their_recordings(
    database: Database, clock: HandClock, store: FolderStore, tenant: str, by: str
) -> None:
    name = put_recording(database, store, 1, clock.now())
    if by == "the call's own subject":
        call = put(database, "verdict", 1, None, at=clock.now())
        change = update(calls).values(subject="+44")
    else:
        call = CALL
        put(database, "consent", 1, None, at=clock.now())
        change = update(consents).values(subject="+44")
    with database.writing() as connection:
        connection.execute(change)
        connection.execute(update(recordings).values(call_id=call))
    first = hold(database, clock.now(), subject="+44")
    clock.advance(1)
    hold(database, clock.now(), subject="+45")
    second = hold(database, clock.now())
    with database.reading() as connection:
        assert holds_on(connection, name) == [first, second]
        assert holds_on(connection, "nothing") == []
