"""The purge: takes away what has expired, in small transactions, and leaves a certificate.

A recording goes in this order: tombstone in the erasure ledger and header gone (one
transaction; from here on no copy of its payload can be opened), payload gone, index row gone.
Rows of other kinds go between the first step and the second, so that a store that fails keeps
none of them. A purge that was cut short is taken up by the next one from its tombstones; what it
took stands in its own certificate, which then has no end.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Protocol, TypeVar

import structlog
from sqlalchemy import Connection, Table, delete, func, insert, select, tuple_, update
from sqlalchemy.sql import ColumnElement

from callguard.audit.log import Entry, append
from callguard.clock import Clock
from callguard.ids import uuid7
from callguard.recording.erasure import begin_erasures
from callguard.recording.objects import ObjectStore
from callguard.storage.schema import (
    attempts,
    call_records,
    calls,
    consents,
    erasures,
    opt_out_claims,
    purges,
    recording_events,
    recordings,
    scrubs,
)

T = TypeVar("T")
log = structlog.get_logger(__name__)

ROWS = 1_000
"""Most rows that one transaction deletes, so that no call waits long for its own."""

RECORDINGS = 200

TABLES: dict[str, Table] = {
    "call_record": call_records,
    "verdict": calls,
    "attempt": attempts,
    "consent": consents,
    "recording": recordings,
    "recording_event": recording_events,
    "scrub": scrubs,
    "opt_out_claim": opt_out_claims,
}
"""The tables of the data classes; each has ``tenant_id`` and ``expires_at``."""


class Write(Protocol):
    """Runs work in one durable transaction."""

    def __call__(self, work: Callable[[Connection], T], /) -> Awaitable[T]: ...


@dataclass(frozen=True, slots=True)
class Due:
    """What has expired of one class and tenant. ``bytes`` is of sealed audio."""

    data_class: str
    tenant: str | None
    count: int
    oldest: datetime
    bytes: int

    def as_json(self) -> dict[str, object]:
        return {
            "class": self.data_class,
            "tenant": self.tenant,
            "count": self.count,
            "oldest": self.oldest.isoformat(),
            "bytes": self.bytes,
        }


def due(connection: Connection, now: datetime) -> list[Due]:
    """What a purge at ``now`` would take."""
    found = []
    for name, table in TABLES.items():
        size: ColumnElement[int] = func.count() * 0
        if table is recordings:
            size = func.coalesce(func.sum(recordings.c.sealed_bytes), 0)
        rows = connection.execute(
            select(table.c.tenant_id, func.count(), func.min(table.c.expires_at), size)
            .where(table.c.expires_at <= now)
            .group_by(table.c.tenant_id)
        )
        found += [Due(name, tenant, count, oldest, total) for tenant, count, oldest, total in rows]
    return found


@dataclass(frozen=True, slots=True)
class Certificate:
    """What one purge took: counts, not data. ``resumed`` are recordings that a purge before it
    had counted and not finished."""

    id: str
    started_at: datetime
    finished_at: datetime
    counts: dict[str, int]
    resumed: int

    def as_json(self) -> dict[str, object]:
        return {
            "id": self.id,
            "started_at": self.started_at.isoformat(),
            "finished_at": self.finished_at.isoformat(),
            "counts": self.counts,
            "resumed": self.resumed,
        }


async def purge(write: Write, store: ObjectStore, clock: Clock, *, actor: str) -> Certificate:
    """Takes all that had expired when it was called.

    Raises ObjectStoreError or what ``write`` raises; then it is taken up by the next one.
    """
    now = clock.now()
    purge_id = str(uuid7(now))
    resumed = await write(partial(_begin, purge_id=purge_id, now=now))
    counts = dict.fromkeys(TABLES, 0)
    for name in ("recording", *(name for name in TABLES if name != "recording")):
        step = partial(_take_some, purge_id=purge_id, name=name, now=now, counts=counts)
        while taken := await write(step):
            counts[name] += taken
    await _finish_erasures(write, store, clock)
    certificate = Certificate(purge_id, now, clock.now(), counts, resumed)
    await write(lambda c: _certify(c, certificate, actor))
    log.info("purged", purge=purge_id, resumed=resumed, **counts)
    return certificate


def _begin(connection: Connection, purge_id: str, now: datetime) -> int:
    """Opens the certificate; how many erasures were begun and not finished."""
    connection.execute(insert(purges).values(id=purge_id, started_at=now, certificate={}))
    begun = select(func.count()).select_from(erasures).where(erasures.c.done_at.is_(None))
    return connection.execute(begun).scalar_one()


def _take_some(
    connection: Connection, purge_id: str, name: str, now: datetime, counts: dict[str, int]
) -> int:
    """Takes a few rows of one class and enters them in the certificate, together."""
    table = TABLES[name]
    if table is recordings:
        taken = _begin_erasures(connection, now)
    else:
        taken = _delete_some(connection, table, now)
    if taken:
        so_far = {"id": purge_id, "counts": {**counts, name: counts[name] + taken}}
        connection.execute(update(purges).where(purges.c.id == purge_id).values(certificate=so_far))
    return taken


def _begin_erasures(connection: Connection, now: datetime) -> int:
    ids = connection.execute(
        select(recordings.c.id)
        .where(recordings.c.expires_at <= now, recordings.c.state != "erasing")
        .limit(RECORDINGS)
    ).scalars()
    return len(begin_erasures(connection, list(ids), now))


async def _finish_erasures(write: Write, store: ObjectStore, clock: Clock) -> None:
    while begun := await write(_begun_erasures):
        payloads = [payload for _, payload in begun if payload]
        await asyncio.to_thread(store.delete, payloads)
        ids = [object_id for object_id, _ in begun]
        at = clock.now()
        await write(partial(_end_erasures, ids=ids, at=at))


def _begun_erasures(connection: Connection) -> list[tuple[str, str | None]]:
    rows = connection.execute(
        select(erasures.c.object_id, erasures.c.payload)
        .where(erasures.c.done_at.is_(None), erasures.c.data_class == "recording")
        .limit(RECORDINGS)
    )
    return [(row.object_id, row.payload) for row in rows]


def _end_erasures(connection: Connection, ids: list[str], at: datetime) -> None:
    connection.execute(delete(recordings).where(recordings.c.id.in_(ids)))
    connection.execute(update(erasures).where(erasures.c.object_id.in_(ids)).values(done_at=at))


def _delete_some(connection: Connection, table: Table, now: datetime) -> int:
    key = table.primary_key.columns.values()
    some = select(*key).where(table.c.expires_at <= now).limit(ROWS)
    return connection.execute(delete(table).where(tuple_(*key).in_(some))).rowcount


def _certify(connection: Connection, certificate: Certificate, actor: str) -> None:
    connection.execute(
        update(purges)
        .where(purges.c.id == certificate.id)
        .values(finished_at=certificate.finished_at, certificate=certificate.as_json())
    )
    target = f"purge:{certificate.id}"
    details = certificate.as_json()
    append(
        connection,
        Entry(certificate.finished_at, actor, "purge", target, None, details),
    )
