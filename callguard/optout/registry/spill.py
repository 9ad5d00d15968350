"""What an import has read so far, on disk: the last seven digits of every number, in runs by group.

Two files that only grow. ``spill`` holds 4 bytes a number, ``runs`` says for each run of it, in
order, whose group it is and how many numbers it has. A checkpoint is durable once it names their
lengths; what a killed import wrote after its checkpoint is cut off when it is resumed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from callguard.optout.registry import durable
from callguard.optout.registry.calling_codes import calling_codes
from callguard.optout.registry.contract import GROUP, RegistryError
from callguard.policy.numbers import mask

REMOVED = 1 << 31
"""Set in a spilled number that is taken off the list."""

CODE = 10**8
"""A group of one calling code is named code * CODE + group, so that rising means in code order."""

MOST_RUNS = 1 << 20
MOST_GROUPS = 100_000
"""Bounds of what is kept in memory. A list that comes to them would fill a leaf a number."""

_RUN = np.dtype([("group", "<u8"), ("count", "<u4"), ("removals", "<u4")])
_VERSION = 1
_CHECKPOINT = 1 << 24
_NAMES = ("spill", "runs", "checkpoint.json")


class Spill:
    """Open for one import at a time; its caller keeps the lock."""

    def __init__(self, work: Path, base: str | None) -> None:
        """Open the files in ``work``, which is made if need be, and return to the last checkpoint,
        if there is one and it was made against the same base. Raises RegistryError."""
        self.work = work
        self._base = base
        self._broken = False
        self._descriptors: list[int] = []
        self.state: dict[str, object] | None = None
        self.numbers = 0
        self._runs: list[NDArray[np.void]] = []
        self._run_count = 0
        with durable.told(work, "opened"):
            work.mkdir(mode=0o750, parents=True, exist_ok=True)
            try:
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
                for name in _NAMES[:2]:
                    self._descriptors.append(os.open(work / name, flags, 0o640))
                self._resume()
            except BaseException:
                self.close()
                raise

    def _resume(self) -> None:
        numbers, runs = 0, 0
        kept = _read_checkpoint(self.work / _NAMES[2])
        if kept is not None and kept.base == self._base:
            numbers, runs = kept.numbers, kept.runs
            lengths = [os.fstat(descriptor).st_size for descriptor in self._descriptors]
            if lengths[0] >= numbers * 4 and lengths[1] >= runs * _RUN.itemsize:
                data = b"".join(
                    read(self._descriptors[1], start, min(1 << 20, runs * _RUN.itemsize - start))
                    for start in range(0, runs * _RUN.itemsize, 1 << 20)
                )
                table = np.frombuffer(data, _RUN)
                if int(table["count"].sum(dtype=np.uint64)) == numbers:
                    self.state = kept.state
                    self._runs = [table]
        if self.state is None:
            numbers, runs = 0, 0
            self._unlink_checkpoint()
            durable.sync_folder(self.work)
        self.numbers, self._run_count = numbers, runs
        for descriptor, size in zip(
            self._descriptors, (numbers * 4, runs * _RUN.itemsize), strict=True
        ):
            os.ftruncate(descriptor, size)
            os.lseek(descriptor, size, os.SEEK_SET)

    def append(self, numbers: NDArray[np.int64], removed: NDArray[np.bool_] | None) -> None:
        """Write numbers away, in their order within each group. Raises RegistryError for a number
        that is none and for a failed write; after either nothing more can be written."""
        self._check()
        self._broken = True
        lows, runs = _sorted_by_group(numbers, removed)
        self._run_count += len(runs)
        if self._run_count > MOST_RUNS:
            raise RegistryError(f"{self.work}: the numbers are scattered over too many groups")
        with durable.told(self.work / _NAMES[0], "written"):
            durable.write_all(self._descriptors[0], lows.view(np.uint8).data)
        with durable.told(self.work / _NAMES[1], "written"):
            durable.write_all(self._descriptors[1], runs.tobytes())
        self._runs.append(runs)
        self.numbers += len(lows)
        self._broken = False

    def checkpoint(self, state: dict[str, object]) -> None:
        """Make everything so far durable, with the caller's own state (JSON)."""
        self._check()
        with durable.told(self.work, "written"):
            for descriptor in self._descriptors:
                os.fsync(descriptor)
        kept = _Checkpoint(self._base, self.numbers, self._run_count, state)
        data = json.dumps({"version": _VERSION, **asdict(kept)}).encode()
        if len(data) > _CHECKPOINT:
            raise RegistryError(f"{self.work}: the state of a checkpoint is too large")
        durable.replace(self.work / _NAMES[2], data)
        self.state = state

    def groups(self) -> dict[int, NDArray[np.int64]]:
        """The runs of each group, in order: a row of beginning, count, and whether it removes."""
        runs = np.concatenate(self._runs) if self._runs else np.zeros(0, _RUN)
        rows = np.empty((len(runs), 3), np.int64)
        rows[:, 1] = runs["count"]
        rows[:, 0] = np.cumsum(rows[:, 1]) - rows[:, 1]
        rows[:, 2] = runs["removals"]
        order = np.argsort(runs["group"], kind="stable")
        rows = rows[order]
        keys = runs["group"][order]
        starts = _starts(keys)
        if len(starts) > MOST_GROUPS:
            raise RegistryError(f"{self.work}: the numbers are scattered over too many groups")
        pieces = np.split(rows, starts[1:])[: len(starts)]
        return dict(zip(keys[starts].tolist(), pieces, strict=True))

    def chunks(
        self, rows: NDArray[np.int64], room: NDArray[np.uint32]
    ) -> Iterator[tuple[NDArray[np.uint32], bool]]:
        """The numbers of some runs, as many at once as ``room`` takes, and whether any of them may
        be removals. Each chunk is overwritten by the next."""
        space = room.view(np.uint8).data
        filled, removals = 0, False
        for begin, count, removes in rows.tolist():
            done = 0
            while done < count:
                take = min(count - done, len(room) - filled)
                with durable.told(self.work / _NAMES[0], "read"):
                    self._fill(space[filled * 4 : (filled + take) * 4], (begin + done) * 4)
                done += take
                filled += take
                removals = removals or bool(removes)
                if filled == len(room):
                    yield room, removals
                    filled, removals = 0, False
        if filled:
            yield room[:filled], removals

    def _fill(self, space: memoryview, offset: int) -> None:
        while space:
            got = os.preadv(self._descriptors[0], [space], offset)
            if not got:
                raise OSError("is shorter than it was")
            offset += got
            space = space[got:]

    def restart(self) -> None:
        """Forget everything that was read."""
        with durable.told(self.work, "emptied"):
            self._unlink_checkpoint()
            durable.sync_folder(self.work)
            for descriptor in self._descriptors:
                os.ftruncate(descriptor, 0)
                os.lseek(descriptor, 0, os.SEEK_SET)
        self.state, self.numbers, self._runs, self._run_count = None, 0, [], 0
        self._broken = False

    def remove(self) -> None:
        """Close and remove the files. The checkpoint goes first: without it there is nothing to
        resume."""
        self.close()
        with durable.told(self.work, "emptied"):
            self._unlink_checkpoint()
            for name in _NAMES[:2]:
                (self.work / name).unlink(missing_ok=True)
            durable.sync_folder(self.work)

    def _unlink_checkpoint(self) -> None:
        """Also what a killed import left of one that was not finished."""
        (self.work / _NAMES[2]).unlink(missing_ok=True)
        for left in self.work.glob(f".{_NAMES[2]}.*"):
            left.unlink()

    def close(self) -> None:
        """Close the files; they stay for the next time."""
        while self._descriptors:
            os.close(self._descriptors.pop())
        self._broken = True

    def _check(self) -> None:
        if self._broken:
            raise RegistryError(f"{self.work}: what was begun here failed or was closed")


