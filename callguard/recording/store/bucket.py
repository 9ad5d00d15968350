"""What is asked of a bucket, and how recordings are named in it. `s3` has the real one.

Everything goes up as a multipart upload, small objects too: until it is completed it can be
aborted, and after that no late or repeated request can make the object appear.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from callguard.recording.store.objects import ObjectStoreError, is_name

BLOCK_BYTES = 1 << 20
"""How much of a file is in memory at once, whatever the size of a part."""


class BucketError(ObjectStoreError):
    """The bucket did not do what was asked. One clear line."""


class Refused(BucketError):  # noqa: N818 - an answer, not a malfunction
    """The bucket answered, and did not do it."""


class NotOffered(Refused):
    """The store has no such request."""


class UploadGone(Refused):
    """There is no such upload: completed, aborted, or cleared away by the store."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of an open file, to be sent without being in memory as a whole."""

    descriptor: int
    offset: int
    size: int
    sha256: str
    md5: bytes

    @classmethod
    def of(cls, descriptor: int, offset: int, size: int) -> Piece:
        """Digests ``size`` bytes from ``offset``. Raises ObjectStoreError if there are fewer."""
        sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        for block in _blocks(descriptor, offset, size):
            sha256.update(block)
            md5.update(block)
        return cls(descriptor, offset, size, sha256.hexdigest(), md5.digest())

    def blocks(self) -> Iterator[bytes]:
        """The bytes, a block at a time. Raises ObjectStoreError if they cannot be read."""
        return _blocks(self.descriptor, self.offset, self.size)


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload that was begun and neither completed nor aborted."""

    name: str
    id: str
    begun: datetime


@dataclass(frozen=True, slots=True)
class Stored:
    """What the bucket says of an object: its bytes, and its entity tag without quotation marks."""

    size: int
    etag: str


class Bucket(Protocol):
    """Objects at a distance. The calls block, each for a bounded time; all raise BucketError."""

    def begin(self, name: str) -> str:
        """Begin an upload and return its id."""
        ...

    def send(self, name: str, upload: str, number: int, piece: Piece) -> str:
        """Send part ``number``, from 1, in place of one sent before; return its entity tag.
        Raises UploadGone."""
        ...

    def complete(self, name: str, upload: str, etags: Sequence[str]) -> None:
        """Make the object appear, of these parts. Raises UploadGone."""
        ...

    def abort(self, name: str, upload: str) -> None:
        """Give an upload up; one that is gone does not matter. Once this returns it can never be
        completed."""
        ...

    def uploads(self, name: str | None = None) -> list[Upload]:
        """The uploads under way: of one object, or (where the store can tell) of all."""
        ...

    def stored(self, name: str) -> Stored | None:
        """What is kept under that name."""
        ...

    def read(self, name: str, offset: int = 0, size: int | None = None) -> bytes:
        """As ObjectStore.read. Raises ObjectMissing."""
        ...

    def delete(self, names: Sequence[str]) -> None:
        """Remove objects; those that are not there do not matter."""
        ...

    def names(self) -> Iterator[str]:
        """The names of all objects, in no order."""
        ...

    def close(self) -> None:
        """End what is under way and begin nothing more."""
        ...


def key_of(prefix: str, name: str) -> str:
    """Where an object lies: spread by a hash of its name, as in the folder store."""
    shard = hashlib.sha256(name.encode("ascii")).hexdigest()[:2]
    return f"{prefix}{shard}/{name}"


def name_of(prefix: str, key: str) -> str | None:
    """Whose key that is; None for what is not ours."""
    name = key.rpartition("/")[2]
    return name if is_name(name) and key == key_of(prefix, name) else None


def entity_tag(digests: Sequence[bytes]) -> str:
    """What S3 calls an object uploaded in parts of these MD5 digests, unless it encrypts."""
    whole = hashlib.md5(b"".join(digests), usedforsecurity=False).hexdigest()
    return f"{whole}-{len(digests)}"


def _blocks(descriptor: int, offset: int, size: int) -> Iterator[bytes]:
    end = offset + size
    while offset < end:
        try:
            block = os.pread(descriptor, min(BLOCK_BYTES, end - offset), offset)
        except OSError as error:
            raise ObjectStoreError(f"cannot read a waiting object: {error.strerror}") from None
        if not block:
            raise ObjectStoreError("cannot read a waiting object: it became shorter")
        offset += len(block)
        yield block


NOTHING = Piece.of(-1, 0, 0)
"""The part of an empty object."""
