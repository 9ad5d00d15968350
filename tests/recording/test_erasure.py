"""What was erased is never readable again, whatever state it was in and wherever it was cut off."""

import asyncio
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, select

from callguard.recording.ending import ending_name
from callguard.recording.erasure import Eraser
from callguard.recording.recorder import OpenRecording, read_unerased
from callguard.recording.spool import SpoolError
from callguard.recording.store.folder import FolderWriter
from callguard.recording.store.objects import ObjectStoreError
from callguard.retention.purging.purge import purge
from callguard.retention.schedule import for_days
from callguard.storage.schema import audit, erasures, recording_events, recordings
from tests.databases import ledger_of
from tests.recording.conftest import CALL_ID, House, TroubledStore

AUDIO = bytes(range(200)) * 100
DAYS = 30


def rows(house: House, table: Table) -> list[dict[str, Any]]:
    with house.database.reading() as connection:
        return [dict(row._mapping) for row in connection.execute(select(table))]


def eraser(house: House) -> Eraser:
    return Eraser(house.clock, house.journal, house.spool, house.store, ledger_of(house.database))


async def erase(house: House, recording: OpenRecording) -> bool:
    return bool(await eraser(house).erase(recording, by="subject", keep=for_days(DAYS)))


async def seal(house: House, recording: OpenRecording) -> None:
    house.sealer.ended(recording)
    running = asyncio.create_task(house.sealer.run())
    while house.sealer.backlog:
        await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def purged(house: House) -> None:
    ledger = ledger_of(house.database)
    await purge(house.journal.write, house.store, ledger, house.clock, actor="test")


def assert_unreadable(house: House) -> None:
    """No header, no key, no sound; one tombstone."""
    (row,) = rows(house, recordings)
    assert (row["state"], row["header"], row["wrapped_file_key"]) == ("erasing", None, None)
    (tombstone,) = rows(house, erasures)
    assert (tombstone["object_id"], tombstone["done_at"]) == (row["id"], None)


def assert_gone(house: House) -> None:
    assert rows(house, recordings) == []
    assert rows(house, erasures)[0]["done_at"] is not None
    assert (house.plaintext(), list(house.store.names()), house.store.parts()) == ([], [], [])


async def test_a_recording_in_progress_is_erased_and_says_by_whom(house: House) -> None:
    recording = await house.recorded(AUDIO)
    assert await erase(house, recording)
    assert_unreadable(house)
    assert house.plaintext() == []
    (event,) = rows(house, recording_events)
    assert (event["kind"], event["by"], event["call_id"]) == ("erased", "subject", CALL_ID)
    assert (event["expires_at"] - event["at"]).days == DAYS
    assert rows(house, audit)[-1]["action"] == "recording.erase"
    await seal(house, recording)
    assert house.sealer.sealed == 0
    assert house.recorder.faults == {}
    await purged(house)
    assert_gone(house)


async def test_a_sealed_recording_is_erased_with_its_payload(house: House) -> None:
    recording = await house.recorded(AUDIO)
    await seal(house, recording)
    with house.database.reading() as connection:
        (found,) = read_unerased(connection, CALL_ID)
    assert found == replace(recording, running=False)
    assert await erase(house, found)
    assert_unreadable(house)
    assert list(house.store.names()) == []
    with house.database.reading() as connection:
        assert read_unerased(connection, CALL_ID) == []
    await purged(house)
    assert_gone(house)


async def test_a_last_chunk_that_a_killed_process_left_is_erased_too(house: House) -> None:
    recording = await house.recorded(AUDIO)
    house.store.put(ending_name(recording.id), [b"sealed"])
    assert await erase(house, recording)
    assert list(house.store.names()) == []


async def test_a_second_erasure_changes_nothing(house: House) -> None:
    recording = await house.recorded(AUDIO)
    assert await erase(house, recording)
    assert await erase(house, recording)
    assert_unreadable(house)
    assert len(rows(house, recording_events)) == 1
    await purged(house)
    assert await erase(house, recording)
    assert_gone(house)


class SlowStore(TroubledStore):
    """Begins an object only once it may."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.begun, self.may = threading.Event(), threading.Event()

    def writer(self, name: str, *, resume: bool = False) -> FolderWriter:
        self.begun.set()
        assert self.may.wait(10)
        return super().writer(name, resume=resume)


async def test_what_is_erased_while_it_is_sealed_is_not_sealed(
    house: House, tmp_path: Path
) -> None:
    house.store = store = SlowStore(tmp_path / "slow")
    recording = await house.recorded(AUDIO)
    house.restart()
    sealing = asyncio.create_task(seal(house, recording))
    await asyncio.to_thread(store.begun.wait, 10)
    assert await erase(house, recording)
    store.may.set()
    await sealing
    assert_unreadable(house)
    assert (house.sealer.sealed, house.sealer.failures) == (0, 0)
    assert list(store.names()) == []
    assert all(row["action"] != "recording.seal" for row in rows(house, audit))
    await purged(house)
    assert_gone(house)


async def test_a_crash_while_it_is_sealed_and_erased_is_made_good_by_the_purge(
    house: House,
) -> None:
    """The payload came after the tombstone, and nobody was left to take it away."""
    recording = await house.recorded(AUDIO)
    assert await erase(house, recording)
    house.store.put(recording.id, [b"sealed"])
    house.restart()
    await purged(house)
    assert_gone(house)


@pytest.mark.parametrize("step", ["spool", "store"])
async def test_what_could_not_be_removed_is_later(
    house: House, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = await house.recorded(AUDIO)
    if step == "store":
        await seal(house, recording)
    with monkeypatch.context() as broken:

        def fail(*_: object) -> None:
            raise SpoolError("cannot") if step == "spool" else ObjectStoreError("cannot")

        broken.setattr(
            house.spool if step == "spool" else house.store,
            "remove" if step == "spool" else "delete",
            fail,
        )
        assert await erase(house, recording)
    assert_unreadable(house)
    house.restart()
    assert house.recorder.in_progress() == ()
    await purged(house)
    assert_gone(house)


async def test_what_is_not_durable_is_not_erased(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = await house.recorded(AUDIO)
    await house.journal.close()
    assert not await erase(house, recording)
    (row,) = rows(house, recordings)
    assert row["header"] is not None
    assert house.plaintext() == [recording.spool_name]