def read(descriptor: int, start: int, size: int) -> bytes:
    """Bytes of a file, all of them. Raises OSError."""
    data = b""
    while len(data) < size:
        piece = os.pread(descriptor, size - len(data), start + len(data))
        if not piece:
            raise OSError("is shorter than it was")
        data += piece
    return data


@dataclass(frozen=True, slots=True)
class _Checkpoint:
    base: str | None
    numbers: int
    runs: int
    state: dict[str, object]


def _read_checkpoint(path: Path) -> _Checkpoint | None:
    """What is no checkpoint of this version counts as none: then the import begins anew."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        size = os.fstat(descriptor).st_size
        kept = json.loads(read(descriptor, 0, size)) if size <= _CHECKPOINT else None
    except (ValueError, RecursionError):
        return None
    finally:
        os.close(descriptor)
    if (
        isinstance(kept, dict)
        and kept.get("version") == _VERSION
        and isinstance(kept.get("base"), str | None)
        and all(type(kept.get(key)) is int and kept[key] >= 0 for key in ("numbers", "runs"))
        and kept["runs"] <= MOST_RUNS
        and isinstance(kept.get("state"), dict)
    ):
        return _Checkpoint(kept["base"], kept["numbers"], kept["runs"], kept["state"])
    return None


def _sorted_by_group(
    numbers: NDArray[np.int64], removed: NDArray[np.bool_] | None
) -> tuple[NDArray[np.uint32], NDArray[np.void]]:
    """The last seven digits, those of one group together and in their order, and the runs. Raises
    RegistryError for what is no number."""
    groups = numbers // GROUP
    lows = (numbers - groups * GROUP).astype(np.uint32)
    if removed is not None:
        lows |= removed.astype(np.uint32) << 31
    starts = _starts(groups)
    if len(starts) and int(groups[starts].max()) >= CODE:
        _known_codes(numbers)
    if len(starts) and int(groups[starts].min()) < 100:
        # numbers of fewer than ten digits: a group may hold those of several codes
        short = np.flatnonzero(groups < 100)
        groups[short] += _known_codes(numbers[short]) * CODE
        starts = _starts(groups)
    if len(starts) > 2 + len(groups) // 64:
        order = _stable_order(groups)
        groups = groups[order]
        lows = lows[order]
        starts = _starts(groups)
    names = groups[starts]
    long = np.flatnonzero(names < CODE)
    firsts = names[long] * GROUP + (lows[starts[long]] & np.uint32(REMOVED - 1))
    names[long] += _known_codes(firsts) * CODE
    runs = np.zeros(len(starts), _RUN)
    runs["group"] = names
    runs["count"] = np.diff(np.append(starts, len(groups)))
    if removed is not None and len(starts):
        runs["removals"] = np.maximum.reduceat(lows, starts) >= REMOVED
    return lows, runs


def _starts(groups: NDArray[np.int64] | NDArray[np.uint64]) -> NDArray[np.int64]:
    """Where runs of one group begin."""
    edges = np.flatnonzero(groups[1:] != groups[:-1]) + 1
    return np.concatenate((np.zeros(min(1, len(groups)), np.int64), edges))


def _known_codes(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    codes = calling_codes(numbers)
    if not codes.all():
        wrong = int(numbers[np.flatnonzero(codes == 0)[0]])
        raise RegistryError(f"{mask(f'+{wrong}')} is no number of any country calling code")
    return codes


def _stable_order(names: NDArray[np.int64]) -> NDArray[np.int64]:
    """In order of group, and within one as they came. Small integers are sorted by their digits,
    which is several times faster."""
    least = int(names.min())
    if int(names.max()) - least < 1 << 16:
        return np.argsort((names - least).astype(np.uint16), kind="stable")
    keys, small = np.unique(names, return_inverse=True)
    if len(keys) < 1 << 16:
        return np.argsort(small.astype(np.uint16), kind="stable")
    order: NDArray[np.int64] = np.argsort(names, kind="stable")
    return order
