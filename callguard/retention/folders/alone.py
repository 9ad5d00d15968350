"""One process of a machine at a time takes from its managed folders: two would each count what the
other takes."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from callguard.retention.folders.root import FolderError


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Nobody else is here meanwhile; a process that is killed leaves at once. Raises FolderError
    where somebody is, OSError."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FolderError("another process takes from the managed folders just now") from error
        yield
    finally:
        os.close(fd)
