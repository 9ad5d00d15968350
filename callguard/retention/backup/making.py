"""Making a backup while the service runs: one moment of the database, then everything that goes
with it, in a folder that has its name only once it is whole."""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from callguard import __version__
from callguard.audit.log import Entry, append
from callguard.clock import Clock
from callguard.config import Settings
from callguard.recording import age
from callguard.recording.durable import sync_folder
from callguard.recording.keys import KeyWrapper
from callguard.recording.store.objects import ObjectStore
from callguard.retention.backup.files import (
    PIECE,
    Told,
    digest_of,
    files_below,
    make_folder,
    nobody,
    pieces_of,
    sync_all,
    write_file,
)
from callguard.retention.backup.manifest import (
    DATABASE,
    LEDGER,
    MANIFEST,
    OBJECT_LIST,
    PROGRESS_KEY,
    PROMPTS,
    SEAL,
    SEALED_DATABASE,
    SETTINGS,
    BackupError,
    File,
    Listed,
    Manifest,
    Objects,
    read_listed,
)
from callguard.retention.backup.objects import ObjectShelf, Tally
from callguard.retention.backup.sealing import seal_manifest, sealed_for
from callguard.retention.backup.snapshot import (
    head_of,
    in_progress,
    listed,
    looking_into,
    mark_of,
    plain_draft,
    take,
)
from callguard.retention.erasures.ledger import ErasureLedger
from callguard.storage.database import Database
from callguard.storage.migrate import HEAD, check

OBJECTS = "objects"
"""In the folder of backups: the objects of all of them."""

