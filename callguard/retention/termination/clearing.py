"""What goes with the contract itself, and what the tenant told of itself. Synchronous, each in one
writing transaction, and once more changes nothing."""

import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, Table, delete, select, update

from callguard.audit.log import Entry, append
from callguard.recording.delivery.store import listed as places_of
from callguard.recording.delivery.store import remove as remove_place
from callguard.retention.holds.covering import is_held
from callguard.retention.termination.asking import Termination, counted
from callguard.retention.termination.plan import LATER
from callguard.retention.termination.sources import Key, among
from callguard.storage.schema import (
    call_statistics,
    campaign_days,
    contacts,
    holds,
    opt_outs,
    purges,
    scrubs,
    tenant_endpoints,
    tenant_numbers,
    tenant_recipients,
    tenant_retention,
    tenant_rules,
    tenants,
)
from callguard.tenants.stamp import touch
from callguard.tenants.tenant import TenantSettings

AT_ONCE = 500
"""Rows that one transaction takes, so that no call waits long for its own."""

OPT_OUT = "opt_out"

_STAYS = ("home_region", "licensed_operator", "time_zone")
"""Settings by which the law says how long what is left is kept; they name nobody."""


def credentials(connection: Connection, one: Termination, at: datetime) -> None:
    """Lines, numbers, and the places with what opens them."""
    gone = 0
    for table in (tenant_endpoints, tenant_numbers):
        gone += connection.execute(delete(table).where(table.c.tenant_id == one.tenant)).rowcount
    for place in places_of(connection, one.tenant):
        remove_place(connection, one.tenant, place.name, at=at, actor="callguard")
        gone += 1
    if gone:
        took(connection, one, "credential", gone)
        touch(connection, one.tenant, at)
        target = f"termination:{one.id}"
        details = {"credentials": gone}
        append(connection, Entry(at, "callguard", "tenant.cleared", target, one.tenant, details))


def lists_of(connection: Connection, tenant: str) -> list[str]:
    """The uploaded lists that no hold keeps, by id."""
    mine = select(scrubs.c.id).where(scrubs.c.tenant_id == tenant, ~is_held(scrubs))
    return list(connection.execute(mine).scalars())


def take_lists(connection: Connection, one: Termination, ids: Sequence[str]) -> None:
    """Their rows, once their files are gone."""
    gone = connection.execute(delete(scrubs).where(scrubs.c.id.in_(ids))).rowcount
    took(connection, one, "list", gone)


def take_list_files(folder: Path, ids: Sequence[str]) -> None:
    """What was uploaded and what came of it. Blocks. Raises OSError."""
    for name in ids:
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)


def some_contacts(connection: Connection, one: Termination) -> int:
    """Takes some of those that were synchronised or uploaded; how many."""
    mine = (
        select(contacts.c.subject)
        .where(
            contacts.c.tenant_id == one.tenant,
            contacts.c.origin.in_(LATER),
            ~is_held(contacts),
        )
        .limit(AT_ONCE)
    )
    subjects = list(connection.execute(mine).scalars())
    these = (contacts.c.tenant_id == one.tenant) & contacts.c.subject.in_(subjects)
    gone = connection.execute(delete(contacts).where(these)).rowcount if subjects else 0
    took(connection, one, "contact", gone)
    return gone


def dated(connection: Connection, table: Table, dates: Sequence[tuple[Key, datetime]]) -> None:
    """Gives rows the instant at which they are gone; none becomes later than it was."""
    by_date: dict[datetime, list[Key]] = {}
    for key, at in dates:
        by_date.setdefault(at, []).append(key)
    expires = table.c.expires_at
    for at, keys in by_date.items():
        later = expires.is_(None) | (expires > at)
        connection.execute(update(table).where(among(table, keys), later).values(expires_at=at))


def take_opt_outs(connection: Connection, one: Termination, keys: Sequence[Key]) -> None:
    """Wishes against a tenant from which no call can come any more. The newest row of all is made
    empty instead: its number would be given out again, and a running service reads on from it."""
    newest = connection.execute(
        select(opt_outs.c.seq).order_by(opt_outs.c.seq.desc()).limit(1)
    ).scalar()
    these = among(opt_outs, keys) & ~is_held(opt_outs)
    gone = connection.execute(delete(opt_outs).where(these, opt_outs.c.seq != newest)).rowcount
    empty = {"subject": "", "standing": False, "purposes": [], "channels": [], "call_id": None}
    blank = {"prompt": None, "actor": "callguard", "reason": None, "evidence": None}
    gone += connection.execute(
        update(opt_outs)
        .where(these, opt_outs.c.seq == newest, opt_outs.c.subject != "")
        .values(**empty, **blank)
    ).rowcount
    took(connection, one, OPT_OUT, gone)


def account(connection: Connection, one: Termination, at: datetime) -> None:
    """What the tenant told of itself: a bare id stays, for what refers to it."""
    row = connection.execute(
        select(tenants.c.name, tenants.c.settings).where(tenants.c.id == one.tenant)
    ).one()
    fallback = TenantSettings().model_dump(mode="json")
    left = {name: row.settings.get(name, fallback[name]) for name in _STAYS}
    left["own_key"] = False
    for table in (tenant_rules, tenant_recipients, campaign_days, call_statistics):
        connection.execute(delete(table).where(table.c.tenant_id == one.tenant))
    if (row.name, row.settings) != (one.tenant, left):
        connection.execute(
            update(tenants).where(tenants.c.id == one.tenant).values(name=one.tenant, settings=left)
        )
        touch(connection, one.tenant, at)
        took(connection, one, "account", 1)


def last_traces(connection: Connection, one: Termination) -> None:
    """What was only needed until nothing was left: the choices for the end, holds of before."""
    connection.execute(delete(tenant_retention).where(tenant_retention.c.tenant_id == one.tenant))
    connection.execute(
        delete(holds).where(holds.c.tenant_id == one.tenant, holds.c.released_at.is_not(None))
    )


def took(connection: Connection, one: Termination, data_class: str, number: int) -> None:
    """Enters in the certificate what this transaction takes."""
    if not number:
        return
    counted(connection, one, data_class, taken=number)
    certificate = connection.execute(
        select(purges.c.certificate).where(purges.c.id == one.id)
    ).scalar_one()
    counts = dict(certificate.get("counts", {}))
    counts[data_class] = counts.get(data_class, 0) + number
    connection.execute(
        update(purges)
        .where(purges.c.id == one.id)
        .values(certificate={**certificate, "counts": counts})
    )
