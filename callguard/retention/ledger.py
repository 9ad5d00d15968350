"""The erasure ledger: a file that says what was erased, outside of the database, so that a restored
one forgets again. Its format is docs/formats.md, "Erasure ledger".

Append first, then erase: ``append`` returns once the lines would survive a power cut. The calls
block: from the event loop they are made in a thread. Whoever erases goes through
``callguard.recording.erasure.erase_for_good``, which does both in that order.
"""

import fcntl
import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from callguard.recording.durable import sync_folder
from callguard.retention.ledger_lines import (
    BEGINNING,
    DELIVERED,
    FIRST_LINE,
    LINE_BYTES,
    RECORDING,
    TENANT_KEY,
    Erasure,
    Line,
    LineError,
    Mark,
    compose,
    mark_of,
    parse,
    read,
)

__all__ = [
    "BEGINNING",
    "DELIVERED",
    "RECORDING",
    "TENANT_KEY",
    "Erasure",
    "ErasureLedger",
    "LedgerError",
    "Line",
    "Mark",
]

LOCK_S = 2.0
"""How long a writer waits for another one."""

SETTLE_S = 0.25
"""How long a reader waits for a writer; it may be inside a transaction of the database."""

_LOOK_S = 0.01
_BLOCK = 64 * 1024


class LedgerError(RuntimeError):
    """The ledger cannot be written, or not be trusted; nothing may be erased then. One line."""


class ErasureLedger:
    """The ledger in one file. Everything raises LedgerError. No file is held open in between, so
    that one that is put back from a backup is seen."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def end(self) -> Mark | None:
        """The place behind the last whole line; None where there is no ledger, or none with a
        whole first line. Reads only both ends of the file."""
        with self._reading() as file:
            return None if file is None else self._end(file)

    def holds(self, mark: Mark) -> bool:
        """Whether this is the file in which ``mark`` was seen, or one that goes on from there."""
        with self._reading() as file:
            return file is not None and _holds(file, mark)

    def after(self, mark: Mark) -> Iterator[Line]:
        """The lines behind a place, each checked against the one before. An error where the file
        does not hold that place."""
        with self._reading() as file:
            if file is None:
                raise self._error("is missing")
            end = _settled(file)
            if not _holds(file, mark):
                raise self._error("is not the one that the database knows")
            yield from self._lines(file, mark, end)

    def lines(self) -> Iterator[Line]:
        """All lines, each checked against the one before; none where there is no ledger."""
        with self._reading() as file:
            if file is not None and self._end(file) is not None:
                yield from self._lines(file, BEGINNING, _settled(file))

    def readable(self) -> Iterator[Erasure]:
        """What can still be read, line by line, in a file that may be damaged."""
        with self._reading() as file:
            while file is not None and (raw := file.readline(_BLOCK)):
                with suppress(LineError):
                    yield read(raw.rstrip(b"\n"))[0]

    def append(self, erasures: Sequence[Erasure], known: Mark | None) -> int:
        """Makes lines durable with one sync; returns how many. ``known`` is a place that the
        database has seen (None: never any): the file must hold it, and what a line behind it names
        already is not named again. When it raises, nothing may be erased."""
        if not erasures:
            return 0
        try:
            with self._writing(create=known is None) as file:
                return self._append(file, erasures, known)
        except FileNotFoundError as error:
            raise self._error("is missing") from error
        except OSError as error:
            raise self._error(f"cannot be written: {error.strerror or error}") from error

    def _append(self, file: BinaryIO, erasures: Sequence[Erasure], known: Mark | None) -> int:
        end, named = self._end(file), set[tuple[str, str]]()
        if known is not None and (end is None or not _holds(file, known)):
            raise self._error("is not the one that the database knows")
        if end is not None:
            behind = self._lines(file, known or BEGINNING, end.position)
            named = {line.erasure.key for line in behind}
        else:
            _write(file, FIRST_LINE, 0)
            end = BEGINNING
        if end.sequence == 0:
            sync_folder(self.path.parent)
        start, written = end.position, list[bytes]()
        for erasure in erasures:
            if erasure.key in named:
                continue
            named.add(erasure.key)
            try:
                raw, end = compose(erasure, end)
            except LineError as error:
                raise self._error(f"takes no such line: {error}") from error
            written.append(raw)
        _write(file, b"".join(written), start)  # also where nothing is: it may not be synced yet
        return len(written)

    @contextmanager
    def _writing(self, *, create: bool) -> Iterator[BinaryIO]:
        """The file, locked, and still the one of that name."""
        until = time.monotonic() + LOCK_S
        flags = os.O_RDWR | (os.O_CREAT if create else 0)
        while True:
            with os.fdopen(self._open(flags), "r+b") as file:
                while not _locked(file):
                    if time.monotonic() > until:
                        raise self._error("is being written by another process")
                    time.sleep(_LOOK_S)
                if _is_named(file, self.path):
                    _give_to_owner(file, self.path.parent)
                    yield file
                    return
            if time.monotonic() > until:
                raise self._error("is being replaced")

    @contextmanager
    def _reading(self) -> Iterator[BinaryIO | None]:
        try:
            descriptor = self._open(os.O_RDONLY)
        except FileNotFoundError:
            yield None
            return
        except OSError as error:
            raise self._error(f"cannot be read: {error.strerror}") from error
        with os.fdopen(descriptor, "rb") as file:
            try:
                yield file
            except OSError as error:
                raise self._error(f"cannot be read: {error.strerror or error}") from error

    def _open(self, flags: int) -> int:
        """The file, if it is one of ours. Raises OSError."""
        more = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe would be waited for
        descriptor = os.open(self.path, flags | more, 0o600)
        try:
            status, owner = os.fstat(descriptor), self.path.parent.stat().st_uid
            if not stat.S_ISREG(status.st_mode):
                raise self._error("is not a regular file")
            if status.st_uid not in (0, os.geteuid(), owner):
                raise self._error("belongs to another user")
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _end(self, file: BinaryIO) -> Mark | None:
        end = _whole(file)
        if end == 0:
            return None
        file.seek(0)
        if file.read(len(FIRST_LINE)) != FIRST_LINE:
            raise self._error("does not begin as one of version 1")
        if end == len(FIRST_LINE):
            return BEGINNING
        try:
            return mark_of(_line_before(file, end), end)
        except LineError as error:
            raise self._error(f"is damaged at its end: {error}") from error

    def _lines(self, file: BinaryIO, before: Mark, end: int) -> Iterator[Line]:
        file.seek(before.position)
        while before.position < end:
            raw = file.readline(LINE_BYTES + 1).rstrip(b"\n")
            try:
                line = parse(raw, before)
            except LineError as error:
                raise self._error(f"is damaged at line {before.sequence + 1}: {error}") from error
            yield line
            before = line.mark

    def _error(self, what: str) -> LedgerError:
        return LedgerError(f"the erasure ledger {self.path} {what}")


def _locked(file: BinaryIO, how: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(file.fileno(), how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_named(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _give_to_owner(file: BinaryIO, folder: Path) -> None:
    """What root makes at the command line must stay the service's."""
    status, owner = os.fstat(file.fileno()), folder.stat()
    if os.geteuid() == 0 and status.st_uid != owner.st_uid:
        os.fchown(file.fileno(), owner.st_uid, owner.st_gid)


