"""One state of a public list, an immutable folder named by its digest (docs/formats.md)."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Self, cast

import numpy as np
from numpy.typing import NDArray

from callguard.optout.registry import durable
from callguard.optout.registry.bitmap import Bitmap, Closed
from callguard.optout.registry.builder import Built
from callguard.optout.registry.calling_codes import calling_code, calling_codes
from callguard.optout.registry.contract import GROUP, Coverage, Manifest, RegistryError
from callguard.optout.registry.manifest import MOST_BYTES, encode, parse

_DIGEST = re.compile(r"[0-9a-f]{64}")
_DENSE = 10**6
"""Groups below this (numbers of up to 13 digits) find their coverage in a table."""
_NO, _YES, _ASK = range(3)


class Snapshot:
    """Open for look-ups, from any thread. ``covers`` comes first: what is not covered is unknown,
    whatever ``holds`` says. Who asks ``holds`` after ``close`` gets RegistryError, never "no"."""

    def __init__(self, folder: Path, manifest: Manifest, bitmaps: dict[int, Bitmap]) -> None:
        """Use ``open``."""
        self.folder = folder
        self.manifest = manifest
        self.bitmaps = bitmaps
        """The bits files by country calling code."""
        self._by_group = {
            group: bitmap
            for bitmap in bitmaps.values()
            for group in bitmap.counts()
            if group >= 100
        }
        alone = len(bitmaps) == 1 and len(self._by_group) == sum(
            len(b.counts()) for b in bitmaps.values()
        )
        self._only = next(iter(bitmaps.values())) if alone else None
        """The one file that all numbers are in, if none of them is a short one."""
        if self._only is not None:
            self.holds = self._only.holds  # type: ignore[method-assign] # a step less at each call
        self._prefixes = frozenset(manifest.coverage.prefixes)
        self._lengths = sorted({len(prefix) for prefix in self._prefixes})
        self._covered: NDArray[np.uint8] | None = None

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Read the manifest, check it against the folder's name, open every bits file and check its
        structure; their digests are ``verify``'s. Raises RegistryError."""
        path = folder / "manifest.json"
        data = _read_small(path, MOST_BYTES)
        digest = hashlib.sha256(data).hexdigest()
        if digest != folder.name:
            raise RegistryError(f"{path}: is not the manifest of this snapshot; its digest differs")
        manifest = parse(data, path)
        bitmaps: dict[int, Bitmap] = {}
        try:
            for name in manifest.files:
                bitmap = Bitmap.open(folder / name)
                bitmaps[bitmap.code] = bitmap
                if name != f"{bitmap.code}.bits":
                    raise RegistryError(f"{folder / name}: is of calling code {bitmap.code}")
            count = sum(bitmap.count for bitmap in bitmaps.values())
            if count != manifest.count:
                raise RegistryError(
                    f"{path}: says {manifest.count} numbers, the files hold {count}"
                )
            return cls(folder, manifest, bitmaps)
        except BaseException:
            for bitmap in bitmaps.values():
                bitmap.close()
            raise

    @classmethod
    def open_of(cls, registry: Path, digest: str) -> Self:
        """Open a snapshot of a registry, by its folder. Raises RegistryError, also for one that is
        another registry's."""
        snapshot = cls.open(registry / digest)
        if (owner := snapshot.manifest.registry) != registry.name:
            snapshot.close()
            raise RegistryError(f"{snapshot.folder}: is a snapshot of {owner}")
        return snapshot

    def covers(self, e164: str) -> bool:
        """Whether the list can speak for a number (``+12015550123``)."""
        prefixes = self._prefixes
        for length in self._lengths:  # noqa: SIM110 - any() takes twice as long
            if e164[:length] in prefixes:
                return True
        return False

    def covers_many(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        """``covers`` for each of many numbers, as integers of their digits."""
        found = np.zeros(len(numbers), np.bool_)
        if not self._prefixes:
            return found
        if self._covered is None:
            self._covered = _covered_groups(self._prefixes)
        for start in range(0, len(numbers), 1 << 16):
            chunk = numbers[start : start + (1 << 16)].astype(np.int64, copy=False)
            groups = chunk // GROUP
            groups[(groups >= _DENSE) | (groups < 0)] = 0  # always to be asked
            word = self._covered.take(groups)
            here = word == _YES
            asked = np.flatnonzero(word == _ASK)
            if len(asked):
                here[asked] = _begin_with(chunk[asked], self._prefixes)
            found[start : start + len(chunk)] = here
        return found

    def holds(self, number: int) -> bool:
        """Whether a number, as the integer of its digits, is in the list."""
        if number >= 100 * GROUP:
            bitmap = self._by_group.get(number // GROUP)
            return bitmap is not None and bitmap.holds(number)
        self._by_group.get(0)  # refuses when closed
        bitmap = self.bitmaps.get(calling_code(number))
        return bitmap is not None and bitmap.holds(number)

    def holds_many(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        """``holds`` for each of many numbers. A number is only ever in the file of its own code,
        so the files are asked one after the other."""
        self._by_group.get(0)
        found = np.zeros(len(numbers), np.bool_)
        bitmaps = list(self.bitmaps.values())
        if len(bitmaps) == 1:
            return bitmaps[0].holds_many(numbers)
        if not bitmaps:
            return found
        codes = calling_codes(numbers.astype(np.int64, copy=False))
        for bitmap in bitmaps:
            here = np.flatnonzero(codes == bitmap.code)
            if len(here):
                found[here] = bitmap.holds_many(numbers[here])
        return found

    def verify(self) -> None:
        """Read everything: the digest of every file, and the bits counted. Raises RegistryError
        for the first that is not as the manifest says."""
        for name, digest in self.manifest.files.items():
            bitmap = self.bitmaps[int(name.removesuffix(".bits"))]
            if bitmap.sha256() != digest:
                raise RegistryError(f"{self.folder / name}: is damaged; its digest differs")
            bitmap.check_counts()

    def close(self) -> None:
        """Let the files go."""
        self._by_group = cast("dict[int, Bitmap]", Closed(self.folder))
        for bitmap in self.bitmaps.values():
            bitmap.close()


@dataclass(frozen=True, slots=True)
class Draft:
    """What the manifest says beside what the bits files say of themselves."""

    registry: str
    list_date: date
    imported_at: str
    coverage: Coverage
    sources: tuple[dict[str, object], ...]


def current(registry: Path) -> str | None:
    """The digest of the snapshot in use, None where there is none. Raises RegistryError."""
    path = registry / "current"
    try:
        data = _read_small(path, 128)
    except RegistryError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise
    text = data.decode("ascii", "replace")
    if not text.endswith("\n") or not _DIGEST.fullmatch(text[:-1]):
        raise RegistryError(f"{path}: holds no digest")
    return text[:-1]


def make_current(registry: Path, digest: str) -> None:
    """Put a snapshot in use, at once and durably. Raises RegistryError, and then the one in use
    still is; also where there is no such snapshot or it cannot be opened."""
    if not _DIGEST.fullmatch(digest):
        raise RegistryError(f"{registry}: {digest[:80]!r} is no digest of a snapshot")
    Snapshot.open(registry / digest).close()
    durable.replace(registry / "current", f"{digest}\n".encode("ascii"))


def write(registry: Path, draft: Draft, built: Built) -> Manifest:
    """Give finished bits files their manifest and their name, durably; they are not in use yet. If
    there is such a snapshot, and whole, it stays. Raises RegistryError."""
    prefixes = tuple(sorted(set(draft.coverage.prefixes)))
    data, manifest = encode(
        Manifest(
            registry=draft.registry,
            list_date=draft.list_date,
            imported_at=draft.imported_at,
            count=built.count,
            counts=built.counts(prefixes),
            coverage=Coverage(prefixes),
            sources=draft.sources,
            files=built.files,
            base=built.base,
            digest="",
        )
    )
    final = registry / manifest.digest
    with durable.told(built.folder, "made a snapshot"):
        durable.write_file(built.folder / "manifest.json", data)
        durable.sync_folder(built.folder)
        if final.exists():
            if _whole(final):
                shutil.rmtree(built.folder)
                return manifest
            damaged = built.folder.with_name("damaged")
            shutil.rmtree(damaged, ignore_errors=True)
            final.rename(damaged)
        built.folder.rename(final)
        for folder in (registry, registry.parent, built.folder.parent):
            durable.sync_folder(folder)
        shutil.rmtree(built.folder.with_name("damaged"), ignore_errors=True)
    return manifest


def _whole(folder: Path) -> bool:
    try:
        with contextlib.closing(Snapshot.open(folder)) as snapshot:
            snapshot.verify()
    except RegistryError:
        return False
    return True


def _read_small(path: Path, most: int) -> bytes:
    with durable.told(path, "read"):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            with open(descriptor, "rb", closefd=False) as file:
                data = file.read(most + 1)
        finally:
            os.close(descriptor)
    if len(data) > most:
        raise RegistryError(f"{path}: is longer than {most} bytes")
    return data


def _covered_groups(prefixes: frozenset[str]) -> NDArray[np.uint8]:
    """For each group below ``_DENSE`` whether its numbers begin with a prefix, or must be asked one
    by one because a prefix is longer than the group's digits."""
    table = np.full(_DENSE, _NO, np.uint8)
    longest = max(len(prefix) - 1 for prefix in prefixes)
    table[: min(10 ** (longest - 1), _DENSE)] = _ASK  # group 0 always
    for prefix in prefixes:
        digits = int(prefix[1:])
        width = 1
        while digits * width < _DENSE:
            table[digits * width : (digits + 1) * width] = _YES
            width *= 10
    return table


def _begin_with(numbers: NDArray[np.int64], prefixes: frozenset[str]) -> NDArray[np.bool_]:
    found = np.zeros(len(numbers), np.bool_)
    by_length: dict[int, list[int]] = {}
    for prefix in prefixes:
        by_length.setdefault(len(prefix) - 1, []).append(int(prefix[1:]))
    for digits in range(1, 20):
        top = 10**digits - 1 if digits < 19 else 2**63 - 1
        here = np.flatnonzero((numbers >= 10 ** (digits - 1)) & (numbers <= top))
        if not len(here):
            continue
        for length, wanted in by_length.items():
            if length <= digits:
                begins = np.isin(numbers[here] // 10 ** (digits - length), wanted)
                found[here] |= begins
    return found
