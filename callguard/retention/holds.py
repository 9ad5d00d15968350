"""Holds: what may not be erased although its time has come, as SQL.

Each of tenant, subject and call that a hold names must match; what it does not name is any. A
subject is held in every row that names it, or that belongs to a call which names it.
"""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Table, and_, exists, false, or_, select
from sqlalchemy.sql import ColumnElement

from callguard.storage.schema import calls, consents, holds, recordings


class HeldError(PermissionError):
    """A hold forbids the erasure; one line that names it."""


def is_held(table: Table) -> ColumnElement[bool]:
    """Whether a hold that stands covers a row of a table with a tenant."""
    return exists(select(holds.c.id).where(_covers(table)).correlate(table))


def holds_on(connection: Connection, recording_id: str) -> list[str]:
    """The ids of the holds that stand on a recording."""
    found: Iterable[str] = connection.execute(
        select(holds.c.id)
        .select_from(recordings)
        .where(recordings.c.id == recording_id)
        .join(holds, _covers(recordings))
        .order_by(holds.c.at)
    ).scalars()
    return list(found)


def _covers(table: Table) -> ColumnElement[bool]:
    columns: Any = table.c
    call = columns.id if table is calls else columns.get("call_id")
    whose: list[ColumnElement[bool]] = []
    if "subject" in columns:
        whose.append(columns.subject == holds.c.subject)
    if call is not None:
        whose += [
            exists(select(other.c.subject).where(key == call, other.c.subject == holds.c.subject))
            for other, key in ((calls, calls.c.id), (consents, consents.c.call_id))
            if other is not table
        ]
    return and_(
        holds.c.released_at.is_(None),
        or_(holds.c.tenant_id.is_(None), holds.c.tenant_id == columns.tenant_id),
        or_(holds.c.call_id.is_(None), holds.c.call_id == call if call is not None else false()),
        or_(holds.c.subject.is_(None), *whose),
    )