def _write(file: BinaryIO, data: bytes, position: int) -> None:
    """Writes and syncs behind the last whole line; a torn one goes, and so does a failed one.
    Raises OSError."""
    descriptor = file.fileno()
    try:
        os.ftruncate(descriptor, position)
        done = 0
        while done < len(data):
            done += os.pwrite(descriptor, data[done:], position + done)
        os.fsync(descriptor)
    except OSError:
        with suppress(OSError):
            os.ftruncate(descriptor, position)
        raise


def _whole(file: BinaryIO) -> int:
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


def _settled(file: BinaryIO) -> int:
    """The same for a reader: a writer, who may yet take its lines back, is waited for a little."""
    until = time.monotonic() + SETTLE_S
    while not _locked(file, fcntl.LOCK_SH) and time.monotonic() < until:
        time.sleep(_LOOK_S)
    end = _whole(file)
    fcntl.flock(file.fileno(), fcntl.LOCK_UN)  # also where it was not had
    return end


def _line_before(file: BinaryIO, end: int) -> bytes:
    """The line that ends at byte ``end``, without its line feed; too long where it has no begin."""
    start = max(0, end - LINE_BYTES - 1)
    file.seek(start)
    return file.read(end - 1 - start).rpartition(b"\n")[2]


def _holds(file: BinaryIO, mark: Mark) -> bool:
    if not len(FIRST_LINE) <= mark.position <= _whole(file):
        return False
    file.seek(mark.position - 1)
    if file.read(1) != b"\n":
        return False
    if mark.sequence == 0:
        file.seek(0)
        return mark == BEGINNING and file.read(len(FIRST_LINE)) == FIRST_LINE
    try:
        return mark_of(_line_before(file, mark.position), mark.position) == mark
    except LineError:
        return False
