"""Records that come late: what was purged does not come back by them, what is held is not passed
over, and a row that knows whose it is does not lose that to a file that is read later."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import delete, insert, update

from callguard.cdr.record import from_event, from_line
from callguard.cdr.store import Kept
from callguard.policy.span import Span
from callguard.storage.database import Database
from callguard.storage.schema import call_records, calls, clock_marks, holds, tenants
from callguard.tenants.directory import TenantDirectory
from callguard.tenants.store import set_retention
from tests.cdr.kept import house, put, rows
from tests.cdr.lines import CALL_ID, a_call, at, event, line
from tests.clock import HandClock
from tests.databases import add_tenant

FILE = from_line(line())
AMI = from_event(dict(event().headers))
OVER = at(12.5) + timedelta(days=30)
YEARS = at(0) + timedelta(days=800)


@pytest.fixture
def directory(database: Database, clock: HandClock, tenant: str) -> TenantDirectory:
    """A tenant that keeps call records for 30 days, and its call."""
    found = TenantDirectory()
    with database.writing() as connection:
        kept_for = Span(days=30)
        set_retention(connection, tenant, "call_record", kept_for, at=clock.now(), actor="test")
        connection.execute(insert(calls).values(a_call(clock.now(), tenant, purpose="survey")))
        found.refresh(connection)
    return found


def forget_verdicts(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(delete(calls))


def hold(database: Database, **named: object) -> None:
    said = {"id": "h", "reason": "a claim", "author": "test", "at": at(0), **named}
    with database.writing() as connection:
        connection.execute(insert(holds).values(**said))


def test_a_purged_record_whose_verdict_has_gone_too_does_not_come_back_as_nobodys(
    database: Database, directory: TenantDirectory
) -> None:
    forget_verdicts(database)
    assert put(database, FILE, within=house(directory, OVER)) == Kept(too_old=1)
    assert rows(database) == []


def test_one_that_is_not_over_yet_is_nobodys_but_no_longer_than_any_tenant_keeps_its_own(
    database: Database, directory: TenantDirectory
) -> None:
    forget_verdicts(database)
    before = house(directory, OVER - timedelta(seconds=1))
    assert put(database, FILE, within=before) == Kept(added=1)
    (row,) = rows(database)
    assert (row.tenant_id, row.expires_at) == (None, OVER)


def test_of_a_tenant_that_had_left_before_no_call_can_be(
    database: Database, directory: TenantDirectory, tenant: str
) -> None:
    forget_verdicts(database)
    with database.writing() as connection:
        left = {"ends_at": at(-10), "updated_at": at(100)}
        connection.execute(update(tenants).where(tenants.c.id == tenant).values(**left))
        directory.refresh(connection)
    assert put(database, FILE, within=house(directory, OVER)) == Kept(added=1)


def test_what_a_hold_covers_is_entered_hidden_when_it_comes_too_late(
    database: Database, directory: TenantDirectory
) -> None:
    hold(database, from_at=at(0), to_at=at(60))
    later = from_line(line(2, start=f"{at(90).timestamp()}", end=f"{at(99).timestamp()}"))
    assert put(database, FILE, later, within=house(directory, YEARS)) == Kept(added=1, too_old=1)
    (row,) = rows(database)
    assert (row.sequence, row.expires_at) == (1, OVER)


@pytest.mark.parametrize(
    ("believed", "found"),
    [
        (at(60), Kept(added=1)),
        (OVER - timedelta(seconds=1), Kept(added=1)),
        (OVER, Kept(too_old=1)),
    ],
)
def test_a_clock_that_is_not_believed_makes_no_record_too_old(
    database: Database, directory: TenantDirectory, believed: datetime, found: Kept
) -> None:
    with database.writing() as connection:
        connection.execute(insert(clock_marks).values(id=1, seen_at=believed))
    assert put(database, FILE, within=house(directory, YEARS)) == found
    assert [row.expires_at for row in rows(database)] == [OVER] * found.added


def test_a_file_that_is_read_when_the_verdict_has_gone_leaves_a_record_its_tenant(
    database: Database, directory: TenantDirectory, tenant: str
) -> None:
    put(database, from_event(dict(event(EndTime="2026-11-20 12:00:11").headers)))
    (row,) = rows(database)
    assert (row.tenant_id, row.purpose) == (tenant, "survey")
    forget_verdicts(database)
    put(database, FILE, within=house(directory))
    (read,) = rows(database)
    assert (read.source, read.tenant_id, read.purpose) == ("file", tenant, "survey")
    assert read.ended_at == at(12.5)
    assert read.expires_at - row.expires_at == read.ended_at - row.ended_at


def test_a_leg_keeps_the_call_that_it_was_joined_to(
    database: Database, directory: TenantDirectory, tenant: str
) -> None:
    leg = event(2, UserField="", LinkedID=FILE.linkedid)
    put(database, FILE, from_event(dict(leg.headers)), within=house(directory))
    with database.writing() as connection:
        connection.execute(delete(call_records).where(call_records.c.sequence == 1))
    put(database, from_line(line(2, userfield="", linkedid=FILE.linkedid)), within=house(directory))
    (read,) = rows(database)
    assert (read.source, read.tenant_id, read.call_id) == ("file", tenant, CALL_ID)


@pytest.mark.parametrize("set_back", [False, True])
def test_what_was_hidden_stays_so_when_the_file_tells_of_it(
    database: Database, directory: TenantDirectory, clock: HandClock, set_back: bool
) -> None:
    put(database, AMI, within=house(directory))
    add_tenant(database, clock, "long")
    with database.writing() as connection:
        connection.execute(update(calls).values(tenant_id="long"))
        directory.refresh(connection)
    later = OVER + timedelta(days=1)
    if set_back:
        with database.writing() as connection:
            connection.execute(insert(clock_marks).values(id=1, seen_at=later))
    put(database, FILE, within=house(directory, at(60) if set_back else later))
    (row,) = rows(database)
    assert (row.source, row.expires_at) == ("file", AMI.ended_at + timedelta(days=30))


def test_neither_does_a_call_show_a_leg_again_that_was_hidden(
    database: Database, directory: TenantDirectory, clock: HandClock
) -> None:
    add_tenant(database, clock, "long")
    with database.writing() as connection:
        connection.execute(update(calls).values(tenant_id="long"))
        set_retention(connection, "long", "call_record", Span(months=24), at=clock.now(), actor="t")
        directory.refresh(connection)
    put(database, from_line(line(2, userfield="", linkedid=FILE.linkedid)))
    now = house(directory, at(0) + timedelta(days=400))
    assert put(database, FILE, within=now) == Kept(added=1)
    leg, _ = rows(database)
    assert leg.call_id is None
