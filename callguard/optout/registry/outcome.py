"""What came of an import, for the records and for whoever began it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from callguard.optout.registry.contract import SHOWN, BadLine, Manifest

Act = Literal["import", "apply"]
State = Literal["taken", "refused", "unchanged"]


@dataclass(frozen=True, slots=True)
class Before:
    """The list in use until now, as far as a newer one is compared with it: ``counts`` are its
    numbers by covered prefix."""

    list_date: date
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class FileRead:
    """A file, or a member of an archive, that was read to its end. ``bad`` are the first bad lines,
    masked."""

    name: str
    sha256: str
    lines: int
    bad_lines: int
    bad: tuple[BadLine, ...] = ()

    def as_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "sha256": self.sha256,
            "lines": self.lines,
            "bad_lines": self.bad_lines,
        }


@dataclass(frozen=True, slots=True)
class Figures:
    """``read`` numbers were in the files, ``count`` are in the snapshot. ``doubled`` stood there
    before, ``outside`` begin with no covered prefix. Of a change list, ``misfits`` are the changes
    that changed nothing."""

    read: int = 0
    count: int = 0
    added: int = 0
    removed: int = 0
    doubled: int = 0
    outside: int = 0
    misfits: int = 0

    def as_json(self) -> dict[str, int]:
        return {
            "read": self.read,
            "count": self.count,
            "added": self.added,
            "removed": self.removed,
            "doubled": self.doubled,
            "outside": self.outside,
            "misfits": self.misfits,
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """``previous`` is the snapshot that was in use, ``manifest`` the one that is now or was found
    to be the same. ``accepted`` is why a list that is smaller was taken all the same, with
    ``smaller`` saying by how much. ``notes`` are for the operator; none of them stopped anything.
    """

    registry: str
    act: Act
    state: State
    reason: str | None = None
    list_date: date | None = None
    manifest: Manifest | None = None
    previous: str | None = None
    files: tuple[FileRead, ...] = ()
    figures: Figures = field(default_factory=Figures)
    smaller: str | None = None
    accepted: str | None = None
    resumed: bool = False
    notes: tuple[str, ...] = ()

    @property
    def digest(self) -> str | None:
        return self.manifest.digest if self.manifest is not None else None

    @property
    def bad_lines(self) -> int:
        return sum(file.bad_lines for file in self.files)

    @property
    def bad(self) -> tuple[BadLine, ...]:
        """The first bad lines of all files."""
        return first_bad(bad for file in self.files for bad in file.bad)

    def details(self) -> dict[str, object]:
        """What is kept of it beside the columns of ``registry_imports``."""
        manifest = self.manifest
        return {
            "act": self.act,
            "files": [file.as_json() for file in self.files],
            "bad": [{"file": b.file, "line": b.line, "text": b.text} for b in self.bad],
            "figures": self.figures.as_json(),
            "counts": manifest.counts if manifest is not None else {},
            "coverage": list(manifest.coverage.prefixes) if manifest is not None else [],
            "base": manifest.base if manifest is not None else None,
            "previous": self.previous,
            "smaller": self.smaller,
            "accepted": self.accepted,
            "resumed": self.resumed,
            "notes": list(self.notes),
        }

    def as_json(self) -> dict[str, object]:
        return {
            "registry": self.registry,
            "state": self.state,
            "reason": self.reason,
            "digest": self.digest,
            "list_date": self.list_date.isoformat() if self.list_date is not None else None,
            **self.details(),
        }


def first_bad(lines: Iterable[BadLine]) -> tuple[BadLine, ...]:
    """The first ``SHOWN`` of them."""
    return tuple(bad for bad, _ in zip(lines, range(SHOWN), strict=False))


def printable(text: str) -> str:
    """Text that every terminal and database takes: a file's name need not be UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()
