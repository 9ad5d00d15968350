"""Writes a bits file (docs/formats.md)."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from callguard.optout.registry import durable
from callguard.optout.registry.layout import (
    END_MAGIC,
    HEAD,
    LEAVES,
    MAGIC,
    TAIL,
    VERSION,
    ones,
    padding,
)


class Writer:
    """Writes one bits file from beginning to end and computes its digest on the way."""

    def __init__(self, folder: Path, code: int) -> None:
        self.code = code
        self._path = folder / f"{code}.bits"
        self._digest = hashlib.sha256()
        self._groups: list[int] = []
        self._counts: list[int] = []
        self._present: list[bytes] = []
        self._leaves = 0
        with durable.told(self._path, "written"):
            self._descriptor = os.open(self._path, durable.NEW_FILE, 0o640)
        self._write(HEAD.pack(MAGIC, VERSION, code))

    def _write(self, data: bytes | memoryview) -> None:
        with durable.told(self._path, "written"):
            durable.write_all(self._descriptor, data)
        self._digest.update(data)

    def add(self, group: int, there: NDArray[np.int64], rows: NDArray[np.uint8]) -> int:
        """Write a group's leaves; gives the count of its numbers."""
        count = ones(rows)
        present = np.zeros(LEAVES, np.uint8)
        present[there] = 1
        self._write(np.ascontiguousarray(rows).reshape(-1).data)
        self._groups.append(group)
        self._counts.append(count)
        self._present.append(np.packbits(present).tobytes())
        self._leaves += len(there)
        return count

    def finish(self, files: dict[str, str]) -> None:
        """Write the directory and force the file to its disk; no file is left without a number."""
        if not self._groups:
            self.close()
            with durable.told(self._path, "removed"):
                self._path.unlink()
            return
        self._write(bytes(padding(self._leaves)))
        self._write(np.array(self._groups, "<u8").tobytes())
        self._write(np.array(self._counts, "<u4").tobytes())
        leaf = 1
        for packed in self._present:
            present = np.unpackbits(np.frombuffer(packed, np.uint8), count=LEAVES).astype("<u4")
            table = present * (np.cumsum(present, dtype="<u4") + np.uint32(leaf - 1))
            leaf += int(present.sum())
            self._write(table.astype("<u4").tobytes())
        self._write(TAIL.pack(sum(self._counts), len(self._groups), self._leaves, END_MAGIC))
        with durable.told(self._path, "written"):
            os.fsync(self._descriptor)
        files[self._path.name] = self._digest.hexdigest()
        self.close()

    def close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)
