"""Legs of one conversation: what a transfer makes, Asterisk links by the linked id.

A leg that the gate was not asked about belongs to the call that it is linked to, whichever of the
two is read in first. Of several such calls it is the one that began first.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, or_, select, update

from callguard.cdr.whose import JUDGED, Owner
from callguard.storage.alive import alive
from callguard.storage.schema import call_records
from callguard.tenants.directory import TenantDirectory
from callguard.tenants.keeping import Concern

_ID_LENGTH = 36
_OWN = func.substr(call_records.c.userfield, 1, _ID_LENGTH) == call_records.c.call_id
"""The leg has that call id from the dialplan, not from what it is linked to."""


def join_linked(
    connection: Connection,
    pbx: str,
    linkedids: Collection[str],
    tenants: TenantDirectory,
    now: datetime,
) -> None:
    """Joins legs without a call id of their own, in a writing transaction; none that has expired,
    which another tenant's time could show again."""
    if not linkedids:
        return
    table = call_records.c
    # Few legs have no id, and those are all there is to look at.
    alone = connection.execute(
        select(table.id, table.linkedid, table.call_id, table.ended_at).where(
            table.pbx == pbx,
            table.linkedid.in_(linkedids),
            or_(table.call_id.is_(None), ~_OWN),
            alive(call_records, now),
        )
    ).all()
    if not alone:
        return
    begun = (
        select(call_records)
        .where(
            table.pbx == pbx,
            table.linkedid.in_({row.linkedid for row in alone}),
            _OWN,
        )
        .order_by(table.started_at.desc(), table.sequence.desc())
    )
    first = {row.linkedid: row for row in connection.execute(begun)}
    for leg in alone:
        call = first.get(leg.linkedid)
        if call is not None and leg.call_id != call.call_id:
            _join(connection, leg, call, tenants)


def _join(connection: Connection, leg: Any, call: Row[Any], tenants: TenantDirectory) -> None:
    tenant = tenants.get(call.tenant_id) if call.tenant_id else None
    concern = Concern(call.subject or "", call.purpose or "", call.direction or "")
    owner = Owner(tenant_id=call.tenant_id, tenant=tenant, concern=concern)
    values = {"call_id": call.call_id, "expires_at": owner.until(leg.ended_at)}
    values |= {name: getattr(call, name) for name in JUDGED}
    connection.execute(update(call_records).where(call_records.c.id == leg.id).values(**values))
