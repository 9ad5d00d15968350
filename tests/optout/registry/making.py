"""Snapshots for tests, and a second reader written from docs/formats.md alone."""

import datetime as dt
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from callguard.optout.registry.builder import Builder, Built
from callguard.optout.registry.contract import Batch, Coverage, Manifest
from callguard.optout.registry.snapshot import Draft, Snapshot, write

DRAFT = Draft(
    registry="us-dnc",
    list_date=dt.date(2026, 11, 1),
    imported_at="2026-11-02T08:15:00Z",
    coverage=Coverage(("+1", "+1201", "+44")),
    sources=({"name": "רשימה.txt", "lines": 3},),
)


def batch(numbers: Iterable[int], removed: Iterable[bool] | None = None) -> Batch:
    return Batch(
        np.array(list(numbers), np.int64),
        None if removed is None else np.array(list(removed), np.bool_),
        0,
    )


def build(work: Path, numbers: Iterable[int], base: Snapshot | None = None) -> Built:
    with Builder(work, base) as builder:
        builder.restart()
        builder.add(batch(numbers))
        return builder.finish()


def snapshot(registry: Path, numbers: Iterable[int], draft: Draft = DRAFT) -> Manifest:
    return write(registry, draft, build(registry / "work", numbers))


def numbers_of(data: bytes) -> list[int]:
    """What a bits file holds, by an auditor's reading of the page: slow and plain."""
    magic, version, code = struct.unpack("<8sII", data[:16])
    count, groups, leaves, end = struct.unpack("<QII8s", data[-24:])
    assert (magic, version, end) == (b"CGBITS\r\n", 1, b"CGBITEND")
    at = 16 + 1250 * leaves
    at += -at % 8
    keys = struct.unpack(f"<{groups}Q", data[at : at + 8 * groups])
    counts = struct.unpack(f"<{groups}I", data[at + 8 * groups : at + 12 * groups])
    tables = struct.unpack(f"<{1000 * groups}I", data[at + 12 * groups : -24])
    numbers: list[int] = []
    for place, key in enumerate(keys):
        before = len(numbers)
        for leaf in range(1000):
            if index := tables[place * 1000 + leaf]:
                begin = 16 + 1250 * (index - 1)
                for byte, value in enumerate(data[begin : begin + 1250]):
                    numbers += [
                        key * 10_000_000 + leaf * 10_000 + byte * 8 + bit
                        for bit in range(8)
                        if value >> bit & 1
                    ]
        assert len(numbers) - before == counts[place]
    assert len(numbers) == count
    assert all(str(number).startswith(str(code)) for number in numbers)
    return numbers
