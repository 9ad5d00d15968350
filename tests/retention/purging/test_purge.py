"""The purge takes all that has expired and nothing else, and says what it took."""

import asyncio
import hashlib
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import Connection, insert, select, update

from callguard.audit.log import first_broken
from callguard.clock import StillClock
from callguard.recording.ending import ending_name
from callguard.recording.playback.reading import RecordingError, listed
from callguard.recording.store.folder import FolderStore
from callguard.retention.purging import pace as pace_module
from callguard.retention.purging import run as run_module
from callguard.retention.purging.clock_sense import ClockError, ClockSense
from callguard.retention.purging.expired import kept_back
from callguard.retention.purging.leader import LEASE_S, PURGE, BusyError, take
from callguard.retention.purging.purge import Certificate, Due, Surroundings, Write, due, purge
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from callguard.storage.schema import audit, erasures, exports, holds, purges, recordings
from tests.clock import HandClock
from tests.databases import add_tenant, ledger_of
from tests.recording.reading import sealed_row
from tests.retention.rows import (
    EVERY,
    certified,
    counts_of,
    left,
    open_tombstones,
    patient,
    put,
    put_recording,
)

T = TypeVar("T")


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "objects")


async def purged(
    write: Write, store: FolderStore, database: Database, clock: HandClock
) -> Certificate:
    """A purge that takes exports too."""
    around = Surroundings(exports=store.objects_folder.parent / "exports")
    return await purge(write, store, ledger_of(database), clock, actor="test", around=around)


MOMENTS = {"a microsecond before": 1, "at the instant": 0, "a microsecond after": -1}


@pytest.mark.parametrize(
    ("micros", "gone"), [(1, False), (0, True), (-1, True)], ids=MOMENTS.keys()
)
async def test_a_row_goes_at_its_instant(
    database: Database,
    journal: Journal,
    clock: HandClock,
    store: FolderStore,
    tenant: str,
    micros: int,
    gone: bool,
) -> None:
    for data_class in EVERY:
        expires = clock.now() + timedelta(microseconds=micros)
        put(database, data_class, 1, expires)
    with database.reading() as connection:
        assert len(due(connection, clock.now())) == gone * len(EVERY)
    certificate = await purged(patient(journal), store, database, clock)
    assert certificate.counts == dict.fromkeys(EVERY, int(gone))
    assert left(database, EVERY) == dict.fromkeys(EVERY, int(not gone))


async def test_what_has_no_date_stays(
    database: Database, journal: Journal, clock: HandClock, store: FolderStore, tenant: str
) -> None:
    for data_class in EVERY:
        put(database, data_class, 1, None, at=clock.now())
    clock.advance(days=36_525)
    await purged(patient(journal), store, database, clock)
    assert left(database, EVERY) == dict.fromkeys(EVERY, 1)


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
        for data_class in EVERY:
            expires = clock.now() + timedelta(days=number)
            put(database, data_class, number, expires, tenant=f"t{number}")
    for day in range(1, 6):
        clock.advance(days=1)
        certificate = await purged(patient(journal), store, database, clock)
        assert certificate.counts == dict.fromkeys(EVERY, 1)
        assert left(database, EVERY) == dict.fromkeys(EVERY, 5 - day)


async def test_a_last_chunk_that_a_killed_process_left_goes_with_its_payload(
    database: Database, journal: Journal, clock: HandClock, store: FolderStore, tenant: str
) -> None:
    name = put_recording(database, store, 1, clock.now())
    store.put(ending_name(name), [b"sealed"])
    await purged(patient(journal), store, database, clock)
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
    certificate = await purge(patient(journal), store, ledger_of(database), clock, actor="cli:ann")
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
    for number, data_class in enumerate(EVERY):
        put(database, data_class, number, clock.now())
    await purged(patient(journal), store, database, clock)
    again = await purged(patient(journal), store, database, clock)
    assert (sum(again.counts.values()), again.resumed) == (0, 0)
    assert certified(database) == dict.fromkeys(EVERY, 1)


async def test_a_recording_without_audio_goes_too(
    database: Database, journal: Journal, clock: HandClock, store: FolderStore, tenant: str
) -> None:
    put(database, "recording", 1, clock.now())
    with database.writing() as connection:
        connection.execute(recordings.update().values(state="empty", payload=None, header=None))
    await purged(patient(journal), store, database, clock)
    assert left(database, EVERY)["recording"] == 0
    assert open_tombstones(database) == 0


