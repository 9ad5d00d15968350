"""Recordings and sealed archives that a purge takes. Each goes in this order: line in the erasure
ledger, tombstone and header gone (one transaction; from here on no copy of its payload can be
opened), payload gone, index row gone."""

import asyncio
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select, update
from sqlalchemy.sql import ColumnElement

from callguard.clock import Clock
from callguard.recording.erasure import Write, objects_of_erasure
from callguard.recording.store.objects import ObjectStore, ObjectStoreError
from callguard.recording.tombstones import WITH_PAYLOAD
from callguard.retention.erasures.ledger import ARCHIVE, RECORDING, Erasure
from callguard.retention.purging import pace as pace_module
from callguard.retention.purging.giving_way import GivingWay
from callguard.retention.purging.pace import Pace
from callguard.storage.schema import archives, erasures, recordings

PAYLOADS = 500
"""Most payloads that are removed at once: a store may sync each of its folders once a time."""

TABLES = {RECORDING: recordings, ARCHIVE: archives}

STALL_S = 3600.0
"""How long the store may take over so many: a disk that hangs keeps the rest of no purge."""

TRIES = 16
"""After so many that fail, and none that goes, it is the store, and no more of it is tried."""

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
    """Takes away the payloads of all that was begun to be erased, then the rows; how many. A
    payload that stays keeps no other. Raises ObjectStoreError or OSError after all that can go, and
    what ``write`` raises."""
    count, behind, pace, way = 0, 0, Pace(), way or GivingWay()
    fault: Exception | None = None
    while lot := await write(partial(_begun_erasures, behind=behind)):
        behind = lot[-1][0]
        begun = [one for _, one in lot]
        gone, why = await _taken_away(store, begun)
        fault = fault or why
        start = 0
        while some := gone[start : start + min(pace.rows, pace_module.MOST)]:
            start += len(some)
            took = await write(partial(_timed, clock=clock, begun=some))
            pace = pace.after(took)
            await way.rest(took)
        count += len(gone)
        if not gone or isinstance(why, TimeoutError):
            break
    if fault is not None:
        raise fault
    return count


async def _taken_away(
    store: ObjectStore, begun: Sequence[Begun]
) -> tuple[list[Begun], Exception | None]:
    """Whose payloads are gone, and why another's is not. What does not go together is tried in
    halves, the larger ones first."""
    gone, fault, failures, waiting = list[Begun](), None, 0, deque([begun])
    while waiting and (gone or failures < TRIES):
        some = waiting.popleft()
        names = [name for one in some for name in objects_of_erasure(*one)]
        limit = asyncio.timeout(STALL_S)
        try:
            async with limit:
                await asyncio.to_thread(store.delete, names)
        except TimeoutError as error:  # its thread is left to itself; the next would hang as well
            late = f"the store takes nothing away, not within {STALL_S / 60:g} minutes"
            return gone, TimeoutError(late) if limit.expired() else error
        except (ObjectStoreError, OSError) as error:
            fault, half = error, len(some) // 2
            failures += 1
            waiting += [some[:half], some[half:]] if half else []
        else:
            gone += some
    return gone, fault


def _begun_erasures(connection: Connection, behind: int) -> list[tuple[int, Begun]]:
    """The next that were begun, each with its place in the order in which they were."""
    own = erasures.c
    rows = connection.execute(
        select(own.seq, own.data_class, own.object_id, own.payload)
        .where(own.done_at.is_(None), own.data_class.in_(WITH_PAYLOAD), own.seq > behind)
        .order_by(own.seq)
        .limit(PAYLOADS)
    )
    return [(row.seq, (row.data_class, row.object_id, row.payload)) for row in rows]


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
