"""Consents that were given elsewhere than in a call: on a form, by letter, in a shop.

The ledger's row is the evidence and is only ever added; what a contact is known to have agreed to
is derived from it in the same transaction.
"""

import re
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, func, insert, or_, select, update

from callguard.audit.log import Entry, append
from callguard.contacts.contact import Contact
from callguard.contacts.store import change
from callguard.ids import uuid7
from callguard.policy.facts import GivenConsent
from callguard.retention.schedule import Keep
from callguard.storage.schema import consents

_ROW = re.compile(r"\bconsent:([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b")

GRANTED = "granted"
WITHDRAWN = "withdrawn"


class ConsentError(ValueError):
    """A consent that cannot be entered or withdrawn; one line that says why."""


@dataclass(frozen=True, slots=True)
class About:
    """Whose consent, towards whom, to what: ``recording``, a purpose of calls, or another thing
    that a rule names."""

    tenant: str
    subject: str
    purpose: str


def row_of(proof: str | None) -> str | None:
    """The row of the ledger that a proof names."""
    found = _ROW.search(proof or "")
    return found[1] if found else None


def record(
    connection: Connection,
    about: About,
    *,
    proof: str,
    granted_at: datetime,
    until: datetime | None = None,
    at: datetime,
    actor: str,
    keep: Keep,
) -> str:
    """Enters a consent in a writing transaction; returns the id of its row in the ledger.

    ``keep`` is until when the evidence is kept once the consent is over; while it has no end, no
    such date is known. Raises ConsentError or ContactError; then nothing was entered.
    """
    if not proof.strip():
        raise ConsentError("a consent is entered only with its proof")
    if granted_at > at:
        raise ConsentError(f"a consent of {_said(granted_at)} lies in the future")
    withdrawn = _withdrawn_at(connection, about)
    if withdrawn is not None and granted_at <= withdrawn:
        raise ConsentError(
            f"consent to {about.purpose} was withdrawn on {_said(withdrawn)}: "
            f"one of {_said(granted_at)} is older and does not count"
        )
    given = GivenConsent(about.purpose, granted_at, until, proof)
    change(connection, about.tenant, about.subject, lambda c: c.granted(given), at=at)
    return _enter(
        connection,
        about,
        state=GRANTED,
        proof=proof,
        at=at,
        actor=actor,
        since=granted_at,
        until=until,
        expires=None if until is None else keep(max(until, at)),
    )


def withdraw(
    connection: Connection, about: About, *, reason: str, at: datetime, actor: str, keep: Keep
) -> str:
    """Ends every consent to that purpose that stands, in a writing transaction; returns the id of
    the ledger's row, which keeps the reason in place of a proof.

    From now on the evidence of what is ended has a date too. Raises ConsentError or ContactError.
    """
    if not reason.strip():
        raise ConsentError("a consent is withdrawn only with a reason")

    def step(contact: Contact) -> Contact:
        _check_stands(contact, about.purpose, at)
        return contact.withdrawn(about.purpose, at)

    change(connection, about.tenant, about.subject, step, at=at)
    expires = keep(at)
    if expires is not None:
        later = or_(consents.c.expires_at.is_(None), consents.c.expires_at > expires)
        over = _of(about, GRANTED)
        proofs = connection.execute(select(consents.c.proof).where(over, later)).scalars()
        calls = [row for proof in proofs if (row := row_of(proof)) is not None]
        connection.execute(update(consents).where(over, later).values(expires_at=expires))
        for row in calls:  # the calls in which they were given, which are kept as their proof
            mine = (consents.c.id == row) & (consents.c.tenant_id == about.tenant)
            connection.execute(update(consents).where(mine, later).values(expires_at=expires))
    return _enter(
        connection,
        about,
        state=WITHDRAWN,
        proof=reason,
        at=at,
        actor=actor,
        since=at,
        until=None,
        expires=expires,
    )


def _check_stands(contact: Contact, purpose: str, at: datetime) -> None:
    given = [one for one in contact.consents if one.purpose == purpose]
    if not given:
        raise ConsentError(f"no consent to {purpose} was given")
    ends = [one.until for one in given if one.until is not None and one.until <= at]
    if len(ends) == len(given):
        raise ConsentError(f"the consent to {purpose} ended on {_said(max(ends))}")


def _withdrawn_at(connection: Connection, about: About) -> datetime | None:
    """When consent to that purpose was last withdrawn."""
    found = connection.execute(select(func.max(consents.c.at)).where(_of(about, WITHDRAWN)))
    last: datetime | None = found.scalar()
    return last


def _of(about: About, state: str) -> ColumnElement[bool]:
    """The rows of this ledger, not those of notices in calls."""
    return and_(
        consents.c.tenant_id == about.tenant,
        consents.c.subject == about.subject,
        consents.c.purpose == about.purpose,
        consents.c.state == state,
        consents.c.call_id.is_(None),
    )


def _enter(
    connection: Connection,
    about: About,
    *,
    state: str,
    proof: str,
    at: datetime,
    actor: str,
    since: datetime,
    until: datetime | None,
    expires: datetime | None,
) -> str:
    row_id = str(uuid7(at))
    connection.execute(
        insert(consents).values(
            id=row_id,
            tenant_id=about.tenant,
            call_id=None,
            subject=about.subject,
            purpose=about.purpose,
            state=state,
            proof=proof,
            actor=actor,
            at=since,
            until=until,
            expires_at=expires,
        )
    )
    action = "consent.record" if state == GRANTED else "consent.withdraw"
    details = {"purpose": about.purpose}
    append(connection, Entry(at, actor, action, f"consent:{row_id}", about.tenant, details))
    return row_id


def _said(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
