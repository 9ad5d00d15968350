"""Restoring a backup: into a draft beside the place of the database, which gets its name only once
the erasure ledger was applied and everything was verified. Until then a marker keeps all else out.

Every step may be cut off: the same command begins anew, from what is there of the objects.
"""

import time
from pathlib import Path

import structlog
from sqlalchemy import insert, select

from callguard.audit.log import Entry, append, first_broken
from callguard.clock import Clock
from callguard.ids import uuid7
from callguard.recording.durable import sync_folder
from callguard.retention.alone import alone
from callguard.retention.backup import marker
from callguard.retention.backup.aftermath import shut
from callguard.retention.backup.checking import Backup
from callguard.retention.backup.files import (
    Told,
    copy_into_place,
    nobody,
    pieces_of,
    write_file,
)
from callguard.retention.backup.manifest import (
    DATABASE,
    PROGRESS_KEY,
    PROMPTS,
    SEALED_DATABASE,
    BackupError,
)
from callguard.retention.backup.objects import NAMED
from callguard.retention.backup.placing import Place
from callguard.retention.backup.sealing import opened_by
from callguard.retention.backup.snapshot import head_of, looking_into
from callguard.retention.backup.verifying import Order, Restored, count_strays, verify_objects
from callguard.retention.erasures.forgetting import forget_again
from callguard.retention.erasures.ledger import ErasureLedger, LedgerError
from callguard.storage.database import Database
from callguard.storage.migrate import HEAD, upgrade
from callguard.storage.schema import purges

log = structlog.get_logger(__name__)

DRAFT = ".restoring"
"""Behind the name of the database, until it is whole."""


def require_empty(place: Place) -> None:
    """Raises BackupError where something is in the place that a restore would overwrite."""
    data = place.settings.data
    if (data / marker.RESTORING).exists():
        return  # what is there is of this restore
    if place.text is not None and data.exists():
        if not data.is_dir():
            raise BackupError(f"{data} is no folder")
        if any(path.name != f".{marker.RESTORING}.part" for path in data.iterdir()):
            raise BackupError(f"{data} is not empty: nothing is restored over it")
    for suffix in ("", "-wal", "-shm"):
        there = place.database.with_name(place.database.name + suffix)
        if there.exists():
            raise BackupError(f"{there} is there already: nothing is restored over it")


def restore(order: Order, clock: Clock, *, actor: str, told: Told = nobody) -> Restored:
    """Restores a backup that was checked, and opens it. Raises BackupError, OSError, LedgerError,
    ObjectStoreError, AgeError and what the database raises; then it is not open."""
    data, schema = order.place.settings.data, order.backup.manifest.schema
    require_empty(order.place)
    if schema > HEAD:
        raise BackupError(f"the backup has schema {schema}, this callguard only {HEAD}")
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    with alone(data) as mine:
        if not mine:  # two would write into one draft
            raise BackupError(f"another restore to {data} is under way")
        require_empty(order.place)  # somebody else may have been quicker
        result = _restore(order, clock, actor, told)
    if result.ledger_of_backup:
        log.error("restored_without_later_erasures", backup=order.backup.folder.name)
    return result


def _restore(order: Order, clock: Clock, actor: str, told: Told) -> Restored:
    began, data, final = time.monotonic(), order.place.settings.data, order.place.database
    begun = marker.read_marker(data)
    if begun is None:
        at = clock.now()
        begun = marker.Marker(
            str(uuid7(at)), order.backup.digest, at.isoformat(), order.ledger.of_backup
        )
        marker.begin(data, begun)
    elif begun.manifest != order.backup.digest:
        raise BackupError(
            f"{data} is being restored from another backup: give that one, or empty it"
        )
    result = Restored(id=begun.restore, ledger_of_backup=order.ledger.of_backup)
    if begun.ledger_of_backup and order.ledger.path == order.place.settings.erasure_ledger:
        result.ledger_of_backup = True  # what lies there the first try put there
    if not final.exists():
        draft = final.with_name(final.name + DRAFT)
        _begin_anew(draft)
        result.bytes += _unpack(order, draft, told)
        _check_audit(order.backup, draft)
        _place_files(order)
        database = Database(f"sqlite:///{draft}")
        try:
            _open(order, database, result, clock, actor, told)
            result.seconds = time.monotonic() - began
            _certify(order, database, result, clock, actor)
            database.checkpoint()
        finally:
            database.close()
        _begin_anew(draft, log_only=True)
        draft.rename(final)
        sync_folder(final.parent)
    _require_certificate(final, begun.restore)
    marker.end(data)
    result.seconds = time.monotonic() - began
    return result


def _begin_anew(draft: Path, *, log_only: bool = False) -> None:
    for suffix in ("-wal", "-shm", *([] if log_only else [""])):
        draft.with_name(draft.name + suffix).unlink(missing_ok=True)


