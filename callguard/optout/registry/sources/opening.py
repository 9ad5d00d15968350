"""Files of a list as they come: plain, gzipped, or in a zip archive of one or several.

Nothing is unpacked to the disk. What an archive says of itself is held against what comes out of
it: check sums to the end, sizes, and how much larger the text may be than the archive.
"""

import gzip
import hashlib
import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from callguard.optout.registry.contract import RegistryError

MAX_TEXT = 64 << 30
"""Most bytes of text in one file; all files of the United States have 3 GB together."""

MAX_MEMBERS = 10_000

MAX_RATIO = 200
"""How many times larger than its archive a text may be; numbers that all differ stay far below."""

SLACK = 1 << 20
"""Bytes that may come out before the ratio counts."""

_PIECE = 1 << 20
_DIRECTORY = 16 << 20
_DAMAGE = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    gzip.BadGzipFile,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    KeyError,
    IndexError,
    OverflowError,
)
_CLUTTER = ("__MACOSX/", ".")


class Reading(Protocol):
    """A text, read from its beginning."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Member:
    """One text. ``name`` is for people, ``own`` the name that it has where it lies."""

    name: str
    own: str
    size: int
    opened: Callable[[], AbstractContextManager[Reading]]


class ListFile:
    """One file as it lies there, held open. Raises RegistryError for all that is wrong with it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = shown_name(path.name)
        try:
            if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for a writer
                raise RegistryError(f"{self.name}: is no file")
            self._file = path.open("rb", buffering=0)
        except (OSError, ValueError) as error:
            raise RegistryError(f"{self.name}: {reason(error)}") from error
        self._stat = os.fstat(self._file.fileno())
        self._digest: str | None = None
        self._archive: zipfile.ZipFile | None = None

    @property
    def size(self) -> int:
        return self._stat.st_size

    def close(self) -> None:
        if self._archive is not None:
            self._archive.close()
        self._file.close()

    def digest(self) -> str:
        """SHA-256 of its bytes, in hex; they are read for it where that was not done yet."""
        if self._digest is None:
            found = hashlib.sha256()
            with _told(self.name):
                at = 0
                while piece := os.pread(self._file.fileno(), _PIECE, at):
                    found.update(piece)
                    at += len(piece)
            self._unchanged()
            self._digest = found.hexdigest()
        return self._digest

    def members(self) -> list[Member]:
        """The texts in it, in the order in which they lie there."""
        with _told(self.name):
            magic = os.pread(self._file.fileno(), 4, 0)
        if magic[:2] == b"\x1f\x8b":
            own = self.path.name.removesuffix(".gz")
            return [Member(self.name, own, self._size_in_gzip(), self._gzipped)]
        if magic in (b"PK\x03\x04", b"PK\x05\x06") or self.path.suffix.lower() == ".zip":
            return self._zipped()
        if self.path.suffix.lower() == ".gz":
            raise RegistryError(f"{self.name}: is no gzip file, or its beginning is lost")
        return [Member(self.name, self.path.name, self.size, self._plain)]

    @contextmanager
    def _plain(self) -> Iterator[Reading]:
        with _told(self.name):
            self._file.seek(0)
        yield _Hashed(self)

    @contextmanager
    def _gzipped(self) -> Iterator[Reading]:
        with _told(self.name):
            self._file.seek(0)
            with gzip.GzipFile(fileobj=self._file, mode="rb") as text:
                yield _Inflated(self.name, text, self._file.tell, MAX_TEXT)

    def _zipped(self) -> list[Member]:
        with _told(self.name):
            guarded = cast("BinaryIO", _Guarded(self._file))
            self._archive = zipfile.ZipFile(guarded)
            found = [info for info in self._archive.infolist() if not _clutter(info.filename)]
        if not found:
            raise RegistryError(f"{self.name}: the archive holds no file")
        if len(found) > MAX_MEMBERS:
            raise RegistryError(f"{self.name}: holds {len(found)} files, at most {MAX_MEMBERS}")
        if len({info.filename for info in found}) < len(found):
            raise RegistryError(f"{self.name}: holds two files of one name")
        size = sum(info.file_size for info in found)
        if size > self.size * MAX_RATIO + SLACK or size > MAX_TEXT:
            raise RegistryError(f"{self.name}: would unpack to {size} bytes, which no list does")
        return [self._member(info) for info in found]

    def _member(self, info: zipfile.ZipInfo) -> Member:
        name = f"{self.name}:{shown_name(info.filename)}"
        if info.flag_bits & 1:
            raise RegistryError(f"{name}: is encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise RegistryError(f"{name}: is packed in a way that is not read; deflate is")

        @contextmanager
        def opened() -> Iterator[Reading]:
            assert self._archive is not None, "its member is asked for"
            with _told(name), self._archive.open(info) as text:
                yield _Inflated(name, cast("Reading", text), None, info.file_size)

        return Member(name, info.filename.rpartition("/")[2], info.file_size, opened)

    def _size_in_gzip(self) -> int:
        """What its end says, which is right below 4 GiB (RFC 1952, 2.3.1)."""
        with _told(self.name):
            return int.from_bytes(os.pread(self._file.fileno(), 4, max(0, self.size - 4)), "little")

    def hashed(self, digest: str, read: int) -> None:
        """Is told what the bytes came to, when they were read to their end on the way."""
        self._unchanged()
        if read != self.size:
            raise RegistryError(f"{self.name}: changed while it was read")
        self._digest = digest

    def _unchanged(self) -> None:
        now = os.fstat(self._file.fileno())
        if (now.st_size, now.st_mtime_ns) != (self._stat.st_size, self._stat.st_mtime_ns):
            raise RegistryError(f"{self.name}: changed while it was read")

    def read(self, size: int) -> bytes:
        with _told(self.name):
            return self._file.read(size) or b""


class _Hashed:
    """A plain text; its bytes are hashed as they pass by."""

    def __init__(self, file: ListFile) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._read = 0

    def read(self, size: int, /) -> bytes:
        piece = self._file.read(size)
        self._hash.update(piece)
        self._read += len(piece)
        if not piece:
            self._file.hashed(self._hash.hexdigest(), self._read)
        return piece


class _Inflated:
    """A text that is unpacked on the way, and refused where it grows too large. ``taken`` tells
    how much of the archive went into it."""

    def __init__(
        self, name: str, text: Reading, taken: Callable[[], int] | None, most: int
    ) -> None:
        self._name = name
        self._text = text
        self._taken = taken
        self._most = most
        self._read = 0

    def read(self, size: int, /) -> bytes:
        with _told(self._name):
            piece = self._text.read(size)
        self._read += len(piece)
        bound = self._most
        if self._taken is not None:
            bound = min(bound, self._taken() * MAX_RATIO + SLACK)
        if self._read > bound:
            raise RegistryError(f"{self._name}: unpacks to more than a list can have")
        return piece


class _Guarded:
    """A file that gives out no more at once than an archive's directory may need."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(min(size, _DIRECTORY + 1) if size >= 0 else _DIRECTORY + 1)
        if len(piece) > _DIRECTORY:
            raise ValueError("its directory is too large")
        return piece


@contextmanager
def _told(name: str) -> Iterator[None]:
    """What goes wrong in here, in one line."""
    try:
        yield
    except RegistryError:
        raise
    except OSError as error:
        if isinstance(error, gzip.BadGzipFile):
            raise RegistryError(f"{name}: is damaged or cut off: {reason(error)}") from error
        raise RegistryError(f"{name}: {reason(error)}") from error
    except _DAMAGE as error:
        raise RegistryError(f"{name}: is damaged or cut off: {reason(error)}") from error


def reason(error: Exception) -> str:
    """What an error says, in one line."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return shown_name(said or type(error).__name__)


def shown_name(name: str) -> str:
    """A name fit for one line of text."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in name
    )


def _clutter(name: str) -> bool:
    last = name.rstrip("/").rpartition("/")[2]
    return name.endswith("/") or name.startswith(_CLUTTER) or last.startswith(".")
