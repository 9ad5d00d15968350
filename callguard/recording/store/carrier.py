"""Carries objects from the folder into the bucket, one step at a time. Blocks; never for two steps
of one object at once.

What is deleted meanwhile must not come back. So, before an upload is completed, the very file it
was made of must still have its name; and whoever deletes removes the file first, then gives up
every upload of that name, then removes the object. Wherever the two meet, either the upload is not
completed or what it made is removed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import structlog

from callguard.recording.durable import sync_folder
from callguard.recording.store.bucket import (
    BLOCK_BYTES,
    NOTHING,
    Bucket,
    BucketError,
    NotOffered,
    Piece,
    Refused,
    UploadGone,
    entity_tag,
)
from callguard.recording.store.folder import FolderStore
from callguard.recording.store.objects import ObjectStoreError

log = structlog.get_logger(__name__)

MOST_PARTS = 10_000
"""S3 takes no more in one upload."""

FEW = 8
"""So many objects are each asked for their uploads."""

PATIENCE = 5
"""After so many failures an upload is begun anew: its store may have lost it and not say so."""

STRAY = timedelta(days=7)
"""The age at which an upload that nobody here knows is given up: another node may be at it."""


class Sent(NamedTuple):
    """A part that the bucket has: of what, and under which entity tag."""

    md5: bytes
    etag: str


@dataclass(slots=True)
class UnderWay:
    """An upload that this process began."""

    id: str
    sent: list[Sent] = field(default_factory=list)
    failures: int = 0


class Carrier:
    """``found`` are the names that lay in the folder when this process began: of those it is not
    known what a process before has done."""

    def __init__(
        self, folder: FolderStore, bucket: Bucket, part_bytes: int, found: frozenset[str]
    ) -> None:
        self._folder = folder
        self._bucket = bucket
        self._part_bytes = part_bytes
        self._under_way: dict[str, UnderWay] = {}
        self._doubtful = set(found)
        self._deleting: set[str] = set()
        """Whose files are gone and whose deletion is not done."""
        self._emptied: set[str] = set()
        """Of which an empty object may be in the bucket."""
        self._lock = threading.Lock()
        """Held where a file's name and what it stands for must not change in between."""

    def reaches(self, name: str) -> int:
        """The size a part must pass before its next piece goes up."""
        upload = self._under_way.get(name)
        return (1 + (len(upload.sent) if upload else 0)) * self._part_bytes

    def ahead(self, name: str) -> None:
        """One more piece of a part that is still growing, if it is long enough."""
        with _opened(self._folder.part(name)) as descriptor:
            if descriptor is None or os.fstat(descriptor).st_size <= self.reaches(name):
                return
            upload = self._upload(name)
            self._send(name, upload, len(upload.sent), descriptor, self._part_bytes)

    def carry(self, name: str) -> None:
        """An object: into the bucket, looked after there, and then its file goes."""
        with _opened(self._folder.path(name)) as descriptor:
            if descriptor is None:
                return
            size = os.fstat(descriptor).st_size
            if size > MOST_PARTS * self._part_bytes:
                raise BucketError(f"object {name} is too long for objects.s3.part_bytes")
            if name in self._doubtful and self._keeps(name, descriptor, size, None):
                self._give_up(name)
            else:
                self._take_up(name, descriptor, size)
            self._let_go(name, descriptor)

    def delete(self, names: Iterable[str]) -> int:
        """Files first, then uploads, then objects. Raises ObjectStoreError; said again, it goes on
        where it stopped. What was never committed needs no bucket. Counts those found here."""
        wanted = set(names)
        with self._lock:
            begun = {name for name in wanted if self._folder.is_part(name)} - self._deleting
            found = self._folder.remove(wanted)
        try:
            self._end(begun, self._uploads(begun))
        except BucketError as error:  # an upload without a file is never completed; see tidy
            log.warning("upload_not_given_up", objects=len(begun), reason=str(error))
        stored = (wanted - begun) | (wanted & self._emptied)
        self._deleting |= found & stored
        if stored:
            try:
                self._end(stored, self._uploads(stored))
            except Refused:  # what there is goes all the same
                self._bucket.delete(sorted(stored))
                raise
            self._bucket.delete(sorted(stored))
        self._deleting -= stored
        return len(found)

    def _uploads(self, names: set[str]) -> set[tuple[str, str]]:
        """Whatever is under way of these, by whomever."""
        # Some stores list the uploads of one object only, so whatever may be on its way from here
        # is asked for by its name.
        near = names if len(names) <= FEW else names & (self._deleting | set(self._under_way))
        uploads = {(name, one.id) for name in near for one in self._bucket.uploads(name)}
        if near != names:
            uploads |= {(one.name, one.id) for one in self._bucket.uploads() if one.name in names}
        return uploads

    def _end(self, names: set[str], uploads: set[tuple[str, str]]) -> None:
        """Of what is deleted: ends these uploads and those of this process, each for good."""
        uploads = uploads | {(n, u.id) for n, u in list(self._under_way.items()) if n in names}
        refused: list[Refused] = []
        for name, upload in sorted(uploads):
            try:
                self._end_one(name, upload)
                self._under_way.pop(name, None)
            except Refused as error:
                refused.append(error)
        if refused:
            raise refused[0]

    def _end_one(self, name: str, upload: str) -> None:
        try:
            self._bucket.abort(name, upload)
        except Refused:
            # Not every store aborts, but all complete: of nothing, so that what was sent goes and
            # no late request finds the upload.
            self._emptied.add(name)
            with suppress(UploadGone):
                etag = self._bucket.send(name, upload, 1, NOTHING)
                self._bucket.complete(name, upload, [etag])
            self._bucket.delete([name])
            self._emptied.discard(name)

    def tidy(self) -> None:
        """Gives up the uploads of this process whose recording is gone."""
        gone = {
            name
            for name in list(self._under_way)
            if not self._folder.part(name).exists() and not self._folder.path(name).exists()
        }
        self._end(gone, set())

    def sweep(self, now: datetime) -> None:
        """Gives up old uploads that nobody is at."""
        for upload in self._bucket.uploads():
            here = self._folder.part(upload.name), self._folder.path(upload.name)
            if upload.begun < now - STRAY and not any(path.exists() for path in here):
                log.info("upload_given_up", recording=upload.name, begun=upload.begun.isoformat())
                with suppress(NotOffered):  # never of nothing: the object may be another's
                    self._bucket.abort(upload.name, upload.id)
        for name in list(self._doubtful):
            if not self._folder.part(name).exists() and not self._folder.path(name).exists():
                self._doubtful.discard(name)

    def _take_up(self, name: str, descriptor: int, size: int) -> None:
        upload = self._upload(name)
        offsets = range(0, max(size, 1), self._part_bytes)
        for index, offset in enumerate(offsets):
            # Anew even where it went ahead: the part may have been cut back since.
            self._send(name, upload, index, descriptor, min(self._part_bytes, size - offset))
        sent = upload.sent[: len(offsets)]
        if not self._is_here(name, descriptor):
            self._under_way.pop(name, None)
            with suppress(NotOffered):  # whoever deleted it ends its uploads
                self._bucket.abort(name, upload.id)
            return
        self._doubtful.add(name)
        self._bucket.complete(name, upload.id, [part.etag for part in sent])
        self._under_way.pop(name, None)
        if not self._keeps(name, descriptor, size, [part.md5 for part in sent]):
            raise BucketError(f"the bucket does not keep object {name} as it was sent")

    def _upload(self, name: str) -> UnderWay:
        if name in self._doubtful:
            self._give_up(name)
        upload = self._under_way.get(name)
        if upload is None:
            self._doubtful.add(name)
            upload = self._under_way[name] = UnderWay(self._bucket.begin(name))
            self._doubtful.discard(name)
        return upload

    def _send(self, name: str, upload: UnderWay, index: int, descriptor: int, size: int) -> None:
        piece = Piece.of(descriptor, index * self._part_bytes, size)
        if index < len(upload.sent) and upload.sent[index].md5 == piece.md5:
            return
        try:
            etag = self._bucket.send(name, upload.id, index + 1, piece)
        except UploadGone:
            self._under_way.pop(name, None)
            raise
        except BucketError:
            upload.failures += 1
            if upload.failures >= PATIENCE:
                self._doubtful.add(name)
            raise
        upload.sent[index:] = [Sent(piece.md5, etag)]

    def _give_up(self, name: str) -> None:
        """Whatever is under way for that name, by this process or one before it."""
        for upload in self._bucket.uploads(name):
            with suppress(NotOffered):  # it can only make the same object; deleting ends it
                self._bucket.abort(name, upload.id)
        self._under_way.pop(name, None)
        self._doubtful.discard(name)

    def _keeps(
        self, name: str, descriptor: int, size: int, digests: Sequence[bytes] | None
    ) -> bool:
        """Whether the bucket has all of the file: by its entity tag, which is of the parts' MD5
        digests unless the store encrypts or joins in its own way; then by reading it back."""
        stored = self._bucket.stored(name)
        if stored is None or stored.size != size:
            return False
        if digests is None:
            offsets = range(0, max(size, 1), self._part_bytes)
            lengths = ((at, min(self._part_bytes, size - at)) for at in offsets)
            digests = [Piece.of(descriptor, at, length).md5 for at, length in lengths]
        if stored.etag == entity_tag(digests):
            return True
        return all(
            self._bucket.read(name, at, BLOCK_BYTES) == os.pread(descriptor, BLOCK_BYTES, at)
            for at in range(0, size, BLOCK_BYTES)
        )

    def _is_here(self, name: str, descriptor: int) -> bool:
        """Whether the open file is what has that name: not deleted, nor stored anew since."""
        try:
            named = self._folder.path(name).stat()
        except FileNotFoundError:
            return False
        return named.st_ino == os.fstat(descriptor).st_ino

    def _let_go(self, name: str, descriptor: int) -> None:
        with self._lock:
            if self._is_here(name, descriptor):
                path = self._folder.path(name)
                try:
                    path.unlink()
                    sync_folder(path.parent)
                except OSError as error:
                    raise ObjectStoreError(
                        f"cannot remove object {name} after it was stored: {error.strerror}"
                    ) from None
        self._doubtful.discard(name)


@contextmanager
def _opened(path: Path) -> Iterator[int | None]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        yield None
        return
    except OSError as error:
        raise ObjectStoreError(f"cannot read object {path.name}: {error.strerror}") from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)
