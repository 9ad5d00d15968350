"""The last exchange with a contact, from which the time of one that came from elsewhere counts.

An exchange is what passes between the tenant and the subject: a call, a purchase, an inquiry, an
answer. That somebody edits what is known of them is none. Where there was none yet, the time
counts from the contact's entry. A contact that was entered by hand stays until somebody takes it
away, a synced one until its source no longer has it; both go with the tenant's contract.
"""

from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, and_, or_, select, update
from sqlalchemy.sql import ColumnElement

from callguard.ids import is_call_id, made_at
from callguard.storage.schema import contacts
from callguard.tenants.keeping import Concern, kept_until
from callguard.tenants.tenant import Tenant

Origin = Literal["manual", "crm", "synced", "upload"]
"""How a contact came in: by hand, out of a CRM, kept in step with another book, in a list."""

COUNTED: tuple[Origin, ...] = ("crm", "upload")
"""Those whose time counts from the last exchange."""


def expires(
    tenant: Tenant, subject: str, origin: str, exchanged_at: datetime, *, restricted: bool
) -> datetime | None:
    """Until when a contact is kept; None is no end yet. Whoever had processing ``restricted`` is
    not forgotten while that stands: nothing else would say so."""
    begun = None if origin not in COUNTED or restricted else exchanged_at
    return kept_until(tenant, "contact", begun, concern=Concern(subject))


def since(row: Row[Any]) -> datetime:
    """From when the time of a contact counts: its last exchange, or else its entry."""
    if row.exchanged_at is not None:
        exchanged: datetime = row.exchanged_at
        return exchanged
    known: datetime = row.updated_at
    return made_at(row.id) if row.id is not None and is_call_id(row.id) else known


def exchanged(connection: Connection, tenant: Tenant, subject: str, at: datetime) -> bool:
    """There was an exchange at ``at``; in a writing transaction. Whether that was news: a contact
    is only ever moved forward, nobody is made a contact by it, and one that had expired by then
    stays so."""
    if not subject:
        return False
    row = connection.execute(
        select(contacts).where(_mine(tenant, subject), _before(at))
    ).one_or_none()
    if row is None or since(row) >= at:
        return False
    over = expires(tenant, subject, row.origin, at, restricted=is_restricted(row.known))
    values = {"exchanged_at": at, "expires_at": over}
    moved = update(contacts).where(_mine(tenant, subject), _before(at)).values(**values)
    return connection.execute(moved).rowcount > 0


def is_restricted(known: object) -> bool:
    """Whether a contact, as it is stored, says that processing is restricted."""
    return isinstance(known, dict) and known.get("restricted_since") is not None


def _mine(tenant: Tenant, subject: str) -> ColumnElement[bool]:
    return and_(contacts.c.tenant_id == tenant.id, contacts.c.subject == subject)


def _before(at: datetime) -> ColumnElement[bool]:
    return and_(
        or_(contacts.c.exchanged_at.is_(None), contacts.c.exchanged_at < at),
        or_(contacts.c.expires_at.is_(None), contacts.c.expires_at > at),
    )
