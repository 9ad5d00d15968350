"""Taking a batch out of a managed folder, folder by folder, and making that durable."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby

from callguard.config import Folder
from callguard.retention.folders.items import Item
from callguard.retention.folders.locking import FolderBusyError, locked
from callguard.retention.folders.pace import Pace
from callguard.retention.folders.removing import take
from callguard.retention.folders.root import FolderError, Root, reached, why
from callguard.retention.folders.walk import Report

PATIENCE_S = 10.0
"""How long one run waits in all for folders that somebody else has locked."""

WAIT_S = 2.0
LEAST_S = 0.05

AT_ONCE = 50
"""Most messages that go under one lock: Asterisk waits for it with a caller on the line."""

_WORDS = {
    "changed": "it changed meanwhile, and stays",
    "open": "somebody writes it, so it stays",
}


class Taker:
    """Takes batches out of one folder."""

    def __init__(self, folder: Folder, root: Root, report: Report, pace: Pace) -> None:
        self._folder = folder
        self._root = root
        self._report = report
        self._patience = PATIENCE_S
        self._pace = pace

    def take(self, batch: Sequence[Item]) -> list[Item]:
        """Takes them, and syncs the folders they lay in; returns those of which something is left,
        or that were gone before."""
        left: list[Item] = []
        for where, items in groupby(batch, key=lambda item: item.where):
            together = list(items)
            try:
                with reached(self._root, where) as fd:
                    left += self._from_folder(fd, together)
                    os.fsync(fd)
            except (OSError, FolderError, FolderBusyError) as error:
                self._report(where, why(error))
                left += [item for item in together if item not in left]
                continue
            if self._folder.remove_empty:
                self._remove_empty(where)
        return left

    def _from_folder(self, fd: int, items: Sequence[Item]) -> list[Item]:
        plain = [item for item in items if not item.message]
        left = [item for item in plain if not self._one(fd, item)]
        messages = sorted(
            (item for item in items if item.message),
            key=lambda item: item.age.since.timestamp() if item.age.since else 0.0,
        )
        for start in range(0, len(messages), AT_ONCE):
            some = messages[start : start + AT_ONCE]
            try:
                with self._locked(fd):
                    left += [item for item in some if not self._message(fd, item)]
            except (OSError, FolderBusyError) as error:
                self._report(some[0].where, why(error))
                left += some
        return left

    @contextmanager
    def _locked(self, fd: int) -> Iterator[None]:
        """Asterisk's lock, for which one run waits only so long in all."""
        begun = time.monotonic()
        waited = 0.0
        try:
            with locked(fd, max(LEAST_S, min(WAIT_S, self._patience))):
                waited = time.monotonic() - begun
                yield
        finally:
            self._patience -= waited or time.monotonic() - begun

    def _message(self, fd: int, item: Item) -> bool:
        """All of it or, where one of its files is not what it was, nothing."""
        for file in item.files:
            with suppress(FileNotFoundError):
                status = os.stat(file.name, dir_fd=fd, follow_symlinks=False)
                if not file.is_same(status):
                    return False  # Asterisk gave it another number; the next run sees which
        return self._one(fd, item)

    def _one(self, fd: int, item: Item) -> bool:
        """Whether it is gone now, and was not before."""
        went = False
        self._pace.step()
        for file in item.files:
            here = (*item.where, file.name)
            try:
                outcome = take(fd, file)
            except OSError as error:
                self._report(here, why(error))
                return False
            if outcome in _WORDS:
                self._report(here, _WORDS[outcome])
                return False
            went = outcome == "taken" or went
        return went

    def _remove_empty(self, where: Sequence[str]) -> None:
        """The folder, and those above it that only held it."""
        for depth in range(len(where), 0, -1):
            try:
                with reached(self._root, where[: depth - 1]) as fd:
                    os.rmdir(where[depth - 1], dir_fd=fd)
                    os.fsync(fd)
            except (OSError, FolderError):
                return
