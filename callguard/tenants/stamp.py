"""The stamp by which everybody sees that a tenant was changed."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select, update

from callguard.storage.schema import tenants
from callguard.tenants.tenant import TenantError


def changed_at(connection: Connection, at: datetime) -> datetime:
    """A time later than every change before it, whatever the clock says: by it
    ``TenantDirectory.refresh`` sees that there was one."""
    last = connection.execute(select(func.max(tenants.c.updated_at))).scalar()
    return at if last is None else max(at, last + timedelta(microseconds=1))


def touch(connection: Connection, tenant_id: str, at: datetime) -> None:
    """Says that a tenant was changed. Raises TenantError where there is none."""
    touched = connection.execute(
        update(tenants)
        .where(tenants.c.id == tenant_id)
        .values(updated_at=changed_at(connection, at))
    )
    if touched.rowcount == 0:
        raise TenantError(f"there is no tenant {tenant_id}")
