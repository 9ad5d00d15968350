"""One moment of the database, as a file of its own, while the service goes on writing."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, select
from sqlalchemy.pool import NullPool

from callguard.recording.tombstones import mark_and_fault
from callguard.retention.backup.manifest import BackupError, Head, Listed
from callguard.retention.erasures.lines import Mark
from callguard.storage.database import Database
from callguard.storage.schema import archives, audit, recordings

AT_ONCE = 2_000
"""Rows that are read with one statement."""


def take(database: Database, target: Path) -> None:
    """Writes the database as it is at this moment into ``target``, without what was deleted from
    it. It reads beside the writers, which wait for nothing but the disk. Raises BackupError."""
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    connection = database.engine.raw_connection()
    try:
        connection.cursor().execute("VACUUM INTO ?", (str(target),))
    except sqlite3.Error as error:
        raise BackupError(f"the database cannot be copied to {target.parent}: {error}") from error
    finally:
        connection.close()
    with target.open("rb") as file:
        os.fsync(file.fileno())


_DRAFTS = ".backup-draft"


@contextmanager
def plain_draft(data: Path) -> Iterator[Path]:
    """A place for a copy in the clear beside the database, which goes in any case; one that a
    killed backup left goes first. Raises BackupError where another one is at it, OSError."""
    folder = data / _DRAFTS
    folder.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BackupError("another backup is under way") from error
        plain = folder / "plain.db"
        plain.unlink(missing_ok=True)
        try:
            yield plain
        finally:
            plain.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def drop_left_draft(data: Path) -> None:
    """Takes away a copy in the clear that a killed backup left: nothing that is erased may stay in
    it. Raises OSError."""
    if (data / _DRAFTS).is_dir():
        with suppress(BackupError), plain_draft(data):
            pass


@contextmanager
def looking_into(snapshot: Path) -> Iterator[Connection]:
    """Reads a copy that nobody writes, and leaves it as it is."""

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(f"{snapshot.absolute().as_uri()}?mode=ro&immutable=1", uri=True)

    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def head_of(connection: Connection) -> Head | None:
    """The newest entry of the audit log."""
    newest = select(audit.c.seq, audit.c.digest).order_by(audit.c.seq.desc()).limit(1)
    row = connection.execute(newest).one_or_none()
    return Head(int(row.seq), str(row.digest)) if row is not None else None


def mark_of(connection: Connection) -> Mark | None:
    """Up to where the erasure ledger was applied."""
    return mark_and_fault(connection)[0]


def in_progress(connection: Connection) -> tuple[str, ...]:
    """The recordings that were not sealed."""
    wanted = select(recordings.c.id).where(recordings.c.wrapped_file_key.is_not(None))
    return tuple(map(str, connection.execute(wanted.order_by(recordings.c.id)).scalars()))


def listed(connection: Connection) -> Iterator[Listed]:
    """The objects that are referred to and that a header opens, in the order of their rows."""
    for table, name in ((recordings, "recording"), (archives, "archive")):
        last = ""
        wanted = select(
            table.c.id, table.c.payload, table.c.sealed_bytes, table.c.payload_sha256
        ).where(table.c.header.is_not(None), table.c.payload.is_not(None))
        while some := connection.execute(
            wanted.where(table.c.id > last).order_by(table.c.id).limit(AT_ONCE)
        ).all():
            yield from (_listed(name, row) for row in some)
            last = some[-1].id


def _listed(data_class: str, row: Any) -> Listed:
    return Listed(data_class, row.id, row.payload, row.sealed_bytes or 0, row.payload_sha256)