async def test_many_rows_go_in_small_transactions(
    database: Database,
    journal: Journal,
    clock: HandClock,
    store: FolderStore,
    tenant: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pace_module, "MOST", 3)
    for number in range(7):
        put(database, "consent", number, clock.now())
        put_recording(database, store, number, clock.now())
    most = 0

    async def write(work: Callable[[Connection], T], /) -> T:
        def counted(connection: Connection) -> T:
            nonlocal most
            before = counts_of(connection, EVERY)
            result = work(connection)
            after = counts_of(connection, EVERY)
            most = max(most, *(before[name] - after[name] for name in EVERY))
            return result

        return await journal.write(counted)

    certificate = await purged(write, store, database, clock)
    assert most == 3
    assert (certificate.counts["consent"], certificate.counts["recording"]) == (7, 7)
    assert left(database, EVERY) == dict.fromkeys(EVERY, 0)
    assert list(store.names()) == []


async def test_nothing_that_expires_while_a_purge_runs_is_taken(
    database: Database, journal: Journal, clock: HandClock, store: FolderStore, tenant: str
) -> None:
    put(database, "consent", 1, clock.now())
    put(database, "consent", 2, clock.now() + timedelta(seconds=1))

    async def slow(work: Callable[[Connection], T], /) -> T:
        clock.advance(10)
        return await journal.write(work)

    certificate = await purged(slow, store, database, clock)
    assert certificate.counts["consent"] == 1
    assert left(database, EVERY)["consent"] == 1
    assert certificate.finished_at > certificate.started_at


async def test_a_tombstone_holds_no_more_than_the_names(
    database: Database, journal: Journal, clock: HandClock, store: FolderStore, tenant: str
) -> None:
    name = put_recording(database, store, 1, clock.now())
    await purged(patient(journal), store, database, clock)
    with database.reading() as connection:
        row = connection.execute(select(erasures)).one()
    assert (row.data_class, row.object_id, row.payload) == ("recording", name, name)
    assert (row.at, row.done_at) == (clock.now(), clock.now())


@pytest.mark.parametrize("most", [1, 2, 2_000])
async def test_the_digests_are_of_the_list_of_what_went_in_the_order_of_its_instants(
    database: Database,
    journal: Journal,
    clock: HandClock,
    store: FolderStore,
    tenant: str,
    monkeypatch: pytest.MonkeyPatch,
    most: int,
) -> None:
    monkeypatch.setattr(pace_module, "MOST", most)
    for number, ago in ((2, 3), (1, 1), (0, 2)):
        for name in ("consent", "recording", "export"):
            put(database, name, number, clock.now() - timedelta(seconds=ago))
    made = await purged(patient(journal), store, database, clock)
    for name in ("consent", "recording", "export"):
        ids = f"{name}-2\n{name}-0\n{name}-1\n"
        assert made.tally.digests[name] == hashlib.sha256(ids.encode()).hexdigest()


async def test_a_certificate_says_what_holds_kept_back(
    database: Database, journal: Journal, clock: HandClock, store: FolderStore, tenant: str
) -> None:
    add_tenant(database, clock, "other")
    said = {"reason": "r", "author": "a", "at": clock.now()}
    with database.writing() as connection:
        for name, held in (("h1", tenant), ("h2", "other"), ("h3", tenant)):
            connection.execute(insert(holds).values(id=name, tenant_id=held, **said))
        connection.execute(update(holds).where(holds.c.id == "h3").values(released_at=clock.now()))
    for number in range(3):
        put(database, "consent", number, clock.now())
    put_recording(database, store, 1, clock.now())
    with database.reading() as connection:
        assert due(connection, clock.now()) == []
        assert [(one.data_class, one.count) for one in kept_back(connection, clock.now())] == [
            ("consent", 3),
            ("recording", 1),
        ]
    made = await purged(patient(journal), store, database, clock)
    assert sum(made.counts.values()) == 0
    assert made.tally.held == {"recording": 1, "consent": 3}
    assert made.tally.holds == {"h1"}


