"""A tar written from its beginning to its end, as an age file where it is for somebody's key, with
what a manifest says of each member."""

import errno
import hashlib
import os
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO, Protocol

from callguard.recording import age
from callguard.recording.playback.ranges import Ranges
from callguard.recording.store.objects import ObjectMissing

MANIFEST = "manifest.json"

ROOM = 256 * 1024 * 1024
"""Bytes that a package leaves free on its disk."""

LOOK = 16 * 1024 * 1024
"""After so many bytes it is looked at again how much room is left."""


class Out(Protocol):
    """What is written to."""

    def write(self, data: bytes, /) -> int: ...


@dataclass
class Manifest:
    """What is said of the members so far. ``damaged`` are recordings that could not be read whole,
    with why."""

    members: list[dict[str, object]] = field(default_factory=list)
    rows: int = 0
    recordings: int = 0
    damaged: dict[str, str] = field(default_factory=dict)


class Tar:
    """A tar written from its beginning to its end, with what the manifest says of each member."""

    def __init__(self, out: Out, found: Manifest, at: datetime) -> None:
        self._out = out
        self._at = int(at.timestamp())
        self._written = 0
        self.found = found

    def add(self, name: str, pieces: Sequence[bytes]) -> None:
        """A member that is in memory; of rows, one piece each."""
        data = b"".join(pieces)
        self._begin(name, len(data))
        self._put(data)
        self._fill_up()
        if name != MANIFEST:
            rows = len(pieces)
            self.found.rows += rows
            self._note(name, len(data), hashlib.sha256(data).hexdigest(), rows=rows)

    def stream(self, name: str, recording: str, source: Ranges) -> None:
        """A recording. Where it proves to be damaged after its beginning, zeros follow."""
        digest, left, begun, fault = hashlib.sha256(), source.size, False, ""
        try:
            for piece in source.pieces(0, source.size):
                if not begun:
                    self._begin(name, source.size)
                    begun = True
                self._put(piece)
                digest.update(piece)
                left -= len(piece)
        except (age.AgeError, ObjectMissing) as error:
            fault = str(error)
        if not begun:
            self.found.damaged[recording] = fault or "it is empty"
            return
        while left:
            zeros = bytes(min(left, 65_536))
            self._put(zeros)
            digest.update(zeros)
            left -= len(zeros)
        self._fill_up()
        if fault:
            self.found.damaged[recording] = fault
        self.found.recordings += 1
        self._note(name, source.size, digest.hexdigest(), recording=recording)

    def end(self) -> None:
        """Two empty blocks, filled up to a record of 10 KiB."""
        self._put(bytes(1024))
        self._put(bytes(-self._written % tarfile.RECORDSIZE))

    def _begin(self, name: str, size: int) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mtime, member.mode = size, self._at, 0o600
        self._put(member.tobuf(tarfile.PAX_FORMAT))

    def _put(self, data: bytes) -> None:
        self._out.write(data)
        self._written += len(data)

    def _fill_up(self) -> None:
        self._put(bytes(-self._written % tarfile.BLOCKSIZE))

    def _note(self, name: str, size: int, sha256: str, **more: object) -> None:
        self.found.members.append({"name": name, "bytes": size, "sha256": sha256, **more})


class Digest:
    """Counts and digests what it passes on, for as long as there is room beside it: where a package
    fills a disk, no verdict is durable."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()
        self._looked = -LOOK
        self.size = 0

    def write(self, data: bytes) -> int:
        """Raises OSError."""
        if self.size - self._looked >= LOOK:
            self._looked = self.size
            disk = os.fstatvfs(self._file.fileno())
            if disk.f_bavail * disk.f_frsize < ROOM:
                raise OSError(errno.ENOSPC, "there is too little room for the package")
        self._file.write(data)
        self._sha256.update(data)
        self.size += len(data)
        return len(data)

    def hexdigest(self) -> str:
        return self._sha256.hexdigest()


class _Age:
    """Seals what it is given, chunk by chunk."""

    def __init__(self, out: Out, recipient: str) -> None:
        key, nonce = age.new_file_key(), age.new_nonce()
        self._out = out
        self._held = bytearray()
        self._sealer = age.PayloadSealer(key, nonce)
        out.write(age.build_header(key, [age.parse_recipient(recipient)]) + nonce)

    def write(self, data: bytes) -> int:
        self._held += data
        while len(self._held) > age.CHUNK_SIZE:
            chunk = bytes(self._held[: age.CHUNK_SIZE])
            del self._held[: age.CHUNK_SIZE]
            self._out.write(self._sealer.seal_chunk(chunk, last=False))
        return len(data)

    def end(self) -> None:
        self._out.write(self._sealer.seal_chunk(bytes(self._held), last=True))


@contextmanager
def sealed(out: Out, recipient: str) -> Iterator[Out]:
    """Where the tar is written to: ``out``, or an age file within it."""
    if not recipient:
        yield out
        return
    sealing = _Age(out, recipient)
    yield sealing
    sealing.end()
