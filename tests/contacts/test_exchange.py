"""From when the time of a contact counts, and how it goes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import insert, select

from callguard.contacts.contact import NOTHING_KNOWN, Contact, ContactError
from callguard.contacts.exchange import Origin, exchanged
from callguard.contacts.store import Entered, change, enter, id_of, read
from callguard.policy.span import Span
from callguard.storage.database import Database
from callguard.storage.schema import contacts, holds
from callguard.tenants.tenant import Tenant, TenantSettings

SUBJECT = "+442079460123"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)
THIRTY = Tenant("acme", "Acme", TenantSettings(), (), {"contact": Span(days=30)})
BUSINESS = partial(replace, kind="business")


def put(
    database: Database,
    *,
    at: datetime = NOON,
    origin: Origin | None = "crm",
    last: datetime | None = None,
) -> None:
    with database.writing() as connection:
        enter(connection, THIRTY, SUBJECT, BUSINESS, Entered(origin, exchanged_at=last), at=at)


def ends(database: Database) -> datetime | None:
    with database.reading() as connection:
        found: datetime | None = connection.execute(select(contacts.c.expires_at)).scalar_one()
    return found


def known(database: Database, at: datetime) -> Contact:
    with database.reading() as connection:
        return read(connection, "acme", SUBJECT, at)


def exchange(database: Database, at: datetime) -> bool:
    with database.writing() as connection:
        return exchanged(connection, THIRTY, SUBJECT, at)


def test_it_counts_from_the_entry_then_from_the_last_exchange(
    database: Database, tenant: str
) -> None:
    put(database)
    assert ends(database) == NOON + 30 * DAY
    assert not exchange(database, NOON - DAY)
    assert exchange(database, NOON + 5 * DAY)
    assert not exchange(database, NOON + 5 * DAY)
    assert not exchange(database, NOON + 3 * DAY)
    assert ends(database) == NOON + 35 * DAY


def test_an_exchange_that_is_told_with_the_entry_may_lie_before_it(
    database: Database, tenant: str
) -> None:
    put(database, last=NOON - 20 * DAY)
    assert ends(database) == NOON + 10 * DAY
    put(database, at=NOON + DAY, last=NOON - 25 * DAY)
    assert ends(database) == NOON + 10 * DAY
    put(database, at=NOON + DAY, last=NOON + DAY)
    assert ends(database) == NOON + 31 * DAY


def test_an_edit_is_no_exchange(database: Database, tenant: str) -> None:
    put(database)
    put(database, at=NOON + 9 * DAY, origin=None)
    with database.writing() as connection:
        change(connection, "acme", SUBJECT, BUSINESS, at=NOON + 9 * DAY)
    assert ends(database) == NOON + 30 * DAY


@pytest.mark.parametrize("origin", ["manual", "synced"])
def test_those_by_hand_and_from_another_book_have_no_time(
    database: Database, tenant: str, origin: Origin
) -> None:
    put(database, origin=origin)
    assert exchange(database, NOON + DAY)
    assert ends(database) is None
    put(database, at=NOON + 2 * DAY, origin="upload")
    assert ends(database) == NOON + 31 * DAY


def test_an_expired_contact_is_not_there_and_does_not_come_back(
    database: Database, tenant: str
) -> None:
    put(database)
    over = NOON + 30 * DAY
    assert known(database, over - timedelta(microseconds=1)).kind == "business"
    assert known(database, over) == NOTHING_KNOWN
    assert not exchange(database, over)
    with database.writing() as connection:
        assert id_of(connection, "acme", SUBJECT, over) is None
        change(connection, "acme", SUBJECT, lambda c: c.placed("FR", None, None), at=over)
    assert known(database, over) == Contact(region="FR")
    assert ends(database) is None  # it is a new one, of which nobody said how it came in


def test_nobody_is_made_a_contact_by_an_exchange(database: Database, tenant: str) -> None:
    assert not exchange(database, NOON)
    with database.writing() as connection:
        assert not exchanged(connection, THIRTY, "", NOON)
        assert connection.execute(select(contacts)).all() == []


def test_who_is_restricted_is_not_forgotten_while_that_stands(
    database: Database, tenant: str
) -> None:
    put(database)
    with database.writing() as connection:
        change(connection, "acme", SUBJECT, lambda c: replace(c, restricted_since=NOON), at=NOON)
    assert ends(database) is None
    assert exchange(database, NOON + DAY)
    assert ends(database) is None
    with database.writing() as connection:
        lifted = partial(replace, restricted_since=None)
        enter(connection, THIRTY, SUBJECT, lifted, Entered(), at=NOON + 2 * DAY)
    assert ends(database) == NOON + 31 * DAY


def test_a_held_contact_that_has_expired_is_neither_replaced_nor_taken_away(
    database: Database, tenant: str
) -> None:
    put(database)
    hold = {"id": "h", "subject": SUBJECT, "reason": "r", "author": "a", "at": NOON}
    over = NOON + 30 * DAY
    with database.writing() as connection:
        connection.execute(insert(holds).values(**hold))
    with database.writing() as connection:
        with pytest.raises(ContactError, match="is held"):
            change(connection, "acme", SUBJECT, BUSINESS, at=over)
        with pytest.raises(ContactError, match="is held"):
            id_of(connection, "acme", SUBJECT, NOON)
    assert known(database, NOON).kind == "business"
    assert known(database, over) == NOTHING_KNOWN
