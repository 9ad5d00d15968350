"""What a termination writes between its steps, and asks. Synchronous, each in one transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from callguard.audit.log import Entry, append
from callguard.ids import uuid7
from callguard.retention.erasures.ledger import TENANT, Erasure
from callguard.retention.holds.covering import is_held
from callguard.retention.termination.asking import Termination, counted, latest, note, reread
from callguard.retention.termination.certificate import KIND
from callguard.retention.termination.package import Order, Package
from callguard.retention.termination.plan import Promise
from callguard.retention.termination.sources import TABLES
from callguard.storage.schema import (
    erasures,
    exports,
    holds,
    opt_outs,
    purges,
    recordings,
    tenant_keys,
)
from callguard.tenants.tenant import TenantError

LOOK = timedelta(hours=20)
"""How often a class is gone through again, for what came late or a hold let go."""

SOON = timedelta(hours=1)
"""How often in the days after its end, when a purge is about to take the last of it."""

DAYS_AFTER = timedelta(days=3)


def ended(connection: Connection, one: Termination, at: datetime) -> None:
    """Access is over since its instant; from here on it is carried out and certified."""
    if not is_planned(connection, one):
        raise TenantError(f"the end of the contract of {one.tenant} was withdrawn meanwhile")
    note(connection, one, "ended")
    begun = {"id": one.id, "counts": {}}
    connection.execute(
        insert(purges).values(
            id=one.id, kind=KIND, tenant=one.tenant, started_at=at, certificate=begun
        )
    )
    target = f"termination:{one.id}"
    append(connection, Entry(at, "callguard", "tenant.ended", target, one.tenant, {}))


def is_planned(connection: Connection, one: Termination) -> bool:
    """Whether it is what will happen to the tenant."""
    now = latest(connection, one.tenant)
    return now is not None and now.id == one.id and now.state == "planned"


def forgotten(connection: Connection, one: Termination, at: datetime) -> list[Erasure]:
    """What the erasure ledger is to know before anything goes: a backup of before then forgets the
    tenant too."""
    known = select(erasures.c.seq).where(
        erasures.c.object_id == one.tenant, erasures.c.data_class == TENANT
    )
    if not is_planned(connection, one) or connection.execute(known).first() is not None:
        return []
    return [Erasure(TENANT, one.tenant, one.ends_at.isoformat(), at)]


def ordered(connection: Connection, one: Termination, at: datetime) -> Order:
    """The package has a row, and so a name, before it has a file; after a crash the same one."""
    asked = reread(connection, one.id).steps
    recipient, plain = str(asked.get("recipient") or ""), bool(asked.get("plain"))
    name = asked.get("export")
    if name is None:
        name = str(uuid7(at))
        connection.execute(
            insert(exports).values(
                id=name,
                tenant_id=one.tenant,
                kind="termination",
                format="tar",
                state="making",
                asked={"recipient": recipient, "plain": plain},
                actor=one.actor,
                at=at,
            )
        )
        note(connection, one, one.state, export=name)
    return Order(str(name), one.tenant, at, recipient, plain)


def packed(
    connection: Connection,
    one: Termination,
    order: Order,
    package: Package,
    file: Path,
    at: datetime,
    until: datetime,
) -> None:
    connection.execute(
        update(exports)
        .where(exports.c.id == order.id)
        .values(
            state="done",
            finished_at=at,
            file=str(file),
            rows=package.rows,
            bytes=package.bytes,
            sha256=package.sha256,
            expires_at=until,
        )
    )
    said = {
        "id": order.id,
        "rows": package.rows,
        "recordings": package.recordings,
        "bytes": package.bytes,
        "sha256": package.sha256,
        "damaged": package.damaged,
        "until": until.isoformat(),
    }
    note(connection, one, "returned", package=said, waits=None)
    details = {**said, "damaged": len(package.damaged), "plain": order.plain}
    target = f"export:{order.id}"
    append(connection, Entry(at, "callguard", "tenant.returned", target, one.tenant, details))


def is_kept(connection: Connection, export: str) -> bool:
    """Whether a hold keeps a package."""
    held = select(exports.c.id).where(exports.c.id == export, is_held(exports))
    return connection.execute(held).first() is not None


def dropped(connection: Connection, one: Termination, export: str, at: datetime) -> None:
    connection.execute(delete(exports).where(exports.c.id == export))
    target = f"export:{export}"
    append(connection, Entry(at, "callguard", "export.remove", target, one.tenant, {}))


def there(connection: Connection, one: Termination, at: datetime) -> dict[str, int]:
    """How many records there are of each class that nobody is kept from; its package is none."""
    numbers = {}
    for name, table in TABLES.items():
        query = select(func.count()).select_from(table).where(table.c.tenant_id == one.tenant)
        if "expires_at" in table.c:
            query = query.where(table.c.expires_at.is_(None) | (table.c.expires_at > at))
        if table is opt_outs:
            query = query.where(opt_outs.c.subject != "")
        if table is exports:
            query = query.where(exports.c.id != str(one.steps.get("export")))
        numbers[name] = connection.execute(query).scalar_one()
    return numbers


def found(connection: Connection, one: Termination, there: Mapping[str, int]) -> None:
    """Enters what there was before anything went; once."""
    now = reread(connection, one.id)
    if "counted" in now.steps:
        return
    for name, number in there.items():
        if number:
            counted(connection, one, name, found=number)
    note(connection, one, now.state, counted=True)


def passed(connection: Connection, one: Termination, names: Sequence[str], at: datetime) -> None:
    """These classes were gone through: every record of them has its date."""
    steps: Any = reread(connection, one.id).steps
    so_far = {**steps.get("passed", {}), **dict.fromkeys(names, at.isoformat())}
    note(connection, one, "waiting", passed=so_far)


def is_due(promise: Promise, last: str, now: datetime) -> bool:
    """Whether a class is gone through again: its time came since, or the last time is long ago."""
    before = datetime.fromisoformat(last)
    came = any(before < at <= now for at in (promise.acts_at, promise.gone_at))
    ending = promise.gone_at <= now < promise.gone_at + DAYS_AFTER
    return came or not before <= now < before + (SOON if ending else LOOK)


def is_recording(connection: Connection, tenant: str) -> bool:
    running = select(recordings.c.id).where(
        recordings.c.tenant_id == tenant, recordings.c.state == "recording"
    )
    return connection.execute(running.limit(1)).first() is not None


def has_keys(connection: Connection, tenant: str) -> bool:
    known = select(func.count()).select_from(tenant_keys).where(tenant_keys.c.tenant_id == tenant)
    return connection.execute(known).scalar_one() > 0


def holds_on(connection: Connection, tenant: str, classes: Sequence[str]) -> list[str]:
    """The holds that may keep what is left."""
    for name in classes:
        table = TABLES[name]
        held = select(func.count()).where(table.c.tenant_id == tenant, is_held(table))
        if connection.execute(held.select_from(table)).scalar_one():
            break
    else:
        return []
    standing = select(holds.c.id).where(
        holds.c.released_at.is_(None),
        holds.c.tenant_id.is_(None) | (holds.c.tenant_id == tenant),
    )
    return list(connection.execute(standing.order_by(holds.c.at, holds.c.id)).scalars())
