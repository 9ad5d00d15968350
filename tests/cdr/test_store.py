"""Keeping records: two sources, one row, and the file's data wins in either order."""

from datetime import timedelta

import pytest
from sqlalchemy import insert, select, update

from callguard.cdr.record import CallRecord, from_event, from_line
from callguard.cdr.store import Kept
from callguard.policy.span import Span
from callguard.storage.database import Database
from callguard.storage.schema import (
    calls,
    contacts,
    tenant_endpoints,
    tenant_numbers,
    tenants,
)
from callguard.tenants.directory import TenantDirectory
from callguard.tenants.store import set_retention
from tests.cdr.kept import house, put, rows
from tests.cdr.lines import CALL_ID, OTHER_CALL_ID, a_call, at, event, line
from tests.clock import HandClock
from tests.databases import add_tenant

FILE = from_line(line())
AMI = from_event(dict(event(Destination="from AMI").headers))
OUTBOUND: dict[str, object] = {
    "purpose": "survey",
    "campaign": "may",
    "agent": "agent7",
    "subject": "+442079460001",
    "caller": "+442079460000",
    "called": "+442079460001",
}


def directory(database: Database, clock: HandClock, tenant: str) -> TenantDirectory:
    """A tenant that keeps records for 30 days, with a number and a line of its own."""
    found = TenantDirectory()
    with database.writing() as connection:
        kept_for = Span(days=30)
        set_retention(connection, tenant, "call_record", kept_for, at=clock.now(), actor="test")
        number = {"number": "+442079460999", "tenant_id": tenant}
        connection.execute(insert(tenant_numbers).values(**number))
        for name in ("PJSIP/desk", "acme-code"):
            line_of = {"endpoint": name, "tenant_id": tenant}
            connection.execute(insert(tenant_endpoints).values(**line_of))
        connection.execute(update(tenants).values(updated_at=clock.now() + timedelta(seconds=1)))
        found.refresh(connection)
    return found


@pytest.mark.parametrize(
    "records",
    [[FILE], [AMI, FILE], [FILE, AMI], [FILE, AMI, FILE, AMI], [AMI, AMI, FILE, FILE]],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_a_record_is_one_row_and_the_file_wins(
    database: Database, records: list[CallRecord], at_once: bool
) -> None:
    parts = [records] if at_once else [[record] for record in records]
    assert sum(put(database, *part).added for part in parts) == 1
    (row,) = rows(database)
    assert (row.source, row.called) == ("file", "+442079460001")
    assert (row.started_at, row.answered_at, row.ended_at) == (at(0), at(2), at(12.5))


def test_ami_alone_is_kept_until_the_file_comes(database: Database) -> None:
    put(database, AMI)
    (row,) = rows(database)
    assert (row.source, row.called) == ("ami", "from AMI")


def test_records_of_two_asterisks_and_of_two_legs_are_apart(database: Database) -> None:
    put(database, FILE, from_line(line(2)))
    put(database, FILE, pbx="west")
    assert [(row.pbx, row.sequence) for row in rows(database)] == [
        ("east", 1),
        ("east", 2),
        ("west", 1),
    ]


def test_a_record_is_kept_as_long_as_the_tenant_of_its_call_says(
    database: Database, clock: HandClock, tenant: str
) -> None:
    within = house(directory(database, clock, tenant))
    with database.writing() as connection:
        connection.execute(insert(calls).values(a_call(clock.now(), tenant)))
    stranger = line(2, userfield="emergency", linkedid="1795176000.2")
    put(database, FILE, from_line(stranger), within=within)
    of_tenant, of_nobody = rows(database)
    assert (of_tenant.tenant_id, of_tenant.call_id) == (tenant, CALL_ID)
    assert of_tenant.expires_at == at(12.5) + timedelta(days=30)
    assert (of_nobody.tenant_id, of_nobody.call_id) == (None, None)
    assert of_nobody.expires_at == at(12.5) + timedelta(days=365)


@pytest.mark.parametrize(
    ("direction", "own"), [("outbound", "+442079460000"), ("inbound", "+442079460001")]
)
def test_a_record_says_what_its_verdict_said(
    database: Database, clock: HandClock, tenant: str, direction: str, own: str
) -> None:
    said = OUTBOUND | {"direction": direction}
    with database.writing() as connection:
        connection.execute(insert(calls).values(a_call(clock.now(), tenant, **said)))
    put(database, from_line(line(hangupcause="16", accountcode="west wing")))
    (row,) = rows(database)
    assert (row.direction, row.purpose, row.campaign) == (direction, "survey", "may")
    assert (row.agent, row.subject, row.own_number) == ("agent7", "+442079460001", own)
    assert (row.routed_to, row.cause, row.account_code) == ("PJSIP/carrier", 16, "west wing")


NAMES: dict[str, dict[str, str]] = {
    "the line that calls": {"channel": "PJSIP/desk-0000002a"},
    "the account code of the line": {"accountcode": "acme-code"},
    "the number that is called": {"dst": "+442079460999"},
    "that number as Britain dials it": {"dst": "02079460999"},
    "the line that is rung": {"dstchannel": "PJSIP/desk-0000002a"},
    "the account code of what is rung": {"peeraccount": "acme-code"},
}


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES.keys())
def test_a_record_without_a_call_is_its_tenants_by_name(
    database: Database, clock: HandClock, tenant: str, names: dict[str, str]
) -> None:
    within = house(directory(database, clock, tenant))
    put(database, from_line(line(userfield="", **names)), within=within)
    (row,) = rows(database)
    assert (row.tenant_id, row.call_id, row.direction) == (tenant, None, None)
    assert row.expires_at == at(12.5) + timedelta(days=30)
    assert row.own_number == ("+442079460999" if "dst" in names else None)


