"""The fixtures of a tenant with a life behind it."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection, event

from callguard.storage.database import Database
from tests.clock import HandClock
from tests.databases import clock
from tests.retention.termination.life import Life
from tests.schema import upgrade

__all__ = ["clock"]

T = TypeVar("T")


@pytest.fixture(scope="session")
def kept_open(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """One for all tests: what it has learned of its statements is half the time of each. No power
    is cut here, so it waits for no disk."""
    opened = Database(f"sqlite:///{tmp_path_factory.mktemp('termination') / 'callguard.db'}")
    event.listen(opened.engine, "connect", carelessly)
    yield opened
    opened.close()


@pytest.fixture
def database(kept_open: Database) -> Iterator[Database]:
    """An empty database of today's schema."""
    folder = Path(str(kept_open.url.database)).parent
    upgrade(kept_open)
    yield kept_open
    kept_open.engine.dispose()
    shutil.rmtree(folder)
    folder.mkdir()


@pytest.fixture
def life(database: Database, clock: HandClock, tmp_path: Path) -> Life:
    """``acme``, which called people in New York and in London."""

    async def write(work: Callable[[Connection], T], /) -> T:
        with database.writing() as connection:
            return work(connection)

    return Life(database, write, clock, tmp_path)


def carelessly(connection: Any, _record: object) -> None:
    """A database that waits for no disk."""
    connection.execute("PRAGMA synchronous=OFF")
