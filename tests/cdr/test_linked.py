"""Transfers: a leg that passed no gate belongs to the call that Asterisk linked it to."""

from datetime import timedelta
from itertools import permutations

import pytest
from sqlalchemy import insert

from callguard.cdr.record import from_line
from callguard.storage.database import Database
from callguard.storage.schema import calls
from tests.cdr.kept import put, rows
from tests.cdr.lines import CALL_ID, OTHER_CALL_ID, START, a_call, line
from tests.clock import HandClock
from tests.databases import add_tenant

FIRST = from_line(line(1))
LATER = from_line(line(2, userfield=OTHER_CALL_ID, start=f"{START + 5:.6f}"))
BARE = from_line(line(3, userfield=""))
UNREACHED = from_line(line(4, userfield="unreachable"))
APART = from_line(line(5, userfield="", linkedid="1795176000.5"))


@pytest.fixture(autouse=True)
def two_calls(database: Database, clock: HandClock, tenant: str) -> None:
    add_tenant(database, clock, "other")
    with database.writing() as connection:
        connection.execute(insert(calls).values(a_call(clock.now(), tenant, subject="+1")))
        later = a_call(clock.now(), "other") | {"id": OTHER_CALL_ID, "subject": "+2"}
        connection.execute(insert(calls).values(later))


def test_legs_belong_to_the_call_that_began_first_in_any_order(database: Database) -> None:
    first, later = (CALL_ID, "acme", "+1"), (OTHER_CALL_ID, "other", "+2")
    orders = {str(n): o for n, o in enumerate(permutations((FIRST, LATER, BARE, UNREACHED)))}
    for pbx, order in orders.items():
        for record in order:
            put(database, record, pbx=pbx)
    kept = rows(database)
    for pbx, order in orders.items():
        of_pbx = [row for row in kept if row.pbx == pbx]
        found = {row.sequence: (row.call_id, row.tenant_id, row.subject) for row in of_pbx}
        assert found == {1: first, 2: later, 3: first, 4: first}, order


def test_legs_of_one_piece_are_joined_and_others_are_not(database: Database) -> None:
    put(database, APART, BARE, FIRST)
    assert [row.call_id for row in rows(database)] == [None, CALL_ID, CALL_ID]
    assert [row.userfield for row in rows(database)] == ["", "", CALL_ID]


def test_a_leg_with_an_id_of_its_own_and_another_keeps_its_own(database: Database) -> None:
    both = f"{OTHER_CALL_ID};{CALL_ID}"
    put(database, FIRST, from_line(line(2, userfield=both)))
    assert [row.call_id for row in rows(database)] == [CALL_ID, OTHER_CALL_ID]


def test_a_leg_of_another_asterisk_is_not_joined(database: Database) -> None:
    put(database, BARE, pbx="west")
    put(database, FIRST)
    put(database, UNREACHED, pbx="west")
    assert [row.call_id for row in rows(database)] == [None, CALL_ID, None]


def test_a_leg_is_kept_as_long_as_its_call(database: Database) -> None:
    put(database, BARE)
    (alone,) = rows(database)
    assert alone.expires_at == alone.ended_at + timedelta(days=365)
    put(database, FIRST)
    leg, call = rows(database)
    assert (leg.expires_at, leg.tenant_id) == (call.expires_at, call.tenant_id)
