"""A restore that knew no later erasures is told of for a while."""

from datetime import timedelta

from sqlalchemy import insert

from callguard.retention.backup.aftermath import TOLD_FOR, restored_without_ledger
from callguard.storage.database import Database
from callguard.storage.schema import purges
from tests.clock import HandClock


def certify(database: Database, clock: HandClock, name: str, *, of_backup: bool) -> None:
    told = {"ledger_of_backup": of_backup, "made_at": "2026-11-19T10:00:00+00:00"}
    with database.writing() as connection:
        row = {"id": name, "kind": "restore", "started_at": clock.now()}
        connection.execute(insert(purges).values(**row, finished_at=clock.now(), certificate=told))


def test_it_is_told_of_for_a_while(database: Database, clock: HandClock) -> None:
    certify(database, clock, "a", of_backup=True)
    with database.reading() as connection:
        told = restored_without_ledger(connection, clock.now())
        over = clock.now() + TOLD_FOR + timedelta(seconds=1)
        assert restored_without_ledger(connection, over) is None
    assert told is not None
    assert "the backup of 2026-11-19" in told


def test_one_with_its_ledger_is_not(database: Database, clock: HandClock) -> None:
    certify(database, clock, "a", of_backup=True)
    clock.advance(60)
    certify(database, clock, "b", of_backup=False)
    with database.reading() as connection:
        assert restored_without_ledger(connection, clock.now()) is None
