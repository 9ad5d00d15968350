"""Copying files so that they are whole, durable and their owner's alone."""

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from callguard.recording.durable import sync_folder
from callguard.retention.backup.manifest import BackupError, File

PIECE = 1024 * 1024
"""Bytes that are read at once."""

Told = Callable[[int], object]
"""Is told of bytes that were done."""


def nobody(_: int) -> None:
    """Nobody is told."""


def pieces_of(path: Path) -> Iterator[bytes]:
    """A regular file by the piece; no link is followed. Raises OSError, BackupError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BackupError(f"{path} is not a regular file")
        while piece := file.read(PIECE):
            yield piece


def write_file(path: Path, pieces: Iterable[bytes], told: Told = nobody) -> File:
    """Writes a new file, durably but for its name; what it became. Raises OSError, and then there
    is none."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor, size, digest = os.open(path, flags, 0o600), 0, hashlib.sha256()
    try:
        with os.fdopen(descriptor, "wb") as file:
            for piece in pieces:
                file.write(piece)
                digest.update(piece)
                size += len(piece)
                told(len(piece))
            file.flush()
            os.fdatasync(descriptor)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return File(size, digest.hexdigest())


def copy_into_place(source: Iterable[bytes], target: Path, told: Told = nobody) -> File:
    """Writes a file beside its name and then gives it the name. The folder is not synced. Raises
    OSError."""
    draft = target.with_name(f".{target.name}.part")
    made = write_file(draft, source, told)
    draft.replace(target)
    return made


def digest_of(path: Path, told: Told = nobody) -> File:
    """What a file is. Raises OSError, BackupError."""
    size, digest = 0, hashlib.sha256()
    for piece in pieces_of(path):
        digest.update(piece)
        size += len(piece)
        told(len(piece))
    return File(size, digest.hexdigest())


def make_folder(folder: Path) -> None:
    """Makes a folder, for its owner alone, where there is none. Raises OSError."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        if not folder.is_dir():
            raise
        return
    sync_folder(folder.parent)


def files_below(folder: Path) -> Iterator[Path]:
    """The regular files below a folder, in order; links are left out. Raises OSError."""
    for root, folders, names in os.walk(folder, onerror=_raise):
        folders.sort()
        for name in sorted(names):
            path = Path(root) / name
            if not path.is_symlink() and path.is_file():
                yield path


def sync_all(folder: Path) -> None:
    """Makes the names of all below a folder durable. Raises OSError."""
    for root, _, _ in os.walk(folder, onerror=_raise, topdown=False):
        sync_folder(Path(root))


def _raise(error: OSError) -> None:
    raise error
