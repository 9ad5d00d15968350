"""Numbers of whoever has had processing restricted are told only on a ground (GDPR art. 18)."""

from datetime import timedelta

import pytest

from callguard.cdr.columns import NAMES, Told
from callguard.cdr.legs import as_value, read_call
from callguard.cdr.reading import Wanted, newest, read_pages
from callguard.storage.database import Database
from tests.cdr.told import NOON, OWN, SUBJECT, hold, put_call, put_record, restrict
from tests.clock import HandClock
from tests.databases import add_tenant

LATER = NOON + timedelta(days=1)
OTHER = "+442079460123"


def called(records: list[Told]) -> list[object]:
    return [one[NAMES.index("called")] for one in records]


def told(database: Database, wanted: Wanted) -> tuple[list[object], int]:
    """Whom they called, and how many are only stored."""
    pages = list(read_pages(database.reading, wanted, lambda: LATER, 2))
    return called([one for page in pages for one in page.records]), sum(p.masked for p in pages)


def test_only_that_tenants_records_of_that_subject_come_masked(
    database: Database, clock: HandClock, tenant: str
) -> None:
    add_tenant(database, clock, "beta")
    put_record(database, 1)
    put_record(database, 2, called=OTHER, subject=OTHER)
    put_record(database, 3, tenant_id="beta")
    put_record(database, 4, tenant_id=None)
    restrict(database, SUBJECT)
    stars = "+33*******89"
    assert told(database, Wanted()) == ([SUBJECT, stars, OTHER, SUBJECT], 1)
    assert told(database, Wanted(ground="legal-claim")) == ([SUBJECT, SUBJECT, OTHER, SUBJECT], 0)
    with database.reading() as connection:
        assert called(newest(connection, Wanted("acme"), LATER, 9)) == [OTHER, stars]


@pytest.mark.parametrize(
    "values",
    [
        {"called": "02079460123"},
        {"called": "442079460123"},
        {"called": OTHER, "caller": "100"},
        {"called": OWN, "caller": "020 7946 0123"},
        {"called": "02079460123", "subject": SUBJECT},
    ],
)
def test_who_is_named_only_as_the_pbx_wrote_it_is_known_all_the_same(
    database: Database, tenant: str, values: dict[str, object]
) -> None:
    put_record(database, 1, **{"subject": None, **values})
    put_record(database, 2, subject=None, called="s", caller="anonymous")
    restrict(database, OTHER)
    (first, second), masked = told(database, Wanted("acme"))
    assert (first != values["called"], second, masked) == (True, "s", 1)


def test_of_a_whole_call_neither_subject_nor_legs_are_told(database: Database, tenant: str) -> None:
    call = put_call(database)
    put_record(database, 1, call_id=call)
    restrict(database, SUBJECT)
    with database.reading() as connection:
        found = read_call(connection, call, LATER)
        on_ground = read_call(connection, call, LATER, ground="consent")
    assert found is not None
    assert on_ground is not None
    assert SUBJECT not in str(as_value(found, numbers=True))
    assert str(as_value(on_ground, numbers=True)).count(SUBJECT) == 2
    assert SUBJECT not in str(as_value(on_ground, numbers=False))


def test_what_is_held_is_there_only_where_it_is_asked_for(database: Database, tenant: str) -> None:
    put_record(database, 1, expires_at=NOON)
    put_record(database, 2, expires_at=NOON, called=OTHER, subject=OTHER)
    hold(database, SUBJECT)
    assert told(database, Wanted("acme")) == ([], 0)
    assert told(database, Wanted("acme", held=True)) == ([SUBJECT], 0)
    with database.reading() as connection:
        assert called(newest(connection, Wanted("acme", held=True), LATER, 9)) == [SUBJECT]
        assert newest(connection, Wanted("acme"), LATER, 9) == []
