"""Erasing a subject: all that a tenant has of one number, in the one order. Lines in the ledger
durable -> tombstones, rows and headers gone, in one transaction for some at a time -> plaintext and
payloads gone -> certificate. What was cut short goes on with the same command.

The subject's opt-outs stay: a wish for peace that nobody remembers is none. What a hold or a law
keeps stays too, and the certificate says so.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from sqlalchemy import ColumnElement, Connection, Table, delete, insert, or_, select, update

from callguard.clock import Clock
from callguard.ids import uuid7
from callguard.recording.erasure import Write, erase_for_good, objects_of
from callguard.recording.spool import Spool
from callguard.recording.store.objects import ObjectStore
from callguard.recording.tombstones import forget, tombstoned
from callguard.recording.traces import record_id
from callguard.retention.erasures.ledger import (
    CALL,
    CALL_PART,
    CALL_RECORD,
    CONSENT,
    CONTACT,
    RECORDING,
    Erasure,
    ErasureLedger,
)
from callguard.retention.purging.erasing import end_erasures
from callguard.retention.subject.certificate import (
    ELSEWHERE,
    HOLD,
    WISH,
    Outcome,
    certify,
    note,
)
from callguard.retention.subject.rows import (
    OF_CALL,
    Demand,
    Trail,
    demanded,
    demanded_of_calls,
    held_calls,
    held_rows,
    rows_of_calls,
    trail_of,
)
from callguard.storage.schema import (
    call_records,
    consents,
    contacts,
    opt_out_claims,
    purges,
    recordings,
)
from callguard.tenants.tenant import Tenant

CALLS = 200
"""Most calls that one sync of the ledger and one transaction take."""


@dataclass(frozen=True, slots=True)
class Means:
    """What an erasure needs. ``read`` runs a query beside the writers: looking for what there is of
    a number takes as long as the tenant has call records."""

    read: Callable[[Callable[[Connection], Trail]], Awaitable[Trail]]
    write: Write
    ledger: ErasureLedger
    spool: Spool
    store: ObjectStore
    clock: Clock


async def erase_subject(
    means: Means, tenant: Tenant, subject: str, *, actor: str, reason: str
) -> tuple[str, Outcome]:
    """Erases all of a subject, given by its key; the certificate's id and what it came to. A second
    time takes what came since.

    Raises LedgerError and what ``means.write`` raises, SpoolError and ObjectStoreError; what is
    left is taken by the same again, payloads by the next purge too.
    """
    at, outcome = means.clock.now(), Outcome()
    name = str(uuid7(at))
    await means.write(partial(_begin, tenant=tenant, subject=subject, name=name, at=at))
    trail = await means.read(partial(trail_of, tenant=tenant, subject=subject))
    for step in _steps(trail, tenant, subject, at, outcome):
        await _take(means, step, name, outcome)
    await means.write(partial(_take_claims, ids=trail.claims, outcome=outcome, name=name))
    outcome.kept["opt_out", WISH] += trail.opt_outs
    outcome.kept["recording", ELSEWHERE] += trail.heard_elsewhere
    await means.write(
        partial(certify, name=name, at=at, now=means.clock.now(), tenant=tenant.id,
                actor=actor, reason=reason, outcome=outcome)
    )  # fmt: skip
    return name, outcome


def foresee(connection: Connection, tenant: Tenant, subject: str, now: datetime) -> Outcome:
    """What ``erase_subject`` would take and leave."""
    outcome, trail = Outcome(), trail_of(connection, tenant, subject)
    for step in _steps(trail, tenant, subject, now, outcome):
        step(connection)
    outcome.counts["opt_out_claim"] += len(trail.claims)
    outcome.kept["opt_out", WISH] += trail.opt_outs
    outcome.kept["recording", ELSEWHERE] += trail.heard_elsewhere
    return outcome


@dataclass(slots=True)
class _Chosen:
    """What one transaction takes."""

    erasures: list[Erasure] = field(default_factory=list)
    shortened: list[tuple[Table, ColumnElement[bool], datetime]] = field(default_factory=list)
    spool_names: list[str] = field(default_factory=list)
    payloads: list[tuple[str, str | None]] = field(default_factory=list)
    growing: set[str] = field(default_factory=set)


Step = Callable[[Connection], _Chosen]


def _steps(
    trail: Trail, tenant: Tenant, subject: str, at: datetime, outcome: Outcome
) -> Iterator[Step]:
    for start in range(0, len(trail.calls), CALLS):
        ids = trail.calls[start : start + CALLS]
        yield partial(_calls, tenant=tenant, subject=subject, ids=ids, at=at, outcome=outcome)
    rows: tuple[tuple[str, str, dict[str | int, str]], ...] = (
        ("call_record", CALL_RECORD, {row: name for name, row in trail.records.items()}),
        ("consent", CONSENT, {one: one for one in trail.consents}),
        ("contact", CONTACT, {one: one for one in trail.contacts}),
    )
    for name, line, found in rows:
        keys = list(found)
        for start in range(0, len(keys), CALLS):
            some = {key: found[key] for key in keys[start : start + CALLS]}
            yield partial(
                _rows, tenant=tenant, name=name, line=line, found=some, at=at, outcome=outcome
            )


def _begin(connection: Connection, tenant: Tenant, subject: str, name: str, at: datetime) -> None:
    row = {"id": name, "kind": "erase", "tenant": tenant.id, "started_at": at, "certificate": {}}
    connection.execute(insert(purges).values(row))
    unnamed = (
        contacts.c.tenant_id == tenant.id,
        contacts.c.subject == subject,
        contacts.c.id.is_(None),
    )
    connection.execute(update(contacts).where(*unnamed).values(id=str(uuid7(at))))


async def _take(means: Means, step: Step, name: str, outcome: Outcome) -> None:
    chosen = _Chosen()
    before = Outcome(outcome.counts.copy(), outcome.kept.copy(), outcome.under_way)

    def choose(connection: Connection) -> list[Erasure]:
        nonlocal chosen
        # It may be run twice.
        outcome.counts, outcome.kept = before.counts.copy(), before.kept.copy()
        outcome.under_way = before.under_way
        chosen = step(connection)
        _shorten(connection, chosen.shortened)
        known = tombstoned(connection, {one.key for one in chosen.erasures})
        # What came after its line was applied goes at once: the line is durable.
        forget(connection, [one for one in chosen.erasures if one.key in known])
        return [one for one in chosen.erasures if one.key not in known]

    def then(connection: Connection, _: Sequence[Erasure]) -> None:
        note(connection, name, outcome)

    await erase_for_good(means.write, means.ledger, choose, then)
    if chosen.spool_names and means.spool.is_there():
        for spooled in chosen.spool_names:
            await asyncio.to_thread(means.spool.remove, spooled)
    names = [one for found in chosen.payloads for one in objects_of(*found)]
    if names:
        await asyncio.to_thread(means.store.delete, names)
        done = [(RECORDING, *found) for found in chosen.payloads if found[0] not in chosen.growing]
        await means.write(partial(end_erasures, begun=done, at=means.clock.now()))


def _calls(
    connection: Connection,
    tenant: Tenant,
    subject: str,
    ids: Sequence[str],
    at: datetime,
    outcome: Outcome,
) -> _Chosen:
    chosen, held = _Chosen(), held_calls(connection, ids)
    _keep(outcome, rows_of_calls(connection, subject, sorted(held)), HOLD)
    free = [one for one in ids if one not in held]
    laws = demanded_of_calls(connection, tenant, free, at)
    outcome.counts.update(rows_of_calls(connection, subject, free))
    for call in free:
        kept = laws.get(call, {})
        if not kept:
            chosen.erasures.append(Erasure(CALL, call, None, at))
            continue
        chosen.erasures.append(Erasure(CALL_PART, f"{call}/{'+'.join(sorted(kept))}", None, at))
        if "call_record" not in kept:  # else Asterisk's file would bring them again
            chosen.erasures += _records_of(connection, call, at)
        rows = rows_of_calls(connection, subject, [call])
        for name, demand in kept.items():
            table, key = OF_CALL[name]
            chosen.shortened.append((table, key == call, demand.until))
            stays = [name, "recording_event", "delivery"] if name == "recording" else [name]
            _keep(outcome, {one: rows[one] for one in stays}, demand.limit)
            outcome.counts.subtract({one: rows[one] for one in stays})
    whole = [one for one in free if "recording" not in laws.get(one, {})]
    for row in connection.execute(
        select(recordings).where(
            recordings.c.call_id.in_(whole), recordings.c.tenant_id == tenant.id
        )
    ):
        chosen.erasures.append(Erasure(RECORDING, row.id, row.payload or row.id, at))
        chosen.payloads.append((row.id, row.payload))
        chosen.spool_names.append(row.spool_name)
        if row.state == "recording" or (row.state == "erasing" and row.payload is None):
            chosen.growing.add(row.id)
            outcome.under_way += 1
    return chosen


def _records_of(connection: Connection, call: str, at: datetime) -> list[Erasure]:
    own = call_records.c
    rows = connection.execute(
        select(own.pbx, own.uniqueid, own.sequence).where(own.call_id == call)
    )
    names = [record_id(row.pbx, row.uniqueid, row.sequence) for row in rows]
    return [Erasure(CALL_RECORD, name, None, at) for name in names]


_TABLES = {"call_record": call_records, "consent": consents, "contact": contacts}


def _rows(
    connection: Connection,
    tenant: Tenant,
    name: str,
    line: str,
    found: Mapping[str | int, str],
    at: datetime,
    outcome: Outcome,
) -> _Chosen:
    chosen, table = _Chosen(), _TABLES[name]
    held = held_rows(connection, table, list(found))
    outcome.kept[name, HOLD] += len(held)
    for row in connection.execute(select(table).where(table.c.id.in_(found.keys() - held))):
        demand: Demand | None = demanded(tenant, name, row, at)
        if demand is not None:
            outcome.kept[name, demand.limit] += 1
            chosen.shortened.append((table, table.c.id == row.id, demand.until))
            continue
        outcome.counts[name] += 1
        chosen.erasures.append(Erasure(line, found[row.id], None, at))
    return chosen


def _keep(outcome: Outcome, rows: Mapping[str, int], basis: str) -> None:
    for name, count in rows.items():
        outcome.kept[name, basis] += count


def _shorten(
    connection: Connection, kept: Sequence[tuple[Table, ColumnElement[bool], datetime]]
) -> None:
    """What only a law keeps goes when the law lets it."""
    for table, which, until in kept:
        later = or_(table.c.expires_at.is_(None), table.c.expires_at > until)
        connection.execute(update(table).where(which, later).values(expires_at=until))


def _take_claims(connection: Connection, ids: Sequence[str], outcome: Outcome, name: str) -> None:
    """Numbers that somebody typed on the opt-out line: they bind nobody, and go within weeks."""
    taken = connection.execute(delete(opt_out_claims).where(opt_out_claims.c.id.in_(ids)))
    outcome.counts["opt_out_claim"] = max(outcome.counts["opt_out_claim"], taken.rowcount)
    note(connection, name, outcome)
