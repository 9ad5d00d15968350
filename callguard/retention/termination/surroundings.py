"""What terminations stand on: where their files lie, and what lies elsewhere."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError

from callguard.recording.age import AgeError
from callguard.recording.keys import KeyStoreError
from callguard.recording.store.objects import ObjectStoreError
from callguard.retention.erasures.ledger import LedgerError
from callguard.retention.folders.root import FolderError
from callguard.retention.termination.archive import ArchiveError
from callguard.storage.journal import NotDurableError
from callguard.tenants.tenant import TenantError

LOCK = ".terminations.lock"

FAULTS = (
    AgeError,
    ArchiveError,
    FolderError,
    KeyStoreError,
    LedgerError,
    NotDurableError,
    ObjectStoreError,
    OSError,
    SQLAlchemyError,
    TenantError,
    TimeoutError,
    ValueError,
)
"""What holds up one termination, and is tried again; the others go on."""


class Elsewhere(Protocol):
    """What lies of a tenant outside of the database: managed folders."""

    async def take_all(
        self, tenant: str, now: datetime, classes: Collection[str]
    ) -> Mapping[str, int]:
        """Takes all of it of these classes, whatever its age; how many of each."""
        ...

    async def left(self, tenant: str, now: datetime) -> Mapping[str, int]:
        """How much of it is still there, by class."""
        ...


@dataclass(frozen=True, slots=True)
class Places:
    """Where packages are written, and where uploaded lists lie."""

    exports: Path
    scrubs: Path


FILES = ("voicemail", "fax", "transcript", "recording", "call_record")
"""Data classes of which something may lie elsewhere."""
