"""Contacts as they are kept: one row for each subject of each tenant."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection, bindparam, insert, select, update

from callguard.contacts.contact import NOTHING_KNOWN, Contact, ContactError
from callguard.ids import uuid7
from callguard.storage.lookup import Lookup
from callguard.storage.schema import contacts

_ONE = Lookup(
    select(contacts.c.known).where(
        contacts.c.tenant_id == bindparam("tenant"), contacts.c.subject == bindparam("subject")
    )
)


def read(connection: Connection, tenant: str, subject: str) -> Contact:
    """What is known of a subject. Raises ContactError where it cannot be read."""
    row = _row(connection, tenant, subject)
    return NOTHING_KNOWN if row is None else Contact.read(row[0])


def _row(connection: Connection, tenant: str, subject: str) -> tuple[object, ...] | None:
    try:
        found = _ONE.rows(connection, {"tenant": tenant, "subject": subject})
    except ValueError as error:
        raise ContactError(f"a contact cannot be read: {error}") from error
    return found[0] if found else None


def change(
    connection: Connection,
    tenant: str,
    subject: str,
    step: Callable[[Contact], Contact],
    *,
    at: datetime,
) -> Contact:
    """Applies ``step`` to what is known, in a writing transaction. Raises ContactError."""
    row = _row(connection, tenant, subject)
    after = step(NOTHING_KNOWN if row is None else Contact.read(row[0]))
    values = {"known": after.stored(), "updated_at": at}
    if row is None:
        new = {"id": str(uuid7(at)), "tenant_id": tenant, "subject": subject}
        connection.execute(insert(contacts).values(**new, **values))
    else:
        where = (contacts.c.tenant_id == tenant) & (contacts.c.subject == subject)
        connection.execute(update(contacts).where(where).values(**values))
    return after
