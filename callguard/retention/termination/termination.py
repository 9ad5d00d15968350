"""Carrying terminations out: each step durable, and once more of no effect, so that whoever comes
next after a crash goes on where it was.

The order of effects:

    access over -> package whole and durable (and its receipt confirmed, where that was asked)
    -> credentials, lists, what was synchronised -> every record has its date
    -> at its date each class: what a law wants longer sealed, the rest to the purge
    -> nothing left -> keys destroyed -> settings gone, certificate
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

import structlog
from sqlalchemy import Connection

from callguard.recording.erasure import Write, erase_for_good
from callguard.recording.keys import KeyWrapper
from callguard.recording.rekeying.destruction import Reach, destroy
from callguard.recording.store.objects import ObjectStore
from callguard.retention.alone import alone
from callguard.retention.erasures.ledger import ErasureLedger
from callguard.retention.purging.further import Due
from callguard.retention.termination import clearing, effects
from callguard.retention.termination.asking import (
    Termination,
    note,
    require,
    reread,
    under_way,
)
from callguard.retention.termination.certificate import certify, left, package_of
from callguard.retention.termination.package import Order, build, remove
from callguard.retention.termination.passing import Means, go_through, resume, rewrap
from callguard.retention.termination.plan import Promise, floors_of, promises
from callguard.retention.termination.returning import (
    EXPORT,
    calls_may_run,
    lies_until,
    may_clear,
)
from callguard.retention.termination.sources import TABLES
from callguard.retention.termination.surroundings import FAULTS, FILES, LOCK, Elsewhere, Places
from callguard.storage.database import Database
from callguard.storage.faults import one_line
from callguard.tenants.directory import TenantDirectory
from callguard.tenants.tenant import Tenant, TenantError

log = structlog.get_logger(__name__)

READ_S = 60.0
"""How long a reading in the background may take."""


@dataclass
class Terminations:
    """All terminations. One process at a time carries them out; another one leaves it to it.

    ``clock_fault`` says, in a writing transaction, why the clock is not believed: then nothing
    goes on. ``tidy`` takes what was erased out of the database's files."""

    database: Database
    write: Write
    store: ObjectStore
    ledger: ErasureLedger
    wrapper: KeyWrapper
    tenants: TenantDirectory
    places: Places
    clock_fault: Callable[[Connection], str | None] = lambda _: None
    tidy: Callable[[], object] = lambda: None
    elsewhere: Elsewhere | None = None
    faults: dict[str, str] = field(default_factory=dict)

    name = "terminations"

    async def due(self, now: datetime) -> Sequence[Due]:
        """The terminations that have something to do."""
        found = await self._read(under_way)
        return [
            Due("termination", one.tenant, 1, one.ends_at, 0) for one in found if one.ends_at <= now
        ]

    async def take(self, now: datetime) -> Mapping[str, int]:
        """Carries on with all; how many were finished."""
        done = await self.advance(now, again=True)
        await rewrap(self._means)
        return {"termination": len(done)}

    async def advance(
        self, now: datetime, *, again: bool = False, tenant: str | None = None
    ) -> list[str]:
        """Carries every termination (or a tenant's) as far as it goes now; the tenants whose end is
        certified. What fails is in ``faults``, by tenant. ``again`` goes through classes that were
        gone through today."""
        done = list[str]()
        waiting = {one.tenant for one in await self._ending(now, tenant)}
        for name in self.faults.keys() - waiting if tenant is None else ():
            del self.faults[name]  # another process ended it
        if not waiting:
            return done
        with alone(self.places.exports / LOCK) as mine:
            ending = await self._ending(now, tenant) if mine else []
            if not ending:
                return done
            if (fault := await self.write(self.clock_fault)) is not None:
                self.faults.update(dict.fromkeys((one.tenant for one in ending), fault))
                return done
            await self._read(self.tenants.refresh)
            for one in ending:
                try:
                    if await self._carry_on(one, now, again):
                        done.append(one.tenant)
                except FAULTS as error:
                    self.faults[one.tenant] = one_line(error)
                    log.error("termination_held_up", of=one.tenant, reason=one_line(error))
                else:
                    self.faults.pop(one.tenant, None)
        if done:
            await asyncio.to_thread(self.tidy)
        return done

    @property
    def _means(self) -> Means:
        return Means(self._read, self.write, self.store, self.wrapper)

    async def _ending(self, now: datetime, tenant: str | None) -> list[Termination]:
        found = await self._read(under_way)
        return [one for one in found if one.ends_at <= now and tenant in (None, one.tenant)]

    async def _carry_on(self, one: Termination, now: datetime, again: bool) -> bool:
        tenant = require(self.tenants.get(one.tenant), one.tenant)
        ending = promises(tenant, one.ends_at)
        if one.state == "planned":
            forget = partial(effects.forgotten, one=one, at=now)
            await erase_for_good(self.write, self.ledger, forget)
            await self.write(partial(effects.ended, one=one, at=now))
            one = await self._again(one)
        if one.state == "ended":
            if not await self._returned(one, tenant, ending, now):
                return False
            one = await self._again(one)
        await self._drop_package(one, now)
        if one.state == "returned":
            if not may_clear(one, ending, now):
                return False
            await self._cleared(one, now)
            one = await self._again(one)
        await resume(self._means, one, now)
        if not await self._go_through(one, tenant, ending, now, again=again):
            return False
        one = await self._again(one)
        return await self._finished(one, ending, now)

    async def _returned(
        self, one: Termination, tenant: Tenant, ending: Mapping[str, Promise], now: datetime
    ) -> bool:
        """Whether the package is made, or none is wanted. A call of before is let finish first."""
        running = partial(effects.is_recording, tenant=one.tenant)
        if calls_may_run(one, now) and await self._read(running):
            await self.write(partial(note, one=one, state="ended", waits="recordings in progress"))
            return False
        if one.choice != "return":
            await self.write(partial(note, one=one, state="returned", waits=None))
            return True
        order = await self.write(partial(effects.ordered, one=one, at=now))
        package = await asyncio.to_thread(
            build, order, self.places.exports, self._reading, self.store, self.wrapper
        )
        await self.write(
            partial(
                effects.packed,
                one=one,
                order=order,
                package=package,
                file=self.places.exports / package.file,
                at=now,
                until=lies_until(tenant, ending, now),
            )
        )
        return True

    async def _cleared(self, one: Termination, now: datetime) -> None:
        if "counted" not in one.steps:
            there = await self._read(partial(effects.there, one=one, at=now))
            await self.write(partial(effects.found, one=one, there=there))
        await self.write(partial(clearing.credentials, one=one, at=now))
        if lists := await self._read(partial(clearing.lists_of, tenant=one.tenant)):
            await asyncio.to_thread(clearing.take_list_files, self.places.scrubs, lists)
            await self.write(partial(clearing.take_lists, one=one, ids=lists))
        while await self.write(partial(clearing.some_contacts, one=one)):
            pass
        await self.write(partial(note, one=one, state="cleared", waits=None))

    async def _go_through(
        self,
        one: Termination,
        tenant: Tenant,
        ending: Mapping[str, Promise],
        now: datetime,
        *,
        again: bool,
    ) -> bool:
        """Whether there was a class whose time it was."""
        passed: Any = one.steps.get("passed", {})
        gone = list[str]()
        for name in TABLES:
            promise, last = ending[name], passed.get(name)
            if last is not None and not again and not effects.is_due(promise, last, now):
                continue
            spare = str(one.steps.get("export") or "") if name == EXPORT else ""
            late = last is not None
            await go_through(self._means, one, tenant, promise, now, again=late, spare=spare)
            gone.append(name)
        if not gone:
            return False
        await self.write(partial(effects.passed, one=one, names=gone, at=now))
        if ending["account"].gone_at <= now:
            await self.write(partial(clearing.account, one=one, at=now))
        await self._take_elsewhere(one, tenant, ending, now)
        return True

    async def _take_elsewhere(
        self, one: Termination, tenant: Tenant, ending: Mapping[str, Promise], now: datetime
    ) -> None:
        """What a law wants longer goes by its own date, with what else is governed there."""
        due = [
            name for name in FILES if ending[name].gone_at <= now and not floors_of(tenant, name)
        ]
        if self.elsewhere is None or not due:
            return
        for name, number in (await self.elsewhere.take_all(one.tenant, now, due)).items():
            await self.write(
                partial(clearing.took, one=one, data_class=f"{name}_file", number=number)
            )

    async def _finished(
        self, one: Termination, ending: Mapping[str, Promise], now: datetime
    ) -> bool:
        """Certifies the end where nothing is left; else says what it waits for."""
        if ending["account"].gone_at > now:
            await self._waits(one, f"{ending['account'].gone_at.date()}, for its settings")
            return False
        if rest := await self._read(partial(left, tenant=one.tenant)):
            held = await self._read(partial(effects.holds_on, tenant=one.tenant, classes=rest))
            why = f"hold {', '.join(held)}" if held else "the purge, or their own date"
            await self._waits(one, f"{', '.join(rest)}: {why}")
            return False
        if self.elsewhere and (files := await self.elsewhere.left(one.tenant, now)):
            await self._waits(one, f"files: {', '.join(sorted(files))}")
            return False
        if await self._read(partial(effects.has_keys, tenant=one.tenant)):
            nothing = Reach(0, 0, 0, 0, 0, hashlib.sha256().hexdigest())
            try:
                await destroy(
                    self.write,
                    self.ledger,
                    one.tenant,
                    nothing,
                    at=now,
                    actor="callguard",
                    reason=f"termination {one.id}",
                )
            except TenantError as error:  # a hold
                await self._waits(one, one_line(error))
                return False
        return await self.write(partial(certify, one=one, at=now))

    async def _waits(self, one: Termination, why: str) -> None:
        if one.steps.get("waits") != why:
            await self.write(partial(note, one=one, state=one.state, waits=why))

    async def _drop_package(self, one: Termination, now: datetime) -> None:
        """Takes the package away when its time is over."""
        row = await self._read(partial(package_of, one=one))
        if row is None or row.expires_at is None or row.expires_at > now or row.state == "making":
            return
        if await self._read(partial(effects.is_kept, export=row.id)):
            return
        order = Order(row.id, one.tenant, now, row.asked.get("recipient", ""))
        await asyncio.to_thread(remove, order, self.places.exports)
        await self.write(partial(effects.dropped, one=one, export=row.id, at=now))

    async def _again(self, one: Termination) -> Termination:
        found: Termination = await self._read(partial(reread, termination=one.id))
        return found

    async def _read(self, query: Callable[[Connection], Any], /) -> Any:
        return await self.database.read(query, timeout=READ_S)

    def _reading(self, query: Callable[[Connection], Any]) -> Any:
        with self.database.reading() as connection:
            return query(connection)
