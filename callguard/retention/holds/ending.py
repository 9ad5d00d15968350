"""What becomes of holds that were released: their rows go when a case of then would be over, with
the numbers that they name. The audit log goes on saying who held what, without a number.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy import Connection, delete, select

from callguard.recording.erasure import Write
from callguard.retention.purging.further import Due
from callguard.storage.schema import holds
from callguard.tenants.keeping import kept_until
from callguard.tenants.tenant import Tenant

AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class ReleasedHolds:
    """Those whose time is over, as a purge takes them. ``tenants`` finds a tenant by its id."""

    write: Write
    tenants: Callable[[str], Tenant | None]

    name = "holds"

    async def due(self, now: datetime) -> Sequence[Due]:
        found = await self.write(partial(self._over, now=now))
        by_tenant: dict[str | None, list[datetime]] = {}
        for _, tenant, until in found:
            by_tenant.setdefault(tenant, []).append(until)
        return [Due("hold", one, len(all_), min(all_), 0) for one, all_ in by_tenant.items()]

    async def take(self, now: datetime) -> Mapping[str, int]:
        ids = [name for name, _, _ in await self.write(partial(self._over, now=now))]
        for start in range(0, len(ids), AT_ONCE):
            await self.write(partial(_drop, ids=ids[start : start + AT_ONCE]))
        return {"hold": len(ids)}

    def _over(
        self, connection: Connection, now: datetime
    ) -> list[tuple[str, str | None, datetime]]:
        """Id, tenant, and since when its time is over."""
        own, found = holds.c, []
        rows = connection.execute(
            select(own.id, own.tenant_id, own.released_at).where(own.released_at <= now)
        )
        for row in rows:
            tenant = self.tenants(row.tenant_id) if row.tenant_id is not None else None
            until = kept_until(tenant, "case", row.released_at)
            if until is not None and until <= now:
                found.append((row.id, row.tenant_id, until))
        return found


def _drop(connection: Connection, ids: Sequence[str]) -> None:
    connection.execute(delete(holds).where(holds.c.id.in_(ids)))