async def test_an_export_goes_with_its_file_and_nothing_outside_its_folder(
    database: Database,
    journal: Journal,
    clock: HandClock,
    store: FolderStore,
    tenant: str,
    tmp_path: Path,
) -> None:
    folder, beside = store.objects_folder.parent / "exports", tmp_path / "beside.csv"
    folder.mkdir()
    beside.write_text("not ours")
    (folder / "beside.csv").symlink_to(beside)
    files = ["export-0.csv", "../beside.csv", str(beside), "..", "", None, "no\nsuch.csv", "a\0b"]
    (folder / "export-0.csv").write_text("rows")
    for number, file in enumerate(files):
        put(database, "export", number, clock.now())
        with database.writing() as connection:
            which = exports.c.id == f"export-{number}"
            connection.execute(update(exports).where(which).values(file=file))
    made = await purged(patient(journal), store, database, clock)
    assert made.counts["export"] == len(files)
    assert (list(folder.iterdir()), beside.read_text()) == ([], "not ours")


async def test_an_export_whose_file_does_not_go_keeps_nothing_else(
    database: Database, journal: Journal, clock: HandClock, store: FolderStore, tenant: str
) -> None:
    folder = store.objects_folder.parent / "exports"
    (folder / "export-1.csv").mkdir(parents=True)
    for number in range(3):
        put(database, "export", number, clock.now())
    put_recording(database, store, 1, clock.now())
    made = await purged(patient(journal), store, database, clock)
    assert "export-1.csv" in made.faults["export"]
    assert (left(database, EVERY)["export"], list(store.names())) == (1, [])
    (folder / "export-1.csv").rmdir()
    again = await purged(patient(journal), store, database, clock)
    assert (again.faults, left(database, EVERY)["export"]) == ({}, 0)
    assert certified(database)["export"] == 3


class Room:
    """A further room, that fails while it is told to."""

    name = "room"
    failing = False

    async def due(self, now: datetime) -> list[Due]:
        return []

    async def take(self, now: datetime) -> dict[str, int]:
        if self.failing:
            raise OSError("the disk is away")
        return {"voicemail": 2, "recording": 1}


async def test_a_further_room_is_counted_and_one_that_fails_is_named(
    database: Database, journal: Journal, clock: HandClock, store: FolderStore, tenant: str
) -> None:
    broken = Room()
    broken.failing = True
    put_recording(database, store, 1, clock.now())
    around = Surroundings(further=(broken, Room()))
    ledger = ledger_of(database)
    made = await purge(patient(journal), store, ledger, clock, actor="test", around=around)
    assert made.counts["recording"] == 1
    assert made.as_json()["rooms"] == {"room": {"voicemail": 2, "recording": 1}}
    assert made.faults == {"room": "the disk is away"}


class Endless(Room):
    """One that never comes back."""

    name = "endless"

    async def take(self, now: datetime) -> dict[str, int]:
        await asyncio.Event().wait()
        raise AssertionError


async def test_a_further_room_that_hangs_keeps_none_of_the_others(
    database: Database,
    journal: Journal,
    clock: HandClock,
    store: FolderStore,
    tenant: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run_module, "ROOM_S", 0.01)
    around, ledger = Surroundings(further=(Endless(), Room())), ledger_of(database)
    made = await purge(patient(journal), store, ledger, clock, actor="test", around=around)
    assert list(made.faults) == ["endless"]
    assert "not done within" in made.faults["endless"]
    assert list(made.tally.rooms) == ["room"]


class Slow(Room):
    """One that takes longer than a lease, and sees who else might lead meanwhile."""

    def __init__(self, database: Database, clock: HandClock) -> None:
        self._database, self._clock = database, clock
        self.refused = 0

    async def take(self, now: datetime) -> dict[str, int]:
        for _ in range(4):
            self._clock.advance(LEASE_S - 1)
            await asyncio.sleep(0.05)
            with pytest.raises(BusyError), self._database.writing() as connection:
                take(connection, PURGE, "another", self._clock.now())
            self.refused += 1
        return {}


async def test_nobody_takes_over_from_one_that_waits_for_a_room(
    database: Database,
    journal: Journal,
    clock: HandClock,
    store: FolderStore,
    tenant: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run_module, "KEEP_S", 0.001)
    slow = Slow(database, clock)
    around, ledger = Surroundings(further=(slow,)), ledger_of(database)
    made = await purge(patient(journal), store, ledger, clock, actor="test", around=around)
    assert (made.faults, slow.refused) == ({}, 4)


