"""Which objects lie in the folder on their way to the bucket. The folder itself is the queue, so
that nothing is forgotten by a crash, nor what another process stores."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from callguard.recording.store.objects import ObjectStoreError

_CLOCK_NS = 2_000_000_000
"""A folder that changed so shortly before it was listed may change again at the same instant."""


@dataclass(frozen=True, slots=True)
class _Shard:
    changed_ns: int
    sizes: dict[str, int]
    settled: bool


class Waiting:
    """Looks again only where something changed: a look at an unchanged folder costs 256 system
    calls, however many objects wait."""

    def __init__(self, objects: Path, parts: Path) -> None:
        self._objects = objects
        self._parts = parts
        self._shards: dict[str, _Shard] = {}

    @property
    def bytes(self) -> int:
        """How much waits."""
        return sum(sum(shard.sizes.values()) for shard in list(self._shards.values()))

    def look(self) -> dict[str, int]:
        """The sizes of the objects that wait, by name. Raises ObjectStoreError."""
        try:
            with os.scandir(self._objects) as entries:
                for entry in entries:
                    known = self._shards.get(entry.name)
                    changed = entry.stat().st_mtime_ns
                    if known is None or not known.settled or known.changed_ns != changed:
                        settled = time.time_ns() - changed > _CLOCK_NS
                        sizes = _sizes(Path(entry.path))
                        self._shards[entry.name] = _Shard(changed, sizes, settled)
        except OSError as error:
            raise ObjectStoreError(f"cannot list the waiting objects: {error.strerror}") from None
        return {name: size for shard in self._shards.values() for name, size in shard.sizes.items()}

    def growing(self) -> dict[str, int]:
        """The sizes of the parts, by name. Raises ObjectStoreError."""
        try:
            return _sizes(self._parts)
        except OSError as error:
            raise ObjectStoreError(f"cannot list the parts: {error.strerror}") from None


def _sizes(folder: Path) -> dict[str, int]:
    sizes = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                sizes[entry.name] = entry.stat().st_size
            except FileNotFoundError:
                continue  # committed, aborted or taken into the bucket meanwhile
    return sizes
