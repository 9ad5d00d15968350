"""What the demo's tenants know of the people whom the law protects from them."""

from __future__ import annotations

from datetime import datetime, timedelta

from callguard.contacts.contact import Contact
from callguard.policy.facts import GivenConsent
from tests.lab.clocks import zone_where_it_is


def at_night(contact: Contact, now: datetime) -> Contact:
    """Somebody who is known to be where it is three in the night."""
    return contact.placed(None, None, zone_where_it_is(3, now))


def at_noon(contact: Contact, now: datetime) -> Contact:
    """Somebody who is known to be where it is noon, and agreed to nothing."""
    return contact.placed(None, None, zone_where_it_is(12, now))


def sold_to_at_noon(contact: Contact, now: datetime) -> Contact:
    """Somebody who agreed to sales calls, in writing, and is where it is noon."""
    agreed = GivenConsent("marketing", now - timedelta(days=1), proof="a signed form")
    return contact.placed(None, None, zone_where_it_is(12, now)).granted(agreed)
