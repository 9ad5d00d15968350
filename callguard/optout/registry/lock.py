"""One import of a registry at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from callguard.optout.registry.contract import RegistryError

FILE = "lock"


class Busy(RegistryError):  # noqa: N818 - an answer, not a malfunction
    """Another process is importing this registry."""


@contextmanager
def only_one(registry: Path) -> Iterator[None]:
    """Holds the registry for this process; the system lets go when it ends, however it ends. The
    file stays, because removing it would let a third process in. Raises Busy, OSError."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(registry / FILE, flags, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Busy(f"another import of {registry.name} is running") from error
        yield
    finally:
        os.close(descriptor)
