"""One process of a machine at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone(place: Path) -> Iterator[bool]:
    """Locks a folder itself, or else a file, which is made if need be, if nobody else has; whether
    it was had. A process that is killed lets go at once. Raises OSError."""
    if place.is_dir():
        flags = os.O_RDONLY | os.O_DIRECTORY
    else:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
    descriptor = os.open(place, flags | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
