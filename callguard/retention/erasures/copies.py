"""Further copies of the erasure ledger, on other disks: each is the beginning of the ledger, or all
of it. A copy that cannot be written stops no erasure; it is told of, and catches up by itself.

A copy is never ahead of what is durable in the ledger itself. Only where the ledger was lost, or an
older one was put in its place, is a copy longer; then it is what the ledger is healed from.
"""

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO

import structlog

from callguard.config import Settings
from callguard.recording.durable import sync_folder
from callguard.retention.erasures.ledger import (
    BEGINNING,
    LOCK_S,
    Entered,
    Erasure,
    ErasureLedger,
    LedgerError,
    Line,
    Mark,
    write_lines,
)
from callguard.retention.erasures.lines import FIRST_LINE, compose
from callguard.retention.erasures.reading import hold_shared, holds_place

log = structlog.get_logger(__name__)

PATIENCE_S = 5.0
"""How long a writer waits for one copy, whose disk may be another machine's; it goes on behind."""

AT_ONCE = 1_000
"""Lines that are copied with one sync."""


class CopiedLedger(ErasureLedger):
    """A ledger with copies. ``enter`` returns once the ledger itself has the lines, and each copy
    has them too or is told of in ``copy_faults``."""

    def __init__(self, path: Path, copies: Iterable[Path]) -> None:
        super().__init__(path)
        self.copies = tuple(ErasureLedger(copy) for copy in copies)
        self._faults: dict[Path, str] = {}
        self._at_work: dict[Path, threading.Thread] = {}

    @property
    def copy_faults(self) -> tuple[str, ...]:
        """What is wrong with the copies, a line each."""
        return tuple(self._faults.values())

    def enter(self, erasures: Sequence[Erasure], known: Mark | None) -> Entered:
        """See ErasureLedger.enter."""
        entered = super().enter(erasures, known)
        if erasures:
            self.follow()
        return entered

    def follow(self) -> None:
        """Brings every copy up to the ledger."""
        for copy in self.copies:
            self._patiently(copy, partial(self._bring, copy))

    def heal(self) -> None:
        """Before anything is read: a ledger that is lost or older goes on from its longest copy.
        Raises LedgerError where the ledger is damaged, or is no part of what a copy says."""
        super().heal()
        end = self.end()
        ends = {copy: mark for copy in self.copies if (mark := self._end_of(copy)) is not None}
        longest = max(ends, key=lambda copy: ends[copy].sequence, default=None)
        if longest is not None and (end is None or ends[longest].sequence > end.sequence):
            if end is not None and not longest.holds(end):
                raise self._forked(longest)
            count = self._take_from(longest, end)
            log.warning("ledger_healed", copy=str(longest.path), lines=count)
        for copy, mark in ends.items():
            if not self.holds(mark):
                raise self._forked(copy)
        if end is not None or ends:
            self.follow()

    def readable(self) -> Iterator[Erasure]:
        """See ErasureLedger.readable; of the copies too."""
        yield from super().readable()
        for copy in self.copies:
            with suppress(LedgerError):
                yield from copy.readable()

    def begin_copies_anew(self, at: datetime) -> None:
        """After the ledger was written anew: the copies are kept aside, and made from it."""
        for copy in self.copies:
            self._patiently(copy, partial(_set_aside, copy.path, at))
        if self.end() is not None:
            self.follow()

    def _bring(self, copy: ErasureLedger) -> None:
        with self.reading() as file:
            if file is None:
                return
            end = self._durable_end(file)
            try:
                self._write_behind(copy, file, end)
            except OSError as error:
                raise LedgerError(f"{copy.path} cannot be written: {error.strerror}") from error

    def _write_behind(self, copy: ErasureLedger, file: BinaryIO, end: Mark) -> None:
        with copy.writing(create=True) as out:
            there = copy.end_of(out)
            if there is not None and not holds_place(file, there):
                raise LedgerError(f"{copy.path} is no copy of the erasure ledger {self.path}")
            _copy(self.lines_of(file, there or BEGINNING, end.position), out, there)
            if there is None:
                sync_folder(copy.path.parent)

    def _durable_end(self, file: BinaryIO) -> Mark:
        """The end as a power cut would leave it. Who writes is waited for."""
        until = time.monotonic() + LOCK_S
        while not (held := hold_shared(file)) and time.monotonic() < until:
            time.sleep(0.01)
        if not held:
            raise LedgerError(f"the erasure ledger {self.path} is being written by another process")
        os.fsync(file.fileno())
        end = self.end_of(file)
        hold_shared(file, release=True)
        return end or BEGINNING

    def _take_from(self, copy: ErasureLedger, end: Mark | None) -> int:
        try:
            with self.writing(create=True) as file:
                if self.end_of(file) != end:
                    raise self._error("is being written while it is healed from a copy")
                count = _copy(copy.after(end or BEGINNING), file, end)
                if end is None:
                    sync_folder(self.path.parent)
        except OSError as error:
            raise self._error(f"cannot be written: {error.strerror or error}") from error
        return count

    def _end_of(self, copy: ErasureLedger) -> Mark | None:
        found: list[Mark | None] = []
        self._patiently(copy, lambda: found.append(copy.end()))
        return found[0] if found else None

    def _forked(self, copy: ErasureLedger) -> LedgerError:
        return self._error(f"and its copy {copy.path} name different erasures")

    def _patiently(self, copy: ErasureLedger, step: Callable[[], object]) -> None:
        """Runs a step on a copy and notes what is wrong. One that hangs is left to itself."""
        before = self._at_work.get(copy.path)
        if before is not None and before.is_alive():
            return
        failed: list[str] = []

        def run() -> None:
            try:
                step()
            except OSError as error:
                failed.append(f"{copy.path} cannot be written: {error.strerror or error}")
            except LedgerError as error:
                failed.append(str(error))

        thread = threading.Thread(target=run, name="ledger-copy", daemon=True)
        self._at_work[copy.path] = thread
        thread.start()
        thread.join(PATIENCE_S)
        if thread.is_alive():
            failed = [f"{copy.path} did not answer in {PATIENCE_S:g} s"]
        if failed:
            fault = f"a copy of the erasure ledger is behind: {failed[0]}"
            if self._faults.get(copy.path) != fault:
                log.error("ledger_copy_behind", reason=failed[0])
            self._faults[copy.path] = fault
        else:
            self._faults.pop(copy.path, None)


def open_ledger(settings: Settings) -> ErasureLedger:
    """The ledger that the settings name, with its copies."""
    if not settings.ledger.copies:
        return ErasureLedger(settings.erasure_ledger)
    return CopiedLedger(settings.erasure_ledger, settings.ledger.copies)


def _copy(lines: Iterator[Line], out: BinaryIO, there: Mark | None) -> int:
    """Appends lines behind ``there``, each as it must stand. Raises OSError, LedgerError."""
    at, count = there, 0
    if at is None:
        write_lines(out, FIRST_LINE, 0)
        at = BEGINNING
    while some := list(itertools.islice(lines, AT_ONCE)):
        start, raw = at.position, list[bytes]()
        for line in some:
            one, at = compose(line.erasure, at)
            raw.append(one)
        write_lines(out, b"".join(raw), start)
        count += len(some)
    return count


def _set_aside(path: Path, at: datetime) -> None:
    with suppress(FileNotFoundError):
        path.rename(path.with_name(f"{path.name}.{at:%Y%m%dT%H%M%S%f}"))
        sync_folder(path.parent)
