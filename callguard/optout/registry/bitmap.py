"""The numbers of one country calling code as bits in a memory-mapped file (docs/formats.md).

A file is never changed once it has its name, and its length was checked when it was opened, so a
read through the map stays inside it. Only a disk that fails to read would still end the process;
what reads whole files does so through the descriptor, where that is an error.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import stat
import threading
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn, Self, cast

import numpy as np
from numpy.typing import NDArray

from callguard.optout.registry.contract import GROUP, RegistryError
from callguard.optout.registry.layout import HEAD, LEAF, LEAF_BYTES, LEAVES, TAIL, checked, ones

_CHUNK = 1 << 16
"""Numbers looked up at once: what is worked out for them stays in the processor's cache."""
_SPAN = 1 << 12
"""Most groups from the first to the last for which all leaves are found by one table."""
_READ = 1 << 20
_NO_ROW: array[int] = array("Q")
_BITS = np.array([1 << bit for bit in range(8)], np.uint8)


class Bitmap:
    """One bits file, read-only. Any number may be asked for; one that cannot be in the file is not.
    May be asked from several threads; who asks after ``close`` gets RegistryError, never "no"."""

    def __init__(self, file: Path, descriptor: int, memory: mmap.mmap) -> None:
        """Use ``open``."""
        self.file = file
        self.code, self.count, keys, self._counts, tables = checked(file, memory)
        self._descriptor = descriptor
        self._guard = threading.Lock()
        self._map = memory
        self._length = len(memory)
        self._keys = keys
        self._tables = tables
        self._first = int(keys[0]) if len(keys) else 0
        self._finder: NDArray[np.uint32] | None = None
        self._bytes = memoryview(memory)
        self._starts = "I" if len(memory) < 1 << 32 else "Q"
        self._rows: dict[int, array[int]] = {}
        self._places = {key: place for place, key in enumerate(keys.tolist())}

    @classmethod
    def open(cls, file: Path) -> Self:
        """Map a file and check its structure; its digest is not computed. Raises RegistryError."""
        try:
            descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (OSError, ValueError) as error:
            raise RegistryError(f"{file}: cannot be opened: {_why(error)}") from None
        try:
            there = os.fstat(descriptor)
            if not stat.S_ISREG(there.st_mode):
                raise RegistryError(f"{file}: is no file")
            if there.st_size < HEAD.size + TAIL.size:
                raise RegistryError(f"{file}: too short for a bits file")
            memory = mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)
            memory.madvise(mmap.MADV_RANDOM)
            return cls(file, descriptor, memory)
        except (OSError, ValueError) as error:
            os.close(descriptor)
            if isinstance(error, RegistryError):
                raise
            raise RegistryError(f"{file}: cannot be read: {_why(error)}") from None

    def holds(self, number: int) -> bool:
        """Whether a number, as the integer of its E.164 digits, is in the list."""
        group, low = divmod(number, GROUP)
        row = self._rows.get(group) or self._row(group)
        if not row:
            return False
        start = row[low // LEAF]
        if not start:
            return False
        bit = low % LEAF
        try:
            return self._bytes[start + (bit >> 3)] >> (bit & 7) & 1 == 1
        except ValueError:  # closed by another thread meanwhile
            raise RegistryError(f"{self.file}: is closed") from None

    def _row(self, group: int) -> array[int]:
        """Where each leaf of a group begins, 0 for one that is not there; nothing for a group that
        is not there. Kept from the first question on: an array is asked quicker than a view."""
        tables, rows = self._tables, self._rows  # before the question that refuses when closed
        place = self._places.get(group)
        if place is None:
            return _NO_ROW
        table = tables[place].astype(np.uint64)
        starts = np.where(table == 0, 0, (table - 1) * LEAF_BYTES + HEAD.size)
        row = array(self._starts, starts.astype(np.dtype(self._starts)).tobytes())
        rows[group] = row
        return row

    def holds_many(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        """``holds`` for each of many numbers."""
        found = np.zeros(len(numbers), np.bool_)
        with self._guard:
            self._places.get(0)  # refuses when closed
            if self.count == 0:
                return found
            data = np.frombuffer(self._map, np.uint8)  # keeps the map until we are done
            finder = self._finder_of_leaves()
            keys, tables = self._keys.astype(np.int64), self._tables
        for start in range(0, len(numbers), _CHUNK):
            chunk = numbers[start : start + _CHUNK].astype(np.int64, copy=False)
            leaves_of = chunk // LEAF
            bits = (chunk - leaves_of * LEAF).astype(np.uint32)
            if finder is None:
                leaf = _leaves_far_apart(keys, tables, leaves_of)
            else:
                leaf = finder.take(leaves_of - (self._first * LEAVES - 1), mode="clip")
            place = leaf.astype(np.int64) * LEAF_BYTES
            place += (bits >> 3) + np.int64(HEAD.size - LEAF_BYTES)
            byte = data.take(place, mode="clip")
            byte &= _BITS.take(bits & 7)
            found[start : start + _CHUNK] = (byte != 0) & (leaf != 0)
        return found

    def _finder_of_leaves(self) -> NDArray[np.uint32] | None:
        """The leaf of every span of 10,000 numbers from the first group to the last, with a 0 at
        either end for all that lies outside; None where the groups lie too far apart for that."""
        span = int(self._keys[-1]) - self._first + 1
        if span > _SPAN:
            return None
        if self._finder is None:
            finder = np.zeros(span * LEAVES + 2, np.uint32)
            inside = finder[1:-1].reshape(span, LEAVES)
            inside[self._keys.astype(np.int64) - self._first] = self._tables
            self._finder = finder
        return self._finder

    def counts(self) -> dict[int, int]:
        """How many numbers each group holds."""
        self._places.get(0)
        return dict(zip(self._keys.tolist(), self._counts.tolist(), strict=True))

    def count_between(self, low: int, high: int) -> int:
        """How many of the numbers from ``low`` to before ``high`` are in the list."""
        self._places.get(0)
        keys = self._keys.astype(np.int64)
        whole = slice(
            int(np.searchsorted(keys, -(-low // GROUP))), int(np.searchsorted(keys, high // GROUP))
        )
        total = int(self._counts[whole].sum(dtype=np.uint64)) if whole.start < whole.stop else 0
        for edge in {low // GROUP if low % GROUP else -1, high // GROUP if high % GROUP else -1}:
            if edge in self._places:
                numbers = self.numbers(edge)
                total += int(np.count_nonzero((numbers >= low) & (numbers < high)))
        return total

    def count_prefix(self, prefix: str) -> int:
        """How many of the numbers begin with a prefix (``+44``, ``+1201``)."""
        digits = int(prefix[1:])
        widths = range(16 - len(str(digits)))
        return sum(self.count_between(digits * 10**w, (digits + 1) * 10**w) for w in widths)

    def leaves(self, group: int) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Which leaves of a group there are, and their bytes, a row for each; none for a group that
        is not in the file. Reads through the descriptor, so the memory map does not fill up."""
        with self._guard:
            place = self._places.get(group)
            if place is None:
                return np.zeros(0, np.int64), np.zeros((0, LEAF_BYTES), np.uint8)
            table = self._tables[place].copy()
        there = np.flatnonzero(table)
        start = HEAD.size + (int(table[there[0]]) - 1) * LEAF_BYTES
        size = len(there) * LEAF_BYTES
        with self._own_descriptor() as descriptor:
            data = b"".join(self._read(descriptor, start, start + size))
        return there, np.frombuffer(data, np.uint8).reshape(-1, LEAF_BYTES)

    def numbers(self, group: int) -> NDArray[np.int64]:
        """The numbers of one group, rising."""
        there, rows = self.leaves(group)
        row, bit = np.nonzero(np.unpackbits(rows, axis=1, bitorder="little"))
        return group * GROUP + there[row] * LEAF + bit

    def sha256(self) -> str:
        """The digest of the whole file, read anew. Raises RegistryError."""
        digest = hashlib.sha256()
        with self._own_descriptor() as descriptor:
            for piece in self._read(descriptor, 0, self._length):
                digest.update(piece)
        return digest.hexdigest()

    def check_counts(self) -> None:
        """Count the bits of every leaf. Raises RegistryError where one is empty, or a group holds
        another count than the directory says."""
        for group, count in self.counts().items():
            _, rows = self.leaves(group)
            if not rows.any(axis=1).all():
                raise RegistryError(f"{self.file}: group {group} has an empty leaf")
            if (there := ones(rows)) != count:
                raise RegistryError(f"{self.file}: group {group} holds {there}, not {count}")

    def close(self) -> None:
        """Let the file go. What still looks at its bytes keeps the map until it is done."""
        with self._guard:
            descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0:
            return
        os.close(descriptor)
        self._places = cast("dict[int, int]", Closed(self.file))
        self._rows = cast("dict[int, array[int]]", Closed(self.file))
        self._finder = None
        # Nothing of the map is read here: a file that was cut would end the process.
        self._keys = np.zeros(0, np.uint64)
        self._counts = np.zeros(0, np.uint32)
        self._tables = np.zeros((0, LEAVES), np.uint32)
        with contextlib.suppress(BufferError):
            self._bytes.release()
            self._map.close()

    def __del__(self) -> None:
        if hasattr(self, "_places"):
            self.close()

    @contextlib.contextmanager
    def _own_descriptor(self) -> Iterator[int]:
        """A descriptor that stays ours if another thread closes the bitmap meanwhile."""
        with self._guard:
            if self._descriptor < 0:
                raise RegistryError(f"{self.file}: is closed")
            descriptor = os.dup(self._descriptor)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _read(self, descriptor: int, start: int, end: int) -> Iterator[bytes]:
        while start < end:
            try:
                piece = os.pread(descriptor, min(_READ, end - start), start)
            except OSError as error:
                raise RegistryError(f"{self.file}: cannot be read: {_why(error)}") from None
            if not piece:
                raise RegistryError(f"{self.file}: was cut off")
            start += len(piece)
            yield piece


class Closed:
    """Stands where a table was: asking a closed snapshot must never look like "not listed"."""

    def __init__(self, what: Path) -> None:
        self._what = what

    def get(self, _key: int) -> NoReturn:
        raise RegistryError(f"{self._what}: is closed")

    __contains__ = get


def _leaves_far_apart(
    keys: NDArray[np.int64], tables: NDArray[np.uint32], leaves_of: NDArray[np.int64]
) -> NDArray[np.uint32]:
    groups = leaves_of // LEAVES
    places = np.minimum(np.searchsorted(keys, groups), len(keys) - 1)
    leaf: NDArray[np.uint32] = tables[places, leaves_of - groups * LEAVES]
    leaf[keys[places] != groups] = 0
    return leaf


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
