"""What a reader may see: rows whose time has not come.

The time that a database has seen (``clock_marks``, which the purge's sense of the clock keeps) is
never undone: where the clock was set back, also over a restart, what had expired stays gone. Within
a process ``callguard.clock.latest`` says the same to the second.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, and_, case, func, literal, or_, select
from sqlalchemy.sql import ColumnElement

from callguard.storage.schema import clock_marks
from callguard.storage.types import Instant

SEEN = select(func.max(clock_marks.c.seen_at))
"""The latest time that the database has seen; none where nobody has looked yet."""


def alive(table: Table, now: datetime) -> ColumnElement[bool]:
    """Of a table with ``expires_at``: the rows that have not expired. Every reader asks this one
    question."""
    expires: ColumnElement[Any] = table.c.expires_at
    moment = literal(now, Instant)
    seen = func.coalesce(SEEN.scalar_subquery(), moment)
    return or_(expires.is_(None), and_(expires > moment, expires > seen))


def time_seen(connection: Connection, now: datetime) -> datetime:
    """``now``, or the latest time that the database has seen: by which one row is judged that was
    read already."""
    seen: datetime | None = connection.execute(SEEN).scalar()
    return now if seen is None else max(now, seen)


def sooner(known: Any, other: datetime | None) -> Any:
    """The earlier of the instant that a column has and another one; none is never."""
    if other is None:
        return known
    return case((known < other, known), else_=literal(other, known.type))
