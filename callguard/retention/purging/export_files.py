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


def begun(connection: Connection, behind: str, limit: int) -> list[tuple[str, str | None]]:
    """Ids and files of the next that were marked, by id."""
    marked = select(exports.c.id, exports.c.file).where(exports.c.state == ERASING)
    some = marked.where(exports.c.id > behind).order_by(exports.c.id).limit(limit)
    return [(row.id, row.file) for row in connection.execute(some)]


def remove(
    folder: Path, some: Sequence[tuple[str, str | None]]
) -> tuple[list[str], OSError | None]:
    """Removes the files, by their names in the folder; a name leads nowhere else. Whose are gone,
    and why one of the others is not. Raises OSError where the folder cannot be made durable."""
    gone, fault = list[str](), None
    for export, file in some:
        try:
            if file and (name := Path(file).name) not in ("", "..") and "\0" not in name:
                with suppress(FileNotFoundError):
                    (folder / name).unlink()
            gone.append(export)
        except OSError as error:
            fault = error
    if folder.is_dir():
        sync_folder(folder)
    return gone, fault


def end(connection: Connection, ids: Sequence[str]) -> None:
    """The files are gone: so go the rows."""
    connection.execute(delete(exports).where(exports.c.id.in_(ids), exports.c.state == ERASING))
