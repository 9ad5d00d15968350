"""The folder store: whole objects or none, durable, resumable, and clear about what went wrong."""

import fcntl
import os
import resource
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from callguard.recording import durable
from callguard.recording.store import folder as folder_store
from callguard.recording.store.folder import FolderStore
from callguard.recording.store.objects import ObjectMissing, ObjectStore, ObjectStoreError

NAME = "0192f0c1-7c3b-7e9b-8a55-0123456789ab"


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


@contextmanager
def a_disk_that_takes(size: int) -> Iterator[None]:
    """No file of this process can grow beyond `size` bytes: the kernel refuses, as a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_the_folder_store_is_an_object_store(store: FolderStore) -> None:
    typed: ObjectStore = store
    assert typed.parts() == []


def test_what_is_put_can_be_read_whole_and_in_part(store: FolderStore) -> None:
    assert store.put(NAME, [b"abc", b"", b"defgh"]) == 8
    assert store.read(NAME) == b"abcdefgh"
    assert store.read(NAME, 2, 3) == b"cde"
    assert store.read(NAME, 6, 100) == b"gh"
    assert store.read(NAME, 100, 1) == b""
    assert store.size(NAME) == 8
    assert store.exists(NAME)
    assert list(store.names()) == [NAME]
    assert store.parts() == []


def test_an_object_that_is_not_there_is_missing(store: FolderStore) -> None:
    assert not store.exists(NAME)
    for question in (store.read, store.size):
        with pytest.raises(ObjectMissing, match="there is none"):
            question(NAME)
    with pytest.raises(ObjectMissing, match="there is none"):
        store.writer(NAME, resume=True)


@pytest.mark.parametrize(("offset", "size"), [(-1, 1), (0, -1)])
def test_a_negative_range_is_a_mistake_of_the_caller(
    store: FolderStore, offset: int, size: int
) -> None:
    with pytest.raises(ValueError, match="negative"):
        store.read(NAME, offset, size)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/b", "/etc/passwd", ".hidden", "a\0b", "a\n", "\u00e9", "x" * 129],
)
def test_a_name_that_could_lead_elsewhere_is_refused(store: FolderStore, name: str) -> None:
    for question in (store.read, store.size, store.exists, store.writer):
        with pytest.raises(ObjectStoreError, match="not the name of an object"):
            question(name)
    with pytest.raises(ObjectStoreError, match="not the name of an object"):
        store.delete([name])


def test_an_object_does_not_appear_before_it_is_whole(store: FolderStore) -> None:
    with store.writer(NAME) as writer:
        writer.write(b"half")
        writer.sync()
        assert not store.exists(NAME)
        assert store.parts() == [NAME]
        writer.commit()
    assert store.read(NAME) == b"half"
    assert store.parts() == []


def test_an_object_is_never_replaced(store: FolderStore) -> None:
    store.put(NAME, [b"first"])
    with pytest.raises(ObjectStoreError, match="already there"):
        store.put(NAME, [b"second"])
    assert store.read(NAME) == b"first"


def test_an_object_that_appeared_meanwhile_is_not_replaced(store: FolderStore) -> None:
    writer = store.writer(NAME)
    target = store.path(NAME)
    target.parent.mkdir()
    target.write_bytes(b"first")
    with pytest.raises(ObjectStoreError, match="already there"):
        writer.commit()
    writer.abort()
    assert store.read(NAME) == b"first"


def test_a_part_outlives_its_writer_and_is_taken_up_again(store: FolderStore) -> None:
    with store.writer(NAME) as writer:
        writer.write(b"whole chunk, torn ch")
    with store.writer(NAME, resume=True) as writer:
        assert writer.size == 20
        writer.truncate(12)
        writer.write(b"and the rest")
        writer.commit()
    assert store.read(NAME) == b"whole chunk,and the rest"


def test_a_part_is_not_begun_twice(store: FolderStore) -> None:
    with store.writer(NAME):
        with pytest.raises(ObjectStoreError, match="part is in the way"):
            store.writer(NAME)
        with pytest.raises(ObjectStoreError, match="it is being written"):
            store.writer(NAME, resume=True)
    with store.writer(NAME, resume=True) as writer:
        writer.abort()
    assert store.parts() == []


def test_a_finished_writer_is_finished(store: FolderStore) -> None:
    writer = store.writer(NAME)
    writer.commit()
    writer.close()
    writer.abort()
    assert store.exists(NAME)
    with pytest.raises(ObjectStoreError, match="no longer being written"):
        writer.write(b"x")


@pytest.mark.parametrize("size", [-1, 4])
def test_a_part_is_not_truncated_to_more_than_it_is(store: FolderStore, size: int) -> None:
    with store.writer(NAME) as writer:
        writer.write(b"abc")
        with pytest.raises(ValueError, match="truncate"):
            writer.truncate(size)


def test_deleting_is_for_good_and_may_be_repeated(store: FolderStore) -> None:
    names = [f"{NAME}-{number}" for number in range(20)]
    for name in names:
        store.put(name, [b"x"])
    with store.writer("unfinished") as writer:
        writer.write(b"x")
    assert store.delete([*names[:10], "unfinished", "never-there"]) == 11
    assert sorted(store.names()) == sorted(names[10:])
    assert store.parts() == []
    assert store.delete([*names, "unfinished"]) == 10
    assert store.delete(names) == 0


def test_a_deletion_syncs_each_folder_it_touched_once(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{NAME}-{number}" for number in range(50)]
    for name in names:
        store.put(name, [b"x"])
    synced: list[Path] = []
    monkeypatch.setattr(folder_store, "sync_folder", synced.append)
    store.delete(names)
    assert sorted(synced) == sorted(
        {*(store.path(name).parent for name in names), store.parts_folder}
    )


def test_a_refused_write_leaves_the_part_as_it_was(store: FolderStore) -> None:
    with store.writer(NAME) as writer:
        writer.write(b"a" * 1000)
        with a_disk_that_takes(1500), pytest.raises(ObjectStoreError, match="File too large"):
            writer.write(b"b" * 1000)
        assert writer.size == 1000
        writer.write(b"c" * 1000)
        writer.commit()
    assert store.read(NAME) == b"a" * 1000 + b"c" * 1000


def test_a_refused_put_leaves_nothing(store: FolderStore) -> None:
    with a_disk_that_takes(1500), pytest.raises(ObjectStoreError, match="cannot write"):
        store.put(NAME, [b"a" * 1000, b"b" * 1000])
    assert store.parts() == []
    assert not store.exists(NAME)


def _fail(*_arguments: object) -> None:
    raise OSError(28, os.strerror(28))


def test_after_a_failed_sync_nothing_is_believed(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = store.writer(NAME)
    writer.write(b"x")
    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", _fail)
        with pytest.raises(ObjectStoreError, match="No space left on device"):
            writer.commit()
    for step in (writer.sync, writer.commit):
        with pytest.raises(ObjectStoreError, match="in doubt"):
            step()
    writer.abort()
    assert store.parts() == []


def test_what_is_durable_is_not_synced_again(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[object] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    monkeypatch.setattr(folder_store, "sync_folder", synced.append)
    with store.writer(NAME) as writer:
        writer.write(b"x")
    assert synced == [store.parts_folder]
    with store.writer(NAME, resume=True) as writer:
        writer.sync()  # who wrote it may have been killed before it was durable
        writer.sync()
        assert len(synced) == 2
        writer.write(b"y")
        writer.sync()
        writer.truncate(0)
        writer.sync()
        writer.sync()
        assert len(synced) == 4
        writer.commit()
    # Then the folders alone: of the object's folder, where that is new; of the object; of the part.
    assert synced[4:] == [store.objects_folder, store.path(NAME).parent, store.parts_folder]


def test_a_write_that_cannot_be_undone_puts_the_part_in_doubt(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.writer(NAME) as writer:
        with monkeypatch.context() as patched:
            patched.setattr(os, "pwrite", _fail)
            patched.setattr(os, "ftruncate", _fail)
            with pytest.raises(ObjectStoreError, match="undo a write"):
                writer.write(b"x")
        with pytest.raises(ObjectStoreError, match="in doubt"):
            writer.write(b"x")


def test_every_other_refusal_of_the_system_names_the_object(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(NAME, [b"x"])
    monkeypatch.setattr(folder_store, "sync_folder", _fail)
    with pytest.raises(ObjectStoreError, match="cannot delete from object"):
        store.delete([NAME])
    with pytest.raises(ObjectStoreError, match="cannot begin object another: No space"):
        store.writer("another")


def test_a_store_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ObjectStoreError, match="cannot prepare object store: Not a directory"):
        FolderStore(tmp_path / "file" / "store")


def test_nobody_else_can_enter_the_store(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    store.put(NAME, [b"x"])
    for path in (tmp_path / "store", *(tmp_path / "store").rglob("*")):
        assert path.stat().st_mode & 0o077 == 0


def test_an_existing_store_opens_again(tmp_path: Path) -> None:
    FolderStore(tmp_path / "store").put(NAME, [b"x"])
    assert FolderStore(tmp_path / "store").read(NAME) == b"x"


def test_a_killed_writer_leaves_a_part_that_goes_on(store: FolderStore, tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import os, signal, sys
        from pathlib import Path
        from callguard.recording.store.folder import FolderStore
        writer = FolderStore(Path(sys.argv[1])).writer(sys.argv[2])
        writer.write(b"durable")
        writer.sync()
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "store"), NAME], check=False, timeout=30
    )
    assert done.returncode == -signal.SIGKILL
    assert store.parts() == [NAME]
    with store.writer(NAME, resume=True) as writer:
        writer.write(b" and finished")
        writer.commit()
    assert store.read(NAME) == b"durable and finished"


def test_a_folder_that_is_none_cannot_be_synced(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        durable.sync_folder(tmp_path / "file")


def test_a_part_that_another_committed_between_opening_and_locking_is_not_touched(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was opened is then the object under its name: immutable."""
    with store.writer(NAME) as writer:
        writer.write(b"whole")
    other = store.writer(NAME, resume=True)
    lock = fcntl.flock

    def at_last(descriptor: int, how: int) -> None:
        other.commit()
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", at_last)
    with pytest.raises(ObjectMissing):
        store.writer(NAME, resume=True)
    assert store.read(NAME) == b"whole"
