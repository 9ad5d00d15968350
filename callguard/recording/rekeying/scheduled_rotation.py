"""Rotation on a schedule: a daily look, beside the calls and in their way as little as can be."""

import asyncio
from dataclasses import replace

import structlog
from sqlalchemy import Connection, select

from callguard.recording.rekeying.rewrap import Means
from callguard.recording.rekeying.rotation import Rotated, is_due, rotate
from callguard.storage.schema import tenants
from callguard.tenants.keys import read_keys

log = structlog.get_logger(__name__)

LOOK_S = 86_400.0
FIRST_LOOK_S = 300.0
"""A service that has just begun has calls to take up first."""

AGAIN_S = 3_600.0
"""After a look at which something failed."""

EVERY = "every tenant"
"""In place of one, where the tenants themselves could not be read."""

BATCH = 20
PAUSE_S = 0.05


class ScheduledRotation:
    """Gives every tenant a new identity after ``days``, and ends rotations that were cut off."""

    def __init__(self, means: Means, days: int) -> None:
        self._means = replace(means, batch=BATCH, pause_s=PAUSE_S, processes=1)
        self._days = days
        self.faults: dict[str, str] = {}
        """Why a tenant's last rotation did not come to its end, by tenant."""

    async def run(self) -> None:
        """Looks for ever; not at all where nothing is to be rotated by itself."""
        if not self._days:
            return
        await asyncio.sleep(FIRST_LOOK_S)
        while True:
            try:
                await self.look()
            except Exception as error:  # the next look tries again; the page shows the fault
                self.faults[EVERY] = str(error) or type(error).__name__
                log.error("rotation_failed", reason=self.faults[EVERY])
            await asyncio.sleep(AGAIN_S if self.faults else LOOK_S)

    async def look(self) -> list[Rotated]:
        """Rotates what is due, and goes on with what is unfinished."""
        self.faults.clear()
        done = []
        for tenant in await self._means.read(_ids):
            try:
                rotated = await self._one(tenant)
            except Exception as error:  # one tenant's key must not keep the others' from rotating
                self.faults[tenant] = str(error) or type(error).__name__
                log.error("rotation_failed", tenant=tenant, reason=self.faults[tenant])
                continue
            if rotated is not None:
                done.append(rotated)
                log.info("rotated", **rotated.as_json())
        return done

    async def _one(self, tenant: str) -> Rotated | None:
        keys = await self._means.read(lambda c: read_keys(c, tenant))
        due = is_due(keys, self._days, self._means.clock.now())
        if not due and not keys.replaced:
            return None
        return await rotate(self._means, tenant, renew=due)


def _ids(connection: Connection) -> list[str]:
    return list(connection.execute(select(tenants.c.id).order_by(tenants.c.id)).scalars())
