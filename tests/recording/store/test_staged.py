"""A bucket by way of a folder: what goes up when, what waits, what is told."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest

from callguard.config import Settings
from callguard.recording.ending import ending_name
from callguard.recording.store import bucket as bucket_module
from callguard.recording.store import carrier, staged
from callguard.recording.store.bucket import (
    BucketError,
    Piece,
    Refused,
    UploadGone,
    key_of,
    name_of,
)
from callguard.recording.store.folder import FolderStore
from callguard.recording.store.objects import (
    WORKING_SUFFIX,
    ObjectMissing,
    ObjectStore,
    ObjectStoreError,
)
from callguard.recording.store.opening import open_store
from callguard.recording.store.s3 import S3Bucket
from callguard.recording.store.staged import StagedStore
from tests.clock import HandClock
from tests.recording.store.buckets import FakeBucket
from tests.recording.store.s3_server import PART as S3_PART
from tests.recording.store.s3_server import moto, settings_for

PART = 10
NAME = "0192f0c1-7c3b-7e9b-8a55-0123456789ab"
LONG = b"one part. another.. and a rest"


@pytest.fixture
def folder(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "objects")


@pytest.fixture
def bucket() -> FakeBucket:
    return FakeBucket()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def store(folder: FolderStore, bucket: FakeBucket, clock: HandClock) -> StagedStore:
    return again(folder, bucket, clock)


def again(folder: FolderStore, bucket: FakeBucket, clock: HandClock) -> StagedStore:
    return StagedStore(folder, bucket, clock, part_bytes=PART, queue_bytes=100)


def append(store: ObjectStore, data: bytes, *, first: bool = False) -> None:
    with store.writer(NAME, resume=not first) as writer:
        writer.write(data)
        writer.sync()


def commit(store: ObjectStore) -> None:
    with store.writer(NAME, resume=True) as writer:
        writer.commit()


def carry(store: StagedStore) -> None:
    while names := store.look():
        for name in names:
            store.carry(name)


def test_it_is_an_object_store(store: StagedStore) -> None:
    typed: ObjectStore = store
    assert typed.has_room()


def test_what_is_stored_is_found_wherever_it_is(
    store: StagedStore, folder: FolderStore, bucket: FakeBucket
) -> None:
    store.put(NAME, [LONG])
    store.put("other", [b"x"])
    for _ in range(2):
        assert store.read(NAME) == LONG
        assert store.read(NAME, 3, 4) == LONG[3:7]
        assert store.size(NAME) == len(LONG)
        assert store.exists(NAME)
        assert sorted(store.names()) == [NAME, "other"]
        carry(store)
    assert list(folder.names()) == []
    assert bucket.objects[NAME][0] == LONG
    with pytest.raises(ObjectMissing):
        store.read("never")
    with pytest.raises(ObjectMissing):
        store.size("never")
    assert not store.exists("never")


def test_a_long_recording_goes_up_while_it_grows(store: StagedStore, bucket: FakeBucket) -> None:
    append(store, b"", first=True)
    for sent, length in ((0, 10), (1, 11), (1, 20), (2, 21)):
        with store.writer(NAME, resume=True) as writer:
            writer.write(LONG[writer.size : length])
        carry(store)
        assert sum(len(begun.parts) for begun in bucket.begun.values()) == sent
    assert bucket.objects == {}
    append(store, LONG[21:])
    commit(store)
    bucket.asked.clear()
    carry(store)
    assert bucket.objects[NAME][0] == LONG
    assert bucket.asked == ["send", "complete", "stored"]


def test_what_was_cut_back_after_it_went_up_goes_up_anew(
    store: StagedStore, bucket: FakeBucket
) -> None:
    append(store, b"a" * 25, first=True)
    carry(store)
    with store.writer(NAME, resume=True) as writer:
        writer.truncate(5)
        writer.write(b"b" * 9)
        writer.commit()
    carry(store)
    assert bucket.objects[NAME][0] == b"a" * 5 + b"b" * 9


@pytest.mark.parametrize("fault", ["lose", "cut", "spoil"])
def test_the_file_stays_until_the_bucket_has_all_of_it(
    store: StagedStore, folder: FolderStore, bucket: FakeBucket, fault: str
) -> None:
    store.put(NAME, [LONG])
    bucket.faults = [*[None] * 4, fault]  # type: ignore[list-item]
    with pytest.raises(BucketError, match="does not keep"):
        store.carry(NAME)
    assert folder.read(NAME) == LONG
    carry(store)
    assert not folder.exists(NAME)
    assert bucket.objects[NAME][0] == LONG


def test_a_bucket_that_encrypts_is_read_back(
    store: StagedStore, folder: FolderStore, bucket: FakeBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrier, "BLOCK_BYTES", 7)
    bucket.encrypts = True
    store.put(NAME, [LONG])
    bucket.faults = [*[None] * 4, "spoil"]
    with pytest.raises(BucketError, match="does not keep"):
        store.carry(NAME)
    assert folder.exists(NAME)
    bucket.asked.clear()
    carry(store)
    assert bucket.asked.count("read") >= 5
    assert not folder.exists(NAME)


def test_what_arrived_without_an_answer_is_not_sent_again(
    store: StagedStore, bucket: FakeBucket
) -> None:
    store.put(NAME, [LONG])
    bucket.faults = [*[None] * 4, "after"]
    with pytest.raises(BucketError):
        store.carry(NAME)
    bucket.asked.clear()
    carry(store)
    assert bucket.asked == ["stored", "uploads"]


def test_a_part_that_failed_is_sent_alone(store: StagedStore, bucket: FakeBucket) -> None:
    store.put(NAME, [LONG])
    bucket.faults = [None, None, "before"]
    with pytest.raises(BucketError):
        store.carry(NAME)
    carry(store)
    assert bucket.asked.count("begin") == 1
    assert bucket.asked.count("send") == 4


def test_an_upload_of_which_nobody_was_told_is_given_up(
    store: StagedStore, bucket: FakeBucket
) -> None:
    store.put(NAME, [LONG])
    bucket.faults = ["after"]
    with pytest.raises(BucketError):
        store.carry(NAME)
    carry(store)
    assert bucket.begun == {}


def test_an_upload_that_keeps_failing_is_begun_anew(store: StagedStore, bucket: FakeBucket) -> None:
    store.put(NAME, [LONG])
    bucket.faults = [None, *["before"] * carrier.PATIENCE]  # type: ignore[list-item]
    for _ in range(carrier.PATIENCE):
        with pytest.raises(BucketError):
            store.carry(NAME)
    carry(store)
    assert bucket.asked.count("begin") == 2
    assert bucket.begun == {}


def test_an_upload_that_the_store_cleared_away_is_begun_anew(
    store: StagedStore, bucket: FakeBucket
) -> None:
    append(store, b"a" * 15, first=True)
    carry(store)
    bucket.begun.clear()
    append(store, b"b" * 10)
    with pytest.raises(BucketError):
        store.carry(NAME)
    commit(store)
    carry(store)
    assert bucket.objects[NAME][0] == b"a" * 15 + b"b" * 10


def test_the_next_start_gives_up_what_a_crash_left_half_done(
    store: StagedStore, folder: FolderStore, bucket: FakeBucket, clock: HandClock
) -> None:
    append(store, b"a" * 15, first=True)
    carry(store)
    (old,) = bucket.begun
    store = again(folder, bucket, clock)
    commit(store)
    carry(store)
    assert old not in bucket.begun
    assert bucket.objects[NAME][0] == b"a" * 15


def test_old_uploads_of_nobody_are_given_up_once_a_day(
    store: StagedStore, bucket: FakeBucket, clock: HandClock
) -> None:
    append(store, b"a", first=True)
    bucket.now = clock.now() - carrier.STRAY - timedelta(seconds=1)
    bucket.begin("nobodys")
    kept = {bucket.begin(NAME)}
    bucket.now = clock.now() - carrier.STRAY + timedelta(hours=1)
    kept.add(bucket.begin("another-nodes"))
    store.tidy()
    assert set(bucket.begun) == kept
    bucket.asked.clear()
    store.tidy()
    assert bucket.asked == []
    clock.advance(days=1)
    store.tidy()
    assert len(bucket.begun) == 1


def test_the_upload_of_a_recording_that_came_to_nothing_is_given_up(
    store: StagedStore, bucket: FakeBucket
) -> None:
    append(store, b"a" * 15, first=True)
    carry(store)
    with store.writer(NAME, resume=True) as writer:
        writer.abort()
    store.tidy()
    assert bucket.begun == {}


def test_deleting_takes_the_part_the_upload_and_the_object(
    store: StagedStore, folder: FolderStore, bucket: FakeBucket
) -> None:
    store.put("stored", [LONG])
    carry(store)
    store.put("waiting", [LONG])
    append(store, b"a" * 15, first=True)
    store.carry(NAME)
    assert store.delete(["stored", "waiting", NAME, "never"]) == 2
    assert (list(store.names()), store.parts(), bucket.begun) == ([], [], {})


def test_a_deletion_while_the_bucket_is_down_is_not_done(
    store: StagedStore, bucket: FakeBucket
) -> None:
    store.put("stored", [LONG])
    carry(store)
    bucket.faults = ["before"]
    with pytest.raises(ObjectStoreError):
        store.delete(["stored"])
    assert store.delete(["stored"]) == 0
    assert bucket.objects == {}


def test_what_was_never_committed_is_deleted_without_the_bucket(
    store: StagedStore, bucket: FakeBucket
) -> None:
    append(store, b"a" * 15, first=True)
    store.carry(NAME)
    bucket.faults = ["before"]
    assert store.delete([NAME]) == 1
    assert store.parts() == []
    store.tidy()
    assert bucket.begun == {}


@pytest.mark.parametrize("listed", [True, False])
def test_a_store_that_cannot_abort_keeps_nobody_from_deleting(
    store: StagedStore, bucket: FakeBucket, listed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not listed:
        monkeypatch.setattr(bucket, "uploads", lambda *_: [])
    bucket.aborts = False
    store.put(NAME, [LONG])
    bucket.faults = [*[None] * (4 if listed else 3), "late"]
    with pytest.raises(BucketError):
        store.carry(NAME)
    assert next(iter(bucket.begun.values())).parts
    (complete,) = bucket.late
    store.delete([NAME])
    assert bucket.objects == {}
    if listed:
        assert bucket.begun == {}
        with pytest.raises(UploadGone):
            complete()


def test_where_nothing_can_be_aborted_recordings_go_up_all_the_same(
    store: StagedStore, folder: FolderStore, bucket: FakeBucket, clock: HandClock
) -> None:
    bucket.aborts = False
    append(store, b"a" * 15, first=True)
    carry(store)
    bucket.now = clock.now() - 2 * carrier.STRAY
    stray = bucket.begin("nobodys")
    store = again(folder, bucket, clock)
    store.tidy()
    assert stray in bucket.begun
    commit(store)
    carry(store)
    assert bucket.objects[NAME][0] == b"a" * 15
    carrier_again = again(folder, bucket, clock)
    assert carrier_again.read(NAME) == b"a" * 15


def test_what_came_to_nothing_leaves_nothing_where_nothing_can_be_aborted(
    store: StagedStore, bucket: FakeBucket
) -> None:
    bucket.aborts = False
    append(store, b"a" * 15, first=True)
    carry(store)
    with store.writer(NAME, resume=True) as writer:
        writer.abort()
    store.tidy()
    assert (bucket.begun, bucket.objects) == ({}, {})


@pytest.mark.parametrize("step", range(5))
def test_no_empty_object_stays_of_what_was_ended_without_an_answer(
    store: StagedStore, bucket: FakeBucket, step: int
) -> None:
    bucket.aborts = False
    append(store, b"a" * 15, first=True)
    store.carry(NAME)
    bucket.faults = [*[None] * step, "after"]
    with suppress(BucketError):
        store.delete([NAME])
    store.delete([NAME])
    assert bucket.objects == {}


def test_an_upload_that_cannot_be_ended_keeps_no_object_from_going(
    store: StagedStore, bucket: FakeBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        store.put(name, [LONG])
    carry(store)
    upload = bucket.begin("a")
    monkeypatch.setattr(bucket, "abort", refuse)
    monkeypatch.setattr(bucket, "send", refuse)
    with pytest.raises(Refused):
        store.delete(["a", "b"])
    assert bucket.objects == {}
    monkeypatch.undo()
    store.delete(["a", "b"])
    assert upload not in bucket.begun


def refuse(*_: object) -> None:
    raise Refused("403 AccessDenied")


def test_what_is_cut_back_to_whole_parts_goes_up_without_the_others(
    store: StagedStore, bucket: FakeBucket
) -> None:
    append(store, b"a" * 45, first=True)
    carry(store)
    with store.writer(NAME, resume=True) as writer:
        writer.truncate(20)
        writer.commit()
    carry(store)
    assert bucket.objects[NAME][0] == b"a" * 20


def test_what_followed_a_part_that_changed_is_not_believed(
    store: StagedStore, bucket: FakeBucket
) -> None:
    append(store, b"a" * 25, first=True)
    carry(store)
    (upload,) = store.carrier._under_way.values()
    assert len(upload.sent) == 2
    with store.writer(NAME, resume=True) as writer:
        writer.truncate(5)
        writer.write(b"b" * 20)
        writer.commit()
    bucket.faults = [None, "before"]
    with pytest.raises(BucketError):
        store.carry(NAME)
    assert len(upload.sent) == 1


def test_what_is_gone_before_it_is_whole_is_given_up_at_once(
    store: StagedStore, folder: FolderStore, bucket: FakeBucket
) -> None:
    store.put(NAME, [LONG])
    bucket.meanwhile = [*[None] * 3, lambda: folder.delete([NAME])]
    store.carry(NAME)
    assert (bucket.begun, bucket.objects) == ({}, {})


def test_a_deletion_that_is_said_again_asks_again_for_each_by_name(
    store: StagedStore, bucket: FakeBucket
) -> None:
    """Some stores list the uploads of one object only, and its files are gone by then."""
    names = [f"{NAME}-{number}" for number in range(carrier.FEW + 1)]
    for name in names:
        store.put(name, [b"x"])
    bucket.faults = ["before"]
    with pytest.raises(BucketError):
        store.delete(names)
    bucket.asked.clear()
    store.delete(names)
    assert bucket.asked.count("uploads") == len(names)


def test_many_deletions_are_few_requests(store: StagedStore, bucket: FakeBucket) -> None:
    names = [f"{NAME}-{number}" for number in range(30)]
    for name in names:
        store.put(name, [b"x"])
    carry(store)
    bucket.asked.clear()
    store.delete(names)
    assert bucket.asked == ["uploads", "delete"]
    assert bucket.objects == {}


def test_nothing_that_seals_waits_for_the_bucket(store: StagedStore, bucket: FakeBucket) -> None:
    working = ending_name(NAME)
    assert working.endswith(WORKING_SUFFIX)
    append(store, b"a", first=True)
    assert not store.exists(NAME)
    with pytest.raises(ObjectMissing):
        store.read(NAME)
    with pytest.raises(ObjectMissing):
        store.read(working)
    store.put(working, [b"chunk"])
    carry(store)
    assert store.read(working) == b"chunk"
    assert store.delete([working]) == 1
    assert bucket.asked == []


def test_a_name_is_found_again_from_its_key() -> None:
    for prefix in ("", "calls/", "a/b/"):
        assert name_of(prefix, key_of(prefix, NAME)) == NAME
    strange = key_of("calls/", "somebody's")
    for key in (strange, f"calls/00/{NAME}", NAME, "calls/", "", "\u00e9"):
        assert name_of("calls/", key) is None


def test_a_piece_is_never_in_memory_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_module, "BLOCK_BYTES", 4)
    (tmp_path / "file").write_bytes(LONG)
    descriptor = os.open(tmp_path / "file", os.O_RDONLY)
    try:
        piece = Piece.of(descriptor, 3, 10)
        assert list(piece.blocks()) == [LONG[3:7], LONG[7:11], LONG[11:13]]
        with pytest.raises(ObjectStoreError, match="became shorter"):
            Piece.of(descriptor, 25, 10)
    finally:
        os.close(descriptor)


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


def told(store: StagedStore) -> str:
    return store.alarm or ""


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
            await until(lambda: f"good-{number}" in bucket.objects)  # noqa: B023
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


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("step", range(7))
def test_what_is_deleted_while_it_goes_up_never_appears(
    store: StagedStore,
    folder: FolderStore,
    bucket: FakeBucket,
    clock: HandClock,
    step: int,
    elsewhere: bool,
) -> None:
    """``elsewhere``: by another process, as the command line does."""
    deleting = again(folder, bucket, clock) if elsewhere else store
    store.put(NAME, [LONG])
    bucket.meanwhile = [*[None] * step, lambda: deleting.delete([NAME])]
    with suppress(BucketError):
        store.carry(NAME)
    if bucket.meanwhile:  # it was up before
        deleting.delete([NAME])
    assert not folder.exists(NAME)
    assert bucket.objects == {}
    store.tidy()
    assert bucket.begun == {}


@pytest.mark.parametrize("step", range(4))
def test_a_request_that_arrives_late_brings_nothing_back(
    store: StagedStore, bucket: FakeBucket, step: int
) -> None:
    store.put(NAME, [LONG])
    bucket.faults = [*[None] * 4, "late"]
    with pytest.raises(BucketError):
        store.carry(NAME)
    (complete,) = bucket.late

    def arrive() -> None:
        with suppress(BucketError):
            complete()

    bucket.meanwhile = [*[None] * step, arrive]
    store.delete([NAME])
    arrive()
    assert bucket.objects == {}


@pytest.mark.parametrize("step", range(7))
def test_what_is_stored_anew_while_the_old_goes_up_is_what_stays(
    store: StagedStore, folder: FolderStore, bucket: FakeBucket, step: int
) -> None:
    def anew() -> None:
        store.delete([NAME])
        store.put(NAME, [b"something else"])

    store.put(NAME, [LONG])
    bucket.meanwhile = [*[None] * step, anew]
    with suppress(BucketError):
        store.carry(NAME)
    if not bucket.meanwhile:
        assert store.read(NAME) == b"something else"
        carry(store)
        assert bucket.objects[NAME][0] == b"something else"
        assert not folder.exists(NAME)
