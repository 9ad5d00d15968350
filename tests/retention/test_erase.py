"""Erasing one recording: its certificate, twice, under a hold, while it runs."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection, select, update

from callguard.audit.log import first_broken
from callguard.recording.ending import ending_name
from callguard.recording.playback.reading import RecordingError
from callguard.recording.spool import Spool
from callguard.recording.store.folder import FolderStore
from callguard.recording.store.objects import ObjectStoreError
from callguard.retention.erase import ErasureCertificate, erase_recording, recordings_of
from callguard.retention.erasures.ledger import LedgerError
from callguard.retention.holds.covering import HeldError
from callguard.retention.purging.purge import purge
from callguard.retention.schedule import for_days
from callguard.storage.database import Database
from callguard.storage.schema import audit, erasures, purges, recording_events, recordings
from tests.clock import HandClock
from tests.databases import ledger_of
from tests.recording.playback.vault import hold
from tests.retention.rows import certified, put_recording

T = TypeVar("T")


class Moody(FolderStore):
    """A store that can be away."""

    away = False

    def delete(self, names: Iterable[str]) -> int:
        if self.away:
            raise ObjectStoreError("the store is away")
        return super().delete(names)


class Office:
    """Where somebody asks for an erasure."""

    def __init__(self, database: Database, clock: HandClock, folder: Path) -> None:
        self.database, self.clock = database, clock
        self.ledger = ledger_of(database)
        self.store, self.spool = Moody(folder / "objects"), Spool(folder / "spool", floor=0)
        self.spool.prepare()

    async def write(self, work: Callable[[Connection], T], /) -> T:
        with self.database.writing() as connection:
            return work(connection)

    def add(self, number: int = 1, **changed: Any) -> str:
        name = put_recording(self.database, self.store, number, self.clock.now())
        with self.database.writing() as connection:
            here = recordings.c.id == name
            values = {"expires_at": None, "payload_sha256": "5a" * 32, **changed}
            connection.execute(update(recordings).where(here).values(values))
        self.spool.path(f"{name}.sln").write_bytes(b"plain")
        return name

    async def erase(self, name: str) -> ErasureCertificate:
        return await erase_recording(
            self.write,
            self.ledger,
            self.spool,
            self.store,
            self.clock,
            name,
            keep=for_days(30),
            actor="cli:ann",
            reason="asked for",
        )

    def rows(self, table: Any) -> list[Any]:
        with self.database.reading() as connection:
            return list(connection.execute(select(table)))

    def nothing_is_left(self) -> bool:
        there = [*self.store.names(), *self.store.parts(), *self.spool.orphans(())]
        return not there and all(row.header is None for row in self.rows(recordings))


@pytest.fixture
def office(database: Database, clock: HandClock, tmp_path: Path, tenant: str) -> Office:
    return Office(database, clock, tmp_path)


async def test_a_last_chunk_that_a_killed_process_left_goes_too(office: Office) -> None:
    name = office.add()
    office.store.put(ending_name(name), [b"sealed"])
    await office.erase(name)
    assert list(office.store.names()) == []


async def test_an_erasure_leaves_a_certificate_and_says_who_and_why(office: Office) -> None:
    name = office.add()
    made = await office.erase(name)
    assert office.nothing_is_left()
    assert office.rows(recordings) == []
    (entry,) = [row for row in office.rows(audit) if row.action == "recording.erase"]
    assert (made.audit, entry.actor, entry.tenant) == (entry.seq, "cli:ann", "acme")
    assert '"reason":"asked for"' in entry.details
    (event,) = office.rows(recording_events)
    assert (event.kind, event.by, event.reason) == ("erased", "cli:ann", "asked for")
    assert (made.recording, made.sha256, made.bytes) == (name, "5a" * 32, 100)
    assert (made.erased_at, made.done_at) == (office.clock.now(), office.clock.now())
    (kept,) = office.rows(purges)
    assert (kept.id, kept.finished_at) == (made.id, office.clock.now())
    assert kept.certificate == {**made.as_json(), "counts": {"recording": 1}}
    assert [line.erasure.object_id for line in office.ledger.lines()] == [name]
    with office.database.reading() as connection:
        assert first_broken(connection) is None


async def test_the_second_time_it_is_gone_already(office: Office) -> None:
    name = office.add()
    first = await office.erase(name)
    office.clock.advance(60)
    again = await office.erase(name)
    assert (again.already, again.id, again.erased_at) == (True, None, first.erased_at)
    assert certified(office.database)["recording"] == 1
    assert len(list(office.ledger.lines())) == 1


async def test_one_that_never_was_is_refused(office: Office) -> None:
    with pytest.raises(RecordingError, match="there is no recording nothing"):
        await office.erase("nothing")
    with (
        office.database.reading() as connection,
        pytest.raises(RecordingError, match="there is no recording of call c"),
    ):
        recordings_of(connection, "c")
    assert not office.ledger.path.exists()


async def test_a_hold_is_named_and_nothing_is_erased(office: Office) -> None:
    name = office.add()
    held = hold(office.database, office.clock.now(), call_id="c")
    with pytest.raises(HeldError, match=f"recording {name} is not erased: hold {held} is on it"):
        await office.erase(name)
    assert office.rows(recordings)[0].header is not None
    assert not office.ledger.path.exists()


async def test_one_in_progress_keeps_its_row_for_whoever_writes_it(office: Office) -> None:
    name = office.add(state="recording", payload=None, wrapped_file_key=b"key")
    with office.store.writer("recording-1-part") as writer:
        writer.write(b"other")
    made = await office.erase(name)
    (row,) = office.rows(recordings)
    assert (row.state, row.header, row.wrapped_file_key) == ("erasing", None, None)
    assert (made.done_at, made.already) == (None, False)
    assert office.spool.orphans(()) == []
    office.store.put(name, [b"what the sealer still wrote"])
    assert (await office.erase(name)).already
    assert list(office.store.names()) == []
    await purge(office.write, office.store, office.ledger, office.clock, actor="test")
    assert office.rows(recordings) == []
    assert office.rows(erasures)[0].done_at is not None


async def test_what_a_store_that_was_away_kept_goes_the_next_time(office: Office) -> None:
    name = office.add()
    office.store.away = True
    with pytest.raises(ObjectStoreError):
        await office.erase(name)
    assert office.rows(recordings)[0].header is None
    office.store.away = False
    assert (await office.erase(name)).already
    assert office.nothing_is_left()
    assert certified(office.database)["recording"] == 1


async def test_a_ledger_that_cannot_be_written_keeps_the_recording(office: Office) -> None:
    name = office.add()
    office.ledger.path.mkdir()
    with pytest.raises(LedgerError):
        await office.erase(name)
    assert office.rows(recordings)[0].header is not None
    assert list(office.store.names()) == [name]
    office.ledger.path.rmdir()
    await office.erase(name)
    assert office.nothing_is_left()
