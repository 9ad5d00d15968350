"""The sealed objects of a backup: ciphertext, each under its own name, shared by all backups of one
folder."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from callguard.recording.store.objects import (
    ObjectMissing,
    ObjectStore,
    ObjectStoreError,
    is_name,
)
from callguard.retention.backup.files import (
    PIECE,
    Told,
    copy_into_place,
    digest_of,
    make_folder,
    nobody,
    pieces_of,
    sync_all,
)
from callguard.retention.backup.manifest import BackupError, Listed

NAMED = 20
"""Most objects that are named one by one."""


@dataclass(slots=True)
class Tally:
    """What became of the objects. ``missing`` and ``damaged`` are ids of rows."""

    copied: int = 0
    copied_bytes: int = 0
    kept: int = 0
    missing: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


class ObjectShelf:
    """A folder of objects, spread by the first two hex digits of the SHA-256 of their names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        """Where an object lies. Raises BackupError for what is no name."""
        if not is_name(name):
            raise BackupError(f"{name[:40]!r} is not the name of an object")
        return self.folder / hashlib.sha256(name.encode("ascii")).hexdigest()[:2] / name

    def fill(self, wanted: Iterable[Listed], store: ObjectStore, told: Told = nobody) -> Tally:
        """Copies what is not there yet; one that is missing or damaged in the store is left out and
        named. Raises OSError, ObjectStoreError."""
        make_folder(self.folder)
        tally = Tally()
        for one in wanted:
            target = self.path(one.name)
            make_folder(target.parent)
            if is_right(target, one):
                tally.kept += 1
                told(one.size)
                continue
            try:
                made = copy_into_place(_pieces(store, one.name), target, told)
            except ObjectMissing:
                tally.missing.append(one.id)
                continue
            if (made.size, made.sha256) != (one.size, one.sha256 or made.sha256):
                target.unlink()
                tally.damaged.append(one.id)
                continue
            tally.copied += 1
            tally.copied_bytes += made.size
        sync_all(self.folder)
        return tally

    def prune(self, named: set[str]) -> int:
        """Takes away what no backup names; how many. Raises OSError."""
        taken = 0
        for shard in self.folder.iterdir() if self.folder.is_dir() else ():
            for path in shard.iterdir():
                if path.name not in named:
                    path.unlink()
                    taken += 1
        return taken


def is_right(path: Path, one: Listed, *, by_size: bool = False) -> bool:
    """Whether the file is that object. Raises OSError."""
    try:
        if path.lstat().st_size != one.size:
            return False
        return by_size or one.sha256 in (None, digest_of(path).sha256)
    except FileNotFoundError:
        return False


def is_stored(store: ObjectStore, one: Listed, told: Told = nobody, *, by_size: bool) -> bool:
    """Whether the store has that object. Raises ObjectStoreError but for one that is missing."""
    try:
        if store.size(one.name) != one.size:
            return False
        if by_size or one.sha256 is None:
            told(one.size)
            return True
        digest = hashlib.sha256()
        for piece in _pieces(store, one.name):
            digest.update(piece)
            told(len(piece))
    except ObjectMissing:
        return False
    return digest.hexdigest() == one.sha256


def put_back(shelf: ObjectShelf, one: Listed, target: Path, told: Told = nobody) -> bool:
    """Copies an object to where the store keeps it; whether it is the one that was listed. Raises
    OSError."""
    make_folder(target.parent)
    try:
        made = copy_into_place(pieces_of(shelf.path(one.name)), target, told)
    except FileNotFoundError:
        return False
    if (made.size, made.sha256) != (one.size, one.sha256 or made.sha256):
        target.unlink()
        return False
    return True


def _pieces(store: ObjectStore, name: str) -> Iterator[bytes]:
    offset, size = 0, store.size(name)
    while offset < size:
        piece = store.read(name, offset, min(PIECE, size - offset))
        if not piece:
            raise ObjectStoreError(f"object {name} ends at {offset} of {size} bytes")
        yield piece
        offset += len(piece)
