"""Contacts in the database."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import OperationalError

from callguard.contacts.contact import NOTHING_KNOWN, Contact, ContactError
from callguard.contacts.store import change, read
from callguard.storage.database import Database
from callguard.storage.schema import contacts
from tests.clock import HandClock
from tests.databases import add_tenant

SUBJECT = "+442079460123"
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def test_of_a_stranger_nothing_is_known(database: Database, tenant: str) -> None:
    with database.reading() as connection:
        assert read(connection, tenant, SUBJECT, NOW) == NOTHING_KNOWN


def test_changes_add_up_and_each_tenant_has_its_own(
    database: Database, tenant: str, clock: HandClock
) -> None:
    add_tenant(database, clock, "other")
    with database.writing() as connection:
        change(connection, tenant, SUBJECT, lambda c: c.placed("US", None, None), at=clock.now())
        change(connection, tenant, SUBJECT, lambda c: c.refused(clock.now(), None), at=clock.now())
    with database.reading() as connection:
        known = read(connection, tenant, SUBJECT, NOW)
        assert (known.region, len(known.refusals)) == ("US", 1)
        assert read(connection, "other", SUBJECT, NOW) == NOTHING_KNOWN


def test_a_change_that_cannot_be_leaves_what_was(
    database: Database, tenant: str, clock: HandClock
) -> None:
    def wrong(contact: Contact) -> Contact:
        return contact.placed("US", None, None).placed("XX", None, None)

    with pytest.raises(ContactError), database.writing() as connection:
        change(connection, tenant, SUBJECT, wrong, at=clock.now())
    with database.reading() as connection:
        assert connection.execute(select(contacts)).all() == []


def test_a_row_that_somebody_else_spoiled_is_told_and_not_taken_for_nothing(
    database: Database, tenant: str
) -> None:
    spoiled = {"known": {"zone": 7}, "updated_at": datetime(2026, 1, 1, tzinfo=UTC)}
    with database.writing() as connection:
        connection.execute(insert(contacts).values(tenant_id=tenant, subject=SUBJECT, **spoiled))
    with database.reading() as connection, pytest.raises(ContactError):
        read(connection, tenant, SUBJECT, NOW)


def test_a_row_that_is_no_json_is_told_and_not_taken_for_nothing(
    database: Database, tenant: str
) -> None:
    with database.writing() as connection:
        connection.execute(
            text(
                "INSERT INTO contacts (tenant_id, subject, known, updated_at) "
                "VALUES (:tenant, :subject, '{', 1)"
            ),
            {"tenant": tenant, "subject": SUBJECT},
        )
    with database.reading() as connection, pytest.raises(ContactError, match="cannot be read"):
        read(connection, tenant, SUBJECT, NOW)


def test_a_table_that_is_gone_is_a_failure_of_the_database(database: Database, tenant: str) -> None:
    with database.writing() as connection:
        connection.execute(text("DROP TABLE contacts"))
    with database.reading() as connection, pytest.raises(OperationalError) as failed:
        read(connection, tenant, SUBJECT, NOW)
    assert SUBJECT not in str(failed.value)
