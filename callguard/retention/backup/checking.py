"""Whether a backup is what was made: nothing of it is used before."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from callguard.recording.keys import KeyWrapper
from callguard.retention.backup.files import Told, digest_of, files_below, nobody
from callguard.retention.backup.making import OBJECTS
from callguard.retention.backup.manifest import (
    LEDGER,
    LIMIT,
    MANIFEST,
    OBJECT_LIST,
    SEAL,
    BackupError,
    Listed,
    Manifest,
    read_listed,
    read_manifest,
)
from callguard.retention.backup.objects import ObjectShelf
from callguard.retention.backup.sealing import check_seal


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup whose seal and digests are right. ``digest`` is the SHA-256 of its manifest."""

    folder: Path
    manifest: Manifest
    digest: str

    @property
    def shelf(self) -> ObjectShelf:
        """Where the objects lie that were copied."""
        return ObjectShelf(self.folder.parent / OBJECTS)

    @property
    def ledger(self) -> Path | None:
        """The erasure ledger as it was then."""
        return self.folder / LEDGER if LEDGER in self.manifest.files else None

    def objects(self) -> Iterator[Listed]:
        """The objects that its database refers to. Raises BackupError."""
        with (self.folder / OBJECT_LIST).open("rb") as lines:
            yield from map(read_listed, lines)


def open_backup(folder: Path, wrapper: KeyWrapper | None, told: Told = nobody) -> Backup:
    """Checks seal and digests. Without ``wrapper`` the seal is not asked. Raises BackupError, in
    one line that names the file."""
    raw = _read(folder / MANIFEST)
    try:
        if wrapper is not None:
            check_seal(raw, _read(folder / SEAL), wrapper)
        manifest = read_manifest(raw)
    except BackupError as error:
        raise BackupError(f"the manifest of {folder} is refused: {error}") from error
    for name, file in manifest.files.items():
        try:
            if digest_of(folder / name, told) != file:
                raise BackupError(f"{folder / name} is not the file that was backed up: refused")
        except OSError as error:
            raise BackupError(f"{folder / name} cannot be read: {error.strerror}") from error
    others = {str(path.relative_to(folder)) for path in files_below(folder)}
    if more := sorted(others - manifest.files.keys() - {MANIFEST, SEAL}):
        raise BackupError(f"{folder / more[0]} does not belong to the backup: refused")
    return Backup(folder, manifest, digest_of(folder / MANIFEST).sha256)


def _read(path: Path) -> bytes:
    try:
        if not path.is_file() or path.stat().st_size > LIMIT:
            raise BackupError(f"{path} is missing, or no such file: {path.parent} is no backup")
        return path.read_bytes()
    except OSError as error:
        raise BackupError(f"{path} cannot be read: {error.strerror}") from error
