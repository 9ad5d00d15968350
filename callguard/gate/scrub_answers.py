"""What the registries say of very many numbers: one small integer for all their answers together,
so that numbers of whom they say the same are known to be alike."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Snapshot(Protocol):
    """The list of one registry, asked about many numbers at once."""

    def covers_many(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_]: ...

    def holds_many(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_]: ...


class Answers:
    """The answers that were met so far are numbered from 1."""

    def __init__(self, snapshots: Sequence[Snapshot]) -> None:
        self._snapshots = snapshots
        self._met = np.zeros((1, 3), np.int32) - 1
        self.known = 1
        """One more than the highest number given."""

    def to(self, numbers: NDArray[np.int64]) -> NDArray[np.int32]:
        """The answer to each number. Raises RegistryError."""
        told = np.zeros(len(numbers), np.int32)
        for snapshot in self._snapshots:
            one = np.where(snapshot.covers_many(numbers), np.int32(0), np.int32(2))
            one[snapshot.holds_many(numbers)] = 1  # who is listed is listed, covered or not
            asked = told * np.int32(3) + one
            told = self._met.reshape(-1).take(asked)
            if told.min(initial=0) < 0:
                for new in np.unique(asked[told < 0]).tolist():
                    self._meet(new)
                told = self._met.reshape(-1).take(asked)
        return told

    def _meet(self, asked: int) -> None:
        if self.known == len(self._met):
            more = np.full_like(self._met, -1)
            self._met = np.concatenate((self._met, more))
        self._met.reshape(-1)[asked] = self.known
        self.known += 1