async def test_one_that_was_asleep_before_its_line_writes_none(
    database: Database, journal: Journal, clock: HandClock, store: FolderStore, tenant: str
) -> None:
    """A hold that was placed meanwhile would come too late."""
    put_recording(database, store, 1, clock.now())

    async def sleepy(work: Callable[[Connection], T], /) -> T:
        result = await journal.write(work)
        if isinstance(result, tuple) and result and isinstance(result[0], tuple):
            clock.advance(LEASE_S + 1)
        return result

    with pytest.raises(BusyError, match="a hold may have been placed"):
        await purged(sleepy, store, database, clock)
    assert not ledger_of(database).path.exists()
    assert left(database, EVERY)["recording"] == 1


async def test_what_was_cut_short_is_entered_in_the_audit_log_by_the_next_once(
    database: Database, journal: Journal, clock: HandClock, store: FolderStore, tenant: str
) -> None:
    put(database, "consent", 1, clock.now())
    put_recording(database, store, 1, clock.now())

    async def dying(work: Callable[[Connection], T], /) -> T:
        if left(database, EVERY)["consent"] == 0:
            raise RuntimeError("the power went")
        return await journal.write(work)

    with pytest.raises(RuntimeError, match="the power went"):
        await purged(dying, store, database, clock)
    clock.advance(LEASE_S)
    for _ in range(2):
        made = await purged(patient(journal), store, database, clock)
    with database.reading() as connection:
        [entry] = connection.execute(select(audit).where(audit.c.action == "purge.cut_short")).all()
        assert first_broken(connection) is None
    said = json.loads(entry.details)
    assert (said["counts"]["consent"], said["counts"]["recording"]) == (1, 1)
    assert said["taken_up_by"] != made.id
    assert "clock" in said


async def test_a_clock_that_jumps_behind_the_look_takes_nothing_early(
    database: Database, journal: Journal, clock: HandClock, store: FolderStore, tenant: str
) -> None:
    put(database, "consent", 1, clock.now() + timedelta(days=30))
    looks = 0

    async def jumping(work: Callable[[Connection], T], /) -> T:
        nonlocal looks
        result = await journal.write(work)
        looks += 1
        if looks == 1:
            clock._now += timedelta(days=31)
        return result

    around, ledger = Surroundings(sense=ClockSense(clock)), ledger_of(database)
    made = await purge(jumping, store, ledger, clock, actor="test", around=around)
    assert (made.counts["consent"], left(database, EVERY)["consent"]) == (0, 1)


async def test_one_that_was_asleep_while_another_took_over_takes_nothing_more(
    database: Database, journal: Journal, clock: HandClock, store: FolderStore, tenant: str
) -> None:
    put(database, "consent", 1, clock.now())
    writes = 0

    async def sleepy(work: Callable[[Connection], T], /) -> T:
        nonlocal writes
        writes += 1
        if writes == 2:
            clock.advance(LEASE_S)
            with database.writing() as connection:
                take(connection, PURGE, "another", clock.now())
        return await journal.write(work)

    with pytest.raises(BusyError, match="another took over: another"):
        await purged(sleepy, store, database, clock)
    assert left(database, EVERY)["consent"] == 1


async def test_a_clock_that_jumps_stops_a_purge_before_it_takes_anything(
    database: Database, journal: Journal, clock: HandClock, store: FolderStore, tenant: str
) -> None:
    put(database, "consent", 1, clock.now() + timedelta(days=30))
    sense = ClockSense(clock)
    await journal.write(sense.look)
    ahead, ledger = StillClock(clock, clock.now() + timedelta(days=31)), ledger_of(database)
    sense_ahead = ClockSense(ahead, max_gap_days=20)
    around = Surroundings(sense=sense_ahead)
    with pytest.raises(ClockError, match="--confirm-clock"):
        await purge(patient(journal), store, ledger, ahead, actor="test", around=around)
    assert left(database, EVERY)["consent"] == 1
    with database.reading() as connection:
        assert connection.execute(select(purges)).all() == []
