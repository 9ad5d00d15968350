"""Which rows of a tenant are about one subject, and what keeps some of them: a hold or a law."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, and_, exists, func, or_, select

from callguard.policy.limits import RetentionLimit
from callguard.policy.numbers import parse_number
from callguard.recording.traces import record_id
from callguard.retention.holds.covering import is_held
from callguard.retention.schedule import RecordFacts, concerns
from callguard.storage.schema import (
    attempts,
    call_records,
    calls,
    consents,
    contacts,
    deliveries,
    opt_out_claims,
    opt_outs,
    recording_events,
    recordings,
)
from callguard.tenants.keeping import region_of, zone_of
from callguard.tenants.tenant import Tenant

AT_ONCE = 500
"""Ids that one statement names."""

TAIL = 6
"""Digits at the end of a number by which records are looked for that write it in any way."""
WRITTEN = ("caller", "called", "channel", "peer_channel", "routed_to", "userfield")
"""Where a call record may name a number, perhaps within other text: ``Local/0207…@transfer``."""

_NUMBER = re.compile(r"\+?[0-9][0-9 ().-]{4,}[0-9]", re.ASCII)

OF_CALL: Mapping[str, tuple[Table, ColumnElement[Any]]] = {
    "verdict": (calls, calls.c.id),
    "call_record": (call_records, call_records.c.call_id),
    "consent": (consents, consents.c.call_id),
    "recording": (recordings, recordings.c.call_id),
    "recording_event": (recording_events, recording_events.c.call_id),
    "opt_out_claim": (opt_out_claims, opt_out_claims.c.call_id),
}
"""The tables of a call by their data class, and what is its id there; attempts are beside them, for
they are found by their subject."""


@dataclass(frozen=True, slots=True)
class Trail:
    """What there is of a subject, by id: its calls; call records (as the ledger names them), proofs
    of consent and contacts that are no part of these; recordings of others' calls in which it
    agreed; how many opt-outs."""

    calls: tuple[str, ...]
    records: Mapping[str, int]
    consents: tuple[str, ...]
    contacts: tuple[str, ...]
    claims: tuple[str, ...]
    heard_elsewhere: int
    opt_outs: int


@dataclass(frozen=True, slots=True)
class Demand:
    """What a law keeps: until when, and by which limit."""

    until: datetime
    limit: str


def trail_of(connection: Connection, tenant: Tenant, subject: str) -> Trail:
    """Everything of one subject of one tenant, expired or not."""
    own = _calls_of(connection, tenant, subject)
    records = {
        record_id(row.pbx, row.uniqueid, row.sequence): int(row.id)
        for row in _records_of(connection, tenant, subject, own)
    }
    rows = connection.execute(
        select(consents.c.id, consents.c.call_id).where(_whose(consents, tenant, subject))
    ).all()
    others = [row for row in rows if row.call_id not in own]
    elsewhere = {row.call_id for row in others if row.call_id is not None}
    return Trail(
        tuple(sorted(own)),
        records,
        tuple(row.id for row in others),
        _ids(connection, contacts, tenant, subject),
        _ids(connection, opt_out_claims, tenant, subject),
        _count(connection, recordings, recordings.c.call_id, elsewhere),
        connection.execute(
            select(func.count())
            .select_from(opt_outs)
            .where(
                opt_outs.c.subject == subject,
                or_(opt_outs.c.tenant_id == tenant.id, opt_outs.c.tenant_id.is_(None)),
            )
        ).scalar_one(),
    )


def counts_of(connection: Connection, subject: str, trail: Trail) -> dict[str, int]:
    """How many rows of each data class that is."""
    found = rows_of_calls(connection, subject, trail.calls)
    found["call_record"] += len(trail.records)
    found["consent"] += len(trail.consents)
    found["contact"] = len(trail.contacts)
    found["opt_out_claim"] += len(trail.claims)
    found["opt_out"] = trail.opt_outs
    return found


def rows_of_calls(connection: Connection, subject: str, ids: Sequence[str]) -> dict[str, int]:
    """How many rows of each data class belong to these calls of a subject."""
    found = {name: _count(connection, table, key, ids) for name, (table, key) in OF_CALL.items()}
    mine = attempts.c.subject == subject
    found["attempt"] = _count(connection, attempts, attempts.c.call_id, ids, mine)
    found["delivery"] = sum(
        connection.execute(
            select(func.count())
            .select_from(deliveries.join(recordings, deliveries.c.recording_id == recordings.c.id))
            .where(recordings.c.call_id.in_(some))
        ).scalar_one()
        for some in _batches(ids)
    )
    return found


def held_calls(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Those of which a hold covers anything; the whole call then stays."""
    held = set[str]()
    for table, key in OF_CALL.values():
        held |= set(connection.execute(select(key).where(key.in_(ids), is_held(table))).scalars())
    return held


def held_rows(connection: Connection, table: Table, ids: Collection[Any]) -> set[Any]:
    """The ids of the rows that a hold covers."""
    some = select(table.c.id).where(table.c.id.in_(ids), is_held(table))
    return set(connection.execute(some).scalars())


