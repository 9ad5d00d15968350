"""Following the file of call records that Asterisk writes, by position and inode."""

import os
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert

from callguard.storage.schema import cdr_cursors

PIECE = 1 << 20
"""Most bytes read at once; a line longer than this is skipped and counted as bad."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a file was read: the inode it had, and the byte after the last whole line."""

    inode: int
    position: int


@dataclass(frozen=True, slots=True)
class Piece:
    """Whole lines read from the file, and where reading goes on after them."""

    lines: tuple[str, ...]
    cursor: Cursor
    more: bool


def read_cursor(connection: Connection, pbx: str) -> Cursor | None:
    row = connection.execute(select(cdr_cursors).where(cdr_cursors.c.pbx == pbx)).one_or_none()
    return None if row is None else Cursor(row.inode, row.position)


def write_cursor(connection: Connection, pbx: str, cursor: Cursor) -> None:
    """In the transaction that keeps the records before it, so that neither is without the other."""
    values = {"pbx": pbx, "inode": cursor.inode, "position": cursor.position}
    connection.execute(
        insert(cdr_cursors)
        .values(values)
        .on_conflict_do_update(index_elements=["pbx"], set_=values)
    )


def read_piece(path: Path, cursor: Cursor | None) -> Piece | None:
    """Reads what came after ``cursor``; None where there is nothing.

    A file with another inode, or shorter than the position, was rotated or emptied: it is read
    from its start (what was in the old one is found again under its rotated name, see
    ``rotated``). A line without its end is left for the next time. Raises OSError.
    """
    try:
        handle = path.open("rb")
    except FileNotFoundError:
        return None
    with handle:
        status = os.fstat(handle.fileno())
        start = 0
        if cursor and cursor.inode == status.st_ino and cursor.position <= status.st_size:
            start = cursor.position
        handle.seek(start)
        data = handle.read(PIECE)
    end = data.rfind(b"\n") + 1
    if end == 0:
        if len(data) < PIECE:
            return None
        end = len(data)
    text = data[:end].decode("utf-8", errors="replace")
    lines = tuple(line for line in text.split("\n") if line.strip())
    return Piece(lines, Cursor(status.st_ino, start + end), len(data) == PIECE)


def rotated(path: Path, cursor: Cursor) -> Path | None:
    """The file that the cursor was in, if it was renamed beside ``path`` since."""
    try:
        if path.stat().st_ino == cursor.inode:
            return None
    except FileNotFoundError:
        pass
    for candidate in path.parent.glob(f"{path.name}*"):
        try:
            if candidate.stat().st_ino == cursor.inode:
                return candidate
        except FileNotFoundError:
            continue
    return None
