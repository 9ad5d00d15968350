"""What is deleted of a bucket by way of a folder: it stays away, whatever was on its way."""

from contextlib import suppress

import pytest

from callguard.recording.store import carrier
from callguard.recording.store.bucket import BucketError, Refused, UploadGone
from callguard.recording.store.folder import FolderStore
from callguard.recording.store.objects import ObjectStoreError
from callguard.recording.store.staged import StagedStore
from tests.clock import HandClock
from tests.recording.store.buckets import FakeBucket
from tests.recording.store.conftest import LONG, NAME, again, append, carry


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


def refuse(*_: object) -> None:
    raise Refused("403 AccessDenied")


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
