"""Snapshots that nothing refers to go with the purge."""

from datetime import timedelta
from pathlib import Path

import pytest

from callguard.optout.registry.lock import only_one
from callguard.retention.purging.registries import drop_spent
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from tests.clock import HandClock
from tests.optout.registry.desk import DAY, Desk

BASE = range(442071230000, 442071230500)


@pytest.fixture
def desk(tmp_path: Path, database: Database, clock: HandClock) -> Desk:
    """With two lists, of a day each."""
    made = Desk(tmp_path, database, clock)
    for day in range(2):
        made.imports(made.listed(BASE[: 500 - day]), day=DAY + timedelta(days=day))
        clock.advance(days=1)
    return made


async def test_what_is_spent_goes_once(desk: Desk, journal: Journal) -> None:
    folder = desk.registry.parent
    for expected in (1, 0):
        count = await drop_spent(desk.database, journal.write, folder, desk.clock, actor="test")
        assert count == expected
    assert desk.rows()[0].dropped_at == desk.clock.now()
    assert desk.acts()[-1] == "registry.drop"
    assert len(desk.numbers()) == 499


async def test_a_registry_that_is_being_imported_waits(desk: Desk, journal: Journal) -> None:
    folder = desk.registry.parent
    with only_one(desk.registry):
        assert await drop_spent(desk.database, journal.write, folder, desk.clock, actor="t") == 0
    assert desk.rows()[0].dropped_at is None
    assert await drop_spent(desk.database, journal.write, folder, desk.clock, actor="t") == 1


async def test_a_folder_in_trouble_stops_nothing(desk: Desk, journal: Journal) -> None:
    folder = desk.registry.parent
    (desk.registry / "current").write_bytes(b"x")
    other = desk.at("aa-first")
    for day in range(2):
        other.imports(desk.listed(BASE[: 500 - day]), day=DAY + timedelta(days=day))
    desk.clock.advance(days=1)
    assert await drop_spent(desk.database, journal.write, folder, desk.clock, actor="t") == 1


async def test_without_any_registry_there_is_nothing_to_do(
    tmp_path: Path, database: Database, clock: HandClock, journal: Journal
) -> None:
    assert await drop_spent(database, journal.write, tmp_path / "no", clock, actor="t") == 0
