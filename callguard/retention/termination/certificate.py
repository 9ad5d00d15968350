"""The final certificate: that nothing of a tenant is left here but what its archives say."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from callguard.audit.log import Entry, append
from callguard.retention.termination.asking import Termination, reread
from callguard.retention.termination.clearing import account, last_traces
from callguard.retention.termination.sources import TABLES, is_any_left
from callguard.storage.schema import archives, audit, exports, purges, tenant_keys, terminations
from callguard.tenants.keys import fingerprint

KIND = "terminate"


def left(connection: Connection, tenant: str) -> list[str]:
    """The data classes of which a row is left."""
    return [name for name in TABLES if is_any_left(connection, tenant, name)]


def certify(connection: Connection, one: Termination, at: datetime) -> bool:
    """Takes the last traces and certifies the end, in one transaction; False where something is
    left after all, and then nothing was done."""
    now = reread(connection, one.id)
    if now.state == "finished":
        return True
    if left(connection, one.tenant):
        return False
    account(connection, one, at)
    last_traces(connection, one)
    steps: Any = reread(connection, one.id).steps
    said: dict[str, object] = {
        "format": "callguard-termination-certificate",
        "version": 1,
        "id": one.id,
        "tenant": one.tenant,
        "choice": one.choice,
        "asked_at": one.asked_at.isoformat(),
        "asked_by": one.actor,
        "ended_at": one.ends_at.isoformat(),
        "finished_at": at.isoformat(),
        "classes": steps.get("counts", {}),
        "package": steps.get("package"),
        "confirmed_at": steps.get("confirmed_at"),
        "archives": _archives(connection, one.tenant),
        "keys": _keys(connection, one.tenant),
    }
    target = f"termination:{one.id}"
    append(connection, Entry(at, "callguard", "tenant.terminated", target, one.tenant, said))
    row = connection.execute(
        select(audit.c.seq, audit.c.digest).order_by(audit.c.seq.desc()).limit(1)
    ).one()
    said["audit"] = {"sequence": row.seq, "digest": row.digest}
    connection.execute(
        update(terminations)
        .where(terminations.c.id == one.id)
        .values(state="finished", finished_at=at, certificate=said)
    )
    before = connection.execute(
        select(purges.c.certificate).where(purges.c.id == one.id)
    ).scalar_one()
    connection.execute(
        update(purges)
        .where(purges.c.id == one.id)
        .values(finished_at=at, certificate={**before, **said})
    )
    return True


def package_of(connection: Connection, one: Termination) -> Any:
    """The row of the return package, while there is one."""
    name = one.steps.get("export")
    if name is None:
        return None
    return connection.execute(select(exports).where(exports.c.id == name)).one_or_none()


def _archives(connection: Connection, tenant: str) -> list[dict[str, object]]:
    rows = connection.execute(
        select(archives)
        .where(archives.c.tenant_id == tenant, archives.c.state == "sealed")
        .order_by(archives.c.expires_at, archives.c.id)
    )
    return [
        {
            "id": row.id,
            "class": row.data_class,
            "rows": row.rows,
            "basis": row.basis,
            "sha256": row.payload_sha256,
            "sealed_at": row.at.isoformat(),
            "until": row.expires_at.isoformat(),
        }
        for row in rows
    ]


def _keys(connection: Connection, tenant: str) -> list[dict[str, object]]:
    rows = connection.execute(
        select(tenant_keys).where(tenant_keys.c.tenant_id == tenant).order_by(tenant_keys.c.version)
    )
    return [
        {
            "version": row.version,
            "fingerprint": fingerprint(row.recipient),
            "destroyed_at": row.destroyed_at.isoformat() if row.destroyed_at else None,
        }
        for row in rows
    ]
