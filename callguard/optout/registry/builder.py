"""Makes the bits files of a snapshot from numbers in any order, in bounded memory.

First the numbers are spilled, 4 bytes each, in runs by group. Then group after group is read back,
laid over what the base snapshot holds of it and written. The last word on a number counts.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from callguard.optout.registry import durable
from callguard.optout.registry.bitmap import Bitmap
from callguard.optout.registry.contract import GROUP, Batch, RegistryError
from callguard.optout.registry.layout import LEAF, LEAF_BYTES, LEAVES, ones
from callguard.optout.registry.spill import CODE, Spill
from callguard.optout.registry.writer import Writer

if TYPE_CHECKING:
    from callguard.optout.registry.snapshot import Snapshot

_TOGETHER = 1 << 21
"""Numbers gathered before they are sorted by group: the fewer of them, the more the runs."""
_CHUNK = 1 << 18
_FEW = 200_000
"""Up to so many numbers of one group only the leaves that they touch are worked on."""
_ADDED, _REMOVED = np.uint8(1), np.uint8(2)

Progress = Callable[[int, int], None]
"""Called with the groups done and the groups there are."""


@dataclass(frozen=True, slots=True)
class Built:
    """Bits files that lie finished and durable in ``folder``, not yet under a digest's name.

    ``files`` are their digests, ``groups`` the numbers by group (a number without its last seven
    digits). ``added`` were not in the base, ``already`` were in it and given again, ``removed``
    were in it and are not now, ``missing`` were to be removed and not in it: different numbers
    all, each by the last word on it.
    """

    folder: Path
    base: str | None
    files: dict[str, str]
    count: int
    groups: dict[int, int]
    added: int
    already: int
    removed: int
    missing: int

    def counts(self, prefixes: Iterable[str]) -> dict[str, int]:
        """How many of the numbers begin with each prefix (``+44``, ``+1201``), exactly. Raises
        RegistryError."""
        bitmaps = [Bitmap.open(self.folder / name) for name in self.files]
        try:
            return {
                prefix: sum(each.count_prefix(prefix) for each in bitmaps) for prefix in prefixes
            }
        finally:
            for each in bitmaps:
                each.close()


@dataclass(slots=True)
class _Counts:
    added: int = 0
    already: int = 0
    removed: int = 0
    missing: int = 0
    groups: dict[int, int] = field(default_factory=dict)


class Builder:
    """One import's numbers, on their way into bits files. Not for several threads.

    Its files in ``work`` are ``spill``, ``runs``, ``checkpoint.json`` and the folder ``built``;
    it touches no other, and the caller keeps the lock on them. Where an earlier Builder of the same
    base left a checkpoint there, this one goes on from it.
    """

    def __init__(self, work: Path, base: Snapshot | None) -> None:
        """Raises RegistryError where the files cannot be opened."""
        self.work = work
        self._base = base
        self._spill = Spill(work, base.manifest.digest if base else None)
        self._numbers = np.empty(_TOGETHER, np.int64)
        self._removed = np.zeros(_TOGETHER, np.bool_)
        self._any_removed = False
        self._filled = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def resumed(self) -> dict[str, object] | None:
        """The state given to the last checkpoint, from which this goes on; None for a beginning."""
        return self._spill.state

    def restart(self) -> None:
        """Forget what was read, also from the checkpoint. Raises RegistryError."""
        self._spill.restart()
        self._filled, self._any_removed = 0, False

    def add(self, batch: Batch) -> None:
        """Take the numbers of a batch, after all before. Raises RegistryError for a number that
        begins with no calling code and for a failed write, perhaps only with a later batch; after
        that only the last checkpoint is worth anything."""
        numbers, removed = batch.numbers, batch.removed
        taken = 0
        while taken < len(numbers):
            piece = slice(taken, taken + _TOGETHER - self._filled)
            here = slice(self._filled, self._filled + len(numbers[piece]))
            self._numbers[here] = numbers[piece]
            if removed is not None:
                self._removed[here] = removed[piece]
                self._any_removed = self._any_removed or bool(removed[piece].any())
            self._filled = here.stop
            taken += here.stop - here.start
            if self._filled == _TOGETHER:
                self._flush()

    def _flush(self) -> None:
        if self._filled:
            self._spill.append(
                self._numbers[: self._filled],
                self._removed[: self._filled] if self._any_removed else None,
            )
        if self._any_removed:
            self._removed[:] = False
        self._filled, self._any_removed = 0, False

    def checkpoint(self, state: dict[str, object]) -> None:
        """Make everything taken so far durable together with ``state``, which must be JSON, so
        that it can be resumed from here. Raises RegistryError."""
        self._flush()
        self._spill.checkpoint(state)

    def finish(self, progress: Progress | None = None) -> Built:
        """Write the bits files, one for each calling code, and make them durable. May be done
        again. Raises RegistryError for a failed read or write, and for a base that is damaged: it
        is read whole first, lest the damage get a new digest. Nothing in use is touched."""
        self._flush()
        if self._base is not None:
            self._base.verify()
        folder = self.work / "built"
        with durable.told(folder, "written"):
            if folder.exists() or folder.is_symlink():
                shutil.rmtree(folder)
            folder.mkdir(mode=0o750)
        groups = self._spill.groups()
        before = self._base_groups()
        names = sorted(groups.keys() | before.keys())
        counts = _Counts()
        files: dict[str, str] = {}
        room = np.empty(_CHUNK, np.uint32)
        places = np.empty(_CHUNK, np.intp)
        states = np.empty(GROUP, np.uint8)
        writer: Writer | None = None
        try:
            for done, name in enumerate(names):
                code, group = divmod(name, CODE)
                if writer is None or writer.code != code:
                    if writer is not None:
                        writer.finish(files)
                    writer = Writer(folder, code)
                there, rows = before[name].leaves(group) if name in before else _NOTHING
                if name in groups:
                    there, rows = self._changed(
                        there, rows, groups[name], counts, room, places, states
                    )
                if len(there):
                    count = writer.add(group, there, rows)
                    counts.groups[group] = counts.groups.get(group, 0) + count
                if progress is not None:
                    progress(done + 1, len(names))
            if writer is not None:
                writer.finish(files)
        finally:
            if writer is not None:
                writer.close()
        with durable.told(folder, "written"):
            durable.sync_folder(folder)
        return Built(
            folder=folder,
            base=self._base.manifest.digest if self._base else None,
            files=files,
            count=sum(counts.groups.values()),
            groups=counts.groups,
            added=counts.added,
            already=counts.already,
            removed=counts.removed,
            missing=counts.missing,
        )

    def _base_groups(self) -> dict[int, Bitmap]:
        bitmaps = self._base.bitmaps if self._base else {}
        return {
            code * CODE + group: bitmap
            for code, bitmap in bitmaps.items()
            for group in bitmap.counts()
        }

    def _changed(
        self,
        there: NDArray[np.int64],
        rows: NDArray[np.uint8],
        runs: NDArray[np.int64],
        counts: _Counts,
        room: NDArray[np.uint32],
        places: NDArray[np.intp],
        states: NDArray[np.uint8],
    ) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """What a group holds after the numbers of its runs were put in and taken off."""
        touched = self._touched(runs, room)
        place_of = np.zeros(LEAVES, np.int64)
        place_of[touched] = np.arange(len(touched))
        states = states[: len(touched) * LEAF]
        states[:] = 0
        some_removed = False
        for chunk, removals in self._spill.chunks(runs, room):
            at = places[: len(chunk)]
            if removals:
                np.bitwise_and(chunk, 0x7FFFFFFF, out=at, casting="unsafe")
            else:
                at[:] = chunk
            if int(at.max()) >= GROUP:
                raise RegistryError(f"{self.work}: what was spilled is damaged; import anew")
            if len(touched) < LEAVES:
                at += (place_of - np.arange(LEAVES))[at // LEAF] * LEAF
            if removals:
                states[at] = np.where(chunk >> 31, _REMOVED, _ADDED)
                some_removed = True
            else:
                states[at] = _ADDED
        whole = np.zeros((LEAVES, LEAF_BYTES), np.uint8)
        whole[there] = rows
        before = whole[touched]
        added = _packed(states & _ADDED if some_removed else states)
        already = ones(added & before)
        counts.already += already
        counts.added += ones(added) - already
        if some_removed:
            removed = _packed(states & _REMOVED)
            gone = ones(removed & before)
            counts.removed += gone
            counts.missing += ones(removed) - gone
            before &= ~removed
        whole[touched] = before | added
        there = np.flatnonzero(whole.any(axis=1))
        return there, whole[there]

    def _touched(self, runs: NDArray[np.int64], room: NDArray[np.uint32]) -> NDArray[np.int64]:
        """The leaves that some runs touch, or all where there are many numbers."""
        if int(runs[:, 1].sum()) > _FEW:
            return np.arange(LEAVES)
        seen = np.zeros(LEAVES, np.bool_)
        for chunk, _ in self._spill.chunks(runs, room):
            leaves = (chunk & 0x7FFFFFFF) // LEAF
            if int(leaves.max()) >= LEAVES:
                raise RegistryError(f"{self.work}: what was spilled is damaged; import anew")
            seen[leaves] = True
        return np.flatnonzero(seen)

    def discard(self) -> None:
        """Remove everything of this import, when its snapshot is in use or nobody wants it."""
        self._spill.remove()
        with durable.told(self.work, "emptied"):
            shutil.rmtree(self.work / "built", ignore_errors=True)

    def close(self) -> None:
        """Close the files. They stay, and with a checkpoint can be gone on from."""
        self._spill.close()


_NOTHING = (np.zeros(0, np.int64), np.zeros((0, LEAF_BYTES), np.uint8))


def _packed(states: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A row of bytes for each leaf, a bit set where a state is not 0."""
    return np.packbits(states, bitorder="little").reshape(-1, LEAF_BYTES)
