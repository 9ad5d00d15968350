"""Where tenants are at home, for whoever has only their ids."""

from collections.abc import Collection

from sqlalchemy import Connection, select

from callguard.storage.schema import tenants
from callguard.tenants.tenant import TenantSettings


def home_regions(connection: Connection, ids: Collection[str]) -> dict[str, str]:
    """The region in which each of these tenants reads numbers; without those that are not known."""
    asked = select(tenants.c.id, tenants.c.settings).where(tenants.c.id.in_(ids))
    otherwise = TenantSettings().home_region
    return {
        row.id: str(row.settings.get("home_region") or otherwise)
        for row in connection.execute(asked)
    }
