"""A batch of lines of the erasure ledger, kept beside it while it is written: a power cut may leave
any part of what was not synced, also a later page without an earlier one.

The batch is durable here before it is written there. At the next start it is written once more,
where the ledger is still as it was before it, or ends with it.
"""

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from callguard.recording.durable import sync_folder

PAGE = 4096
"""Bytes that a disk writes whole, or not at all."""

_LIMIT = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Redo:
    """Bytes that belong behind byte ``position``; ``digest`` is the SHA-256 of the line before."""

    position: int
    digest: str
    data: bytes


def is_needed(position: int, size: int) -> bool:
    """Whether a write of that size lies in more than one page."""
    return size > 0 and position // PAGE != (position + size - 1) // PAGE


def path_of(ledger: Path) -> Path:
    """Where it lies."""
    return ledger.with_name(f"{ledger.name}.redo")


def keep(ledger: Path, redo: Redo) -> None:
    """Makes it durable. Raises OSError."""
    path, told = path_of(ledger), {"position": redo.position, "digest": redo.digest}
    told["sha256"] = hashlib.sha256(redo.data).hexdigest()
    raw = json.dumps(told).encode() + b"\n" + redo.data
    new = not path.exists()
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        status = ledger.parent.stat()
        if os.geteuid() == 0 and status.st_uid != 0:  # else the service could not write it
            os.fchown(file.fileno(), status.st_uid, status.st_gid)
        file.write(raw)
        file.flush()
        os.fdatasync(file.fileno())
    if new:
        sync_folder(path.parent)


def forget(ledger: Path) -> None:
    """The batch was taken back: it must not be written again."""
    with suppress(OSError):
        path_of(ledger).unlink()


def read(ledger: Path) -> Redo | None:
    """What is kept; None where nothing is, or where keeping it was cut off: then the ledger was not
    touched. Raises OSError."""
    try:
        descriptor = os.open(path_of(ledger), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        first, data = file.readline(PAGE), file.read(_LIMIT)
    try:
        told = json.loads(first)
        redo = Redo(int(told["position"]), str(told["digest"]), data)
        whole = told["sha256"] == hashlib.sha256(data).hexdigest()
    except (ValueError, KeyError, TypeError):
        return None
    return redo if whole and data.endswith(b"\n") and redo.position > 0 else None


def is_torn(file: BinaryIO, redo: Redo, line_before: bytes) -> bool:
    """Whether the ledger goes on, behind the line before, with a part of it; not where that line is
    another one, or where more follows than it."""
    if hashlib.sha256(line_before).hexdigest() != redo.digest:
        return False
    size = file.seek(0, os.SEEK_END)
    if not redo.position <= size <= redo.position + len(redo.data):
        return False
    file.seek(redo.position)
    return file.read(len(redo.data)) != redo.data
