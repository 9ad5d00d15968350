"""Rows that go in by way of another process are the rows that go in here."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Table, delete, select
from sqlalchemy import null as sql_null

from callguard.storage.bulk import as_statements, insert_rows
from callguard.storage.database import Database
from callguard.storage.schema import calls, opt_outs, tenant_keys

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
FINDINGS = st.lists(st.dictionaries(TEXT, TEXT | st.booleans() | st.none(), max_size=3), max_size=3)


def a_call(number: int, name: str, findings: list[Any], moment: datetime) -> dict[str, Any]:
    return {
        "id": f"call-{number}",
        "tenant_id": None,
        "pbx": "east",
        "uniqueid": name,
        "direction": "outbound",
        "channel": "voice",
        "subject": "+442079460123",
        "caller": name,
        "called": "",
        "verdict": "block",
        "reasons": [name],
        "obligations": [],
        "findings": findings,
        "decided_at": moment,
        "expires_at": None,
    }


def kept(database: Database, table: Table) -> list[dict[str, Any]]:
    with database.reading() as connection:
        ordered = select(table).order_by(table.primary_key.columns.values()[0])
        return [dict(row._mapping) for row in connection.execute(ordered)]


def here(database: Database, table: Table, rows: list[dict[str, Any]]) -> None:
    with database.writing() as connection:
        insert_rows(connection, table, rows)


def apart(database: Database, table: Table, rows: list[dict[str, Any]]) -> None:
    """As the scribe does it."""
    assert database.url.database is not None
    statements = as_statements(table, rows)
    assert statements is not None
    with closing(sqlite3.connect(database.url.database, isolation_level=None)) as other:
        for sql, values in statements:
            other.executemany(sql, json.loads(values))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.lists(st.tuples(TEXT, FINDINGS, st.datetimes(timezones=st.just(UTC))), max_size=5))
def test_text_lists_moments_and_nothing_survive(
    database: Database, drawn: list[tuple[str, list[Any], datetime]]
) -> None:
    rows = [a_call(number, *one) for number, one in enumerate(drawn)]
    found = []
    for way in (here, apart):
        with database.writing() as connection:
            connection.execute(delete(calls))
        way(database, calls, rows)
        found.append(kept(database, calls))
    assert found[0] == found[1]
    assert len(found[0]) == len(rows)


@pytest.mark.parametrize("way", [here, apart])
def test_a_call_for_which_no_registry_was_asked_has_none(
    database: Database, way: Callable[..., None]
) -> None:
    asked = {"us-dnc": "5f" * 32}
    found = [{**a_call(n, "x", [], NOON), "registries": r} for n, r in enumerate((None, asked))]
    way(database, calls, found)
    with database.reading() as connection:
        none = connection.execute(select(calls.c.id).where(calls.c.registries.is_(sql_null())))
        assert none.scalars().all() == ["call-0"]
    assert [row["registries"] for row in kept(database, calls)] == [None, asked]


@pytest.mark.parametrize("way", [here, apart])
def test_a_table_whose_key_counts_itself_goes_on_counting(
    database: Database, tenant: str, way: Callable[..., None]
) -> None:
    wishes = [
        {
            "tenant_id": tenant,
            "subject": f"+4420794601{n}",
            "standing": bool(n % 2),
            "purposes": ["survey"],
            "way": "cli",
            "actor": "test",
            "at": NOON + timedelta(microseconds=n),
        }
        for n in range(3)
    ]
    way(database, opt_outs, wishes)
    rows = kept(database, opt_outs)
    assert [row["seq"] for row in rows] == [1, 2, 3]
    assert [row["standing"] for row in rows] == [False, True, False]
    assert [{k: row[k] for k in wishes[0]} for row in rows] == wishes


def test_bytes_go_in_whole(database: Database, tenant: str) -> None:
    every = bytes(range(256))
    keys = [
        {
            "tenant_id": tenant,
            "version": n,
            "kind": "pq",
            "recipient": "r",
            "wrapped_identity": every,
            "created_at": NOON,
        }
        for n in (5, 6)
    ]
    assert as_statements(tenant_keys, keys) is None
    here(database, tenant_keys, keys)
    assert [r["wrapped_identity"] for r in kept(database, tenant_keys) if r["version"] > 1] == [
        every,
        every,
    ]


@pytest.mark.parametrize("way", [here, apart])
def test_rows_that_name_other_columns_are_not_mixed_up(
    database: Database, way: Callable[..., None]
) -> None:
    first = a_call(1, "a", [], NOON)
    second = {**a_call(2, "b", [], NOON), "campaign": "spring"}
    way(database, calls, [first, second])
    assert [row["campaign"] for row in kept(database, calls)] == [None, "spring"]
