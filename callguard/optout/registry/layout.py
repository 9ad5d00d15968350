"""The bits file byte by byte (docs/formats.md): marks, sizes, and whether it keeps to them."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from callguard.optout.registry.calling_codes import CODES, agrees
from callguard.optout.registry.contract import GROUP, RegistryError

VERSION = 1
MAGIC = b"CGBITS\r\n"
END_MAGIC = b"CGBITEND"
HEAD = struct.Struct("<8sII")
TAIL = struct.Struct("<QII8s")
LEAF = 10_000
"""Numbers of one leaf."""
LEAF_BYTES = LEAF // 8
LEAVES = GROUP // LEAF
"""Leaves of one group."""
GROUP_ENTRY = 8 + 4 + 4 * LEAVES
"""Bytes of the directory for one group: key, count, leaf table."""


def padding(leaves: int) -> int:
    """Zero bytes between the leaves and the directory."""
    return -(HEAD.size + leaves * LEAF_BYTES) % 8


def length(groups: int, leaves: int) -> int:
    """Bytes of a whole file."""
    body = HEAD.size + leaves * LEAF_BYTES + padding(leaves)
    return body + groups * GROUP_ENTRY + TAIL.size


def ones(packed: NDArray[np.uint8]) -> int:
    """How many bits are set in an array that lies in one piece."""
    flat = packed.reshape(-1)
    whole = len(flat) // 8 * 8
    words = flat[:whole].view(np.uint64)
    return int(np.bitwise_count(words).sum(dtype=np.int64)) + int(
        np.bitwise_count(flat[whole:]).sum(dtype=np.int64)
    )


def checked(
    file: Path, memory: mmap.mmap
) -> tuple[int, int, NDArray[np.uint64], NDArray[np.uint32], NDArray[np.uint32]]:
    """Calling code, count, and the directory: keys, counts and tables. Raises RegistryError for
    every fault of the structure. Reads the directory and the file's ends only."""

    def refuse(what: str) -> NoReturn:
        raise RegistryError(f"{file}: {what}")

    magic, version, code = HEAD.unpack_from(memory, 0)
    count, groups, leaves, end_magic = TAIL.unpack_from(memory, len(memory) - TAIL.size)
    if magic != MAGIC:
        refuse("is no bits file")
    if version != VERSION:
        refuse(f"is of version {version}, which is not known here")
    if end_magic != END_MAGIC:
        refuse("was cut off or has no ending")
    if len(memory) != length(groups, leaves):
        refuse(f"is {len(memory)} bytes long, not {length(groups, leaves)}")
    if code not in CODES:
        refuse(f"{code} is no country calling code")
    directory = HEAD.size + leaves * LEAF_BYTES + padding(leaves)
    if any(memory[directory - padding(leaves) : directory]):
        refuse("bytes between leaves and directory are not zero")
    keys = np.frombuffer(memory, "<u8", groups, directory)
    counts = np.frombuffer(memory, "<u4", groups, directory + 8 * groups)
    tables = np.frombuffer(memory, "<u4", groups * LEAVES, directory + 12 * groups)
    if groups and (keys[1:] <= keys[:-1]).any():
        refuse("its groups are not in order")
    if wrong := [key for key in keys.tolist() if not agrees(key, code)]:
        refuse(f"group {wrong[0]} is not of calling code {code}")
    if groups and (int(counts.min()) < 1 or int(counts.max()) > GROUP):
        refuse("a group holds no number, or more than a group can")
    if int(counts.sum(dtype=np.uint64)) != count:
        refuse(f"its groups do not add up to {count} numbers")
    used = tables[tables != 0]
    if len(used) != leaves or (used != np.arange(1, leaves + 1, dtype=np.uint32)).any():
        refuse("its leaf tables do not name each leaf once and in order")
    tables = tables.reshape(groups, LEAVES)
    if not tables.any(axis=1).all():
        refuse("a group has no leaf")
    return code, count, keys, counts, tables
