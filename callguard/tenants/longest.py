"""How long what belongs to no one tenant is kept: as long as the tenant that wants it longest."""

from datetime import datetime

from callguard.retention.schedule import Keep, later
from callguard.tenants.directory import TenantDirectory
from callguard.tenants.keeping import kept_until


def longest(tenants: TenantDirectory, data_class: str) -> Keep:
    """Until when a record of the class is kept that may be any tenant's; without an end while it
    cannot be read what one of them chose."""

    def keep(since: datetime) -> datetime | None:
        if tenants.faults:
            return None
        own = (kept_until(tenant, data_class, since) for tenant in tenants.all())
        return later(kept_until(None, data_class, since), *own)

    return keep
