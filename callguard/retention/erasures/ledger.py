"""The erasure ledger: a file that says what was erased, outside of the database, so that a restored
one forgets again. Its format is docs/formats.md, "Erasure ledger".

Append first, then erase: ``append`` returns once the lines would survive a power cut. The calls
block: from the event loop they are made in a thread. Whoever erases goes through
``callguard.recording.erasure.erase_for_good``, which does both in that order.
"""

import hashlib
import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from callguard.recording.durable import sync_folder
from callguard.retention.erasures import redo as ledger_redo
from callguard.retention.erasures.lines import (
    ARCHIVE,
    BEGINNING,
    CALL,
    CALL_PART,
    CALL_RECORD,
    CONSENT,
    CONTACT,
    DELIVERED,
    FIRST_LINE,
    LINE_BYTES,
    RECORDING,
    TENANT,
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
from callguard.retention.erasures.reading import (
    holds_place,
    is_torn,
    line_before,
    locked,
    settled,
    whole,
)

__all__ = [
    "ARCHIVE",
    "BEGINNING",
    "CALL",
    "CALL_PART",
    "CALL_RECORD",
    "CONSENT",
    "CONTACT",
    "DELIVERED",
    "RECORDING",
    "TENANT",
    "TENANT_KEY",
    "Entered",
    "Erasure",
    "ErasureLedger",
    "LedgerError",
    "Line",
    "Mark",
]

LOCK_S = 2.0
"""How long a writer waits for another one."""

_LOOK_S = 0.01


class LedgerError(RuntimeError):
    """The ledger cannot be written, or not be trusted; nothing may be erased then. One line."""


@dataclass(frozen=True, slots=True)
class Entered:
    """What stands in the ledger behind the place that a database has seen: ``others`` stood there
    already, ``new`` was written just now."""

    others: Sequence[Line] = ()
    new: Sequence[Line] = ()


class ErasureLedger:
    """The ledger in one file. Everything raises LedgerError. No file is held open in between, so
    that one that is put back from a backup is seen."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def copy_faults(self) -> tuple[str, ...]:
        """What is wrong with its copies; it has none."""
        return ()

    def heal(self) -> None:
        """Before anything is read: writes once more what a power cut left torn. Raises
        LedgerError."""
        try:
            if (redo := ledger_redo.read(self.path)) is None:
                return
            with self.reading() as file:
                if file is None or not is_torn(file, redo):
                    return
            # Where it cannot be locked somebody is at it; what else is wrong is told later.
            with suppress(LedgerError), self.writing(create=False) as file:
                if is_torn(file, redo):
                    write_lines(file, redo.data, redo.position)
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._error(f"cannot be written: {error.strerror or error}") from error

    def follow(self) -> None:
        """Brings the copies up to it."""

    def begin_copies_anew(self, at: datetime) -> None:
        """After it was written anew: the copies are kept aside, and made from it."""

    def end(self) -> Mark | None:
        """The place behind the last whole line; None where there is no ledger, or none with a
        whole first line. Reads only both ends of the file."""
        with self.reading() as file:
            return None if file is None else self.end_of(file)

    def holds(self, mark: Mark) -> bool:
        """Whether this is the file in which ``mark`` was seen, or one that goes on from there."""
        with self.reading() as file:
            return file is not None and holds_place(file, mark)

    def after(self, mark: Mark) -> Iterator[Line]:
        """The lines behind a place, each checked against the one before. An error where the file
        does not hold that place."""
        with self.reading() as file:
            if file is None:
                raise self._error("is missing")
            end = settled(file)
            if not holds_place(file, mark):
                raise self._error("is not the one that the database knows")
            yield from self.lines_of(file, mark, end)

    def lines(self) -> Iterator[Line]:
        """All lines, each checked against the one before; none where there is no ledger."""
        with self.reading() as file:
            if file is not None and self.end_of(file) is not None:
                yield from self.lines_of(file, BEGINNING, settled(file))

    def readable(self) -> Iterator[Erasure]:
        """What can still be read, line by line, in a file that may be damaged."""
        with self.reading() as file:
            while file is not None and (raw := file.readline(LINE_BYTES * 64)):
                with suppress(LineError):
                    yield read(raw.rstrip(b"\n"))[0]

    def append(self, erasures: Sequence[Erasure], known: Mark | None) -> int:
        """As ``enter``; how many lines are new."""
        return len(self.enter(erasures, known).new)

    def enter(self, erasures: Sequence[Erasure], known: Mark | None) -> Entered:
        """Makes lines durable with one sync; returns all behind ``known``, a place that the
        database has seen (None: never any): the file must hold it, and what a line behind it names
        already is not named again. When it raises, nothing may be erased."""
        if not erasures:
            return Entered()
        try:
            with self.writing(create=known is None) as file:
                return self._enter(file, erasures, known)
        except FileNotFoundError as error:
            raise self._error("is missing") from error
        except OSError as error:
            raise self._error(f"cannot be written: {error.strerror or error}") from error

    def _enter(self, file: BinaryIO, erasures: Sequence[Erasure], known: Mark | None) -> Entered:
        end, others = self.end_of(file), list[Line]()
        if known is not None and (end is None or not holds_place(file, known)):
            raise self._error("is not the one that the database knows")
        if end is not None:
            others += self.lines_of(file, known or BEGINNING, end.position)
        else:
            write_lines(file, FIRST_LINE, 0)
            end = BEGINNING
        if end.sequence == 0:
            sync_folder(self.path.parent)
        named = {line.erasure.key for line in others}
        start, written, new = end.position, list[bytes](), list[Line]()
        for erasure in erasures:
            if erasure.key in named:
                continue
            named.add(erasure.key)
            try:
                raw, end = compose(erasure, end)
            except LineError as error:
                raise self._error(f"takes no such line: {error}") from error
            written.append(raw)
            new.append(Line(erasure, end))
        # Also where nothing is: it may not be synced yet.
        self._write(file, b"".join(written), start)
        return Entered(others, new)

    def _write(self, file: BinaryIO, data: bytes, start: int) -> None:
        if not ledger_redo.is_needed(start, len(data)):
            write_lines(file, data, start)
            return
        before = hashlib.sha256(line_before(file, start)).hexdigest()
        ledger_redo.keep(self.path, ledger_redo.Redo(start, before, data))
        try:
            write_lines(file, data, start)
        except OSError:
            ledger_redo.forget(self.path)
            raise

    @contextmanager
    def writing(self, *, create: bool) -> Iterator[BinaryIO]:
        """The file, locked, and still the one of that name."""
        until = time.monotonic() + LOCK_S
        flags = os.O_RDWR | (os.O_CREAT if create else 0)
        while True:
            with os.fdopen(self._open(flags), "r+b") as file:
                while not locked(file):
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
    def reading(self) -> Iterator[BinaryIO | None]:
        """The file for reading; None where there is none."""
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

    def end_of(self, file: BinaryIO) -> Mark | None:
        """As ``end``, of the file opened."""
        end = whole(file)
        if end == 0:
            return None
        file.seek(0)
        if file.read(len(FIRST_LINE)) != FIRST_LINE:
            raise self._error("does not begin as one of version 1")
        if end == len(FIRST_LINE):
            return BEGINNING
        try:
            return mark_of(line_before(file, end), end)
        except LineError as error:
            raise self._error(f"is damaged at its end: {error}") from error

    def lines_of(self, file: BinaryIO, before: Mark, end: int) -> Iterator[Line]:
        """The lines from a place up to byte ``end``, each checked against the one before."""
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


def write_lines(file: BinaryIO, data: bytes, position: int) -> None:
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
