"""The date of a row that is there, by what is kept of it: the same that it got when it was written,
but for what the tenant chose since, its contract's end and the law."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, Row, Table, select
from sqlalchemy.sql import ColumnElement

from callguard.contacts.exchange import expires, is_restricted, since
from callguard.retention.dating_consents import Date, calls_of, consent_dates
from callguard.storage.schema import (
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
)
from callguard.tenants.keeping import NOBODY, Concern, keeping_evidence, kept_until
from callguard.tenants.tenant import Tenant

Dates = Callable[[Connection, Tenant, Sequence[Row[Any]]], list[Date]]


@dataclass(frozen=True, slots=True)
class Book:
    """A table, how it is gone through, which of its rows get a date, and which one."""

    table: Table
    key: tuple[Any, ...]
    dates: Dates
    only: tuple[ColumnElement[bool], ...] = ()


def _records(connection: Connection, tenant: Tenant, rows: Sequence[Row[Any]]) -> list[Date]:
    known = calls_of(connection, (row.call_id for row in rows if row.subject is None))
    found = []
    for row in rows:
        concern, sure = NOBODY, True
        if row.subject is not None or row.direction is not None:
            concern = Concern(row.subject or "", row.purpose or "", row.direction or "")
        elif row.call_id is not None:
            concern, sure = known.get(row.call_id, NOBODY), row.call_id in known
        until = kept_until(tenant, "call_record", row.ended_at, concern=concern)
        found.append(Date(until, sure))
    return found


def _verdicts(_: Connection, tenant: Tenant, rows: Sequence[Row[Any]]) -> list[Date]:
    return [
        Date(
            kept_until(
                tenant,
                "verdict",
                row.decided_at,
                concern=Concern(row.subject, row.purpose or "", row.direction),
            )
        )
        for row in rows
    ]


def _attempts(_: Connection, tenant: Tenant, rows: Sequence[Row[Any]]) -> list[Date]:
    return [
        Date(
            kept_until(
                tenant, "attempt", row.at, concern=Concern(row.subject, row.purpose, "outbound")
            )
        )
        for row in rows
    ]


def _recordings(connection: Connection, tenant: Tenant, rows: Sequence[Row[Any]]) -> list[Date]:
    known = calls_of(connection, (row.call_id for row in rows))
    found = []
    for row in rows:
        concern = known.get(row.call_id, NOBODY)
        until = kept_until(tenant, "recording", row.ended_at, concern=concern)
        found.append(Date(until, row.call_id in known))
    return found


def _events(connection: Connection, tenant: Tenant, rows: Sequence[Row[Any]]) -> list[Date]:
    known = calls_of(connection, (row.call_id for row in rows))
    return [_evidence(tenant, row.at, row.call_id, known) for row in rows]


def _deliveries(connection: Connection, tenant: Tenant, rows: Sequence[Row[Any]]) -> list[Date]:
    asked = select(recordings.c.id, recordings.c.call_id).where(
        recordings.c.id.in_({row.recording_id for row in rows})
    )
    of = {row.id: row.call_id for row in connection.execute(asked)}
    known = calls_of(connection, of.values())
    return [_evidence(tenant, row.begun_at, of.get(row.recording_id), known) for row in rows]


def _evidence(
    tenant: Tenant, since: datetime, call: str | None, known: Mapping[str, Concern]
) -> Date:
    keep = keeping_evidence(tenant, known.get(call or "", NOBODY))
    return Date(keep(since), call in known)


def _claims(_: Connection, tenant: Tenant, rows: Sequence[Row[Any]]) -> list[Date]:
    # A number that refused is left alone for a while, however short claims are kept.
    return [
        Date(
            kept_until(tenant, "consent", row.settled_at, concern=Concern(row.subject)),
            sure=row.state != "refused",
        )
        for row in rows
    ]


def _contacts(_: Connection, tenant: Tenant, rows: Sequence[Row[Any]]) -> list[Date]:
    return [
        Date(
            expires(
                tenant,
                row.subject,
                row.origin,
                since(row),
                restricted=is_restricted(row.known),
            )
        )
        for row in rows
    ]


def _exports(_: Connection, tenant: Tenant, rows: Sequence[Row[Any]]) -> list[Date]:
    return [Date(kept_until(tenant, "export", row.finished_at)) for row in rows]


BOOKS: Mapping[str, Book] = MappingProxyType(
    {
        "call_record": Book(call_records, (call_records.c.id,), _records),
        "verdict": Book(calls, (calls.c.id,), _verdicts),
        "attempt": Book(
            attempts, (attempts.c.subject, attempts.c.at, attempts.c.call_id), _attempts
        ),
        "recording": Book(
            recordings,
            (recordings.c.id,),
            _recordings,
            (recordings.c.state != "erasing", recordings.c.ended_at.is_not(None)),
        ),
        "recording_event": Book(recording_events, (recording_events.c.id,), _events),
        "delivery": Book(deliveries, (deliveries.c.recording_id, deliveries.c.place), _deliveries),
        "consent": Book(consents, (consents.c.id,), consent_dates),
        "opt_out_claim": Book(
            opt_out_claims,
            (opt_out_claims.c.id,),
            _claims,
            (opt_out_claims.c.settled_at.is_not(None),),
        ),
        "contact": Book(contacts, (contacts.c.subject,), _contacts),
        "export": Book(
            exports,
            (exports.c.id,),
            _exports,
            (exports.c.finished_at.is_not(None), exports.c.expires_at.is_not(None)),
        ),
    }
)
"""The tables whose rows get another date, the verdicts last of those that others ask."""

_EVIDENCE = ("recording_event", "delivery", "consent")

AFFECTED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "call_record": ("call_record",),
        "verdict": ("verdict",),
        "attempt": ("attempt",),
        "recording": ("recording", *_EVIDENCE),
        "consent": (*_EVIDENCE, "opt_out_claim"),
        "contact": ("contact",),
        "export": ("export",),
    }
)
"""Which tables depend on which class."""
