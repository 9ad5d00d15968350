"""A store, and a purge that goes in small steps."""

from pathlib import Path

import pytest
from sqlalchemy import event

from callguard.recording.store.folder import FolderStore
from callguard.retention.purging import pace as pace_module
from callguard.retention.purging import run as run_module
from callguard.storage.database import Database
from tests.retention.purging.steps import LOT, PART


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "objects")


@pytest.fixture
def small_steps(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lot goes in two transactions; and nobody cuts the power here."""
    monkeypatch.setattr(pace_module, "MOST", PART)
    monkeypatch.setattr(run_module, "LOT", LOT)
    event.listen(database.engine, "connect", lambda c, _: c.execute("PRAGMA synchronous=OFF"))
    database.engine.dispose()
