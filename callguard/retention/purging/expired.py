"""What has expired, by data class: where it lies, how a purge goes through it, and what holds keep
back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    Row,
    Table,
    column,
    delete,
    false,
    func,
    select,
    tuple_,
)
from sqlalchemy.sql import ColumnElement

from callguard.retention.holds.covering import any_hold, is_held, standing_on
from callguard.retention.purging import statistics
from callguard.retention.purging.certificates import Tally
from callguard.retention.purging.further import Due
from callguard.storage.schema import (
    archives,
    attempts,
    call_records,
    calls,
    consents,
    contacts,
    deliveries,
    exports,
    opt_out_claims,
    recording_events,
    recordings,
    scrubs,
)

ROWS: dict[str, Table] = {
    "call_record": call_records,
    "verdict": calls,
    "attempt": attempts,
    "consent": consents,
    "recording_event": recording_events,
    "delivery": deliveries,
    "list": scrubs,
    "opt_out_claim": opt_out_claims,
    "contact": contacts,
}
"""The classes that are rows and nothing else; each has ``tenant_id`` and ``expires_at``."""

TABLES: dict[str, Table] = {
    **ROWS,
    "recording": recordings,
    "archive": archives,
    "export": exports,
}
"""All classes, also those of which something lies in files."""

_NAMES: dict[Table, Sequence[ColumnElement[Any]]] = {
    attempts: (attempts.c.call_id,),  # a subject is too easily guessed from a digest
    deliveries: (deliveries.c.recording_id, deliveries.c.place),
    contacts: (contacts.c.id,),
}
"""What a digest is made of, where that is not the key."""

_SIZES: dict[Table, ColumnElement[int]] = {
    recordings: recordings.c.sealed_bytes,
    archives: archives.c.sealed_bytes,
    exports: exports.c.bytes,
}


def due(connection: Connection, now: datetime) -> list[Due]:
    """What a purge at ``now`` would take."""
    return _counted(connection, now, held=False)


def kept_back(connection: Connection, now: datetime) -> list[Due]:
    """What it would take if no hold stood."""
    return _counted(connection, now, held=True) if any_hold(connection) else []


def _counted(connection: Connection, now: datetime, *, held: bool) -> list[Due]:
    asks, found = any_hold(connection), list[Due]()
    for name, table in TABLES.items():
        size: ColumnElement[int] = func.count() * 0
        if table in _SIZES:
            size = func.coalesce(func.sum(_SIZES[table]), 0)
        wanted = select(table.c.tenant_id, func.count(), func.min(table.c.expires_at), size)
        if asks:
            wanted = wanted.where(is_held(table) if held else ~is_held(table))
        rows = connection.execute(
            wanted.where(table.c.expires_at <= now).group_by(table.c.tenant_id)
        )
        found += [Due(name, tenant, count, oldest, total) for tenant, count, oldest, total in rows]
    return found


@dataclass(frozen=True, slots=True)
class Step:
    """One look at the next rows of a class, in the order of their instants. ``rows`` have expired
    and are not held; ``place`` is behind the last that was seen, None where no more are to come."""

    rows: Sequence[Row[Any]]
    held: Sequence[Row[Any]]
    place: tuple[Any, ...] | None


def next_rows(
    connection: Connection,
    table: Table,
    now: datetime,
    place: tuple[Any, ...] | None,
    limit: int,
    *more: ColumnElement[Any],
) -> Step:
    """The next rows behind ``place``. What is held is seen once, so that no number of held rows
    makes a transaction long. ``more`` is what else of them is wanted."""
    order = (table.c.expires_at, *_key(table))
    held = is_held(table) if any_hold(connection) else false()
    wanted = select(*order, *more, held.label("_held")).where(table.c.expires_at <= now)
    if place is not None:
        wanted = wanted.where(tuple_(*order) > tuple_(*place, types=[c.type for c in order]))
    found: Sequence[Any] = connection.execute(wanted.order_by(*order).limit(limit)).all()
    seen: list[Row[Any]] = list(found)
    free = [row for row in seen if not row[-1]]
    kept = [row for row in seen if row[-1]] if len(free) < len(seen) else []
    behind = tuple(seen[-1])[: len(order)] if len(seen) == limit else None
    return Step(free, kept, behind)


def take_rows(
    connection: Connection,
    name: str,
    now: datetime,
    place: tuple[Any, ...] | None,
    limit: int,
    tally: Tally,
) -> tuple[Tally, tuple[Any, ...] | None]:
    """Deletes the next few rows of a class that have expired and are not held; what has gone by
    then, and the place behind them, None at the end. Call records of a tenant that wants statistics
    are counted in the same transaction."""
    table = ROWS[name]
    names = _NAMES.get(table, table.primary_key.columns.values())
    step = next_rows(connection, table, now, place, limit, *names)
    first = 1 + len(_key(table))
    keys = [tuple(row[1:first]) for row in step.rows]
    anonymised = 0
    if table is call_records and keys and (of := statistics.anonymising(connection)):
        anonymised = statistics.count(connection, [key[0] for key in keys], of)
    if keys:
        connection.execute(delete(table).where(among(table, keys)))
    ids = ["/".join(str(part or "") for part in row[first:-1]) for row in step.rows]
    tally = tally.taken(name, ids, anonymised=anonymised)
    return kept_by_holds(connection, table, name, step, tally), step.place


def kept_by_holds(
    connection: Connection, table: Table, name: str, step: Step, tally: Tally
) -> Tally:
    """The tally with what holds kept back of these rows, and with the holds."""
    if not step.held:
        return tally
    these = among(table, [key_of(table, row) for row in step.held])
    which = standing_on(connection, table, these, tally.holds)
    return tally.kept_back(name, len(step.held), which)


def key_of(table: Table, row: Row[Any]) -> tuple[Any, ...]:
    """By what a row is found again, from a row of ``next_rows``."""
    return tuple(row[1 : 1 + len(_key(table))])


def among(table: Table, keys: Sequence[tuple[Any, ...]]) -> ColumnElement[bool]:
    key = _key(table)
    if len(key) == 1:
        return key[0].in_([one for (one,) in keys])
    return tuple_(*key).in_(keys)


def _key(table: Table) -> tuple[ColumnElement[Any], ...]:
    """What an index of ``expires_at`` goes on with: the key that SQLite keeps the table by."""
    keys = tuple(table.primary_key.columns)
    by_rowid = table.dialect_options["sqlite"]["with_rowid"]
    if not by_rowid or (len(keys) == 1 and isinstance(keys[0].type, (Integer, BigInteger))):
        return keys
    return (column("rowid", BigInteger, _selectable=table),)
