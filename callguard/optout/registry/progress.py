"""How far an import has come, on disk: what makes the same command go on where it was killed.

The checkpoint of the numbers themselves is the builder's; this is the state that it keeps for its
caller. A file counts as the one that was begun with if its size, its times and its inode are the
same and what was read of it still has the same digest.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path

from callguard.optout.registry.contract import BadLine, Tally
from callguard.optout.registry.outcome import FileRead, first_bad

VERSION = 1
_PIECE = 1 << 20
_PACKED = (b"PK", b"\x1f\x8b")


@dataclass(frozen=True, slots=True)
class SourceRead:
    """A source that was read to its end; ``path`` is the place of its file in the command."""

    path: int
    file: FileRead
    numbers: int
    covers: tuple[str, ...]
    list_date: date | None


@dataclass(frozen=True, slots=True)
class Halfway:
    """The source that is being read: ``offset`` bytes of its text are done. ``sha256`` is of the
    first ``size`` bytes of its file."""

    offset: int
    numbers: int
    tally: Tally
    size: int
    sha256: str


@dataclass(slots=True)
class Progress:
    """``job`` is what the command asked for, with the files as they lay there; ``begun`` is when,
    as the manifest has it."""

    job: dict[str, object]
    begun: str
    done: list[SourceRead] = field(default_factory=list)
    halfway: Halfway | None = None

    def as_state(self) -> dict[str, object]:
        """As JSON."""
        bad = set(first_bad(bad for read in self.done for bad in read.file.bad))
        return {
            "version": VERSION,
            "job": self.job,
            "begun": self.begun,
            "done": [
                {
                    "path": read.path,
                    **read.file.as_json(),
                    "bad": [asdict(line) for line in read.file.bad if line in bad],
                    "numbers": read.numbers,
                    "covers": list(read.covers),
                    "list_date": read.list_date.isoformat() if read.list_date else None,
                }
                for read in self.done
            ],
            "halfway": asdict(self.halfway) if self.halfway else None,
        }

    @classmethod
    def from_state(
        cls, state: Mapping[str, object], job: Mapping[str, object]
    ) -> "Progress | None":
        """What was kept; None where it is not of this job."""
        if state.get("version") != VERSION or state.get("job") != job:
            return None
        try:
            return _read(state)
        except (KeyError, TypeError, ValueError):
            return None


def _read(state: Mapping[str, object]) -> Progress:
    done, halfway, job = state["done"], state["halfway"], state["job"]
    if not isinstance(done, list) or not isinstance(job, dict):
        raise TypeError("the state is of another kind")
    return Progress(
        job,
        str(state["begun"]),
        [
            SourceRead(
                one["path"],
                FileRead(
                    one["name"],
                    one["sha256"],
                    one["lines"],
                    one["bad_lines"],
                    tuple(BadLine(**line) for line in one["bad"]),
                ),
                one["numbers"],
                tuple(one["covers"]),
                date.fromisoformat(one["list_date"]) if one["list_date"] else None,
            )
            for one in done
        ],
        _halfway(halfway) if isinstance(halfway, dict) else None,
    )


def _halfway(kept: Mapping[str, object]) -> Halfway:
    tally, offset, numbers, size = (kept[n] for n in ("tally", "offset", "numbers", "size"))
    if not isinstance(tally, dict):
        raise TypeError("a tally is an object")
    if not isinstance(offset, int) or not isinstance(numbers, int) or not isinstance(size, int):
        raise TypeError("a place is a number")
    bad = [BadLine(**line) for line in tally["bad"]]
    read = Tally(tally["lines"], tally["bad_lines"], bad)
    return Halfway(offset, numbers, read, size, str(kept["sha256"]))


def job_of(what: Mapping[str, object], files: Sequence[Path]) -> dict[str, object]:
    """What a command asks for and the files as they lie there, so that two are the same only if
    nothing was changed. Raises OSError."""
    return {**what, "files": [_stamp(file) for file in files]}


def _stamp(file: Path) -> list[object]:
    found = file.stat()
    path = os.fsencode(file.absolute()).hex()
    return [path, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


class Digests:
    """SHA-256 of the beginning of one file, which only grows."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._size = 0

    def upto(self, offset: int) -> tuple[int, str]:
        """How many bytes are hashed once ``offset`` bytes of the text were read, and their digest:
        of an archive, all. Raises OSError."""
        with self._file.open("rb") as file:
            packed = file.read(2) in _PACKED
            most = file.seek(0, os.SEEK_END) if packed else offset
            file.seek(self._size)
            while self._size < most and (piece := file.read(min(_PIECE, most - self._size))):
                self._hash.update(piece)
                self._size += len(piece)
        return self._size, self._hash.hexdigest()


def begins_with(file: Path, size: int | None, sha256: str) -> bool:
    """Whether the first bytes of a file, or all, still have that digest. Raises OSError."""
    found, read = hashlib.sha256(), 0
    with file.open("rb") as opened:
        while piece := opened.read(_PIECE if size is None else min(_PIECE, size - read)):
            found.update(piece)
            read += len(piece)
    return found.hexdigest() == sha256 and size in (None, read)
