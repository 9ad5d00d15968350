"""A restore that knew no later erasures is told of for a while; and none calls or purges before a
person has said that the opt-outs and holds since the backup are entered again."""

from datetime import timedelta

import pytest
from sqlalchemy import insert, select

from callguard.retention.backup.aftermath import (
    TOLD_FOR,
    not_reopened,
    reopen,
    restored_without_ledger,
    shut,
)
from callguard.retention.purging.clock_sense import ClockError, ClockSense
from callguard.storage.database import Database
from callguard.storage.schema import audit, clock_marks, purges
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


def look(database: Database, clock: HandClock, max_gap_days: float = 35) -> None:
    with database.writing() as connection:
        ClockSense(clock, max_gap_days).require(connection)


@pytest.mark.parametrize("slow_s", [0, 4])
def test_nothing_is_purged_before_it_is_reopened(
    database: Database, clock: HandClock, slow_s: int
) -> None:
    look(database, clock)
    made_at = clock.now().isoformat()
    clock.advance(86_400)
    certify(database, clock, "a", of_backup=False)
    with database.writing() as connection:
        shut(connection, made_at)
    clock.advance(-slow_s)  # another machine, within what a time server puts right
    for _ in range(2):
        with pytest.raises(ClockError, match=r"holds .* are missing.*callguard reopen$"):
            look(database, clock)
    with database.writing() as connection:
        assert reopen(connection, clock.now(), "ann", "none placed") == "2026-11-19T10:00:00+00:00"
    look(database, clock)


def test_a_database_that_knew_no_time_is_shut_too_and_a_long_gap_is_told_of(
    database: Database, clock: HandClock
) -> None:
    with database.writing() as connection:
        shut(connection, (clock.now() - timedelta(days=36)).isoformat())
    with pytest.raises(ClockError, match="callguard reopen"):
        look(database, clock)
    with database.writing() as connection:
        reopen(connection, clock.now(), "ann", "none")
        assert connection.execute(select(clock_marks.c.fault)).scalar_one() is None
    with pytest.raises(ClockError, match="nothing was seen for 36 days"):
        look(database, clock)


def test_every_restore_is_reopened_once_and_for_a_reason(
    database: Database, clock: HandClock
) -> None:
    with database.reading() as connection:
        assert not_reopened(connection) is None
    certify(database, clock, "a", of_backup=False)
    clock.advance(60)
    certify(database, clock, "b", of_backup=False)
    with database.writing() as connection:
        told = not_reopened(connection)
        assert told is not None
        assert "2026-11-19 10:00 UTC: opt-outs" in told
        assert reopen(connection, clock.now(), "ann", "list of 20 Nov imported") is not None
        assert not_reopened(connection) is None
        assert reopen(connection, clock.now(), "ann", "again") is None
        entries = connection.execute(select(audit).where(audit.c.action == "restore.reopen")).all()
    assert sorted(entry.target for entry in entries) == ["restore:a", "restore:b"]
    assert all("list of 20 Nov imported" in entry.details for entry in entries)
    certify(database, clock, "c", of_backup=False)
    with database.reading() as connection:
        assert not_reopened(connection) is not None
