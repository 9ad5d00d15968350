"""What many holds cost a purge, in steps of SQLite's machine: no row is weighed against each."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from callguard.retention.purging.expired import next_rows
from callguard.storage.database import Database
from callguard.storage.schema import call_records, holds
from tests.clock import HandClock
from tests.retention.rows import put

ROWS, HOLDS = 20, 500
STEPS = 1_000
"""After so many the machine calls."""


def calls_of_the_machine(database: Database, clock: HandClock) -> int:
    """How often it called while a purge looked at its next rows."""
    called = 0

    def count() -> int:
        nonlocal called
        called += 1
        return 0

    with database.reading() as connection:
        driver = connection.connection.dbapi_connection
        assert driver is not None
        driver.set_progress_handler(count, STEPS)
        step = next_rows(connection, call_records, clock.now(), None, ROWS)
        driver.set_progress_handler(None, 0)
    assert (len(step.rows), len(step.held)) == (ROWS, 0)
    return called


@pytest.mark.parametrize("kind", ["subject", "call", "period"])
def test_a_row_costs_about_as_much_beside_many_holds_as_beside_one(
    database: Database, clock: HandClock, tenant: str, kind: str
) -> None:
    now = clock.now()
    for number in range(ROWS):
        put(database, "call_record", number, now)
    past = {"tenant_id": tenant, "from_at": now - timedelta(9), "to_at": now - timedelta(8)}
    kinds: dict[str, list[dict[str, Any]]] = {
        "subject": [{"subject": f"+4420794{number:05d}"} for number in range(HOLDS)],
        "call": [{"call_id": f"call-{number}"} for number in range(HOLDS)],
        "period": [past] * HOLDS,
    }
    empty = dict.fromkeys(("tenant_id", "subject", "call_id", "from_at", "to_at"), None)
    said = {"reason": "r", "author": "a", "at": now}
    rows = [
        {"id": f"h{number}", **said, **empty, **what} for number, what in enumerate(kinds[kind])
    ]
    with database.writing() as connection:
        connection.execute(insert(holds), rows)
    assert calls_of_the_machine(database, clock) * STEPS < 100 * HOLDS
