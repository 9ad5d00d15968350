"""A bucket by way of a folder: what goes up when, what waits, what is begun anew."""

import os
from datetime import timedelta
from pathlib import Path

import pytest

from callguard.recording.ending import ending_name
from callguard.recording.store import bucket as bucket_module
from callguard.recording.store import carrier
from callguard.recording.store.bucket import BucketError, Piece, key_of, name_of
from callguard.recording.store.folder import FolderStore
from callguard.recording.store.objects import (
    WORKING_SUFFIX,
    ObjectMissing,
    ObjectStore,
    ObjectStoreError,
)
from callguard.recording.store.staged import StagedStore
from tests.clock import HandClock
from tests.recording.store.buckets import FakeBucket
from tests.recording.store.conftest import LONG, NAME, again, append, carry, commit


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
