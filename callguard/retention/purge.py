"""The purge: takes away what has expired, in small transactions, and leaves a certificate.

A recording goes in this order: line in the erasure ledger, tombstone and header gone (one
transaction; from here on no copy of its payload can be opened), payload gone, index row gone.
Rows of other kinds go before the payloads, so that a store that fails keeps none of them. What a
hold covers stays, hidden. A purge that was cut short is taken up by the next one from its
tombstones; what it took stands in its own certificate, which then has no end.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import structlog
from sqlalchemy import Connection, Table, and_, delete, func, insert, select, tuple_, update
from sqlalchemy.sql import ColumnElement

from callguard.audit.log import Entry, append
from callguard.clock import Clock
from callguard.ids import uuid7
from callguard.recording.erasure import Write, erase_for_good, objects_of, of_recordings
from callguard.recording.store.objects import ObjectStore
from callguard.retention.further import Due
from callguard.retention.holds import is_held
from callguard.retention.ledger import DELIVERED, RECORDING, Erasure, ErasureLedger
from callguard.storage.schema import (
    attempts,
    call_records,
    calls,
    consents,
    deliveries,
    erasures,
    opt_out_claims,
    purges,
    recording_events,
    recordings,
    scrubs,
)

__all__ = ["Certificate", "Due", "Write", "due", "end_erasures", "finish_erasures", "purge"]

log = structlog.get_logger(__name__)

ROWS = 1_000
"""Most rows that one transaction deletes, so that no call waits long for its own."""

RECORDINGS = 1_000
"""Most recordings that one sync of the ledger and one transaction take."""

PAYLOADS = 5_000
"""Most payloads that are removed at once: a store may sync each of its folders once a time."""

TABLES: dict[str, Table] = {
    "call_record": call_records,
    "verdict": calls,
    "attempt": attempts,
    "consent": consents,
    "recording": recordings,
    "recording_event": recording_events,
    "delivery": deliveries,
    "scrub": scrubs,
    "opt_out_claim": opt_out_claims,
}
"""The tables of the data classes; each has ``tenant_id`` and ``expires_at``."""


def due(connection: Connection, now: datetime) -> list[Due]:
    """What a purge at ``now`` would take."""
    found = []
    for name, table in TABLES.items():
        size: ColumnElement[int] = func.count() * 0
        if table is recordings:
            size = func.coalesce(func.sum(recordings.c.sealed_bytes), 0)
        rows = connection.execute(
            select(table.c.tenant_id, func.count(), func.min(table.c.expires_at), size)
            .where(_expired(table, now))
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


async def purge(
    write: Write, store: ObjectStore, ledger: ErasureLedger, clock: Clock, *, actor: str
) -> Certificate:
    """Takes all that had expired when it was called.

    Raises LedgerError, ObjectStoreError or what ``write`` raises; then it is taken up by the next
    one.
    """
    now = clock.now()
    purge_id = str(uuid7(now))
    resumed = await write(partial(_begin, purge_id=purge_id, now=now))
    counts = dict.fromkeys(TABLES, 0)
    await _take_recordings(write, ledger, purge_id, now, counts)
    for name in TABLES:
        if name == RECORDING:
            continue
        step = partial(_take_some, purge_id=purge_id, name=name, now=now, counts=counts)
        while taken := await write(step):
            counts[name] += taken
    await finish_erasures(write, store, clock)
    certificate = Certificate(purge_id, now, clock.now(), counts, resumed)
    await write(lambda c: _certify(c, certificate, actor))
    log.info("purged", purge=purge_id, resumed=resumed, **counts)
    return certificate


def _expired(table: Table, now: datetime) -> ColumnElement[bool]:
    return and_(table.c.expires_at <= now, ~is_held(table))


def _begin(connection: Connection, purge_id: str, now: datetime) -> int:
    """Opens the certificate; how many erasures were begun and not finished."""
    connection.execute(insert(purges).values(id=purge_id, started_at=now, certificate={}))
    begun = select(func.count()).select_from(erasures).where(erasures.c.done_at.is_(None))
    return connection.execute(begun).scalar_one()


async def _take_recordings(
    write: Write, ledger: ErasureLedger, purge_id: str, now: datetime, counts: dict[str, int]
) -> None:
    """Begins their erasure, and enters in the certificate those that it brought about."""
    taken = 0

    def note(connection: Connection, new: Sequence[Erasure]) -> None:
        nonlocal taken
        taken = sum(erasure.data_class == RECORDING for erasure in new)
        _note(connection, purge_id, {**counts, RECORDING: counts[RECORDING] + taken})

    while await erase_for_good(write, ledger, partial(_some_expired, now=now), note):
        counts[RECORDING] += taken


def _some_expired(connection: Connection, now: datetime) -> list[Erasure]:
    ids = connection.execute(
        select(recordings.c.id)
        .where(_expired(recordings, now), recordings.c.state != "erasing")
        .limit(RECORDINGS)
    ).scalars()
    return of_recordings(connection, list(ids), now)


def _take_some(
    connection: Connection, purge_id: str, name: str, now: datetime, counts: dict[str, int]
) -> int:
    """Takes a few rows of one class and enters them in the certificate, together."""
    taken = _delete_some(connection, TABLES[name], now)
    if taken:
        _note(connection, purge_id, {**counts, name: counts[name] + taken})
    return taken


def _note(connection: Connection, purge_id: str, counts: dict[str, int]) -> None:
    so_far = {"id": purge_id, "counts": counts}
    connection.execute(update(purges).where(purges.c.id == purge_id).values(certificate=so_far))


async def finish_erasures(write: Write, store: ObjectStore, clock: Clock) -> int:
    """Takes away the payloads of all that was begun to be erased, then the rows; how many.
    Raises ObjectStoreError and what ``write`` raises."""
    count = 0
    while begun := await write(_begun_erasures):
        names = [name for _, object_id, payload in begun for name in objects_of(object_id, payload)]
        await asyncio.to_thread(store.delete, names)
        for start in range(0, len(begun), RECORDINGS):
            some = begun[start : start + RECORDINGS]
            await write(partial(end_erasures, begun=some, at=clock.now()))
        count += len(begun)
    return count


Begun = tuple[str, str, str | None]
"""Class, id and payload of a tombstone whose payload may still be there."""


def _begun_erasures(connection: Connection) -> list[Begun]:
    rows = connection.execute(
        select(erasures.c.data_class, erasures.c.object_id, erasures.c.payload)
        .where(erasures.c.done_at.is_(None), erasures.c.data_class.in_((RECORDING, DELIVERED)))
        .limit(PAYLOADS)
    )
    return [(row.data_class, row.object_id, row.payload) for row in rows]


def end_erasures(connection: Connection, begun: Sequence[Begun], at: datetime) -> None:
    """The payloads are gone: so go the rows, and it is said when."""
    for data_class in (RECORDING, DELIVERED):
        ids = [object_id for found, object_id, _ in begun if found == data_class]
        if data_class == RECORDING:
            connection.execute(delete(recordings).where(recordings.c.id.in_(ids)))
        ended = update(erasures).where(
            erasures.c.object_id.in_(ids), erasures.c.data_class == data_class
        )
        connection.execute(ended.values(done_at=at))


def _delete_some(connection: Connection, table: Table, now: datetime) -> int:
    key = table.primary_key.columns.values()
    some = select(*key).where(_expired(table, now)).limit(ROWS)
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
