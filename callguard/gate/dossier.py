"""What is kept of a subject, as facts for the policy."""

import asyncio
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from typing import TypedDict

from sqlalchemy import Connection, bindparam, select

from callguard.contacts.contact import NOTHING_KNOWN, Contact
from callguard.contacts.store import read as read_contact
from callguard.policy.facts import (
    CampaignDay,
    GivenConsent,
    Place,
    Refusal,
    Relationship,
    SubjectKind,
)
from callguard.policy.numbers import Number
from callguard.policy.place import place_of
from callguard.storage.grouped import GroupedReads
from callguard.storage.schema import campaign_days

FIGURES = timedelta(days=62)
"""How many days of a campaign's figures are looked at."""


@dataclass(frozen=True, slots=True)
class Dossier:
    """``figures`` is None where the call is for no campaign of which any are kept."""

    contact: Contact = NOTHING_KNOWN
    figures: tuple[CampaignDay, ...] | None = None


NOTHING_KEPT = Dossier()


class ContactFacts(TypedDict):
    """What a contact says of a subject, as ``CallFacts`` names it."""

    place: Place
    subject_kind: SubjectKind
    consents: tuple[GivenConsent, ...]
    relationships: tuple[Relationship, ...]
    refusals: tuple[Refusal, ...]
    restricted_since: datetime | None


def contact_facts(contact: Contact, subject: Number, fallback: str | None = None) -> ContactFacts:
    """``fallback`` is the region of a subject whose number lies nowhere."""
    return {
        "place": place_of(
            subject,
            region=contact.region,
            subdivision=contact.subdivision,
            zone=contact.zone,
            fallback=fallback,
        ),
        "subject_kind": contact.kind,
        "consents": contact.consents,
        "relationships": contact.relationships,
        "refusals": contact.refusals,
        "restricted_since": contact.restricted_since,
    }


def read_dossier(
    reads: GroupedReads, tenant: str, subject: str, campaign: str | None, at: datetime
) -> "asyncio.Future[Dossier]":
    """The answer may be a TimeoutError, a ContactError or what the database raises."""
    question = partial(_read, tenant=tenant, subject=subject, campaign=campaign, at=at)
    return reads.ask(question)


def _read(
    connection: Connection, tenant: str, subject: str, campaign: str | None, at: datetime
) -> Dossier:
    contact = read_contact(connection, tenant, subject, at) if subject else NOTHING_KNOWN
    figures = None
    if campaign is not None:
        figures = _figures(connection, tenant, campaign, (at - FIGURES).date()) or None
    return Dossier(contact, figures)


_DAYS = select(campaign_days).where(
    campaign_days.c.tenant_id == bindparam("tenant"),
    campaign_days.c.campaign == bindparam("campaign"),
    campaign_days.c.day >= bindparam("since"),
)


def _figures(
    connection: Connection, tenant: str, campaign: str, since: date
) -> tuple[CampaignDay, ...]:
    asked = {"tenant": tenant, "campaign": campaign, "since": since}
    rows = connection.execute(_DAYS, asked)
    return tuple(CampaignDay(row.day, row.answered, row.abandoned) for row in rows)
