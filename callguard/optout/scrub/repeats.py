"""How often a number stands in a list again, counted in constant memory: sorted runs on disk, which
are looked through range by range at the end."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

import numpy as np
from numpy.typing import NDArray

RUN: Final = 500_000
"""Numbers of one run, 8 bytes each."""


class Repeats:
    """Takes numbers, and tells how many of them had come before."""

    def __init__(self, folder: Path) -> None:
        """``folder`` is where the runs lie, under no name, for as long as they are needed."""
        self._folder = folder
        self._waiting: list[NDArray[np.int64]] = []
        self._count = 0
        self._total = 0
        self._file: IO[bytes] | None = None
        self._runs: list[int] = []

    def add(self, numbers: NDArray[np.int64]) -> None:
        """Raises OSError where a run cannot be written."""
        self._waiting.append(numbers)
        self._count += len(numbers)
        if self._count >= RUN:
            self._write()

    def _write(self) -> None:
        run = self._gathered()
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - until closed
        self._file.write(run.tobytes())
        self._runs.append(len(run))
        self._total += len(run)

    def _gathered(self) -> NDArray[np.int64]:
        run = np.concatenate(self._waiting) if self._waiting else np.zeros(0, np.int64)
        run.sort()
        self._waiting, self._count = [], 0
        return run

    def count(self) -> int:
        """How many there were that had come before. Nothing is added after it."""
        if self._file is None:
            return _again(self._gathered())
        self._write()
        self._file.flush()
        runs = []
        first = 0
        for length in self._runs:
            if length:
                at = np.memmap(self._file, np.int64, "r", 8 * first, (length,))
                runs.append(at)
            first += length
        return _merged(runs)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _merged(runs: Sequence[NDArray[np.int64]]) -> int:
    """Cuts all runs at the same numbers, so that each part fits a run, and looks through it."""
    places = [0] * len(runs)
    step = max(1, RUN // max(1, len(runs)))
    again = 0
    while any(place < len(run) for place, run in zip(places, runs, strict=True)):
        last = min(
            int(run[min(place + step, len(run)) - 1])
            for place, run in zip(places, runs, strict=True)
            if place < len(run)
        )
        ends = [
            place + int(np.searchsorted(run[place:], last, side="right"))
            for place, run in zip(places, runs, strict=True)
        ]
        parts = [run[a:b] for run, a, b in zip(runs, places, ends, strict=True)]
        again += _again(np.sort(np.concatenate(parts)))
        places = ends
    return again


def _again(ordered: NDArray[np.int64]) -> int:
    return int((ordered[1:] == ordered[:-1]).sum())
