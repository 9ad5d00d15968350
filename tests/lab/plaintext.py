"""Looking for audio in the clear: in what was written, and in the spool while a call runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

_GRAM, _EVERY, _STEP = 8, 61, 3
STRETCH = _EVERY * _STEP + _GRAM
"""Bytes: no stretch so long of what is looked for is missed, wherever it lies."""
_VARIED = 5
LOOK_S = 0.02
LEASE = "alive"


class Plaintext:
    """Everything that was said, in each of the codings in which it might lie somewhere."""

    def __init__(self, *texts: bytes) -> None:
        found = np.concatenate([_grams(text, _EVERY) for text in texts])
        octets = np.sort(found.view(np.uint8).reshape(-1, _GRAM), axis=1)
        varied = 1 + np.count_nonzero(np.diff(octets, axis=1), axis=1) >= _VARIED
        self._grams = np.unique(found[varied])  # silence would be found everywhere
        assert len(self._grams) > sum(map(len, texts)) / _EVERY / 2, "it was mostly silence"

    def is_in(self, data: bytes) -> bool:
        """Whether a stretch of it is in these bytes."""
        if len(data) < _GRAM:
            return False
        looked = _grams(data, _STEP)
        at = np.searchsorted(self._grams, looked).clip(max=len(self._grams) - 1)
        return bool((self._grams[at] == looked).any())

    def holders(self, paths: Iterable[Path]) -> list[Path]:
        """Which of these files have some of it."""
        return [path for path in paths if self.is_in(path.read_bytes())]


def _grams(data: bytes, step: int) -> NDArray[np.uint64]:
    octets = np.frombuffer(data, np.uint8)
    if len(octets) < _GRAM:
        return np.empty(0, np.uint64)
    windows = np.lib.stride_tricks.sliding_window_view(octets, _GRAM)[::step]
    grams: NDArray[np.uint64] = np.ascontiguousarray(windows).view(np.uint64).reshape(-1)
    return grams


@dataclass(slots=True)
class Growth:
    """One spool entry: the most bytes that lay there at once, how long it got, and how often it
    was looked at."""

    most: int = 0
    size: int = 0
    looks: int = 0
    course: list[tuple[float, int, int]] = field(default_factory=list)
    """(seconds, bytes written, bytes that lie there), at each change."""


class SpoolWatch:
    """Looks fifty times a second how much plaintext lies in a spool: bytes that take up memory.
    A context."""

    def __init__(self, folder: Path) -> None:
        self.entries: dict[str, Growth] = {}
        self._folder = folder
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="spool watch")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._enough.set()
        self._thread.join(5)

    def _run(self) -> None:
        begun = time.monotonic()
        while not self._enough.wait(LOOK_S):
            for path in self._folder.iterdir():
                if path.name != LEASE:
                    self._look(path, time.monotonic() - begun)

    def _look(self, path: Path, at: float) -> None:
        try:
            status = path.stat()
        except FileNotFoundError:
            return
        entry = self.entries.setdefault(path.name, Growth())
        lies = min(status.st_blocks * 512, status.st_size)
        if not entry.course or entry.course[-1][1:] != (status.st_size, lies):
            entry.course.append((at, status.st_size, lies))
        entry.looks += 1
        entry.size = max(entry.size, status.st_size)
        entry.most = max(entry.most, lies)
