"""Files of call records that may not go: the one that Asterisk writes, and those that the keeper of
call records has not read to their end."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from sqlalchemy import Connection, select

from callguard.config import Asterisk
from callguard.retention.folders.walk import File
from callguard.storage.schema import cdr_cursors

PACKED = frozenset({".gz", ".bz2", ".xz", ".zst", ".lz4", ".Z", ".zip"})


@dataclass(frozen=True, slots=True)
class LiveFile:
    """The file that one Asterisk writes. ``read`` are the inode of the file that the keeper is in
    and how far it read that, None where it read nothing yet; ``at`` is when that file was last
    changed, None where it is not found any more."""

    device: int
    inode: int
    name: str
    read: tuple[int, int] | None
    at: int | None

    def keeps(self, folder: tuple[int, int], file: File) -> bool:
        """Whether a file of that folder (device and inode) may not go: what is older than the one
        that the keeper is in was read before it."""
        if folder != (self.device, self.inode) or not file.name.startswith(_stem(self.name)):
            return False
        if file.name == self.name or self.read is None:
            return True
        inode, position = self.read
        if file.inode == inode:
            # How far a packed file was read says nothing of its own size.
            return position < file.size or PurePath(file.name).suffix in PACKED
        return self.at is None or file.mtime >= self.at


def live_files(connection: Connection, pbxs: Sequence[Asterisk]) -> list[LiveFile]:
    """Of all Asterisks whose file is read."""
    found = []
    for pbx in pbxs:
        if pbx.cdr_file is None:
            continue
        try:
            status = pbx.cdr_file.parent.stat()
        except OSError:
            continue
        row = connection.execute(select(cdr_cursors).where(cdr_cursors.c.pbx == pbx.name)).first()
        read = None if row is None else (row.inode, row.position)
        at = None if read is None else _changed(pbx.cdr_file, read[0])
        found.append(LiveFile(status.st_dev, status.st_ino, pbx.cdr_file.name, read, at))
    return found


def _changed(file: Path, inode: int) -> int | None:
    """When the file of that inode was last changed, beside the live one."""
    try:
        with os.scandir(file.parent) as entries:
            for entry in entries:
                if entry.name.startswith(_stem(file.name)) and entry.inode() == inode:
                    return entry.stat(follow_symlinks=False).st_mtime_ns
    except OSError:
        return None
    return None


def _stem(name: str) -> str:
    """How the names of all begin that are rotated away from it: callguard.csv.1, and
    callguard-20261120.csv."""
    return PurePath(name).stem
