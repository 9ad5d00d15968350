"""The three files that a list is split into. They have no name until all of them are whole."""

import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from callguard.optout.scrub.contract import NAMES, ScrubError

_FOLDED = 1 << 20


def paths_of(out: Path) -> tuple[Path, Path, Path]:
    """The files, in the order of their outcomes: ``OUT.csv``, ``OUT.must-not.csv``,
    ``OUT.cannot-tell.csv``."""
    return (
        out,
        *(out.with_name(f"{out.stem}.{name.replace('_', '-')}{out.suffix}") for name in NAMES[1:]),
    )  # type: ignore[return-value] # there are two more names


class Outputs:
    """Written without a name, durable and named at the end. Whoever leaves it before has written
    nothing, and neither has one who was killed."""

    def __init__(self, out: Path, source: Path | None) -> None:
        """Raises ScrubError where a file to be written is the list itself, OSError where the
        folder cannot be written to."""
        self.paths = paths_of(out)
        for path in self.paths:
            if source is not None and path.exists() and path.samefile(source):
                raise ScrubError(f"{path} is the list itself; give the result another name")
            if path.is_dir():
                raise ScrubError(f"{path} is a folder")
        self.folder = out.parent
        self._names: list[Path | None] = [None, None, None]
        self.files: list[IO[bytes]] = []

    def __enter__(self) -> Self:
        try:
            for number in range(len(self.paths)):
                self.files.append(self._opened(number))
        except BaseException:
            self._leave()
            raise
        return self

    def _opened(self, number: int) -> IO[bytes]:
        flags = os.O_WRONLY | os.O_CLOEXEC
        try:
            descriptor = os.open(self.folder, flags | os.O_TMPFILE, 0o600)
        except (OSError, AttributeError):  # not every file system can
            name = self._temporary(number)
            descriptor = os.open(name, flags | os.O_CREAT | os.O_EXCL, 0o600)
            self._names[number] = name
        return open(descriptor, "wb", buffering=_FOLDED)  # noqa: PTH123 - closed by the block

    def _temporary(self, number: int) -> Path:
        return self.paths[number].with_name(f".{self.paths[number].name}.{uuid.uuid4().hex}")

    def finish(self) -> None:
        """Makes the files durable and gives them their names, all three or, where that fails,
        none. Raises OSError."""
        for file in self.files:
            file.flush()
            os.fsync(file.fileno())
        with _alone(self.folder) as folder:
            for number, file in enumerate(self.files):
                if self._names[number] is None:
                    given = self._temporary(number)
                    # Only with a folder's descriptor does Python follow the link.
                    os.link(f"/proc/self/fd/{file.fileno()}", given.name, dst_dir_fd=folder)
                    self._names[number] = given
            # What may be called comes last: whoever finds it finds the others of the same run.
            for number in (2, 1, 0):
                name = self._names[number]
                assert name is not None
                name.replace(self.paths[number])
                self._names[number] = None
            os.fsync(folder)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        for file in self.files:
            with suppress(OSError):  # a full disk, told before
                file.close()
        for left in self._names:
            if left is not None:
                left.unlink(missing_ok=True)


@contextmanager
def _alone(folder: Path) -> Iterator[int]:
    """While no other run names its files in this folder, so that no two are mixed."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)
