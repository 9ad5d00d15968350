"""The database fixtures, for this room, and a courier."""

from pathlib import Path

import pytest

from callguard.recording.store.folder import FolderStore
from callguard.retention.ledger import ErasureLedger
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from tests.clock import HandClock
from tests.databases import clock, database, journal, tenant
from tests.recording.delivery.house import Deliveries

__all__ = ["clock", "database", "house", "journal", "tenant"]


@pytest.fixture
def house(
    tmp_path: Path, clock: HandClock, database: Database, journal: Journal, tenant: str
) -> Deliveries:
    store = FolderStore(tmp_path / "objects")
    ledger = ErasureLedger(tmp_path / "erasures.ledger")
    return Deliveries(clock, database, journal, store, ledger, tmp_path)
