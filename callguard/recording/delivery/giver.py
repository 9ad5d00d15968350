"""Giving recordings away: what its tenant has, and wishes to have alone, goes from here.

Order: line in the erasure ledger -> header -> payload (``callguard.recording.erasure``), so that a
database that is restored from a backup gives it away again.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

import structlog
from sqlalchemy import Connection, select, update
from sqlalchemy.exc import SQLAlchemyError

from callguard.clock import Clock
from callguard.recording.delivery.giving import Given, given, keep_for_now, may_go
from callguard.recording.erasure import erase_for_good
from callguard.recording.store.objects import ObjectStore, ObjectStoreError
from callguard.retention.erasures.ledger import DELIVERED, Erasure, ErasureLedger
from callguard.storage.faults import one_line
from callguard.storage.journal import Journal, NotDurableError
from callguard.storage.schema import erasures

T = TypeVar("T")
log = structlog.get_logger(__name__)

DURABLE_S = 30.0
FINISH_S = 600.0
AT_ONCE = 200


class Giver:
    """Gives recordings away, one after the other."""

    def __init__(
        self, clock: Clock, journal: Journal, store: ObjectStore, ledger: ErasureLedger
    ) -> None:
        self._clock = clock
        self._journal = journal
        self._store = store
        self._ledger = ledger
        self._turn = asyncio.Lock()
        self._finished_at: float | None = None
        self._kept: str | None = None
        self._left: str | None = None

    @property
    def fault(self) -> str | None:
        """Why something that could go is still here."""
        return self._kept or self._left

    async def consider(self, recording: str) -> bool:
        """Gives it away if it may go; whether it went. What keeps it stands in its rows."""
        async with self._turn:
            now, found = self._clock.now(), list[Given]()

            def choose(connection: Connection) -> list[Erasure]:
                one = may_go(connection, recording, now)
                found[:] = [] if one is None else [one]
                return [Erasure(DELIVERED, one.recording, one.payload, now) for one in found]

            def then(connection: Connection, _: Sequence[Erasure]) -> None:
                for one in found:
                    given(connection, one, now)

            try:
                await erase_for_good(self._write, self._ledger, choose, then)
            except Exception as error:  # whatever it is, the recording stays, and that is told
                self._kept = one_line(error)
                log.error("not_given_away", recording=recording, reason=self._kept)
                await self._put_off(recording, self._kept)
                return False
            self._kept = None
        if found:
            log.info("given_away", recording=recording)
            await self._take_away([(found[0].recording, found[0].payload)])
        return bool(found)

    async def finish(self) -> None:
        """Takes away payloads that a crash, or a store that was down, left behind: looked for at
        the start, after a fault, and now and then."""
        at = self._clock.monotonic()
        if self._finished_at is not None and at - self._finished_at < FINISH_S:
            return
        self._finished_at = at
        while left := await self._write(_left):
            if not await self._take_away(left):
                return
        self._left = None

    async def _take_away(self, some: Sequence[tuple[str, str]]) -> bool:
        """The payloads of these recordings. What cannot be removed is told, and is later."""
        try:
            await asyncio.to_thread(self._store.delete, [payload for _, payload in some])
            names = [recording for recording, _ in some]
            await self._write(partial(_done, names=names, at=self._clock.now()))
        except (NotDurableError, SQLAlchemyError, ObjectStoreError) as error:
            self._left = one_line(error)
            log.error("payloads_not_removed", count=len(some), reason=self._left)
            return False
        return True

    async def _put_off(self, recording: str, fault: str) -> None:
        """So that a fault does not make it be tried again at every look."""
        reason = f"kept for now: {fault}"
        until = self._clock.now() + timedelta(seconds=FINISH_S)
        try:
            await self._write(
                partial(keep_for_now, recording=recording, reason=reason, until=until)
            )
        except (NotDurableError, SQLAlchemyError) as error:
            log.error("not_put_off", recording=recording, reason=one_line(error))

    async def _write(self, work: Callable[[Connection], T], /) -> T:
        return await self._journal.write(work, timeout=DURABLE_S)


def _left(connection: Connection) -> list[tuple[str, str]]:
    rows = connection.execute(
        select(erasures.c.object_id, erasures.c.payload)
        .where(erasures.c.done_at.is_(None), erasures.c.data_class == DELIVERED)
        .limit(AT_ONCE)
    )
    return [(row.object_id, row.payload or row.object_id) for row in rows]


def _done(connection: Connection, names: Sequence[str], at: datetime) -> None:
    connection.execute(
        update(erasures)
        .where(erasures.c.object_id.in_(names), erasures.c.data_class == DELIVERED)
        .values(done_at=at)
    )
