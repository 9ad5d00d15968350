"""The whole service on a bucket that is down: calls are recorded and sealed, and wait."""

import asyncio
from pathlib import Path

import pytest

from callguard.config import Settings
from callguard.recording.store.folder import FolderStore
from callguard.recording.store.staged import StagedStore
from callguard.service import Service
from callguard.storage.schema import recordings
from tests.harness.virtual import current_clock, virtual_time
from tests.house import house
from tests.recording.store.buckets import FakeBucket


@virtual_time
async def test_a_call_is_sealed_while_the_bucket_is_down_and_stored_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = FakeBucket(faults=["before"] * 10_000)

    def staged(settings: Settings) -> StagedStore:
        return StagedStore(
            FolderStore(settings.object_folder),
            bucket,
            current_clock(),
            part_bytes=1 << 20,
            queue_bytes=1 << 30,
        )

    monkeypatch.setattr("callguard.vault.open_store", staged)
    async with house(tmp_path) as home:
        await home.whole_call()
        await home.settled()
        row = home.one(recordings)
        assert row["state"] == "sealed"
        assert home.audio(row)
        async with asyncio.timeout(60):
            while not any("are not stored since" in one for one in await alarms(home.service)):
                await asyncio.sleep(0.5)
        assert bucket.objects == {}
        vault = (await home.service.overview.status()).vault
        assert (vault.store_has_room, vault.waiting_bytes) == (True, row["sealed_bytes"])
        bucket.faults.clear()
        async with asyncio.timeout(300):
            while await alarms(home.service):
                await asyncio.sleep(0.5)
        assert list(bucket.objects) == [row["payload"]]
        assert len(bucket.objects[row["payload"]][0]) == row["sealed_bytes"]
        assert list(FolderStore(home.service.settings.object_folder).names()) == []
    assert bucket.closed


async def alarms(service: Service) -> list[str]:
    status = await service.overview.status()
    return [alarm for alarm in status.alarms if "stored" in alarm]