def demanded_of_calls(
    connection: Connection, tenant: Tenant, ids: Sequence[str], now: datetime
) -> dict[str, dict[str, Demand]]:
    """What the law keeps of these calls: by call and data class, until the latest instant."""
    found: dict[str, dict[str, Demand]] = {}
    about: dict[str, Any] = {
        row.id: row
        for row in connection.execute(
            select(calls.c.id, calls.c.subject, calls.c.purpose, calls.c.direction).where(
                calls.c.id.in_(ids)
            )
        )
    }
    for name in ("call_record", "consent", "recording"):
        if not _floors(tenant, name):
            continue
        table, key = OF_CALL[name]
        for row in connection.execute(select(table).where(key.in_(ids))):
            demand = demanded(tenant, name, row, now, about.get(row.call_id))
            known = found.setdefault(row.call_id, {}).get(name)
            if demand is not None and (known is None or demand.until > known.until):
                found[row.call_id][name] = demand
    return {call: kept for call, kept in found.items() if kept}


def demanded(
    tenant: Tenant, name: str, row: Row[Any], now: datetime, call: Any = None
) -> Demand | None:
    """What the law keeps of one row of a class, where it does."""
    told = row._asdict()
    since = next(
        (told[key] for key in ("ended_at", "exchanged_at", "at", "started_at", "updated_at")
         if key in told and told[key] is not None),
        now,
    )  # fmt: skip
    facts = RecordFacts(
        since,
        tenant.settings.home_region,
        tenant.settings.licensed_operator,
        region_of(told.get("subject") or (call.subject if call is not None else "") or ""),
        told.get("purpose") or (call.purpose if call is not None else "") or "",
        told.get("direction") or (call.direction if call is not None else "") or "",
        zone_of(tenant),
    )
    ends = [
        Demand(limit.span.after(since, facts.zone), limit.id)
        for limit in _floors(tenant, name)
        if concerns(limit, name, facts, now)
    ]
    latest = max(ends, key=lambda one: one.until, default=None)
    return latest if latest is not None and latest.until > now else None


def _floors(tenant: Tenant, name: str) -> list[RetentionLimit]:
    return [one for one in tenant.limits if one.bound == "floor" and one.data_class == name]


def _calls_of(connection: Connection, tenant: Tenant, subject: str) -> set[str]:
    """The calls whose subject it is; also those of which only other rows are left, where these name
    nobody else."""
    own = set(
        connection.execute(select(calls.c.id).where(_whose(calls, tenant, subject))).scalars()
    )
    for table in (consents, attempts, call_records):
        key = table.c.call_id
        nobody_else = [
            ~exists(select(other.c.id).where(other.c.call_id == key, other.c.subject != subject))
            for other in (consents.alias(), call_records.alias())
        ]
        alone = ~exists(select(calls.c.id).where(calls.c.id == key))
        wanted = select(key).where(
            _whose(table, tenant, subject), key.is_not(None), alone, *nobody_else
        )
        own |= set(connection.execute(wanted).scalars())
    return own


def _records_of(
    connection: Connection, tenant: Tenant, subject: str, own: Collection[str]
) -> Iterator[Row[Any]]:
    """The call records that name the subject, or belong to a call of it without saying so, and that
    do not go with its calls."""
    table, seen = call_records, set[int]()
    named = [table.c.subject == subject]
    if len(tail := subject[-TAIL:]) == TAIL and tail.isdecimal():
        named += [_digits(table.c[one]).contains(tail) for one in WRITTEN]
    wanted = select(table).where(table.c.tenant_id == tenant.id, or_(*named))
    for row in connection.execute(wanted):
        if row.call_id not in own and subject in _named(row, tenant.settings.home_region):
            seen.add(row.id)
            yield row
    linked = table.alias()
    for some in _batches(sorted(own)):
        legs = select(table).where(
            table.c.call_id.is_(None),
            exists(
                select(linked.c.id).where(
                    linked.c.call_id.in_(some),
                    linked.c.pbx == table.c.pbx,
                    linked.c.linkedid == table.c.linkedid,
                )
            ),
        )
        for row in connection.execute(legs):
            if row.id not in seen:
                seen.add(row.id)
                yield row


def _named(row: Row[Any], region: str) -> set[str | None]:
    """Whom a record names: its subject, and the keys of the numbers that stand in its texts."""
    told = row._asdict()
    texts = [told[one] or "" for one in WRITTEN]
    texts += [one for text in texts for one in _NUMBER.findall(text)]
    return {row.subject, *(parse_number(text, region).key for text in texts)}


def _digits(number: ColumnElement[str]) -> ColumnElement[str]:
    """A number without what people put between its digits."""
    for between in " -.()":
        number = func.replace(number, between, "")
    return number


def _whose(table: Table, tenant: Tenant, subject: str) -> ColumnElement[bool]:
    return and_(table.c.tenant_id == tenant.id, table.c.subject == subject)


def _ids(connection: Connection, table: Table, tenant: Tenant, subject: str) -> tuple[str, ...]:
    found = connection.execute(select(table.c.id).where(_whose(table, tenant, subject))).scalars()
    return tuple(one for one in found if one is not None)


def _count(
    connection: Connection,
    table: Table,
    key: ColumnElement[Any],
    ids: Iterable[str],
    *where: ColumnElement[bool],
) -> int:
    return sum(
        connection.execute(
            select(func.count()).select_from(table).where(key.in_(some), *where)
        ).scalar_one()
        for some in _batches(sorted(ids))
    )


def _batches(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), AT_ONCE):
        yield ids[start : start + AT_ONCE]
