"""Opening a database, and bringing it to this version."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import inspect

from callguard.storage.database import Database, DatabaseError
from callguard.storage.migrate import check, upgrade
from callguard.storage.schema import metadata
from callguard.storage.types import from_micros, to_micros


def test_the_migrations_make_exactly_the_schema(database: Database) -> None:
    found = inspect(database.engine)
    assert set(found.get_table_names()) == {*metadata.tables, "alembic_version"}
    for name, table in metadata.tables.items():
        assert {c["name"] for c in found.get_columns(name)} == set(table.columns.keys())
        indexed = {frozenset(i["column_names"]) for i in found.get_indexes(name)}
        assert indexed == {frozenset(c.name for c in i.columns) for i in table.indexes}


def test_upgrading_twice_changes_nothing(database: Database) -> None:
    upgrade(database)
    check(database)


def test_an_empty_database_says_what_to_do(tmp_path: Path) -> None:
    empty = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    with pytest.raises(DatabaseError, match="run callguard init"):
        check(empty)
    empty.close()


def test_a_database_of_another_version_is_refused(database: Database) -> None:
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num='9999'")
    with pytest.raises(DatabaseError, match="schema 9999"):
        check(database)


@pytest.mark.parametrize("url", ["nonsense", "oracle://x/y", "://"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(DatabaseError):
        Database(url)


def test_foreign_keys_hold_and_deleted_rows_are_overwritten(database: Database) -> None:
    with database.reading() as connection:
        answers = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("foreign_keys", "secure_delete", "journal_mode", "synchronous")
        }
    assert answers == {
        "foreign_keys": 1,
        "secure_delete": 1,
        "journal_mode": "wal",
        "synchronous": 2,
    }


async def test_a_read_that_takes_too_long_ends_in_a_time_out(database: Database) -> None:
    slow = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 3000000)"
        " SELECT count(*) FROM n"
    )
    with pytest.raises(TimeoutError):
        await database.read(lambda c: c.exec_driver_sql(slow).scalar(), timeout=0.01)


@given(st.datetimes(timezones=st.just(UTC)))
def test_an_instant_survives_the_database_to_the_microsecond(moment: datetime) -> None:
    assert from_micros(to_micros(moment)) == moment


def test_an_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        to_micros(datetime(2026, 1, 1))  # noqa: DTZ001 - the fault under test
