"""What the database has of the call records, and how far it was read."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select

from callguard.cdr.record import CallRecord
from callguard.cdr.store import House, Kept, keep, prepare
from callguard.cdr.tail import Cursor, read_cursor
from callguard.storage.database import Database
from callguard.storage.schema import call_records
from callguard.tenants.directory import TenantDirectory
from tests.cdr.lines import at


def house(tenants: TenantDirectory | None = None, now: datetime | None = None) -> House:
    """In Britain, a minute after the calls."""
    return House(tenants or TenantDirectory(), "GB", now or at(60))


def put(
    database: Database,
    *records: CallRecord,
    pbx: str = "east",
    within: House | None = None,
    again: bool = False,
) -> Kept:
    """Keeps them in one transaction."""
    judged = within or house()
    with database.writing() as connection:
        entries = prepare(connection, pbx, records, judged)
        return keep(connection, pbx, entries, judged, again=again)


def rows(database: Database) -> Sequence[Row[Any]]:
    with database.reading() as connection:
        return connection.execute(select(call_records).order_by(call_records.c.id)).all()


def kept(database: Database) -> list[int]:
    return sorted(row.sequence for row in rows(database))


def cursor_of(database: Database) -> Cursor | None:
    with database.reading() as connection:
        return read_cursor(connection, "east")
