"""Writing files so that they survive a power cut, with plain writes, so that a full disk is an
error that can be told."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from callguard.optout.registry.contract import RegistryError

_ABANDONED_S = 3600
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW


@contextmanager
def told(path: Path, doing: str) -> Iterator[None]:
    """Tell a failure of the file system as one line: which file, what was done to it, and why."""
    try:
        yield
    except OSError as error:
        raise RegistryError(f"{path}: cannot be {doing}: {error.strerror or error}") from error


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write every byte. Raises OSError; then some of them may have been written."""
    left = memoryview(data).cast("B")
    while left:
        left = left[os.write(descriptor, left) :]


def sync_folder(folder: Path) -> None:
    """Force the entries of a folder (names made, moved and removed) to its disk. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace(path: Path, data: bytes) -> None:
    """Put a small file in place of another at once and durably: a reader finds the old one or the
    new one, whole. Raises RegistryError, and then the old one is still there."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    with told(path, "written"):
        try:
            write_file(fresh, data)
            _sweep(fresh, path.name)
            fresh.replace(path)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def _sweep(fresh: Path, name: str) -> None:
    """Remove what killed processes left unfinished; what is young may be somebody's at work."""
    now = fresh.stat().st_mtime
    for left in fresh.parent.glob(f".{name}.*"):
        with suppress(FileNotFoundError):
            if left.stat().st_mtime < now - _ABANDONED_S:
                left.unlink()


def write_file(path: Path, data: bytes) -> None:
    """Write a file and force it to its disk; its name in the folder is not forced yet. Raises
    OSError."""
    descriptor = os.open(path, NEW_FILE, 0o640)
    try:
        write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
