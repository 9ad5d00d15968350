"""A list on its way in: kept for its owner alone, within bounds, whole or not at all."""

import asyncio
import os
import shutil
from pathlib import Path
from typing import Final

import structlog

from callguard.config import Scrubs

log = structlog.get_logger(__name__)

LIST: Final = "in.csv"


class ScrubError(RuntimeError):
    """A list that cannot be taken in or handed out; one line that says why."""


class NoRoomError(ScrubError):
    """There is no room for the list: of the disk, or among those that are here."""


class TooLongError(NoRoomError):
    """The list is longer than any that is taken."""


class Incoming:
    """A list on its way in."""

    def __init__(self, folder: Path, job_id: str, settings: Scrubs, coming: set[str]) -> None:
        self.id = job_id
        self.size = 0
        self._folder = folder
        self._settings = settings
        self._coming = coming
        self._descriptor = -1

    def open(self, size: int) -> None:
        """Makes the folder and the file. Raises NoRoomError, ScrubError."""
        try:
            self._folder.parent.mkdir(mode=0o700, exist_ok=True)
            self._check_room(size)
            self._folder.mkdir(mode=0o700)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._descriptor = os.open(self._folder / LIST, flags, 0o600)
        except OSError as error:
            raise ScrubError(f"the list cannot be kept: {error.strerror}") from error
        self._coming.add(self.id)

    async def write(self, chunk: bytes) -> None:
        """Raises NoRoomError, ScrubError."""
        self.size += len(chunk)
        if self.size > self._settings.max_bytes:
            raise TooLongError(f"the list is longer than {self._settings.max_bytes} bytes")
        await asyncio.to_thread(self._write, chunk)

    async def keep(self) -> None:
        """Makes what has come durable. Raises ScrubError."""
        await asyncio.to_thread(self._sync)

    def done(self) -> None:
        """The list is somebody else's now."""
        self._close()
        self._coming.discard(self.id)

    async def give_up(self) -> None:
        """Removes what has come, unless it is somebody else's."""
        self._close()
        if self.id in self._coming:
            try:
                await asyncio.to_thread(remove, self._folder)
            except OSError as error:  # the next sweep tries again
                log.error("scrub_not_removed", scrub=self.id, reason=error.strerror)
            finally:
                self._coming.discard(self.id)

    def _check_room(self, size: int) -> None:
        if size > self._settings.max_bytes:
            raise TooLongError(f"the list is longer than {self._settings.max_bytes} bytes")
        # What the scrub makes of a list is about as long again.
        if shutil.disk_usage(self._folder.parent).free - 2 * size < self._settings.reserve_bytes:
            raise NoRoomError("the disk has no room for the list")

    def _write(self, chunk: bytes) -> None:
        try:
            self._check_room(len(chunk))
            view = memoryview(chunk)
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError as error:
            raise NoRoomError(f"the list cannot be kept: {error.strerror}") from error

    def _sync(self) -> None:
        try:
            os.fsync(self._descriptor)
            for folder in (self._folder, self._folder.parent):
                descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
        except OSError as error:
            raise ScrubError(f"the list cannot be kept: {error.strerror}") from error

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def remove(folder: Path) -> None:
    """Removes a folder with all that is in it, if it is there; a link or a file in its place, and
    nothing that a link leads to. Raises OSError."""
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)
