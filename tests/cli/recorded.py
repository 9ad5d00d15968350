"""Recordings that a command finds."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from callguard.recording.store.folder import FolderStore
from callguard.storage.database import Database
from callguard.storage.schema import recordings
from tests.cli.conftest import CommandLine
from tests.recording.playback.vault import logged, seal_into


@contextmanager
def kept(callguard: CommandLine) -> Iterator[Database]:
    """The database of the command."""
    database = Database(f"sqlite:///{callguard.data / 'callguard.db'}")
    yield database
    database.close()


def store_of(callguard: CommandLine) -> FolderStore:
    return FolderStore(callguard.data / "objects")


def record(callguard: CommandLine, tenant: str = "acme", **how: Any) -> str:
    """One recording, sealed for the recipients of its tenant; returns its id."""
    with kept(callguard) as database:
        return seal_into(database, store_of(callguard), datetime.now(UTC), tenant, **how)


def change(callguard: CommandLine, **values: object) -> None:
    """Alters the rows of all recordings."""
    with kept(callguard) as database, database.writing() as connection:
        connection.execute(recordings.update().values(**values))


def log_of(callguard: CommandLine) -> list[tuple[str, str]]:
    """Action and details of the acts on recordings in the audit log, oldest first."""
    with kept(callguard) as database:
        return [(action, details) for _, action, details in logged(database)]


def exports(callguard: CommandLine) -> list[str]:
    """The details of the exports in the audit log."""
    return [details for action, details in log_of(callguard) if action == "recording.export"]
