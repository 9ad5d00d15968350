"""Keeping records: two sources, one row, and the file's data wins in either order."""

from datetime import timedelta

import pytest
from sqlalchemy import Row, insert, select

from callguard.cdr.record import CallRecord, from_event, from_line
from callguard.cdr.store import keep
from callguard.policy.span import Span
from callguard.storage.database import Database
from callguard.storage.schema import call_records, calls
from callguard.tenants.tenant import Tenant, TenantSettings
from tests.cdr.lines import CALL_ID, a_call, at, event, line
from tests.clock import HandClock

ACME = Tenant("acme", "Acme", TenantSettings(), (), {"call_record": Span(days=30)})
TENANTS = {"acme": ACME}
FILE = from_line(line())
AMI = from_event(dict(event(Destination="from AMI").headers))


def put(database: Database, *records: CallRecord, pbx: str = "east") -> list[bool]:
    with database.writing() as connection:
        return [keep(connection, pbx, record, TENANTS.get) for record in records]


def rows(database: Database) -> list[Row[tuple[object, ...]]]:
    with database.reading() as connection:
        return list(connection.execute(select(call_records).order_by(call_records.c.id)))


@pytest.mark.parametrize(
    "records",
    [[FILE], [AMI, FILE], [FILE, AMI], [FILE, AMI, FILE, AMI], [AMI, AMI, FILE, FILE]],
)
def test_a_record_is_one_row_and_the_file_wins(
    database: Database, records: list[CallRecord]
) -> None:
    assert put(database, *records) == [True, *[False] * (len(records) - 1)]
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
    with database.writing() as connection:
        connection.execute(insert(calls).values(a_call(clock.now(), tenant)))
    put(database, FILE, from_line(line(2, userfield="emergency")))
    of_tenant, of_nobody = rows(database)
    assert (of_tenant.tenant_id, of_tenant.call_id) == (tenant, CALL_ID)
    assert of_tenant.expires_at == at(12.5) + timedelta(days=30)
    assert (of_nobody.tenant_id, of_nobody.call_id) == (None, None)
    assert of_nobody.expires_at == at(12.5) + timedelta(days=365)


def test_the_latest_end_a_record_may_have_can_be_kept(database: Database) -> None:
    put(database, from_line(line(end="32503679999")))
    (row,) = rows(database)
    assert row.ended_at.year == 2999
