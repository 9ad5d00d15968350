"""Looking through a managed folder: its files as they come, in bounded memory, and what is in the
way of governing it."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from callguard.policy.tables import plain
from callguard.retention.folders.root import FolderError, Root, inner, why

DEPTH = 16
"""Folders below the root; what lies deeper is reported, not looked through."""

CHUNK = 1_000
"""Most files that are in memory at once, where they need not be seen together."""

TOGETHER = 200_000
"""The same where they do: Asterisk keeps at most 9,999 messages in a folder, in some formats."""

_KINDS = (
    (stat.S_ISLNK, "a link"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)


@dataclass(frozen=True, slots=True)
class File:
    """A regular file as it was seen. Times are in nanoseconds since 1970, ``name`` any bytes as
    ``os.fsdecode`` gives them."""

    name: str
    device: int
    inode: int
    size: int
    mtime: int
    ctime: int
    links: int

    def is_same(self, status: os.stat_result) -> bool:
        """Whether it is still that file, unchanged. The time of its last change of status may move
        where another of its names was taken away."""
        return (
            stat.S_ISREG(status.st_mode)
            and (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
            == (self.device, self.inode, self.size, self.mtime)
            and (status.st_ctime_ns == self.ctime or status.st_nlink < self.links)
        )


@dataclass(frozen=True, slots=True)
class Listing:
    """Files of one folder, which ``where`` leads to from the root."""

    where: tuple[str, ...]
    files: tuple[File, ...]


class Report(Protocol):
    """Told what is in the way: where, and in a few words what. ``unseen`` is whether files may lie
    behind it that nobody can look at."""

    def __call__(self, where: tuple[str, ...], what: str, *, unseen: bool = False) -> object: ...


def walk(root: Root, report: Report, *, together: bool = False) -> Iterator[Listing]:
    """All regular files below the root; ``together`` is whether those of one folder come at once.
    What cannot be read, is no file, or leads elsewhere is reported and passed over."""
    return _look(root, root.fd, (), report, TOGETHER if together else CHUNK)


def _look(
    root: Root, fd: int, where: tuple[str, ...], report: Report, most: int
) -> Iterator[Listing]:
    files: list[File] = []
    try:
        entries = os.scandir(fd)
    except OSError as error:
        report(where, why(error), unseen=True)
        return
    with entries:
        while True:
            try:
                entry = next(entries, None)
                if entry is None:
                    break
                status = os.stat(entry.name, dir_fd=fd, follow_symlinks=False)
            except FileNotFoundError:
                continue  # it went meanwhile
            except OSError as error:
                report(where, why(error), unseen=True)
                break
            here = (*where, entry.name)
            if stat.S_ISDIR(status.st_mode):
                yield from _enter(root, fd, here, report, most)
            elif stat.S_ISREG(status.st_mode):
                files.append(_file(entry.name, status))
                if len(files) >= most:
                    yield Listing(where, tuple(files))
                    files = []
            else:
                report(here, f"it is {_kind(status.st_mode)}, and stays")
    if files:
        yield Listing(where, tuple(files))


def _enter(
    root: Root, fd: int, here: tuple[str, ...], report: Report, most: int
) -> Iterator[Listing]:
    if len(here) > DEPTH:
        report(here, f"it lies more than {DEPTH} folders deep, and stays", unseen=True)
        return
    try:
        below = inner(root, fd, here[-1])
    except FileNotFoundError:
        return
    except (OSError, FolderError) as error:
        report(here, why(error), unseen=True)
        return
    try:
        yield from _look(root, below, here, report, most)
    finally:
        os.close(below)


def _file(name: str, status: os.stat_result) -> File:
    return File(
        name,
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_nlink,
    )


def _kind(mode: int) -> str:
    return next((name for is_one, name in _KINDS if is_one(mode)), "no file")


def shown(where: tuple[str, ...]) -> str:
    """A path below the root, for a terminal: whatever bytes its names hold."""
    return plain("/".join(where)) or "."
