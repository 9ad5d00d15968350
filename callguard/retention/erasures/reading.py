"""Places and ends in the file of the erasure ledger. Everything raises OSError."""

import fcntl
import os
import time
from typing import BinaryIO

from callguard.retention.erasures import redo as ledger_redo
from callguard.retention.erasures.lines import (
    BEGINNING,
    FIRST_LINE,
    LINE_BYTES,
    LineError,
    Mark,
    mark_of,
)

SETTLE_S = 0.25
"""How long a reader waits for a writer; it may be inside a transaction of the database."""

_LOOK_S = 0.01
_BLOCK = 64 * 1024


def locked(file: BinaryIO, how: int = fcntl.LOCK_EX) -> bool:
    """Takes a lock, if nobody else has it; whether it was had."""
    try:
        fcntl.flock(file.fileno(), how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def hold_shared(file: BinaryIO, *, release: bool = False) -> bool:
    """Takes, or gives back, the lock of a reader; whether it was had."""
    if release:
        fcntl.flock(file.fileno(), fcntl.LOCK_UN)
        return True
    return locked(file, fcntl.LOCK_SH)


def is_torn(file: BinaryIO, redo: ledger_redo.Redo) -> bool:
    """Whether a batch that was begun behind its last line is not all there."""
    if file.seek(0, os.SEEK_END) < redo.position:
        return False
    return ledger_redo.is_torn(file, redo, line_before(file, redo.position))


def whole(file: BinaryIO) -> int:
    """Where the last whole line ends; what is behind it is torn."""
    start = file.seek(0, os.SEEK_END)
    while start > 0:
        size = min(_BLOCK, start)
        start -= size
        file.seek(start)
        found = file.read(size).rfind(b"\n")
        if found >= 0:
            return start + found + 1
    return 0


def settled(file: BinaryIO) -> int:
    """The same for a reader: a writer, who may yet take its lines back, is waited for a little."""
    until = time.monotonic() + SETTLE_S
    while not locked(file, fcntl.LOCK_SH) and time.monotonic() < until:
        time.sleep(_LOOK_S)
    end = whole(file)
    fcntl.flock(file.fileno(), fcntl.LOCK_UN)  # also where it was not had
    return end


def line_before(file: BinaryIO, end: int) -> bytes:
    """The line that ends at byte ``end``, without its line feed; too long where it has no begin."""
    start = max(0, end - LINE_BYTES - 1)
    file.seek(start)
    return file.read(end - 1 - start).rpartition(b"\n")[2]


def holds_place(file: BinaryIO, mark: Mark) -> bool:
    """As ``ErasureLedger.holds``, of the file opened."""
    if not len(FIRST_LINE) <= mark.position <= whole(file):
        return False
    file.seek(mark.position - 1)
    if file.read(1) != b"\n":
        return False
    if mark.sequence == 0:
        file.seek(0)
        return mark == BEGINNING and file.read(len(FIRST_LINE)) == FIRST_LINE
    try:
        return mark_of(line_before(file, mark.position), mark.position) == mark
    except LineError:
        return False
