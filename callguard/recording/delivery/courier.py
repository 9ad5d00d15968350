"""The courier: brings sealed recordings to their tenants' places, until each has them.

What is due is found by query, so a crash forgets nothing; what was sent and not yet written down is
sent again, under the same name with the same bytes. A place that fails is left alone for a while,
so that it keeps nobody else's recordings waiting.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from callguard.clock import Clock
from callguard.recording.delivery import attempt, due
from callguard.recording.delivery.carriers import Carriers
from callguard.recording.delivery.due import New, Next
from callguard.recording.delivery.giver import Giver
from callguard.recording.delivery.parcel import Carrier, DeliveryError, OurFault, in_thread
from callguard.recording.delivery.places import Place, PlaceError
from callguard.recording.delivery.resting import Rests
from callguard.recording.delivery.turns import Turns
from callguard.recording.store.objects import ObjectStore
from callguard.retention.erasures.ledger import LedgerError
from callguard.storage.database import Database
from callguard.storage.faults import one_line
from callguard.storage.journal import Journal, NotDurableError
from callguard.tenants.directory import TenantDirectory
from callguard.tenants.keeping import keeping_evidence

T = TypeVar("T")
log = structlog.get_logger(__name__)

LOOK_S = 1.0
"""Between two looks at what is due."""

IDLE_S = 10.0
"""The same where no tenant has a place, and nothing is left of one."""

ALL_S = 600.0
"""Between two looks at all that is sealed; in between only at what was sealed since ``BACK``."""

BACK = timedelta(minutes=15)
ALARMS_S = 10.0
DURABLE_S = 30.0
READ_S = 30.0

SLOWEST = 16 * 1024
"""Bytes a second: an attempt that is slower on the whole is given up."""

LONGEST_S = 300.0
"""Seconds that an attempt may take besides."""


class Courier:
    """Delivers for ever."""

    def __init__(
        self,
        clock: Clock,
        database: Database,
        journal: Journal,
        store: ObjectStore,
        tenants: TenantDirectory,
        giver: Giver,
        *,
        carrier_to: Callable[[Place], Carrier] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._database = database
        self._journal = journal
        self._store = store
        self._tenants = tenants
        self._giver = giver
        self._carrier_to = carrier_to or Carriers(clock).to
        self._jitter = jitter
        self._under_way: dict[asyncio.Task[None], Next] = {}
        self._freed = asyncio.Event()
        self._any = True
        self._rests = Rests(jitter)
        self._looked_at_all: float | None = None
        self._looked_at_alarms: float | None = None
        self._troubles: list[due.Trouble] = []
        self.fault: str | None = None
        self.delivered = 0
        self.failures = 0

    @property
    def alarms(self) -> tuple[str, ...]:
        """What needs a person's eye, one line each."""
        troubles = tuple(line for one in self._troubles for line in one.lines())
        if self.fault is None:
            return troubles
        return (*troubles, f"recordings cannot be delivered: {self.fault}")

    @property
    def stuck(self) -> int:
        """Deliveries that a person has to look at."""
        return sum(one.stuck for one in self._troubles)

    async def run(self) -> None:
        """Delivers for ever; what is under way when it is cancelled is tried again."""
        try:
            while True:
                await self.look()
                await self._until_next_look()
        finally:
            for task in self._under_way:
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)

    async def look(self) -> None:
        """Finds what is due, and begins as much of it as may go on at once."""
        steps = [self._see_whether_any, self._giver.finish]
        done = [await self._safely(step) for step in steps]
        if self._any:
            steps = [self._find, self._begin_some, self._see_alarms]
            done += [await self._safely(step) for step in steps]
        if all(done):
            self.fault = self._giver.fault

    async def _safely(self, step: Callable[[], Awaitable[None]]) -> bool:
        """Whether it could be done; what could not is an alarm, and tried again."""
        try:
            await step()
        except (SQLAlchemyError, NotDurableError, TimeoutError, OSError) as error:
            self.fault = one_line(error)
            log.error("delivery_cannot_look", reason=self.fault)
            return False
        return True

    async def idle(self) -> None:
        """Waits until nothing is under way and nothing more can begin."""
        while self._under_way:
            await asyncio.wait([*self._under_way])
            if self._freed.is_set():
                self._freed.clear()
                await self._begin_some()

    async def _until_next_look(self) -> None:
        """Whatever ends makes room for the next."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S if self._any else IDLE_S):
                while await self._freed.wait():
                    self._freed.clear()
                    await self._safely(self._begin_some)

    async def _see_whether_any(self) -> None:
        self._any = await self._read(due.is_any)

    async def _find(self) -> None:
        now, at = self._clock.now(), self._clock.monotonic()
        all_of_it = self._looked_at_all is None or at - self._looked_at_all >= ALL_S
        since = None if all_of_it else now - BACK
        while new := await self._read(partial(due.find_new, now=now, since=since)):
            expires = {one.key: self._expires(one, now) for one in new}
            step = partial(due.enter, new=new, now=now, expires=expires)
            await self._journal.write(step, timeout=DURABLE_S)
            if len(new) < due.AT_ONCE:
                break
        if all_of_it:
            self._looked_at_all = at

    def _expires(self, new: New, now: datetime) -> datetime | None:
        return keeping_evidence(self._tenants.get(new.tenant), new.concern)(now)

    async def _begin_some(self) -> None:
        now = self._clock.now()
        while (turns := self._turns(now)).free > 0:
            query = partial(
                due.find_next,
                now=now,
                leave=turns.left_alone,
                under_way=[one.key for one in turns.under_way],
                limit=turns.free,
                tenants=turns.with_enough,
                untried=turns.doubtful_enough,
                confirmed=not turns.considering,
            )
            found = await self._read(query)
            begun = 0
            for one in found:
                if self._turns(now).may_begin(one):
                    task = asyncio.create_task(self._one(one))
                    self._under_way[task] = one
                    task.add_done_callback(self._over)
                    begun += 1
            if not begun:
                return

    def _turns(self, now: datetime) -> Turns:
        return Turns([*self._under_way.values()], self._rests, now)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._under_way.pop(task, None)
        if task.cancelled():
            return
        if (error := task.exception()) is None:
            self._freed.set()
            return
        self.fault = one_line(error)  # its row is as it was: the next look takes it up
        log.error("delivery_failed", reason=self.fault)

    async def _one(self, one: Next) -> None:
        if one.state == "confirmed":
            await self._giver.consider(one.recording)
            return
        try:
            job = await self._write(partial(attempt.begin, key=one.key, now=self._clock.now()))
        except PlaceError as error:
            await self._failed(one, str(error), hopeless=True)
            return
        except LedgerError as error:
            await self._failed(one, str(error), hopeless=False)
            return
        if job is not None:
            await self._carry(one, job)

    async def _carry(self, one: Next, job: attempt.Job) -> None:
        try:
            parcel = await in_thread(attempt.pack, job, self._store)
            carrier = self._carrier_to(job.place)
            try:
                async with asyncio.timeout(LONGEST_S + parcel.size / SLOWEST):
                    receipt = await carrier.carry(parcel)
            except TimeoutError:
                raise DeliveryError("it took too long") from None
        except OurFault as error:
            await self._failed(one, str(error), hopeless=error.lasting)
            return
        except (DeliveryError, PlaceError) as error:
            self._rests.failed(one.at, self._clock.now())
            await self._failed(one, str(error), hopeless=False)
            return
        except Exception as error:  # a library's surprise: no row may be stuck in "sending"
            self._rests.failed(one.at, self._clock.now())
            reason = f"{type(error).__name__}: {one_line(error)}"
            await self._failed(one, reason, hopeless=False)
            return
        self._rests.worked(one.at)
        now = self._clock.now()
        await self._write(
            partial(attempt.succeed, job=job, parcel=parcel, receipt=receipt, now=now)
        )
        self.delivered += 1
        log.info(
            "delivered",
            recording=one.recording,
            tenant=one.tenant,
            place=one.place,
            confirmed=receipt.confirmed,
        )
        if receipt.confirmed and not job.place.keep:
            await self._giver.consider(one.recording)

    async def _failed(self, one: Next, reason: str, *, hopeless: bool) -> None:
        self.failures += 1
        step = partial(
            attempt.fail,
            key=one.key,
            reason=reason,
            now=self._clock.now(),
            jitter=self._jitter(),
            hopeless=hopeless,
        )
        state = await self._write(step)
        log.warning(
            "not_delivered",
            recording=one.recording,
            tenant=one.tenant,
            place=one.place,
            state=state,
            reason=reason,
        )

    async def _see_alarms(self) -> None:
        at = self._clock.monotonic()
        if self._looked_at_alarms is not None and at - self._looked_at_alarms < ALARMS_S:
            return
        self._troubles = await self._read(partial(due.troubles, now=self._clock.now()))
        self._looked_at_alarms = at

    async def _read(self, query: Callable[[Connection], T]) -> T:
        return await self._database.read(query, timeout=READ_S)

    async def _write(self, work: Callable[[Connection], T]) -> T:
        return await self._journal.write(work, timeout=DURABLE_S)
