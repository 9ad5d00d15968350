"""The purge takes all that has expired and nothing else, and says what it took."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import Connection, select

from callguard.audit.log import first_broken
from callguard.recording.ending import ending_name
from callguard.recording.playback.reading import RecordingError, listed
from callguard.recording.store.folder import FolderStore
from callguard.retention import purge as purge_module
from callguard.retention.purge import Due, due, purge
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from callguard.storage.schema import audit, erasures, purges, recordings
from tests.clock import HandClock
from tests.databases import add_tenant, ledger_of
from tests.recording.reading import sealed_row
from tests.retention.rows import (
    CLASSES,
    certified,
    left,
    open_tombstones,
    put,
    put_recording,
)

T = TypeVar("T")


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "objects")


MOMENTS = {"a microsecond before": 1, "at the instant": 0, "a microsecond after": -1}


@pytest.mark.parametrize(
    ("micros", "gone"), [(1, False), (0, True), (-1, True)], ids=MOMENTS.keys()
)
@pytest.mark.parametrize("data_class", CLASSES)
async def test_a_row_goes_at_its_instant(
    database: Database,
    journal: Journal,
    clock: HandClock,
    store: FolderStore,
    tenant: str,
    data_class: str,
    micros: int,
    gone: bool,
) -> None:
    expires = clock.now() + timedelta(microseconds=micros)
    put(database, data_class, 1, expires)
    with database.reading() as connection:
        assert len(due(connection, clock.now())) == gone
    certificate = await purge(journal.write, store, ledger_of(database), clock, actor="test")
    assert certificate.counts == {**dict.fromkeys(CLASSES, 0), data_class: int(gone)}
    assert left(database)[data_class] == (not gone)


async def test_what_has_no_date_stays(
    database: Database, journal: Journal, clock: HandClock, store: FolderStore, tenant: str
) -> None:
    for data_class in CLASSES:
        put(database, data_class, 1, None, at=clock.now())
    clock.advance(days=36_525)
    await purge(journal.write, store, ledger_of(database), clock, actor="test")
    assert left(database) == dict.fromkeys(CLASSES, 1)


async def test_what_is_due_is_told_by_class_and_tenant(
    database: Database, clock: HandClock, store: FolderStore, tenant: str
) -> None:
    add_tenant(database, clock, "other")
    now = clock.now()
    oldest = now - timedelta(days=2)
    put_recording(database, store, 1, now)
    put_recording(database, store, 2, oldest)
    put_recording(database, store, 3, now, tenant="other")
    put_recording(database, store, 4, now + timedelta(days=1))
    put(database, "consent", 1, now)
    with database.reading() as connection:
        found = due(connection, now)
    assert sorted(found, key=lambda d: (d.data_class, d.tenant or "")) == [
        Due("consent", "acme", 1, now, 0),
        Due("recording", "acme", 2, oldest, 200),
        Due("recording", "other", 1, now, 100),
    ]
    assert found[-1].as_json()["oldest"] == found[-1].oldest.isoformat()


async def test_rows_of_many_tenants_go_each_at_its_own_time(
    database: Database, journal: Journal, clock: HandClock, store: FolderStore
) -> None:
    for number in range(1, 6):
        add_tenant(database, clock, f"t{number}")
        for data_class in CLASSES:
            expires = clock.now() + timedelta(days=number)
            put(database, data_class, number, expires, tenant=f"t{number}")
    for day in range(1, 6):
        clock.advance(days=1)
        certificate = await purge(journal.write, store, ledger_of(database), clock, actor="test")
        assert certificate.counts == dict.fromkeys(CLASSES, 1)
        assert left(database) == dict.fromkeys(CLASSES, 5 - day)


async def test_a_last_chunk_that_a_killed_process_left_goes_with_its_payload(
    database: Database, journal: Journal, clock: HandClock, store: FolderStore, tenant: str
) -> None:
    name = put_recording(database, store, 1, clock.now())
    store.put(ending_name(name), [b"sealed"])
    await purge(journal.write, store, ledger_of(database), clock, actor="test")
    assert list(store.names()) == []


async def test_an_expired_recording_is_hidden_before_any_purge(
    database: Database, clock: HandClock, store: FolderStore, tenant: str
) -> None:
    name = put_recording(database, store, 1, clock.now() + timedelta(seconds=1))
    with database.reading() as connection:
        assert [row.id for row in listed(connection, now=clock.now())] == [name]
        assert sealed_row(connection, name, clock.now()).id == name
        clock.advance(1)
        assert listed(connection, now=clock.now()) == []
        with pytest.raises(RecordingError, match="there is no recording"):
            sealed_row(connection, name, clock.now())


async def test_a_purge_leaves_a_certificate_and_an_audit_row(
    database: Database, journal: Journal, clock: HandClock, store: FolderStore, tenant: str
) -> None:
    put_recording(database, store, 1, clock.now())
    certificate = await purge(journal.write, store, ledger_of(database), clock, actor="cli:ann")
    with database.reading() as connection:
        row = connection.execute(select(purges)).one()
        assert row.certificate == certificate.as_json()
        assert (row.id, row.finished_at) == (certificate.id, certificate.finished_at)
        entry = connection.execute(select(audit).where(audit.c.action == "purge")).one()
        assert (entry.actor, entry.target) == ("cli:ann", f"purge:{certificate.id}")
        assert first_broken(connection) is None


async def test_a_second_purge_takes_nothing(
    database: Database, journal: Journal, clock: HandClock, store: FolderStore, tenant: str
) -> None:
    for number, data_class in enumerate(CLASSES):
        put(database, data_class, number, clock.now())
    await purge(journal.write, store, ledger_of(database), clock, actor="test")
    again = await purge(journal.write, store, ledger_of(database), clock, actor="test")
    assert (sum(again.counts.values()), again.resumed) == (0, 0)
    assert certified(database) == dict.fromkeys(CLASSES, 1)


async def test_a_recording_without_audio_goes_too(
    database: Database, journal: Journal, clock: HandClock, store: FolderStore, tenant: str
) -> None:
    put(database, "recording", 1, clock.now())
    with database.writing() as connection:
        connection.execute(recordings.update().values(state="empty", payload=None, header=None))
    await purge(journal.write, store, ledger_of(database), clock, actor="test")
    assert left(database)["recording"] == 0
    assert open_tombstones(database) == 0


async def test_many_rows_go_in_small_transactions(
    database: Database,
    journal: Journal,
    clock: HandClock,
    store: FolderStore,
    tenant: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(purge_module, "ROWS", 3)
    monkeypatch.setattr(purge_module, "RECORDINGS", 2)
    for number in range(7):
        put(database, "consent", number, clock.now())
        put_recording(database, store, number, clock.now())
    most = 0

    async def write(work: Callable[[Connection], T], /) -> T:
        nonlocal most

        def counted(connection: Connection) -> T:
            return work(connection)

        before = left(database)
        result = await journal.write(counted)
        after = left(database)
        most = max(most, *(before[name] - after[name] for name in CLASSES))
        return result

    certificate = await purge(write, store, ledger_of(database), clock, actor="test")
    assert most == 3
    assert (certificate.counts["consent"], certificate.counts["recording"]) == (7, 7)
    assert left(database) == dict.fromkeys(CLASSES, 0)
    assert list(store.names()) == []


async def test_nothing_that_expires_while_a_purge_runs_is_taken(
    database: Database, journal: Journal, clock: HandClock, store: FolderStore, tenant: str
) -> None:
    put(database, "consent", 1, clock.now())
    put(database, "consent", 2, clock.now() + timedelta(seconds=1))

    async def slow(work: Callable[[Connection], T], /) -> T:
        clock.advance(10)
        return await journal.write(work)

    certificate = await purge(slow, store, ledger_of(database), clock, actor="test")
    assert certificate.counts["consent"] == 1
    assert left(database)["consent"] == 1
    assert certificate.finished_at > certificate.started_at


async def test_a_tombstone_holds_no_more_than_the_names(
    database: Database, journal: Journal, clock: HandClock, store: FolderStore, tenant: str
) -> None:
    name = put_recording(database, store, 1, clock.now())
    await purge(journal.write, store, ledger_of(database), clock, actor="test")
    with database.reading() as connection:
        row = connection.execute(select(erasures)).one()
    assert (row.data_class, row.object_id, row.payload) == ("recording", name, name)
    assert (row.at, row.done_at) == (clock.now(), clock.now())
