"""The rows of a tenant, class by class, with what the law asks about each."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    RowMapping,
    Table,
    and_,
    func,
    literal,
    or_,
    select,
    tuple_,
)
from sqlalchemy.sql import ColumnElement

from callguard.policy.limits import RetentionLimit
from callguard.policy.span import Span
from callguard.retention.classes import CLASSES
from callguard.retention.holds.covering import is_held
from callguard.retention.schedule import RecordFacts, concerns
from callguard.storage.schema import (
    attempts,
    call_records,
    calls,
    consents,
    contacts,
    deliveries,
    exports,
    opt_out_claims,
    opt_outs,
    recording_events,
    recordings,
    scrubs,
)
from callguard.tenants.keeping import region_of, zone_of
from callguard.tenants.tenant import Tenant

TABLES: Mapping[str, Table] = {
    "call_record": call_records,
    "verdict": calls,
    "attempt": attempts,
    "recording": recordings,
    "consent": consents,
    "opt_out": opt_outs,
    "contact": contacts,
    "list": scrubs,
    "recording_event": recording_events,
    "delivery": deliveries,
    "opt_out_claim": opt_out_claims,
    "export": exports,
}
"""The tables of the data classes; each has ``tenant_id``."""

_SINCE: Mapping[str, tuple[str, ...]] = {
    "call_record": ("ended_at",),
    "verdict": ("decided_at",),
    "attempt": ("answered_at", "at"),
    "recording": ("ended_at", "started_at"),
    "consent": ("at",),
    "opt_out": ("at",),
    "contact": ("exchanged_at", "updated_at"),
    "list": ("at",),
    "recording_event": ("at",),
    "delivery": ("begun_at",),
    "opt_out_claim": ("at",),
    "export": ("at",),
}
"""The column with the instant from which a record's time counts: the first that is not empty."""

FOLLOWS = frozenset({"recording_event", "delivery"})
"""Classes that are evidence of a recording, and go when it does."""

Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """One row, by its primary key; ``values`` are its columns."""

    key: Key
    values: RowMapping
    expires_at: datetime | None
    held: bool
    facts: RecordFacts


def page(
    connection: Connection, tenant: Tenant, data_class: str, after: Key | None, limit: int
) -> list[Record]:
    """Rows of a class in the order of their keys, behind one of them."""
    table = TABLES[data_class]
    key = list(table.primary_key.columns)
    columns: list[ColumnElement[Any]] = [*table.c, is_held(table).label("is_held")]
    query = select(*columns).where(table.c.tenant_id == tenant.id)
    if table is recordings or data_class in FOLLOWS:
        query = _of_call(table, columns, tenant.id)
    if after is not None:
        query = query.where(behind(key, after))
    rows = connection.execute(query.order_by(*key).limit(limit)).mappings()
    return [_record(row, tenant, data_class, [one.name for one in key]) for row in rows]


def is_any_left(connection: Connection, tenant: str, data_class: str) -> bool:
    """Whether a row of the class is left."""
    table = TABLES[data_class]
    query = select(literal(1)).select_from(table).where(table.c.tenant_id == tenant)
    if data_class == "opt_out":
        query = query.where(opt_outs.c.subject != "")
    return connection.execute(query.limit(1)).first() is not None


def among(table: Table, keys: Iterable[Key]) -> ColumnElement[bool]:
    """Whether a row is one of these; at most a few hundred."""
    key = list(table.primary_key.columns)
    wanted = list(keys)
    if len(key) == 1:
        return key[0].in_([one[0] for one in wanted])
    return or_(*(and_(*(c == value for c, value in zip(key, one, strict=True))) for one in wanted))


def behind(key: Sequence[Column[Any]], after: Key) -> ColumnElement[bool]:
    if len(key) == 1:
        behind_it: ColumnElement[bool] = key[0] > after[0]
        return behind_it
    values = (literal(value, one.type) for one, value in zip(key, after, strict=True))
    later: ColumnElement[bool] = tuple_(*key) > tuple_(*values)
    return later


def _of_call(table: Table, columns: Sequence[ColumnElement[Any]], tenant: str) -> Any:
    """With whom the call was and what for; the time of the recording where the row is about one."""
    more: list[ColumnElement[Any]] = [
        calls.c.purpose,
        calls.c.direction,
        calls.c.id.label("known_call"),
    ]
    subject: ColumnElement[Any] = func.coalesce(
        calls.c.subject,
        select(func.min(consents.c.subject))
        .where(consents.c.call_id == recordings.c.call_id)
        .scalar_subquery(),
    )
    more.append(subject.label("subject"))
    if table is recordings:
        joined = recordings.outerjoin(calls, calls.c.id == recordings.c.call_id)
    else:
        more.append(recordings.c.expires_at.label("follows"))
        more.append(recordings.c.id.label("followed"))
        joined = table.outerjoin(recordings, recordings.c.id == table.c.recording_id).outerjoin(
            calls, calls.c.id == recordings.c.call_id
        )
    return select(*columns, *more).select_from(joined).where(table.c.tenant_id == tenant)


def _record(values: RowMapping, tenant: Tenant, data_class: str, key: Sequence[str]) -> Record:
    subject = values.get("subject") or ""
    facts = RecordFacts(
        next(values[name] for name in _SINCE[data_class] if values[name] is not None),
        tenant.settings.home_region,
        tenant.settings.licensed_operator,
        region_of(subject) if tenant.limits and subject else "",
        values.get("purpose") or "",
        values.get("direction") or ("outbound" if data_class == "attempt" else ""),
        zone_of(tenant),
    )
    return Record(
        tuple(values[name] for name in key),
        values,
        values.get("expires_at"),
        bool(values["is_held"]),
        facts,
    )


def as_used(
    record: Record,
    policy: Span | None,
    floors: Sequence[RetentionLimit],
    ends_at: datetime,
    now: datetime,
) -> Record:
    """A consent counts from its last use, which moves its ``expires_at``: that is what this looks
    back from. Where it cannot be told, from when it was given."""
    since = record.facts.since
    if record.expires_at is None or since is None:
        return record
    spans = [limit.span for limit in floors if concerns(limit, "consent", record.facts, now)]
    spans.append(policy or CLASSES["consent"].at_end)
    longest = max(spans, key=lambda span: span.after(since))
    used = max(since, min(longest.before(record.expires_at), ends_at))
    return replace(record, facts=replace(record.facts, since=used))
