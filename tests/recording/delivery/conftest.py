"""The database fixtures, for this room, and a courier."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from callguard.recording.store.folder import FolderStore
from callguard.retention.erasures.ledger import ErasureLedger
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from tests.clock import HandClock
from tests.databases import clock, journal, tenant
from tests.recording.delivery.house import Deliveries, swift
from tests.schema import upgrade

__all__ = ["clock", "database", "house", "journal", "tenant"]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """An empty database of today's schema."""
    opened = swift(Database(f"sqlite:///{tmp_path / 'callguard.db'}"))
    upgrade(opened)
    yield opened
    opened.close()


@pytest.fixture
def house(
    tmp_path: Path,
    clock: HandClock,
    database: Database,
    journal: Journal,
    tenant: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Deliveries:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    store = FolderStore(tmp_path / "objects")
    ledger = ErasureLedger(tmp_path / "erasures.ledger")
    return Deliveries(clock, database, journal, store, ledger, tmp_path)