def _unpack(order: Order, draft: Path, told: Told) -> int:
    backup = order.backup
    if backup.manifest.sealed:
        if not order.identities:
            raise BackupError("the database of the backup is sealed: name a key with --identity")
        pieces = opened_by(order.identities, pieces_of(backup.folder / SEALED_DATABASE))
    else:
        pieces = pieces_of(backup.folder / DATABASE)
    if write_file(draft, pieces, told) != backup.manifest.database:
        draft.unlink()
        raise BackupError("the database of the backup is not the one that its manifest names")
    return backup.manifest.database.size


def _check_audit(backup: Backup, draft: Path) -> None:
    """The database is whole, the chain of its audit log unbroken, and its end the one that the
    manifest names."""
    with looking_into(draft) as connection:
        found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
        if found != "ok":
            raise BackupError(f"the database of the backup is damaged: {found}")
        if (broken := first_broken(connection)) is not None:
            raise BackupError(f"the audit log of the backup is broken at entry {broken}")
        if head_of(connection) != backup.manifest.audit:
            raise BackupError("the audit log of the backup does not end where its manifest says")


def _place_files(order: Order) -> None:
    """Ledger, settings, prompts, and the key that a KMS wrapped; what is there already stays."""
    settings, folder = order.place.settings, order.backup.folder
    if order.place.text is not None:
        copy_into_place([order.place.text.encode()], order.place.config)
    target, source = settings.erasure_ledger, order.ledger.path
    if source is not None and not (target.exists() and source.samefile(target)):
        if target.exists() and order.ledger.end is not None:
            kept = ErasureLedger(target).end()
            if kept is not None and not ErasureLedger(source).holds(kept):
                raise BackupError(
                    f"{target} names other erasures than {source}: move it away, and after the "
                    "restore put it back and give callguard recording ledger --rebuild"
                )
        copy_into_place(pieces_of(source), target)
    if PROGRESS_KEY in order.backup.manifest.files and not (settings.data / PROGRESS_KEY).exists():
        copy_into_place(pieces_of(folder / PROGRESS_KEY), settings.data / PROGRESS_KEY)
    for name in order.backup.manifest.files:
        root, _, rest = name.partition("/")
        place = settings.prompt_folder / rest
        if root == PROMPTS and rest and not place.exists():
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            copy_into_place(pieces_of(folder / name), place)
    sync_folder(settings.data)


def _open(
    order: Order, database: Database, result: Restored, clock: Clock, actor: str, told: Told
) -> None:
    if order.backup.manifest.schema != HEAD:
        upgrade(database)
    ledger = ErasureLedger(order.place.settings.erasure_ledger)
    try:
        result.applied = forget_again(database, ledger, clock, actor=actor)
    except LedgerError as error:
        raise BackupError(f"nothing is opened: {error}") from error
    verify_objects(order, database, result, told)
    if order.place.text is None:
        result.strays = count_strays(order, database)
    if (result.missing or result.damaged) and not order.incomplete:
        named = [*result.damaged, *result.missing]
        more = f" and {len(named) - 3} more" if len(named) > 3 else ""
        raise BackupError(
            f"{len(result.missing)} objects are missing and {len(result.damaged)} damaged: "
            f"{', '.join(named[:3])}{more}; nothing is opened"
        )


def _certify(order: Order, database: Database, result: Restored, clock: Clock, actor: str) -> None:
    now, end = clock.now(), order.ledger.end
    certificate: dict[str, object] = {
        "id": result.id,
        "kind": "restore",
        "backup": order.backup.folder.name,
        "manifest": order.backup.digest,
        "made_at": order.backup.manifest.made_at,
        "finished_at": now.isoformat(),
        "ledger_lines": end.sequence if end is not None else 0,
        "ledger_of_backup": result.ledger_of_backup,
        "forgotten_again": result.applied.applied,
        "counts": dict(result.applied.classes),
        "objects": {
            "verified": result.verified,
            "copied": result.copied,
            "forgotten": result.forgotten,
            "missing": len(result.missing),
            "damaged": len(result.damaged),
            "named": [*result.damaged, *result.missing][:NAMED],
            "by_size": order.by_size,
        },
        "reason": order.reason or None,
    }
    row = {"id": result.id, "kind": "restore", "started_at": now, "finished_at": now}
    with database.writing() as connection:
        connection.execute(insert(purges).values(**row, certificate=certificate))
        shut(connection, order.backup.manifest.made_at)
        target = f"restore:{result.id}"
        append(connection, Entry(now, actor, "restore", target, None, certificate))


def _require_certificate(final: Path, restore_id: str) -> None:
    """What has the name of the database is what this restore made."""
    with looking_into(final) as connection:
        found = connection.execute(select(purges.c.id).where(purges.c.id == restore_id)).first()
    if found is None:
        raise BackupError(f"{final} is there already: nothing is restored over it")
