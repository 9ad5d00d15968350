"""Where Asterisk writes the plaintext of a recording in progress: a small memory file system.

Entries have random names, which say nothing about the call. What has been sealed is released from
the front of its entry while Asterisk still writes at the end.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from callguard.recording.durable import sync_folder

_EXTENSION = re.compile(r"[a-z0-9]{1,8}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_NEW_NAME = re.compile(r"[0-9a-f]{32}\.[A-Za-z0-9]+")
_MEMORY_FILE_SYSTEMS = ("tmpfs", "ramfs")
_PUNCH_HOLE_KEEP_SIZE = 0x02 | 0x01  # FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
_ZEROS = bytes(64 * 1024)
_LIBC = ctypes.CDLL(None, use_errno=True)


class SpoolError(Exception):
    """The spool cannot be used, or not safely. The message is one clear line."""


class SpoolEntryMissing(SpoolError):  # noqa: N818 - an answer, not a malfunction
    """There is no entry of that name."""


class EntrySeen(NamedTuple):
    """One look at an entry: bytes that Asterisk has written to it, the released ones counted, and
    which file it is."""

    size: int
    file: tuple[int, int]


class Release(StrEnum):
    """How plaintext was made to go."""

    PUNCHED = "punched"
    """Its pages were given back to the system."""

    ZEROED = "zeroed"
    """Overwritten, because the file system punches no holes; the space stays in use until removal,
    and a file system that copies on write may keep the old blocks."""


class Spool:
    """The folder of recordings in progress."""

    def __init__(self, folder: Path, *, floor: int, shared_group: bool = False) -> None:
        """`floor`: bytes that must be free before a recording may start. `shared_group`: whether
        the folder's group (Asterisk's, where it runs as another user) may enter."""
        self.folder = folder
        self._floor = floor
        self._mode = 0o2770 if shared_group else 0o700

    def prepare(self) -> None:
        """Make the folder, or check the one there. Raises SpoolError when others may enter it."""
        with _named_failure("prepare", "folder"):
            if not self.folder.exists():
                self.folder.mkdir(mode=0o700, parents=True)
                self.folder.chmod(self._mode)  # mkdir knows no setgid bit and obeys the umask
            status = self.folder.stat(follow_symlinks=False)
        if not stat.S_ISDIR(status.st_mode):
            raise SpoolError(f"spool {self.folder} is not a folder")
        if status.st_uid not in (0, os.geteuid()):
            raise SpoolError(f"spool {self.folder} belongs to another user")
        mode = stat.S_IMODE(status.st_mode)
        if mode & 0o777 & ~self._mode:
            raise SpoolError(
                f"spool {self.folder} has mode {mode:04o}; it must be {self._mode & 0o777:04o}"
            )

    def is_in_memory(self, mounts: Path = Path("/proc/self/mountinfo")) -> bool:
        """Whether the folder is on a tmpfs or ramfs, so that plaintext never reaches a disk.

        A tmpfs can be swapped out: swap must be encrypted or off. False when it cannot be told.
        """
        try:
            device = self.folder.stat().st_dev
            table = mounts.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return False
        number = f"{os.major(device)}:{os.minor(device)}"
        for line in table.splitlines():
            mount, separator, source = line.partition(" - ")  # proc(5): ID parent dev ... - type
            fields = mount.split()
            if separator and len(fields) > 2 and fields[2] == number:
                return source.split(" ", 1)[0] in _MEMORY_FILE_SYSTEMS
        return False

    def has_room(self) -> bool:
        """Whether another recording may start: free space at or above the floor."""
        try:
            status = os.statvfs(self.folder)
        except OSError:
            return False
        return status.f_bavail * status.f_frsize >= self._floor

    def new_name(self, extension: str = "sln") -> str:
        """Return a fresh opaque name; by its extension Asterisk chooses the coding."""
        if not _EXTENSION.fullmatch(extension):
            raise ValueError(f"{extension!r} is not a file extension")
        return f"{secrets.token_hex(16)}.{extension}"

    def is_name(self, name: str) -> bool:
        """Whether it is a name as ``new_name`` makes them."""
        return _NEW_NAME.fullmatch(name) is not None

    def path(self, name: str) -> Path:
        """Where an entry lies for this process. Raises SpoolError for a name that is none."""
        if not _NAME.fullmatch(name):
            raise SpoolError(f"{name[:40]!r} is not the name of a spool entry")
        return self.folder / name

    def look(self, name: str) -> EntrySeen | None:
        """What lies under that name; None where there is no entry. Raises SpoolError."""
        try:
            with _named_failure("look at", name):
                return _seen(self.path(name).stat(follow_symlinks=False))
        except SpoolEntryMissing:
            return None

    def is_there(self) -> bool:
        """Whether the folder is: without it nothing can be said about what lies in it."""
        return self.folder.is_dir()

    def open(self, name: str) -> SpoolEntry:
        """Open an entry to read and release it. Raises SpoolEntryMissing, SpoolError."""
        with _named_failure("open", name):
            flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            descriptor = os.open(self.path(name), flags)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise SpoolError(f"spool entry {name} is not a regular file")
        return SpoolEntry(name, descriptor)

    def has_writer(self, name: str) -> bool | None:
        """Whether some process still has the entry open to write; None where the system does not
        say (another owner's file and no CAP_LEASE). Raises SpoolEntryMissing, SpoolError.

        The kernel grants a read lease only while nobody has the file open to write (fcntl(2)); it
        is given back at once.
        """
        with _named_failure("look at", name):
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            descriptor = os.open(self.path(name), flags)
        try:
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except OSError as error:
            return True if error.errno == errno.EAGAIN else None
        finally:
            os.close(descriptor)
        return False

    def remove(self, name: str) -> bool:
        """Remove an entry for good; False when it was gone already. Raises SpoolError."""
        path = self.path(name)
        with _named_failure("remove", name):
            try:
                path.unlink()
                found = True
            except FileNotFoundError:
                found = False
            sync_folder(self.folder)
        return found

    def orphans(self, known: Collection[str]) -> list[str]:
        """Names of the entries that no recording accounts for, sorted. Raises SpoolError."""
        with _named_failure("list", "folder"):
            return sorted(path.name for path in self.folder.iterdir() if path.name not in known)


class SpoolEntry:
    """One open entry: raw audio that Asterisk may still be appending to."""

    def __init__(self, name: str, descriptor: int) -> None:
        """Takes over the open descriptor of a regular file."""
        self.name = name
        self._descriptor = descriptor
        self._open = True

    def size(self) -> int:
        """Bytes that Asterisk has written, the released ones counted."""
        with _named_failure("read", self.name):
            return os.fstat(self._descriptor).st_size

    def look(self) -> EntrySeen:
        """What is open here."""
        with _named_failure("read", self.name):
            return _seen(os.fstat(self._descriptor))

    def read(self, offset: int, size: int) -> bytes:
        """Return the bytes from `offset`, fewer than `size` only at the end of the entry."""
        pieces: list[bytes] = []
        with _named_failure("read", self.name):
            while size and (piece := os.pread(self._descriptor, size, offset)):
                pieces.append(piece)
                offset += len(piece)
                size -= len(piece)
        return b"".join(pieces)

    def first_data(self) -> int:
        """Where the first plaintext may lie: all before it was released. It is known to a page,
        and 0 where the file system knows no holes."""
        with _named_failure("read", self.name):
            try:
                return os.lseek(self._descriptor, 0, os.SEEK_DATA)
            except OSError as error:
                if error.errno != errno.ENXIO:  # nothing but a hole
                    raise
                return os.fstat(self._descriptor).st_size

    def release(self, offset: int, length: int) -> Release:
        """Make sealed plaintext go, and say how. Raises SpoolError when it is still there."""
        with _named_failure("release", self.name):
            return punch_hole(self._descriptor, offset, length)

    def close(self) -> None:
        """Close the entry. Does nothing once closed."""
        if self._open:
            self._open = False
            os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _seen(status: os.stat_result) -> EntrySeen:
    return EntrySeen(status.st_size, (status.st_dev, status.st_ino))


def punch_hole(descriptor: int, offset: int, length: int) -> Release:
    """Give the pages of a range back; where that is not to be had, overwrite it with zeros.

    The file keeps its size, and the range reads as zeros. Raises OSError when neither works.
    """
    if offset < 0 or length <= 0:
        raise ValueError("a hole has a length above zero and an offset that is not negative")
    try:
        _fallocate(descriptor, _PUNCH_HOLE_KEEP_SIZE, offset, length)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.ENOSYS):
            raise
    else:
        return Release.PUNCHED
    end = min(offset + length, os.fstat(descriptor).st_size)
    while offset < end:
        offset += os.pwrite(descriptor, _ZEROS[: end - offset], offset)
    os.fdatasync(descriptor)
    return Release.ZEROED


def _fallocate(descriptor: int, mode: int, offset: int, length: int) -> None:
    """fallocate(2), which Python offers only without its mode. Raises OSError."""
    # glibc has a 64-bit name on every platform; musl has only the plain one, always 64-bit.
    call = getattr(_LIBC, "fallocate64", None) or getattr(_LIBC, "fallocate", None)
    if call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    arguments = (ctypes.c_int(descriptor), ctypes.c_int(mode))
    if call(*arguments, ctypes.c_int64(offset), ctypes.c_int64(length)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


@contextmanager
def _named_failure(action: str, name: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise SpoolEntryMissing(f"cannot {action} spool entry {name}: there is none") from None
    except OSError as error:
        raise SpoolError(f"cannot {action} spool entry {name}: {error.strerror}") from None