def test_a_record_without_a_call_or_a_known_name_is_nobodys(
    database: Database, clock: HandClock, tenant: str
) -> None:
    put(database, from_line(line(userfield="")), within=house(directory(database, clock, tenant)))
    assert rows(database)[0].tenant_id is None


def test_a_record_past_its_time_is_not_entered(
    database: Database, clock: HandClock, tenant: str
) -> None:
    tenants_ = directory(database, clock, tenant)
    with database.writing() as connection:
        connection.execute(insert(calls).values(a_call(clock.now(), tenant)))
    over = at(12.5) + timedelta(days=30)
    assert put(database, FILE, within=house(tenants_, over)) == Kept(too_old=1)
    assert rows(database) == []
    assert put(database, FILE, within=house(tenants_, over - timedelta(seconds=1))).added == 1


def test_an_answered_call_is_an_exchange_with_a_contact(
    database: Database, clock: HandClock, tenant: str
) -> None:
    within = house(directory(database, clock, tenant))
    with database.writing() as connection:
        connection.execute(insert(calls).values(a_call(clock.now(), tenant, **OUTBOUND)))
        known = {"known": {}, "updated_at": clock.now(), "origin": "crm"}
        for subject in ("+442079460001", "+442079460002"):
            who = {"tenant_id": tenant, "subject": subject}
            connection.execute(insert(contacts).values(**who, **known))
    put(database, from_line(line(2, answer="")), within=within)
    assert exchanges(database) == [None, None]
    put(database, FILE, within=within)
    assert exchanges(database) == [at(12.5), None]


def exchanges(database: Database) -> list[object]:
    with database.reading() as connection:
        asked = select(contacts.c.exchanged_at).order_by(contacts.c.subject)
        return list(connection.execute(asked).scalars())


def test_the_latest_end_a_record_may_have_can_be_kept(database: Database) -> None:
    put(database, from_line(line(end="32503679999")))
    (row,) = rows(database)
    assert row.ended_at.year == 2999


def test_the_tenants_of_two_calls_are_not_confused(
    database: Database, clock: HandClock, tenant: str
) -> None:
    add_tenant(database, clock, "other")
    with database.writing() as connection:
        connection.execute(insert(calls).values(a_call(clock.now(), tenant)))
        second = a_call(clock.now(), "other") | {"id": OTHER_CALL_ID}
        connection.execute(insert(calls).values(second))
    put(database, FILE, from_line(line(2, userfield=OTHER_CALL_ID)))
    assert [row.tenant_id for row in rows(database)] == [tenant, "other"]
