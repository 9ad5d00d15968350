"""What is restored and what it came to; the objects put back, and each of them verified."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select

from callguard.recording import age
from callguard.recording.erasure import objects_of
from callguard.recording.store.folder import FolderStore
from callguard.recording.store.objects import ObjectStore
from callguard.recording.store.opening import open_store
from callguard.retention.backup.checking import Backup
from callguard.retention.backup.files import Told, make_folder, sync_all
from callguard.retention.backup.ledgers import Chosen
from callguard.retention.backup.manifest import Listed
from callguard.retention.backup.objects import is_right, is_stored, put_back
from callguard.retention.backup.placing import Place
from callguard.retention.erasures.forgetting import Forgotten
from callguard.storage.database import Database
from callguard.storage.schema import archives, exports, recordings

AT_ONCE = 1_000
"""Objects that are looked up with one statement."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is restored, where to, and by which ledger. ``by_size`` is whether only the sizes of
    objects that are in the store already are looked at; ``reason`` is why less is accepted: the
    ledger of the backup, or ``incomplete`` objects."""

    backup: Backup
    place: Place
    ledger: Chosen
    identities: Sequence[age.Identity] = ()
    by_size: bool = False
    incomplete: bool = False
    reason: str = ""


@dataclass(slots=True)
class Restored:
    """What it came to. ``missing`` and ``damaged`` are ids of recordings and archives;
    ``forgotten`` are objects that the ledger names, ``strays`` what belongs to no row; ``bytes`` is
    of database and objects, ``seconds`` how long they took."""

    id: str = ""
    ledger_of_backup: bool = False
    verified: int = 0
    copied: int = 0
    forgotten: int = 0
    missing: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    strays: int = 0
    applied: Forgotten = field(default_factory=Forgotten)
    bytes: int = 0
    seconds: float = 0.0

    @property
    def gigabytes_a_minute(self) -> float:
        """How fast it was."""
        return self.bytes / 1e9 / (self.seconds or 1e-9) * 60


def verify_objects(order: Order, database: Database, result: Restored, told: Told) -> None:
    """Each object that the database still refers to; those that came with the backup are put where
    the store keeps them."""
    settings = order.place.settings
    store = open_store(settings)
    folder = FolderStore(settings.object_folder)
    make_folder(folder.objects_folder)
    objects = order.backup.objects()
    while some := list(itertools.islice(objects, AT_ONCE)):
        headers = dict(_headers(database, some))
        for one in some:
            header = headers.get((one.data_class, one.id))
            if header is None:
                result.forgotten += 1
                continue
            _verify(order, store, folder, one, header, result, told)
    sync_all(folder.objects_folder)


def count_strays(order: Order, database: Database) -> int:
    """What lies in the store and among the exports and belongs to no row: made after the backup.
    Raises ObjectStoreError, OSError."""
    with database.reading() as connection:
        known = set(connection.execute(select(archives.c.payload)).scalars())
        for row in connection.execute(select(recordings.c.id, recordings.c.payload)):
            known.update(objects_of(row.id, row.payload))
        files = {
            Path(one).name for one in connection.execute(select(exports.c.file)).scalars() if one
        }
    folder = order.place.settings.export_folder
    found = [path.name for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []
    objects = sum(name not in known for name in open_store(order.place.settings).names())
    return objects + sum(not name.startswith(".") and name not in files for name in found)


def _headers(
    database: Database, some: Sequence[Listed]
) -> Iterator[tuple[tuple[str, str], bytes | None]]:
    with database.reading() as connection:
        for table, name in ((recordings, "recording"), (archives, "archive")):
            ids = [one.id for one in some if one.data_class == name]
            rows = connection.execute(select(table.c.id, table.c.header).where(table.c.id.in_(ids)))
            for row in rows:
                yield (name, row.id), row.header


def _verify(
    order: Order,
    store: ObjectStore,
    folder: FolderStore,
    one: Listed,
    header: bytes,
    result: Restored,
    told: Told,
) -> None:
    try:
        age.parse_header(header)
    except age.AgeError:
        result.damaged.append(one.id)
        return
    result.bytes += one.size
    here = folder.path(one.name)
    if order.backup.manifest.objects.copied:
        if is_right(here, one, by_size=order.by_size):
            told(one.size)
            result.verified += 1
            return
        if put_back(order.backup.shelf, one, here, told):
            result.copied += 1
            result.verified += 1
            return
    if is_stored(store, one, told, by_size=order.by_size):
        result.verified += 1
    elif store.exists(one.name):
        result.damaged.append(one.id)
    else:
        result.missing.append(one.id)
