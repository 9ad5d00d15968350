"""One purge under way: what it takes, in which order each thing goes, and what it notes of that."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import structlog
from sqlalchemy import Connection

from callguard.clock import Clock
from callguard.recording.erasure import Entered, Write, apply_entered, enter
from callguard.recording.store.objects import ObjectStore, ObjectStoreError
from callguard.retention.erasures.ledger import Erasure, ErasureLedger
from callguard.retention.purging import audit_prefix, certificates, export_files, leader
from callguard.retention.purging import pace as pace_module
from callguard.retention.purging.certificates import Certificate, Tally
from callguard.retention.purging.erasing import TABLES as SEALED
from callguard.retention.purging.erasing import erasures_of, finish_erasures, wanted
from callguard.retention.purging.expired import TABLES, kept_by_holds, next_rows
from callguard.retention.purging.leader import BusyError, Lease
from callguard.retention.purging.pace import Pace
from callguard.retention.purging.surroundings import Surroundings

T = TypeVar("T")
log = structlog.get_logger(__name__)

LOT = 200
"""Recordings or archives that go into the erasure ledger with one sync."""

LOOK_S = 1.0
"""How often a purge looks at the clock."""

KEEP_S = leader.LEASE_S / 3
"""How often it renews its lease while a step waits for a store or a folder."""

STALE_S = leader.RENEW_S
"""How long before their lines holds may have been asked: well within a lease."""

ROOM_S = 4 * 3600.0
"""How long one further room may take: a disk that hangs keeps none of the others."""

Place = tuple[Any, ...] | None


class Run:
    """One purge under way. Every transaction asks first whether it is still the leader, and now and
    then whether the clock can still be believed."""

    def __init__(
        self,
        write: Write,
        clock: Clock,
        around: Surroundings,
        purge_id: str,
        actor: str,
        now: datetime,
        lease: Lease,
        facts: Mapping[str, object],
    ) -> None:
        self._write = write
        self._clock = clock
        self._around = around
        self._id = purge_id
        self._actor = actor
        self._now = now
        self._lease = lease
        self._facts = facts
        self._faults = dict[str, str]()
        self._looked = clock.monotonic()
        self._took = self._worked = 0.0
        self.tally = Tally(dict.fromkeys(TABLES, 0))

    async def fenced(self, work: Callable[[Connection], T], /) -> T:
        """One transaction of this purge. Raises BusyError, ClockError."""
        return (await self._guarded(work))[0]

    async def _paced(self, work: Callable[[Connection], T], /) -> T:
        """The same, of the step whose pace it sets; what goes beside it has its own."""
        result, took = await self._guarded(work)
        self._took = max(self._took, took)
        self._worked += took
        return result

    async def _guarded(self, work: Callable[[Connection], T], /) -> tuple[T, float]:
        def guarded(connection: Connection) -> tuple[T, Lease, float]:
            since = self._clock.monotonic()
            lease = leader.require(connection, self._lease, self._clock.now())
            if self._around.sense is not None and since - self._looked >= LOOK_S:
                self._around.sense.require(connection)
                self._looked = since
            return work(connection), lease, self._clock.monotonic() - since

        result, self._lease, took = await self._write(guarded)
        return result, took

    async def keep_lease(self) -> None:
        """For as long as a step waits for a store or a folder, nobody else takes over."""
        while True:
            await asyncio.sleep(KEEP_S)
            try:
                await self.fenced(lambda _: None)
            except Exception as error:  # the next transaction of the purge raises it itself
                log.warning("purge_lease_not_renewed", reason=type(error).__name__)

    async def take_all(
        self, name: str, step: Callable[..., tuple[Tally, Place]], place: Place = None
    ) -> None:
        """Everything of a class, a few rows a time."""
        pace = Pace()
        while True:
            limit = min(pace.rows, pace_module.MOST)

            def take(
                connection: Connection, place: Place = place, limit: int = limit
            ) -> tuple[Tally, Place]:
                tally, behind = step(connection, place=place, limit=limit, tally=self.tally)
                self._note(connection, tally)
                return tally, behind

            self.tally, place = await self._paced(take)
            if place is None:
                return
            pace = await self._rested(pace)

    async def take_sealed(self, ledger: ErasureLedger, name: str) -> None:
        """Begins the erasure of recordings or archives, and enters in the certificate those that it
        brought about."""
        pace, table = Pace(), SEALED[name]
        place: Place = None
        chosen = self.tally
        asked_at = self._clock.monotonic()

        def choose(connection: Connection) -> list[Erasure]:
            nonlocal place, chosen, asked_at
            asked_at = self._clock.monotonic()
            step = next_rows(connection, table, self._now, before, LOT, *wanted(name))
            # What is being erased already no hold keeps any more.
            step = replace(step, held=[row for row in step.held if row.state != "erasing"])
            chosen = kept_by_holds(connection, table, name, step, self.tally)
            place = step.place
            return erasures_of(name, step.rows, self._now)

        def still() -> None:
            if self._clock.monotonic() - asked_at > STALE_S:
                raise BusyError("this purge was away for so long that a hold may have been placed")

        while True:
            before = place
            entered = await enter(self._paced, ledger, choose, still)
            self.tally = chosen
            await self._rested(pace)
            while entered.lines:
                some, entered = entered.parted(min(pace.rows, pace_module.MOST))
                self.tally = await self._paced(partial(self._begin, ledger=ledger, entered=some))
                pace = await self._rested(pace)
            if place is None:
                return

    def _begin(self, connection: Connection, ledger: ErasureLedger, entered: Entered) -> Tally:
        """Nobody can open these any more; those that this brought about are counted."""
        new, tally = apply_entered(connection, ledger, entered), self.tally
        for name in SEALED:
            tally = tally.taken(name, [one.object_id for one in new if one.data_class == name])
        certificates.note(connection, self._id, self._actor, tally, self._facts)
        return tally

    async def take_exports(self) -> None:
        """Exports, with their files."""
        folder = self._around.exports
        if folder is None:
            return
        await self.take_all(export_files.EXPORT, partial(export_files.begin, now=self._now))
        behind = ""
        while begun := await self.fenced(
            partial(export_files.begun, behind=behind, limit=pace_module.MOST)
        ):
            behind = begun[-1][0]
            try:
                gone, fault = await asyncio.to_thread(export_files.remove, folder, begun)
            except OSError as error:
                gone, fault = [], error
            if fault is not None:
                self._failed(export_files.EXPORT, str(fault))
            if gone:
                await self.fenced(partial(export_files.end, ids=gone))

    async def take_payloads(self, store: ObjectStore) -> Exception | None:
        """What lies in the store of all that was begun to be erased; why it stays there."""
        try:
            await finish_erasures(self.fenced, store, self._clock, self._around.way)
        except (ObjectStoreError, OSError) as error:  # the others go on; nobody can open it
            return error
        return None

    async def take_further(self) -> None:
        """What the other rooms have."""
        for room in self._around.further:
            limit = asyncio.timeout(ROOM_S)
            try:
                async with limit:
                    counts = await room.take(self._now)
            except Exception as error:  # whatever its means raise: the others go on
                late = f"not done within {ROOM_S / 3600:g} hours" if limit.expired() else ""
                self._failed(room.name, late or str(error) or type(error).__name__)
                continue
            tally = self.tally.elsewhere(room.name, counts)
            await self.fenced(partial(self._note, tally=tally))
            self.tally = tally

    async def take_audit(self) -> None:
        """The oldest entries of the audit log, where they go at all."""
        if self._around.audit is not None:
            step = partial(
                audit_prefix.take, now=self._now, keep=self._around.audit, actor=self._actor
            )
            await self.take_all(audit_prefix.AUDIT, step)

    async def certify(self, resumed: int) -> Certificate:
        made = Certificate(
            self._id,
            self._now,
            self._clock.now(),
            self._actor,
            self.tally,
            resumed,
            self._facts,
            self._faults,
        )

        def end(connection: Connection) -> None:
            certificates.certify(connection, made)
            leader.release(connection, self._lease, made.finished_at)

        await self.fenced(end)
        log.info("purged", purge=self._id, resumed=resumed, **made.counts)
        return made

    async def give_up(self) -> None:
        """Lets another one take over at once, if the database still takes anything."""
        try:
            await self._write(
                lambda connection: leader.release(connection, self._lease, self._clock.now())
            )
        except Exception as error:  # then it waits for the lease to run out
            log.warning("purge_lease_not_released", reason=type(error).__name__)

    def _note(self, connection: Connection, tally: Tally) -> None:
        if tally is not self.tally:
            certificates.note(connection, self._id, self._actor, tally, self._facts)

    def _failed(self, name: str, reason: str) -> None:
        self._faults[name] = reason
        log.error("purge_room_failed", room=name, reason=reason)

    async def _rested(self, pace: Pace) -> Pace:
        took, worked = self._took, self._worked
        self._took = self._worked = 0.0
        await self._around.way.rest(worked)
        return pace.after(took)
