"""What the database has of the call records, and how far it was read."""

from sqlalchemy import select

from callguard.cdr.tail import Cursor, read_cursor
from callguard.storage.database import Database
from callguard.storage.schema import call_records


def kept(database: Database) -> list[int]:
    with database.reading() as connection:
        found = connection.execute(select(call_records.c.sequence)).scalars()
        return sorted(found)


def cursor_of(database: Database) -> Cursor | None:
    with database.reading() as connection:
        return read_cursor(connection, "east")
