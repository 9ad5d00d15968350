"""The folder of one list: the list itself, what a run is making of it, and what one has made."""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

from callguard.web.scrub_incoming import LIST

OUT: Final = "out"
_RUN: Final = "run-"


def size_of(home: Path) -> int:
    """The bytes of the list; 0 where it is not there any more."""
    try:
        return (home / LIST).stat().st_size
    except OSError:
        return 0


def begin_run(home: Path, name: str) -> Path:
    """An empty folder for a run; what others left is gone. Raises OSError."""
    for left in home.glob(f"{_RUN}*"):
        shutil.rmtree(left)
    work = home / f"{_RUN}{name}"
    work.mkdir(mode=0o700)
    return work


def publish(home: Path, work: Path) -> None:
    """Makes what a run has made the result, durably. Raises OSError."""
    for made in work.iterdir():
        made.chmod(0o600)
    shutil.rmtree(home / OUT, ignore_errors=True)
    work.rename(home / OUT)
    descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def keep_only_results(home: Path) -> None:
    """Removes the list that was scrubbed, and what a run left that did not end well. What stays
    all the same goes with the folder."""
    with suppress(OSError):
        (home / LIST).unlink(missing_ok=True)
    for left in home.glob(f"{_RUN}*"):
        shutil.rmtree(left, ignore_errors=True)


def names_in(folder: Path) -> set[str]:
    """What lies in the folder of all lists. Raises OSError."""
    return {found.name for found in folder.iterdir()} if folder.is_dir() else set()
