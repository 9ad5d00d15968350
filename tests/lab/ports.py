"""Port numbers for the laboratory, kept apart between test runs on one machine."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path
from typing import Self

# Below the range that Linux hands out for outgoing connections (32768 and up).
_FIRST = 16_000
_LAST = 32_000
_CELL = 100


class NoFreePortsError(RuntimeError):
    """Every port range of the laboratory is held by another run."""


class PortRange:
    """A range of ports that no other laboratory on this machine uses until `release`.

    Ranges are held by advisory locks, which the kernel drops when the process dies, so a killed
    test run leaves nothing behind.
    """

    def __init__(self, count: int = _CELL) -> None:
        cells = -(-count // _CELL)
        self._locks: list[int] = []
        folder = Path(tempfile.gettempdir()) / f"callguard-lab-ports-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        for first in range(_FIRST, _LAST - cells * _CELL + 1, _CELL):
            if self._lock(folder, first, cells):
                self.first = first
                self.end = first + cells * _CELL
                self._next = first
                return
        raise NoFreePortsError(f"no {count} consecutive free ports from {_FIRST} to {_LAST}")

    def _lock(self, folder: Path, first: int, cells: int) -> bool:
        for cell in range(cells):
            descriptor = os.open(folder / str(first + cell * _CELL), os.O_CREAT | os.O_RDWR, 0o600)
            self._locks.append(descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.release()
                return False
        return True

    def take(self, count: int = 1) -> int:
        """The first of `count` consecutive ports of this range, handed out once."""
        if self._next + count > self.end:
            raise NoFreePortsError(f"the range {self.first}-{self.end} is used up")
        port = self._next
        self._next += count
        return port

    def release(self) -> None:
        """Give the range back; more than once is harmless."""
        for descriptor in self._locks:
            os.close(descriptor)
        self._locks.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()
