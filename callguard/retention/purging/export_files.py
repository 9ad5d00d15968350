"""Exports whose time has come: the row says so, then the file goes, then the row."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, select, update

from callguard.recording.durable import sync_folder
from callguard.retention.purging.certificates import Tally
from callguard.retention.purging.expired import kept_by_holds, next_rows
from callguard.storage.schema import exports

ERASING = "erasing"
"""The state of an export whose file may be gone already."""

EXPORT = "export"


def begin(
    connection: Connection,
    now: datetime,
    place: tuple[Any, ...] | None,
    limit: int,
    tally: Tally,
) -> tuple[Tally, tuple[Any, ...] | None]:
    """Marks the next few that have expired and are not held; what has gone by then, and the place
    behind them, None at the end."""
    step = next_rows(connection, exports, now, place, limit, exports.c.id, exports.c.state)
    ids = [row.id for row in step.rows if row.state != ERASING]
    if ids:
        marked = update(exports).where(exports.c.id.in_(ids))
        connection.execute(marked.values(state=ERASING))
    tally = kept_by_holds(connection, exports, EXPORT, step, tally.taken(EXPORT, ids))
    return tally, step.place


def begun(connection: Connection, limit: int) -> list[tuple[str, str | None]]:
    """Ids and files of those that were marked."""
    found = select(exports.c.id, exports.c.file).where(exports.c.state == ERASING).limit(limit)
    return [(row.id, row.file) for row in connection.execute(found)]


def remove(folder: Path, files: Sequence[str | None]) -> None:
    """Removes the files, by their names in the folder; a name leads nowhere else. Raises
    OSError."""
    for file in files:
        if file and (name := Path(file).name) not in ("", "..") and "\0" not in name:
            with suppress(FileNotFoundError):
                (folder / name).unlink()
    if folder.is_dir():
        sync_folder(folder)


def end(connection: Connection, ids: Sequence[str]) -> None:
    """The files are gone: so go the rows."""
    connection.execute(delete(exports).where(exports.c.id.in_(ids), exports.c.state == ERASING))
