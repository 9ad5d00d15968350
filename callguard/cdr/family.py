"""The file that Asterisk writes, and those that were rotated away from it.

A file is known again by its first record: renamed, copied, packed or brought back from a backup it
is the same. When that record's call ended says where a file stands among the others.
"""

import bz2
import gzip
import lzma
import os
import re
import stat
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, Self, cast

from callguard.cdr.lines import Layout
from callguard.cdr.record import RecordError

_OPENERS: dict[str, Callable[[Path], BinaryIO]] = {
    ".gz": lambda path: cast(BinaryIO, gzip.GzipFile(path)),
    ".xz": lambda path: cast(BinaryIO, lzma.LZMAFile(path)),  # noqa: SIM115 - the caller closes
    ".bz2": lambda path: cast(BinaryIO, bz2.BZ2File(path)),
}
SEALED_AWAY = frozenset({".zst", ".lz4", ".Z", ".zip", ".lzo", ".br", ".7z"})
"""Packed in ways that the standard library does not read."""

DAMAGED = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)
"""What a packed file says that was cut off or changed. bz2 says OSError."""

_GLANCE, _LOOK = 1 << 12, 1 << 16
"""Within how many bytes the first record is found, and must be: beyond them a file is known by its
beginning."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Moved(Exception):  # noqa: N818 - says what happened
    """The file is no longer where it was a moment ago."""


@dataclass(frozen=True, slots=True, order=True)
class Head:
    """The first record of a file: when its call ended (microseconds since 1970), and a digest of
    its line."""

    first: int
    digest: str

    def __str__(self) -> str:
        return f"{self.first}:{self.digest}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError."""
        first, _, digest = text.partition(":")
        return cls(int(first), digest)


@dataclass(frozen=True, slots=True)
class Member:
    """One file of them, as it was when it was looked at."""

    path: Path
    inode: int
    size: int
    mtime_ns: int

    @property
    def packed(self) -> bool:
        return self.path.suffix in _OPENERS

    def open(self) -> BinaryIO:
        """Raises OSError."""
        return _OPENERS.get(self.path.suffix, _plain)(self.path)


def _plain(path: Path) -> BinaryIO:
    return path.open("rb")


class Family:
    """The file at ``path``, and those beside it that were rotated away from it."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self.path = path
        self._layout = layout
        self._heads: dict[Member, Head | None] = {}
        suffix = re.escape(path.suffix)
        packed = "|".join(re.escape(end) for end in sorted({*_OPENERS, *SEALED_AWAY}))
        # callguard.csv.1, callguard.csv-20261120.gz; and callguard-20261120.csv (`extension .csv`)
        self._name = re.compile(
            rf"{re.escape(path.name)}(?:[.~-].*)?"
            rf"|{re.escape(path.stem)}[-._][0-9][0-9T._-]*{suffix}(?:{packed})?",
            re.DOTALL,
        )

    def members(self) -> list[Member]:
        """All of them that can be read, the file itself first. Raises OSError."""
        names = [self.path]
        if self.path.parent.is_dir():
            beside = (p for p in self.path.parent.iterdir() if self._name.fullmatch(p.name))
            names += sorted(p for p in beside if p != self.path)
        found = []
        for name in names:
            if name.suffix in SEALED_AWAY:
                continue
            try:
                status = name.stat()
            except FileNotFoundError:
                continue
            if stat.S_ISREG(status.st_mode):
                found.append(Member(name, status.st_ino, status.st_size, status.st_mtime_ns))
            elif name == self.path:
                raise IsADirectoryError(21, "it is no file", str(name))
        still = set(found)
        self._heads = {one: head for one, head in self._heads.items() if one in still}
        return found

    def forget(self) -> None:
        """Looks at every file anew."""
        self._heads.clear()

    def sealed_away(self) -> list[Path]:
        """Those beside it that cannot be read."""
        if not self.path.parent.is_dir():
            return []
        beside = self.path.parent.iterdir()
        return [p for p in beside if p.suffix in SEALED_AWAY and self._name.fullmatch(p.name)]

    def head(self, member: Member) -> Head | None:
        """Its first record; None where it has none yet, or cannot be opened. Raises Moved."""
        if member not in self._heads:
            try:
                with member.open() as handle:
                    self._heads[member] = self.head_of(handle)
            except FileNotFoundError as error:
                raise Moved from error
            except (OSError, *DAMAGED):
                return None
        return self._heads[member]

    def head_of(self, handle: BinaryIO) -> Head | None:
        """The same of a file that is open. Raises OSError and what DAMAGED names."""
        data = b""
        for most in (_GLANCE, _LOOK):
            handle.seek(0)
            data = up_to(handle, most)
            for line in data[: data.rfind(b"\n") + 1].split(b"\n"):
                if (head := self._head_in(line)) is not None:
                    return head
            if len(data) < most:
                return None
        return Head(0, _digest(data))

    def _head_in(self, line: bytes) -> Head | None:
        if not line.strip():
            return None
        try:
            ended = self._layout(line.decode("utf-8", errors="replace")).ended_at
        except RecordError:
            return None
        return Head((ended - _EPOCH) // timedelta(microseconds=1), _digest(line))


def up_to(handle: BinaryIO, most: int) -> bytes:
    """So many bytes, or all that are left; of a damaged file what is whole comes first."""
    data = b""
    try:
        # A larger read would lose with its end what a packed file has before the damage.
        piecemeal = cast(BufferedReader, handle)  # or one of the packed files, which read so too
        while len(data) < most and (more := piecemeal.read1(most - len(data))):
            data += more
    except (OSError, *DAMAGED):
        if not data:
            raise
    return data


def _digest(line: bytes) -> str:
    return sha256(line[:4096]).hexdigest()[:32]


def inode_of(handle: BinaryIO) -> int:
    return os.fstat(handle.fileno()).st_ino
