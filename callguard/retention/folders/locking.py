"""Asterisk's own lock on a folder of voice messages (``ast_lock_path`` in main/app.c).

With ``lockmode = lockfile``, its default, who has linked a file to ``.lock`` has the folder; with
``lockmode = flock``, who has locked the file ``lock``. Both are taken here: a PBX may use either.
Asterisk waits five seconds for it and then throws away the message that it was to keep, so it is
held for the taking of a few files only. A ``.lock`` that a killed callguard left would stay for
ever; so callguard's says whose it is and is itself locked (flock(2)) while its process lives: who
finds it unlocked takes it away.
"""

import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

LOCK = ".lock"
FLOCK = "lock"
OURS = ".lock-callguard-"
MARK = b"callguard holds this folder for a moment\n"

STEP_S = 0.005


class FolderBusyError(RuntimeError):
    """Somebody else has the folder."""


@contextmanager
def locked(fd: int, wait_s: float) -> Iterator[None]:
    """The folder is nobody else's meanwhile. Raises FolderBusyError, OSError."""
    ends = time.monotonic() + wait_s
    own = _link(fd, ends)
    try:
        other = _flock(fd, ends)
        try:
            yield
        finally:
            _unlink(fd, FLOCK, other)
            os.close(other)
    finally:
        _unlink(fd, LOCK, own)
        os.close(own)


def _link(fd: int, ends: float) -> int:
    name = OURS + secrets.token_hex(4)
    own = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=fd)
    try:
        fcntl.flock(own, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with suppress(OSError):  # where the disk is full, there is only room for its name
            os.write(own, MARK)
        while True:
            try:
                os.link(name, LOCK, src_dir_fd=fd, dst_dir_fd=fd, follow_symlinks=False)
            except FileExistsError:
                _take_away_left(fd, LOCK)
                _wait(ends)
            else:
                return own
    except BaseException:
        os.close(own)
        raise
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=fd)


def _flock(fd: int, ends: float) -> int:
    while True:
        own = _open_flock(fd)
        try:
            fcntl.flock(own, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is(fd, FLOCK, os.fstat(own)):
                return own
        except BlockingIOError:
            pass
        except BaseException:
            os.close(own)
            raise
        os.close(own)
        _wait(ends)


def _open_flock(fd: int) -> int:
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        made = os.open(FLOCK, flags | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=fd)
        os.fchmod(made, 0o666)  # Asterisk, as whoever it runs, must be able to open it
        return made  # noqa: TRY300 - what is found instead is opened below
    except FileExistsError:
        found = os.open(FLOCK, flags, dir_fd=fd)
    status = os.fstat(found)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        os.close(found)
        raise FolderBusyError(f"its file {FLOCK} is no lock of Asterisk's")
    return found


def is_lock(name: str) -> bool:
    """Whether a file of that name is a lock, perhaps one of callguard's."""
    return name in (LOCK, FLOCK) or name.startswith(OURS)


def take_away_left(fd: int, names: list[str]) -> int:
    """Takes away what killed processes of callguard left of their locks; how many."""
    return sum(_take_away_left(fd, name) for name in names if is_lock(name))


def _take_away_left(fd: int, name: str) -> bool:
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        left = os.open(name, flags, dir_fd=fd)
    except OSError:
        return False
    try:
        status = os.fstat(left)
        if not stat.S_ISREG(status.st_mode):
            return False
        if name == FLOCK and (status.st_uid != os.geteuid() or status.st_nlink != 1):
            return False
        text = os.read(left, len(MARK) + 1)
        if text != MARK and (name == LOCK or not MARK.startswith(text)):
            return False
        fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not _is(fd, name, status):
            return False
        os.unlink(name, dir_fd=fd)
    except OSError:  # its process lives, or it may not be taken away
        return False
    finally:
        os.close(left)
    return True


def _unlink(fd: int, name: str, own: int) -> None:
    """Takes away a lock of our own, and nobody else's; what stays is taken away as left."""
    with suppress(OSError):
        if _is(fd, name, os.fstat(own)):
            os.unlink(name, dir_fd=fd)


def _is(fd: int, name: str, status: os.stat_result) -> bool:
    try:
        found = os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return (found.st_dev, found.st_ino) == (status.st_dev, status.st_ino)


def _wait(ends: float) -> None:
    if time.monotonic() >= ends:
        raise FolderBusyError("somebody has locked it")
    time.sleep(STEP_S)
