"""Recordings and sealed archives that a purge takes. Each goes in this order: line in the erasure
ledger, tombstone and header gone (one transaction; from here on no copy of its payload can be
opened), payload gone, index row gone."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select, update
from sqlalchemy.sql import ColumnElement

from callguard.clock import Clock
from callguard.recording.erasure import Write, objects_of_erasure
from callguard.recording.store.objects import ObjectStore
from callguard.recording.tombstones import WITH_PAYLOAD
from callguard.retention.erasures.ledger import ARCHIVE, RECORDING, Erasure
from callguard.retention.purging import pace as pace_module
from callguard.retention.purging.giving_way import GivingWay
from callguard.retention.purging.pace import Pace
from callguard.storage.schema import archives, erasures, recordings

PAYLOADS = 500
"""Most payloads that are removed at once: a store may sync each of its folders once a time."""

TABLES = {RECORDING: recordings, ARCHIVE: archives}

Begun = tuple[str, str, str | None]
"""Class, id and payload of a tombstone whose payload may still be there."""


def wanted(data_class: str) -> Sequence[ColumnElement[Any]]:
    """What of a row is asked for ``erasures_of``."""
    own = TABLES[data_class].c
    return own.id, own.payload, own.state


def erasures_of(data_class: str, rows: Sequence[Row[Any]], at: datetime) -> list[Erasure]:
    """The erasures of those that are not being erased yet."""
    # What is just being sealed lies under its own id before the row says so.
    own_id = data_class == RECORDING
    return [
        Erasure(data_class, row.id, row.payload or (row.id if own_id else None), at)
        for row in rows
        if row.state != "erasing"
    ]


def unfinished(connection: Connection) -> int:
    """How many erasures were begun and not finished."""
    begun = select(func.count()).select_from(erasures).where(erasures.c.done_at.is_(None))
    return connection.execute(begun).scalar_one()


async def finish_erasures(
    write: Write, store: ObjectStore, clock: Clock, way: GivingWay | None = None
) -> int:
    """Takes away the payloads of all that was begun to be erased, then the rows; how many.
    Raises ObjectStoreError and what ``write`` raises."""
    count, pace, way = 0, Pace(), way or GivingWay()
    while begun := await write(_begun_erasures):
        names = [name for begun_one in begun for name in objects_of_erasure(*begun_one)]
        await asyncio.to_thread(store.delete, names)
        start = 0
        while some := begun[start : start + min(pace.rows, pace_module.MOST)]:
            start += len(some)
            took = await write(partial(_timed, clock=clock, begun=some))
            pace = pace.after(took)
            await way.rest(took)
        count += len(begun)
    return count


def _begun_erasures(connection: Connection) -> list[Begun]:
    rows = connection.execute(
        select(erasures.c.data_class, erasures.c.object_id, erasures.c.payload)
        .where(erasures.c.done_at.is_(None), erasures.c.data_class.in_(WITH_PAYLOAD))
        .limit(PAYLOADS)
    )
    return [(row.data_class, row.object_id, row.payload) for row in rows]


def _timed(connection: Connection, clock: Clock, begun: Sequence[Begun]) -> float:
    since = clock.monotonic()
    end_erasures(connection, begun, clock.now())
    return clock.monotonic() - since


def end_erasures(connection: Connection, begun: Sequence[Begun], at: datetime) -> None:
    """The payloads are gone: so go the rows, and it is said when."""
    for data_class in WITH_PAYLOAD:
        ids = [object_id for found, object_id, _ in begun if found == data_class]
        if not ids:
            continue
        if data_class in TABLES:
            table = TABLES[data_class]
            connection.execute(delete(table).where(table.c.id.in_(ids)))
        ended = update(erasures).where(
            erasures.c.object_id.in_(ids), erasures.c.data_class == data_class
        )
        connection.execute(ended.values(done_at=at))
