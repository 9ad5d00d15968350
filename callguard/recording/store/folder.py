"""The default store: objects as files of a folder, spread over 256 of its folders."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from callguard.recording.durable import sync_folder
from callguard.recording.store.objects import ObjectMissing, ObjectStoreError, is_name


class FolderStore:
    """Objects as files, spread over 256 folders by a hash of their names."""

    def __init__(self, root: Path, *, reserve: int = 0) -> None:
        """Make the folders that are missing, readable by this user alone. ``reserve``: bytes that
        must be free before a recording may begin."""
        self._root = root
        self._reserve = reserve
        self.objects_folder = root / "objects"
        self.parts_folder = root / "parts"
        self._shards = tuple(self.objects_folder / f"{number:02x}" for number in range(256))
        with _named_failure("prepare", "store"):
            for folder in (root, self.objects_folder, self.parts_folder):
                _make_folder(folder)

    def put(self, name: str, pieces: Iterable[bytes]) -> int:
        """See ObjectStore.put."""
        with self.writer(name) as writer:
            try:
                for piece in pieces:
                    writer.write(piece)
                size = writer.size
                writer.commit()
            except BaseException:
                writer.abort()
                raise
        return size

    def writer(self, name: str, *, resume: bool = False) -> FolderWriter:
        """See ObjectStore.writer. Raises ObjectStoreError when the part is in use or in the way."""
        return FolderWriter(self.part(name), self.path(name), resume=resume)

    def read(self, name: str, offset: int = 0, size: int | None = None) -> bytes:
        """See ObjectStore.read."""
        if offset < 0 or (size is not None and size < 0):
            raise ValueError("an offset or a size is negative")
        with _named_failure("read", name), self.path(name).open("rb") as file:
            file.seek(offset)
            return file.read(-1 if size is None else size)

    def size(self, name: str) -> int:
        """See ObjectStore.size."""
        with _named_failure("read", name):
            return self.path(name).stat().st_size

    def exists(self, name: str) -> bool:
        """See ObjectStore.exists."""
        try:
            self.size(name)
        except ObjectMissing:
            return False
        return True

    def delete(self, names: Iterable[str]) -> int:
        """See ObjectStore.delete. Each touched folder is synced once: batches are cheap."""
        return len(self.remove(names))

    def remove(self, names: Iterable[str]) -> set[str]:
        """As ``delete``; which of them were found."""
        found: set[str] = set()
        touched: set[Path] = set()
        for name in names:
            with _named_failure("delete", name):
                for folder in (self._shard(name), self.parts_folder):
                    touched.add(folder)
                    try:
                        os.unlink(os.path.join(folder, name))  # noqa: PTH108, PTH118 - a third quicker
                    except FileNotFoundError:
                        continue  # perhaps removed just before a crash: its folder is synced anyhow
                    found.add(name)
        for folder in touched:
            with _named_failure("delete from", folder.name):
                if folder.exists():
                    sync_folder(folder)
        return found

    def names(self) -> Iterator[str]:
        """See ObjectStore.names."""
        with _named_failure("list", "store"):
            for shard in self.objects_folder.iterdir():
                for path in shard.iterdir():
                    yield path.name

    def parts(self) -> list[str]:
        """See ObjectStore.parts."""
        with _named_failure("list", "store"):
            return sorted(path.name for path in self.parts_folder.iterdir())

    def has_room(self) -> bool:
        """See ObjectStore.has_room."""
        try:
            status = os.statvfs(self._root)
        except OSError:
            return False
        return status.f_bavail * status.f_frsize >= self._reserve

    @property
    def alarm(self) -> str | None:
        """See ObjectStore.alarm."""
        return None if self.has_room() else f"the disk of {self._root} is full: nothing is recorded"

    def path(self, name: str) -> Path:
        """Where the object of that name lies, if there is one."""
        return self._shard(name) / name

    def _shard(self, name: str) -> Path:
        # By hash: time-ordered names would all fall into one folder.
        return self._shards[hashlib.sha256(_checked(name).encode("ascii")).digest()[0]]

    def part(self, name: str) -> Path:
        """Where the part of that name lies, if there is one."""
        return self.parts_folder / _checked(name)

    def is_part(self, name: str) -> bool:
        """Whether that object is begun and not committed."""
        # In this order: between the two looks it may be committed, never the other way.
        return self.part(name).exists() and not self.path(name).exists()


class FolderWriter:
    """A part file, locked while it is open."""

    def __init__(self, part: Path, target: Path, *, resume: bool) -> None:
        self._part = part
        self._target = target
        self._failed = False
        self._synced = False
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        flags |= 0 if resume else os.O_CREAT | os.O_EXCL
        with self._failure("begin"):
            if target.exists():
                raise ObjectStoreError(f"object {target.name} is already there")
            self._descriptor: int | None = os.open(part, flags, 0o600)
        try:
            with self._failure("begin"):
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Whoever had it until now may have committed or aborted it since it was opened.
                if not os.path.samestat(os.fstat(self._descriptor), part.lstat()):
                    raise ObjectMissing(f"cannot begin object {target.name}: its part was replaced")
                if not resume:
                    sync_folder(part.parent)
                self._size = os.lseek(self._descriptor, 0, os.SEEK_END)
        except ObjectStoreError:
            self.close()
            raise

    @property
    def size(self) -> int:
        """See ObjectWriter.size."""
        return self._size

    def write(self, data: bytes) -> None:
        """See ObjectWriter.write."""
        descriptor = self._usable()
        self._synced = False
        try:
            with self._failure("write"), memoryview(data) as view:
                written = 0
                while written < len(view):
                    written += os.pwrite(descriptor, view[written:], self._size + written)
        except ObjectStoreError:
            self._failed = True
            with self._failure("undo a write to"):
                os.ftruncate(descriptor, self._size)
            self._failed = False
            raise
        self._size += len(data)

    def read(self, offset: int, size: int) -> bytes:
        """See ObjectWriter.read."""
        if offset < 0 or size < 0:
            raise ValueError("an offset or a size is negative")
        descriptor = self._usable()
        pieces: list[bytes] = []
        with self._failure("read"):
            while size and (piece := os.pread(descriptor, size, offset)):
                pieces.append(piece)
                offset += len(piece)
                size -= len(piece)
        return b"".join(pieces)

    def truncate(self, size: int) -> None:
        """See ObjectWriter.truncate."""
        if not 0 <= size <= self._size:
            raise ValueError(f"cannot truncate {self._size} bytes to {size}")
        self._synced = False
        with self._failure("truncate"):
            os.ftruncate(self._usable(), size)
        self._size = size

    def sync(self) -> None:
        """See ObjectWriter.sync. After a failure the writer is of no more use."""
        descriptor = self._usable()
        if self._synced:
            return
        # A failed sync may have dropped the data, and a second one would not say so.
        self._failed = True
        with self._failure("write"):
            os.fdatasync(descriptor)
        self._failed = False
        self._synced = True

    def commit(self) -> None:
        """See ObjectWriter.commit."""
        self.sync()
        with self._failure("commit"):
            _make_folder(self._target.parent)
            if self._target.exists():
                raise ObjectStoreError(f"object {self._target.name} is already there")
            self._part.rename(self._target)
            sync_folder(self._target.parent)
            sync_folder(self._part.parent)
        self.close()

    def abort(self) -> None:
        """See ObjectWriter.abort."""
        if self._descriptor is None:
            return
        self.close()
        with self._failure("abort"):
            self._part.unlink(missing_ok=True)
            sync_folder(self._part.parent)

    def close(self) -> None:
        """See ObjectWriter.close."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _usable(self) -> int:
        if self._descriptor is None:
            raise ObjectStoreError(f"object {self._target.name} is no longer being written")
        if self._failed:
            raise ObjectStoreError(f"object {self._target.name} failed before and is in doubt")
        return self._descriptor

    @contextmanager
    def _failure(self, action: str) -> Iterator[None]:
        with _named_failure(action, self._target.name):
            yield


@contextmanager
def _named_failure(action: str, name: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise ObjectMissing(f"cannot {action} object {name}: there is none") from None
    except FileExistsError:
        raise ObjectStoreError(f"cannot {action} object {name}: a part is in the way") from None
    except BlockingIOError:
        raise ObjectStoreError(f"cannot {action} object {name}: it is being written") from None
    except OSError as error:
        raise ObjectStoreError(f"cannot {action} object {name}: {error.strerror}") from None


def _checked(name: str) -> str:
    if not is_name(name):
        raise ObjectStoreError(f"{name[:40]!r} is not the name of an object")
    return name


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        return
    sync_folder(folder.parent)
