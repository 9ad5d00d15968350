"""A bucket by way of a folder while it runs: what goes up by itself, holds up nothing, is told."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from callguard.config import Settings
from callguard.recording.store import staged
from callguard.recording.store.bucket import Refused
from callguard.recording.store.folder import FolderStore
from callguard.recording.store.opening import open_store
from callguard.recording.store.s3 import S3Bucket
from callguard.recording.store.staged import StagedStore
from tests.clock import HandClock
from tests.recording.store.buckets import FakeBucket
from tests.recording.store.conftest import LONG, NAME, again, append, carry, commit
from tests.recording.store.s3_server import PART as S3_PART
from tests.recording.store.s3_server import moto, settings_for


@asynccontextmanager
async def running(store: StagedStore, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    monkeypatch.setattr(staged, "LOOK_S", 0.01)
    task = asyncio.create_task(store.run())
    try:
        yield
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


def told(store: StagedStore) -> str:
    return store.alarm or ""


async def test_what_is_stored_goes_up_by_itself(
    store: StagedStore, folder: FolderStore, bucket: FakeBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("before", [LONG])
    async with running(store, monkeypatch):
        await until(lambda: "before" in bucket.objects)
        for number in range(20):
            store.put(f"after-{number}", [LONG])
        append(store, b"a" * 35, first=True)
        await until(lambda: not list(folder.names()))
        await until(lambda: [len(begun.parts) for begun in bucket.begun.values()] == [3])
        assert len(bucket.objects) == 21
        assert store.alarm is None
    assert bucket.closed


async def test_a_store_that_is_down_is_told_and_what_waits_is_bounded(
    store: StagedStore, clock: HandClock, bucket: FakeBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.faults = ["before"] * 10_000
    store.put(NAME, [LONG])
    async with running(store, monkeypatch):
        await until(lambda: bucket.asked)
        assert not told(store)
        await asyncio.sleep(0.05)
        asked = len(bucket.asked)
        assert asked <= staged.TRANSFERS + 2  # nobody asks again before it is time
        clock.advance(60)
        # what cannot be tidied may be told a moment earlier
        await until(lambda: told(store).startswith("recordings are not stored since "))
        assert told(store).startswith("recordings are not stored since 2026-11-20 12:00 UTC: ")
        assert told(store).endswith("no answer; 0.0 MB wait for the bucket")
        assert store.has_room()
        store.put("more", [bytes(100)])
        await until(lambda: not store.has_room())
        assert told(store).endswith("wait for the bucket: nothing more is recorded")
        bucket.faults = []
        clock.advance(60)
        await until(lambda: len(bucket.objects) == 2)
        await until(store.has_room)
        await until(lambda: not told(store))


async def test_uploads_that_stay_hold_up_no_recording_and_are_told_as_what_they_are(
    store: StagedStore, clock: HandClock, bucket: FakeBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied() -> None:
        raise Refused("403 AccessDenied")

    monkeypatch.setattr(store, "tidy", denied)
    async with running(store, monkeypatch):
        await until(lambda: store._tidying.failing)
        store.put(NAME, [LONG])
        await until(lambda: NAME in bucket.objects)
        assert not told(store)
        clock.advance(60)
        await until(lambda: told(store))
        assert told(store).startswith(
            "unfinished uploads stay in the bucket since 2026-11-20 12:00"
        )
        assert told(store).endswith(": 403 AccessDenied")


async def test_a_bucket_that_hangs_holds_up_neither_the_watch_nor_the_end(
    store: StagedStore, bucket: FakeBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go = threading.Event()
    monkeypatch.setattr(bucket, "_request", lambda *_: let_go.wait(10) and None)
    monkeypatch.setattr(bucket, "close", let_go.set)
    for number in range(2 * staged.TRANSFERS):
        store.put(f"waiting-{number}", [LONG])
    async with running(store, monkeypatch):
        await until(lambda: not store.has_room())
    assert let_go.is_set()


async def test_a_folder_that_cannot_be_listed_is_told_until_it_can(
    store: StagedStore, folder: FolderStore, bucket: FakeBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    stray = folder.objects_folder / "stray"
    async with running(store, monkeypatch):
        stray.write_bytes(b"no folder")
        await until(lambda: told(store))
        assert told(store) == (
            "recordings are not stored since 2026-11-20 12:00 UTC: cannot list the waiting objects:"
            " Not a directory; 0.0 MB wait for the bucket"
        )
        stray.unlink()
        store.put(NAME, [LONG])
        await until(lambda: NAME in bucket.objects and not told(store))


async def test_one_object_that_cannot_be_stored_holds_up_no_other(
    store: StagedStore, clock: HandClock, bucket: FakeBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("a-poisoned-one", [LONG])
    whole = bucket.begin

    def begin(name: str) -> str:
        if name == "a-poisoned-one":
            raise RuntimeError("the bucket refuses it")
        return whole(name)

    monkeypatch.setattr(bucket, "begin", begin)
    async with running(store, monkeypatch):
        for number in range(5):
            store.put(f"good-{number}", [LONG])
            clock.advance(60)
            await until(lambda: f"good-{number}" in bucket.objects)  # noqa: B023 - awaited at once
        await until(lambda: told(store))
        assert "the bucket refuses it" in told(store)


def test_a_full_disk_is_told(tmp_path: Path, bucket: FakeBucket, clock: HandClock) -> None:
    folder = FolderStore(tmp_path / "objects", reserve=1 << 62)
    for store in (folder, again(folder, bucket, clock)):
        assert not store.has_room()
        assert store.alarm == f"the disk of {tmp_path / 'objects'} is full: nothing is recorded"


def test_the_settings_name_the_store(tmp_path: Path) -> None:
    assert isinstance(open_store(Settings(data=tmp_path)), FolderStore)
    s3 = settings_for("http://127.0.0.1:9", tmp_path)
    settings = Settings.model_validate({"data": tmp_path, "objects": {"s3": s3.model_dump()}})
    store = open_store(settings)
    assert isinstance(store, StagedStore)
    store.put(NAME, [LONG])
    assert FolderStore(settings.object_folder).read(NAME) == LONG


def test_a_real_store_gets_a_long_recording_while_it_runs(tmp_path: Path) -> None:
    with moto() as url:
        s3 = settings_for(url, tmp_path, timeout=10.0)
        settings = Settings.model_validate({"data": tmp_path, "objects": {"s3": s3.model_dump()}})
        store, bucket = open_store(settings), S3Bucket(s3)
        assert isinstance(store, StagedStore)
        whole = os.urandom(1000) * (2 * S3_PART // 1000 + 5)
        append(store, whole[: S3_PART + 1], first=True)
        carry(store)
        assert [upload.name for upload in bucket.uploads()] == [NAME]
        append(store, whole[S3_PART + 1 :])
        commit(store)
        carry(store)
        assert bucket.uploads() == []
        assert list(FolderStore(settings.object_folder).names()) == []
        assert store.read(NAME) == whole
        store.put("short", [LONG])
        assert store.delete([NAME, "short"]) == 1
        assert list(store.names()) == []
        bucket.close()
