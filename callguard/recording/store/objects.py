"""Where sealed payloads live. A store keeps named, immutable objects; a folder is the default one.

The calls block: from the event loop they are made in a thread. An object appears under its name
whole or not at all; while it is written it is a part, which outlives a crash and can be resumed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Protocol, Self

WORKING_SUFFIX = ".last"
"""Names that end so are working copies, removed within the second: they stay on this machine."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class ObjectStoreError(Exception):
    """The store cannot do what was asked (disk full, unreachable, name refused). One clear line."""


class ObjectMissing(ObjectStoreError):  # noqa: N818 - an answer, not a malfunction
    """There is no object, or no part, of that name."""


class ObjectWriter(Protocol):
    """An object on its way. Leaving its `with` block without `commit` keeps the part for later."""

    @property
    def size(self) -> int:
        """Bytes written so far; after a resume, bytes found."""
        ...

    def write(self, data: bytes) -> None:
        """Append. When it raises ObjectStoreError, nothing of `data` has been kept."""
        ...

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes of the part from `offset`, fewer at its end."""
        ...

    def truncate(self, size: int) -> None:
        """Drop what follows `size` bytes: a torn chunk found after a crash."""
        ...

    def sync(self) -> None:
        """Return once all that was written would survive a power cut."""
        ...

    def commit(self) -> None:
        """Make the object appear under its name, whole and durable, and close the writer."""
        ...

    def abort(self) -> None:
        """Destroy the part and close the writer."""
        ...

    def close(self) -> None:
        """Close the writer and keep the part. Does nothing once closed."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class ObjectStore(Protocol):
    """Named, immutable byte strings. Everything raises ObjectStoreError."""

    def put(self, name: str, pieces: Iterable[bytes]) -> int:
        """Store a whole object durably and return its size; nothing remains of a failed attempt."""
        ...

    def writer(self, name: str, *, resume: bool = False) -> ObjectWriter:
        """Begin an object, or take up its part again. Raises ObjectMissing when there is none."""
        ...

    def read(self, name: str, offset: int = 0, size: int | None = None) -> bytes:
        """Return `size` bytes from `offset`, fewer at the end. Raises ObjectMissing."""
        ...

    def size(self, name: str) -> int:
        """Bytes of the object. Raises ObjectMissing."""
        ...

    def exists(self, name: str) -> bool:
        """Whether the object is there, whole."""
        ...

    def delete(self, names: Iterable[str]) -> int:
        """Remove objects and parts for good; those already gone do not matter. Counts the found."""
        ...

    def names(self) -> Iterator[str]:
        """The names of all objects, in no order."""
        ...

    def parts(self) -> list[str]:
        """The names of the parts that were begun and not committed, sorted."""
        ...

    def has_room(self) -> bool:
        """Whether another recording may begin: nothing is recorded that could not be kept."""
        ...

    @property
    def alarm(self) -> str | None:
        """What an operator must know of the store, in one line."""
        ...


def is_name(name: str) -> bool:
    """Whether an object may have that name."""
    return _NAME.fullmatch(name) is not None
