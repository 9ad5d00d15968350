"""Contacts as they are kept: one row for each subject of each tenant. One that has expired is not
there for anybody; where it is held, nothing takes its place."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, and_, bindparam, delete, insert, select, update
from sqlalchemy.sql import ColumnElement

from callguard.contacts.contact import NOTHING_KNOWN, Contact, ContactError
from callguard.contacts.exchange import Origin, expires, since
from callguard.ids import uuid7
from callguard.retention.holds.covering import is_held
from callguard.storage.alive import SEEN, alive
from callguard.storage.lookup import Lookup
from callguard.storage.schema import contacts
from callguard.tenants.tenant import Tenant

_ONE = Lookup(
    select(contacts.c.known, contacts.c.expires_at, SEEN.scalar_subquery()).where(
        contacts.c.tenant_id == bindparam("tenant"), contacts.c.subject == bindparam("subject")
    )
)


EVER = datetime.min.replace(tzinfo=UTC)
"""A moment by which nothing has expired: as long as it is there at all, it counts."""


def read(connection: Connection, tenant: str, subject: str, at: datetime) -> Contact:
    """What is known of a subject at a moment. Raises ContactError where it cannot be read."""
    row = _row(connection, tenant, subject)
    return NOTHING_KNOWN if row is None or row.is_over(at) else Contact.read(row.known)


@dataclass(frozen=True, slots=True)
class _Row:
    """What is kept of one; ``seen`` is the latest time that the database has seen."""

    known: object
    expires_at: datetime | None
    seen: datetime | None

    def is_over(self, at: datetime) -> bool:
        if self.expires_at is None or at == EVER:
            return False
        return self.expires_at <= (at if self.seen is None else max(at, self.seen))


def _row(connection: Connection, tenant: str, subject: str) -> _Row | None:
    try:
        found = _ONE.rows(connection, {"tenant": tenant, "subject": subject})
    except ValueError as error:
        raise ContactError(f"a contact cannot be read: {error}") from error
    return _Row(*found[0]) if found else None


def change(
    connection: Connection,
    tenant: str,
    subject: str,
    step: Callable[[Contact], Contact],
    *,
    at: datetime,
) -> Contact:
    """Applies ``step`` to what is known, in a writing transaction. Its time counts from now where
    it was not known before. Raises ContactError, also where an expired one is held."""
    row = _row(connection, tenant, subject)
    over = row is not None and row.is_over(at)
    after = step(NOTHING_KNOWN if row is None or over else Contact.read(row.known))
    mine = _mine(tenant, subject)
    values: dict[str, object] = {"known": after.stored(), "updated_at": at}
    if after.restricted_since is not None:
        values["expires_at"] = None
    if row is not None and not over:
        connection.execute(update(contacts).where(mine).values(**values))
        return after
    if over and connection.execute(delete(contacts).where(mine, ~is_held(contacts))).rowcount == 0:
        raise ContactError("what was known of this contact has expired and is held")
    new = {"id": str(uuid7(at)), "tenant_id": tenant, "subject": subject}
    connection.execute(insert(contacts).values(**new, **values))
    return after


@dataclass(frozen=True, slots=True)
class Entered:
    """How somebody came to know what is entered. ``origin`` None leaves that of a contact that is
    there; ``otherwise`` is that of a new one. ``exchanged_at`` is of the last exchange, if there
    was any."""

    origin: Origin | None = None
    otherwise: Origin = "manual"
    exchanged_at: datetime | None = None


def enter(
    connection: Connection,
    tenant: Tenant,
    subject: str,
    step: Callable[[Contact], Contact],
    entered: Entered,
    *,
    at: datetime,
) -> Contact:
    """``change``, and with it how the contact came in and from when its time counts. Raises
    ContactError."""
    there = _row(connection, tenant.id, subject)
    new = there is None or there.is_over(at)
    after = change(connection, tenant.id, subject, step, at=at)
    mine = _mine(tenant.id, subject)
    row = connection.execute(select(contacts).where(mine)).one()
    origin = entered.origin or (entered.otherwise if new else row.origin)
    values: dict[str, object] = {"origin": origin}
    begun = since(row)
    if entered.exchanged_at is not None and (new or begun < entered.exchanged_at):
        begun = values["exchanged_at"] = entered.exchanged_at
    restricted = after.restricted_since is not None
    values["expires_at"] = expires(tenant, subject, origin, begun, restricted=restricted)
    connection.execute(update(contacts).where(mine).values(**values))
    return after


def id_of(connection: Connection, tenant: str, subject: str, at: datetime) -> str | None:
    """The id of a contact that is there; None where there is none. Raises ContactError where it is
    held, and so may not be taken away."""
    mine = and_(_mine(tenant, subject), alive(contacts, at))
    row = connection.execute(
        select(contacts.c.id, is_held(contacts).label("held")).where(mine)
    ).one_or_none()
    if row is None:
        return None
    if row.held:
        raise ContactError("this contact is held")
    found: str = row.id
    return found


def _mine(tenant: str, subject: str) -> ColumnElement[bool]:
    return and_(contacts.c.tenant_id == tenant, contacts.c.subject == subject)
