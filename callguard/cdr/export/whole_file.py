"""A file that has its name only once it is whole and durable, readable by its owner alone."""

import errno
import os
import stat
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from callguard.cdr.export.contract import ExportError

_OWN_FILES: Final = Path("/proc/self/fd")
_NOT_HERE: Final = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)
_NO_LINKS: Final = (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS)


def check_place(out: Path, *, force: bool = False) -> None:
    """Raises ExportError where nothing may be written there: before anything is read."""
    try:
        status = out.lstat()
    except FileNotFoundError:
        if not out.parent.is_dir():
            raise ExportError(f"there is no folder {out.parent}") from None
        return
    except OSError as error:
        raise ExportError(f"{out}: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        raise ExportError(f"{out} is there and no regular file")
    if not force:
        raise ExportError(f"{out} exists already; --force replaces it")


def write_whole(out: Path, pieces: Iterable[bytes], *, force: bool = False) -> None:
    """Writes the file. Where that fails, or the process is killed, there is none, and one that was
    to be replaced is as it was.

    Only on a file system without nameless files (NFS, vfat) does a killed process leave a part,
    with a name that begins with a point and ends in ``.part``. Raises ExportError, and what the
    pieces raise.
    """
    check_place(out, force=force)
    try:
        with _folder(out.parent) as folder:
            _write(folder, out, pieces, force=force)
            os.fsync(folder)
    except FileExistsError as error:
        raise ExportError(f"{out} exists already; --force replaces it") from error


def _write(folder: int, out: Path, pieces: Iterable[bytes], *, force: bool) -> None:
    part = f".{uuid.uuid4().hex}.part"
    descriptor, named = _begun(folder, out, part)
    try:
        try:
            for piece in pieces:
                with _told(out):
                    _write_all(descriptor, piece)
            with _told(out):
                os.fsync(descriptor)
            if not named:
                # With a folder given: only then is what lies behind the link linked, not the link.
                behind = _OWN_FILES / str(descriptor)
                given = part if force else out.name
                with _told(out):
                    os.link(behind, given, src_dir_fd=folder, dst_dir_fd=folder,
                            follow_symlinks=True)  # fmt: skip
                named = force
        finally:
            os.close(descriptor)
        if named:
            with _told(out):
                _rename(folder, part, out.name, force=force)
            named = False
    finally:
        if named:
            with suppress(FileNotFoundError):
                os.unlink(part, dir_fd=folder)


def _begun(folder: int, out: Path, part: str) -> tuple[int, bool]:
    """A file without a name; where the file system has none, one with the name of a part."""
    flags = os.O_WRONLY | os.O_CLOEXEC
    with _told(out):
        if _OWN_FILES.is_dir():
            try:
                return os.open(out.parent, flags | os.O_TMPFILE, 0o600), False
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    raise
        return os.open(part, flags | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder), True


def _write_all(descriptor: int, piece: bytes) -> None:
    with memoryview(piece) as view:
        at = 0
        while at < len(view):
            at += os.write(descriptor, view[at:])


def _rename(folder: int, part: str, name: str, *, force: bool) -> None:
    """Raises FileExistsError unless it may take the place of another."""
    if not force:
        try:
            os.link(part, name, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if _is_there(folder, name):
                raise FileExistsError(name) from error
        else:
            os.unlink(part, dir_fd=folder)
            return
    os.rename(part, name, src_dir_fd=folder, dst_dir_fd=folder)


def _is_there(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


@contextmanager
def _folder(path: Path) -> Iterator[int]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise ExportError(f"{path}: {error.strerror}") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _told(out: Path) -> Iterator[None]:
    """Names the file in what went wrong with it."""
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        raise ExportError(f"{out} was not written: {error.strerror}") from error
