"""Taking one file away: looked at again just before, and only where nobody writes it.

Guaranteed, whoever else is at work there: only a name in the folder that was opened goes, never
what a link leads to; and only a file that has still the inode, size and time that it was judged by.
Where the kernel allows it (the file is callguard's own, or it has CAP_LEASE; a local file system)
a read lease (fcntl(2), F_SETLEASE) shows that nobody has it open for writing, and holds off who
would open it. Where it does not, that it has been quiet must do. Between the last look and
unlink(2) lies a moment that no system call closes: what another program moves onto the very name
then goes in its place. It would have to write a new file to the name of one that was to be gone.
"""

import errno
import fcntl
import os
import signal
from contextlib import suppress
from typing import Literal

from callguard.retention.folders.walk import File

Outcome = Literal["taken", "gone", "changed", "open"]
"""``gone`` was no longer there; ``changed`` is another file by now; ``open`` is being written."""

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def take(fd: int, file: File) -> Outcome:
    """Takes the file out of an open folder. Raises OSError."""
    try:
        status = os.stat(file.name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return "gone"
    if not file.is_same(status):
        return "changed"
    try:
        held = os.open(file.name, _READ, dir_fd=fd)
    except FileNotFoundError:
        return "gone"
    except PermissionError:  # a folder may be writable whose files are not even readable
        os.unlink(file.name, dir_fd=fd)
        return "taken"
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            return "changed"
        raise
    try:
        if not _leased(held):
            return "open"
        if not file.is_same(os.fstat(held)):
            return "changed"
        os.unlink(file.name, dir_fd=fd)
    except FileNotFoundError:
        return "gone"
    finally:
        os.close(held)
    return "taken"


def _leased(fd: int) -> bool:
    """False where somebody has it open for writing."""
    with suppress(OSError):
        # A lease that is broken is told by a signal: one that nobody need hear.
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        try:
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except BlockingIOError:
            return False
    return True
