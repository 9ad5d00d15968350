"""Snapshots on a shelf, made as an import makes them."""

from collections.abc import Iterable
from datetime import date
from pathlib import Path

import numpy as np

from callguard.optout.registry.builder import Builder
from callguard.optout.registry.contract import Batch, Coverage, Manifest
from callguard.optout.registry.snapshot import Draft, make_current, write

OF = date(2026, 3, 1)


def snapshot_of(
    folder: Path,
    name: str,
    numbers: Iterable[str],
    covers: tuple[str, ...] = ("+1202", "+1305"),
    of: date = OF,
) -> Manifest:
    """Writes a snapshot of a registry that holds these numbers; it is not in use yet."""
    registry = folder / name
    work = registry / "work"
    work.mkdir(parents=True, exist_ok=True)
    listed = np.array([int(number[1:]) for number in numbers], np.int64)
    with Builder(work, None) as builder:
        builder.restart()
        builder.add(Batch(listed, None, 0))
        built = builder.finish()
    return write(registry, Draft(name, of, "2026-03-02T08:00:00Z", Coverage(covers), ()), built)


def put(
    folder: Path,
    name: str,
    numbers: Iterable[str],
    covers: tuple[str, ...] = ("+1202", "+1305"),
    of: date = OF,
) -> Manifest:
    """Writes such a snapshot and makes it current."""
    manifest = snapshot_of(folder, name, numbers, covers, of)
    make_current(folder / name, manifest.digest)
    return manifest
