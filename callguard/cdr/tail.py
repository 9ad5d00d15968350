"""Following the file of call records that Asterisk writes, by position and inode.

Rotation by renaming loses nothing, however often it comes between two looks, as long as the old
files stay uncompressed beside the new one until they are read (logrotate: ``delaycompress``).
Copying and truncating (logrotate: ``copytruncate``) loses what was written since the last look.
"""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert

from callguard.storage.schema import cdr_cursors

PIECE = 1 << 16
"""Most bytes read at once, and kept in one transaction, so that no verdict waits long for it. A
line longer than this is skipped and counted as bad."""

_COMPRESSED = frozenset({".gz", ".bz2", ".xz", ".zst", ".lz4", ".Z", ".zip"})


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a file was read: the inode it had, and the byte after the last whole line."""

    inode: int
    position: int


@dataclass(frozen=True, slots=True)
class Piece:
    """Whole lines read from a file, and where reading goes on after them."""

    lines: tuple[str, ...]
    cursor: Cursor


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
    """Reads what came after ``cursor``; None where there is nothing, or another file by then.

    A file that was emptied is read from its start; while it is empty, a piece without lines says
    so. A line without its end is left for the next time. Raises OSError.
    """
    try:
        handle = path.open("rb")
    except FileNotFoundError:
        return None
    with handle:
        status = os.fstat(handle.fileno())
        if cursor is not None and cursor.inode != status.st_ino:
            return None
        start = _start(handle, cursor.position if cursor else 0, status.st_size)
        handle.seek(start)
        data = handle.read(PIECE)
        end = data.rfind(b"\n") + 1
        if end == 0:
            skipped = _line_end(handle) if len(data) == PIECE else 0
            if skipped == 0:
                emptied = cursor is not None and start < cursor.position
                return Piece((), Cursor(status.st_ino, start)) if emptied else None
            return Piece(("a line too long to be a record",), Cursor(status.st_ino, skipped))
    text = data[:end].decode("utf-8", errors="replace")
    lines = tuple(line for line in text.split("\n") if line.strip())
    return Piece(lines, Cursor(status.st_ino, start + end))


def _start(handle: BinaryIO, position: int, size: int) -> int:
    """Where to read on: at the position, unless the file is not the one that was read before."""
    if position == 0 or position > size:
        return 0
    handle.seek(position - 1)
    return position if handle.read(1) == b"\n" else 0


def _line_end(handle: BinaryIO) -> int:
    """The position after the line that the handle is in; 0 while it has no end."""
    while rest := handle.readline(PIECE):
        if rest.endswith(b"\n"):
            return handle.tell()
    return 0


def locate(path: Path, inode: int) -> Path | None:
    """Where the file of that inode lies: at ``path``, or renamed beside it. Raises OSError."""
    for candidate, status in _family(path):
        if status.st_ino == inode:
            return candidate
    return None


def following(path: Path, inode: int, done: Collection[int]) -> Cursor | None:
    """The start of the file to read after the one of that inode, if there is one.

    Files that were rotated away since come first, the oldest of them foremost; those in ``done``
    were read already. Raises OSError.
    """
    family = _family(path)
    current = next((s.st_ino for p, s in family if p == path), None)
    left = next((s.st_mtime_ns for _, s in family if s.st_ino == inode), None)
    if current is None or current == inode:
        return None
    between = [
        (s.st_mtime_ns, s.st_ino)
        for p, s in family
        if p != path and s.st_ino not in {inode, *done} and left is not None
        if s.st_mtime_ns >= left
    ]
    return Cursor(min(between)[1] if between else current, 0)


def _family(path: Path) -> list[tuple[Path, os.stat_result]]:
    """The file and those that were rotated away from it and can be read."""
    found = []
    candidates = [path]
    if path.parent.is_dir():
        candidates += [p for p in path.parent.iterdir() if p.name.startswith(path.name)]
    for candidate in dict.fromkeys(candidates):
        if candidate.suffix in _COMPRESSED:
            continue
        try:
            found.append((candidate, candidate.stat()))
        except FileNotFoundError:
            continue
    return found