_LOCK = ".lock"
_DRAFT = ".draft"


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that is whole. ``digest`` is the SHA-256 of its manifest."""

    folder: Path
    manifest: Manifest
    digest: str
    tally: Tally | None


@dataclass(frozen=True, slots=True)
class Source:
    """What is backed up. ``config`` is the settings file, if it is known."""

    settings: Settings
    config: Path | None
    database: Database
    store: ObjectStore
    ledger: ErasureLedger
    wrapper: KeyWrapper


def make(
    source: Source,
    shelf: Path,
    clock: Clock,
    *,
    actor: str,
    objects: bool = False,
    recipients: Sequence[age.Recipient] = (),
    told: Told = nobody,
) -> Made:
    """Makes a backup in a new folder of ``shelf``, named by its time. With ``objects`` the sealed
    objects are copied into the shelf too, those that are not there yet. With ``recipients`` the
    database is sealed for them and lies nowhere else in the clear.

    Raises BackupError, OSError, ObjectStoreError, KeyStoreError, AgeError; nothing half-made is
    left then.
    """
    at = clock.now()
    try:
        with _shelf_of(shelf, at) as (folder, draft):
            manifest = _fill(source, draft, at, objects, recipients)
            tally = None
            if objects:
                with (draft / OBJECT_LIST).open("rb") as lines:
                    wanted = map(read_listed, lines)
                    tally = ObjectShelf(shelf / OBJECTS).fill(wanted, source.store, told)
            raw = manifest.encoded()
            write_file(draft / MANIFEST, [raw])
            write_file(draft / SEAL, [seal_manifest(raw, source.wrapper)])
            sync_all(draft)
            if os.path.lexists(folder):
                raise BackupError(f"{folder} exists already")
            draft.rename(folder)
            sync_folder(shelf)
            if objects:
                ObjectShelf(shelf / OBJECTS).prune(_named_in(shelf))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise BackupError(f"the disk of {shelf} is full; nothing was backed up") from error
        raise
    digest = digest_of(folder / MANIFEST).sha256
    _note(source.database, at, actor, folder.name, manifest, digest, tally)
    return Made(folder, manifest, digest, tally)


@contextmanager
def _shelf_of(shelf: Path, at: datetime) -> Iterator[tuple[Path, Path]]:
    """The folder that is to be, and an empty one beside it that goes if it is not finished."""
    make_folder(shelf)
    folder, draft = shelf / f"{at:%Y%m%dT%H%M%SZ}", shelf / _DRAFT
    if os.path.lexists(folder):
        raise BackupError(f"{folder} exists already")
    lock = os.open(shelf / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BackupError(f"another backup to {shelf} is under way") from error
        shutil.rmtree(draft, ignore_errors=True)  # of one that was killed
        draft.mkdir(mode=0o700)
        try:
            yield folder, draft
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    finally:
        os.close(lock)


def _fill(
    source: Source,
    draft: Path,
    at: datetime,
    copied: bool,
    recipients: Sequence[age.Recipient],
) -> Manifest:
    check(source.database)
    with _plain_copy(source, draft, sealed=bool(recipients)) as plain:
        database = digest_of(plain)
        with looking_into(plain) as connection:
            audit, mark, begun = head_of(connection), mark_of(connection), in_progress(connection)
            objects = _list_objects(listed(connection), draft / OBJECT_LIST, copied)
        if recipients:
            write_file(draft / SEALED_DATABASE, sealed_for(recipients, pieces_of(plain)))
    _copy_ledger(source.ledger, draft / LEDGER)
    if source.config is not None:
        write_file(draft / SETTINGS, pieces_of(source.config))
    if (source.settings.data / PROGRESS_KEY).exists():  # it is wrapped by a KMS
        write_file(draft / PROGRESS_KEY, pieces_of(source.settings.data / PROGRESS_KEY))
    _copy_prompts(source.settings.prompt_folder, draft / PROMPTS)
    files = {str(path.relative_to(draft)): digest_of(path) for path in files_below(draft)}
    return Manifest(
        made_at=at.isoformat(),
        callguard=__version__,
        schema=HEAD,
        database=database,
        sealed=bool(recipients),
        audit=audit,
        ledger=mark,
        objects=objects,
        in_progress=begun,
        files=files,
    )


@contextmanager
def _plain_copy(source: Source, draft: Path, *, sealed: bool) -> Iterator[Path]:
    """The database at one moment. One that is to be sealed lies in the clear only where the
    database does, and goes again."""
    if not sealed:
        take(source.database, draft / DATABASE)
        yield draft / DATABASE
        return
    with plain_draft(source.settings.data) as plain:
        take(source.database, plain)
        yield plain


def _list_objects(found: Iterable[Listed], target: Path, copied: bool) -> Objects:
    count = size = 0

    def lines() -> Iterator[bytes]:
        nonlocal count, size
        for one in found:
            count, size = count + 1, size + one.size
            yield one.encoded()

    write_file(target, lines())
    return Objects(count, size, copied)


def _copy_ledger(ledger: ErasureLedger, target: Path) -> File | None:
    """The ledger as it is now, which is not older than the copy of the database. Raises
    LedgerError."""
    with ledger.reading() as file:
        end = ledger.end_of(file) if file is not None else None
        if file is None or end is None:
            return None
        return write_file(target, _beginning(file, end.position))


def _beginning(file: BinaryIO, size: int) -> Iterator[bytes]:
    file.seek(0)
    while size and (piece := file.read(min(PIECE, size))):
        yield piece
        size -= len(piece)


def _copy_prompts(folder: Path, target: Path) -> None:
    if not folder.is_dir():
        return
    target.mkdir(mode=0o700)
    for path in files_below(folder):
        place = target / path.relative_to(folder)
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # prompts are exchanged as files
            write_file(place, pieces_of(path))


def _named_in(shelf: Path) -> set[str]:
    """The objects that any backup of the folder names."""
    names = set[str]()
    for one in shelf.glob(f"*/{OBJECT_LIST}"):
        with one.open("rb") as lines:
            names.update(read_listed(line).name for line in lines)
    return names


def _note(
    database: Database,
    at: datetime,
    actor: str,
    name: str,
    manifest: Manifest,
    digest: str,
    tally: Tally | None,
) -> None:
    details = {
        "manifest": digest,
        "bytes": manifest.database.size,
        "sealed": manifest.sealed,
        "objects": manifest.objects.count,
        "copied": tally.copied if tally else 0,
        "missing": len(tally.missing) if tally else 0,
        "damaged": len(tally.damaged) if tally else 0,
    }
    with database.writing() as connection:
        append(connection, Entry(at, actor, "backup", f"backup:{name}", None, details))
