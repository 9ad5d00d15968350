"""A folder with a bucket behind it, and what is put into them."""

from pathlib import Path

import pytest

from callguard.recording.store.folder import FolderStore
from callguard.recording.store.objects import ObjectStore
from callguard.recording.store.staged import StagedStore
from tests.clock import HandClock
from tests.recording.store.buckets import FakeBucket

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
