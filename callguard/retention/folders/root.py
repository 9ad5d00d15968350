"""Opening folders so that nobody can lead callguard out of them: no link is followed on the way to
the root, nor below it, and no mount point is crossed.

Every folder is reached from a descriptor of the one above it (openat(2) with O_NOFOLLOW), so that
one that is exchanged for a link meanwhile is refused by the kernel, not noticed too late.
"""

import errno
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from callguard.policy.tables import plain

_STEP = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MOUNT = re.compile(r"^mnt_id:\s*(\d+)$", re.MULTILINE)

SYSTEM = frozenset(
    Path(one)
    for one in (
        *("/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/media", "/mnt"),
        *("/opt", "/proc", "/root", "/run", "/sbin", "/srv", "/sys", "/tmp", "/usr", "/var"),  # noqa: S108 - refused, not used
        *("/dev/shm", "/var/cache", "/var/lib", "/var/log", "/var/mail", "/var/spool"),  # noqa: S108 - the same
        *("/var/spool/asterisk", "/var/lib/asterisk", "/var/log/asterisk", "/var/tmp"),  # noqa: S108 - the same
    )
)
"""Folders of many programs: never one to govern, though one below may be."""

SYSTEM_TREES = tuple(
    Path(one)
    for one in ("/bin", "/boot", "/etc", "/lib", "/lib64", "/proc", "/sbin", "/sys", "/usr")
)
"""Nor anything below these."""


class FolderError(RuntimeError):
    """A folder that cannot be governed; one line that says which and why."""


@dataclass(frozen=True, slots=True)
class Own:
    """What callguard keeps for itself: a folder, or a file (``whole`` is False)."""

    path: Path
    title: str
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Root:
    """A folder that is open. ``mount`` is the mount it lies on, -1 where the kernel tells none."""

    path: Path
    fd: int
    device: int
    inode: int
    mount: int


@contextmanager
def opened(path: Path, own: Sequence[Own] = ()) -> Iterator[Root]:
    """The root of a managed folder. Raises FolderError."""
    fd = _opened(path, own)
    try:
        status = os.fstat(fd)
        yield Root(path, fd, status.st_dev, status.st_ino, mount_of(fd))
    finally:
        os.close(fd)


def _opened(path: Path, own: Sequence[Own]) -> int:
    name = plain(str(path))
    refuse_system(path, own)
    step = os.open("/", _STEP)
    try:
        *above, last = path.parts[1:]
        for part in above:
            inner = os.open(part, _STEP, dir_fd=step)
            os.close(step)
            step = inner
        return os.open(last, _OPEN, dir_fd=step)
    except FileNotFoundError as error:
        raise FolderError(f"{name} is not there") from error
    except NotADirectoryError as error:
        # What O_DIRECTORY with O_NOFOLLOW says of a link, too.
        linked = os.path.realpath(path) != str(path)
        raise FolderError(
            f"{name} is a link, or is reached by one: name {plain(os.path.realpath(path))} itself"
            if linked
            else f"{name} is no folder"
        ) from error
    except OSError as error:
        raise FolderError(f"{name}: {error.strerror}") from error
    finally:
        os.close(step)


def refuse_system(path: Path, own: Sequence[Own]) -> None:
    """Raises FolderError where the path is the system's or callguard's own."""
    name = plain(str(path))
    if path.parts[:1] != ("/",) or ".." in path.parts or "\0" in str(path):
        raise FolderError(f"{name} does not name a folder from / on")
    if path in SYSTEM or any(path.is_relative_to(tree) for tree in SYSTEM_TREES):
        raise FolderError(f"{name} is a folder of the system")
    for one in own:
        for place in {one.path, Path(os.path.realpath(one.path))}:
            if place.is_relative_to(path) or (one.whole and path.is_relative_to(place)):
                raise FolderError(f"{name} is, holds or lies in {one.title}")


def faults_of(root: Root) -> list[str]:
    """What is wrong with a root that can be opened: one line each."""
    found = []
    status = os.fstat(root.fd)
    if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
        found.append("anybody on this machine may write there")
    if not os.access(f"/proc/self/fd/{root.fd}", os.W_OK | os.X_OK):
        found.append("callguard may not take anything out of it")
    return found


def inner(root: Root, fd: int, name: str) -> int:
    """The folder of that name in an open one. Raises FolderError where it lies on another mount,
    OSError where it is a link or cannot be opened."""
    opened_fd = os.open(name, _OPEN, dir_fd=fd)
    try:
        other = os.fstat(opened_fd).st_dev != root.device or mount_of(opened_fd) != root.mount
    except OSError:
        os.close(opened_fd)
        raise
    if other:
        os.close(opened_fd)
        raise FolderError("another file system or folder is mounted there")
    return opened_fd


@contextmanager
def reached(root: Root, where: Sequence[str]) -> Iterator[int]:
    """A folder below the root, from the root on as it stands in the tree now. Raises OSError and
    FolderError where it is not there any more, or no longer the root's."""
    with opened(root.path) as again:
        if (again.device, again.inode) != (root.device, root.inode):
            raise FolderError(f"{plain(str(root.path))} was exchanged meanwhile")
        fd = os.dup(again.fd)
    try:
        for name in where:
            below = inner(root, fd, name)
            os.close(fd)
            fd = below
        yield fd
    finally:
        os.close(fd)


def mount_of(fd: int) -> int:
    """The mount that an open folder lies on: a bind mount has the device of its original, and
    only its own number (proc(5), fdinfo). -1 where there is no /proc."""
    with suppress(OSError), open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as text:  # noqa: PTH123 - no path
        if found := _MOUNT.search(text.read()):
            return int(found[1])
    return -1


def why(error: Exception) -> str:
    """A fault in a few words."""
    if isinstance(error, OSError):
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            return "it is a link"
        return error.strerror or type(error).__name__
    return str(error)
