"""Call records are read by tenant and period, a page at a time; what has expired is not seen."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, update

from callguard.cdr.columns import COLUMNS, NAMES, Told, as_mapping, masked
from callguard.cdr.reading import (
    CursorError,
    Place,
    Wanted,
    beginning,
    count,
    newest,
    read_page,
    read_pages,
    read_place,
)
from callguard.storage.database import Database
from callguard.storage.schema import call_records
from tests.cdr.told import (
    NOON,
    SUBJECT,
    put_call,
    put_consent,
    put_record,
    put_recording,
    put_records,
    record,
)
from tests.clock import HandClock
from tests.databases import add_tenant

ALL = Wanted("acme")
LATER = NOON + timedelta(days=1)


def told(database: Database, wanted: Wanted, now: datetime = LATER, most: int = 3) -> list[Told]:
    return [one for page in read_pages(database.reading, wanted, lambda: now, most)
            for one in page.records]  # fmt: skip


def sequences(records: list[Told]) -> list[Any]:
    return [one[NAMES.index("sequence")] for one in records]


def counted(database: Database, wanted: Wanted) -> int:
    with database.reading() as connection:
        return count(connection, wanted)


def one(database: Database, wanted: Wanted = ALL) -> dict[str, object]:
    (found,) = told(database, wanted)
    return as_mapping(found)


def test_the_period_begins_with_its_first_instant_and_ends_before_its_last(
    database: Database, tenant: str
) -> None:
    put_records(database, [record(number) for number in range(5)])
    period = Wanted("acme", NOON + timedelta(seconds=1), NOON + timedelta(seconds=3))
    assert sequences(told(database, period)) == [1, 2]
    assert counted(database, period) == 2


def test_pages_hold_every_record_once_also_where_many_end_in_one_instant(
    database: Database, tenant: str
) -> None:
    ends = {"ended_at": NOON}
    put_records(database, [record(n, **(ends if n % 3 else {})) for n in range(50)])
    for most in (1, 7, 49, 50, 51):
        found = sequences(told(database, ALL, most=most))
        assert sorted(found) == list(range(50))


def test_of_all_tenants_those_of_none_come_first(
    database: Database, clock: HandClock, tenant: str
) -> None:
    add_tenant(database, clock, "beta")
    for number, owner in enumerate(("beta", None, "acme", "beta")):
        put_record(database, number, tenant_id=owner)
    assert sequences(told(database, Wanted(), most=1)) == [1, 2, 0, 3]
    assert sequences(told(database, Wanted("beta"))) == [0, 3]
    assert counted(database, Wanted()) == 4


def test_a_record_is_there_until_the_instant_it_expires(database: Database, tenant: str) -> None:
    put_record(database, 1, expires_at=LATER)
    put_record(database, 2, expires_at=LATER + timedelta(microseconds=1))
    assert sequences(told(database, ALL, LATER - timedelta(microseconds=1))) == [1, 2]
    assert sequences(told(database, ALL, LATER)) == [2]
    with database.reading() as connection:
        assert sequences(newest(connection, ALL, LATER, 5)) == [2]


def test_what_expires_between_two_pages_is_not_read(database: Database, tenant: str) -> None:
    put_records(database, [record(n, expires_at=LATER) for n in range(4)])
    times = iter([LATER - timedelta(seconds=1), LATER, LATER, LATER])
    pages = read_pages(database.reading, ALL, lambda: next(times), 2)
    assert [len(page.records) for page in pages] == [2, 0, 0]


def test_what_comes_while_it_is_read_is_not_read(database: Database, tenant: str) -> None:
    put_records(database, [record(n) for n in range(4)])
    pages = read_pages(database.reading, ALL, lambda: LATER, 2)
    found = list(next(pages).records)
    put_record(database, 100)
    with database.writing() as connection:
        connection.execute(delete(call_records).where(call_records.c.sequence == 3))
    found += [one for page in pages for one in page.records]
    assert sequences(found) == [0, 1, 2]


def test_no_transaction_is_open_between_two_pages(database: Database, tenant: str) -> None:
    put_records(database, [record(n) for n in range(4)])
    pages = read_pages(database.reading, ALL, lambda: LATER, 2)
    next(pages)
    put_record(database, 9)
    assert database.tidy(), "nobody who reads holds the log back"


def test_however_few_are_wanted_one_read_looks_at_no_more_than_so_many(
    database: Database, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callguard.cdr.reading.SCAN", 10)
    put_records(database, [record(n, agent="rare" if n == 25 else "dana") for n in range(35)])
    rare = Wanted("acme", agent="rare")
    with database.reading() as connection:
        pages = list(read_pages(database.reading, rare, lambda: LATER, 3))
        assert [page.scanned for page in pages] == [10, 10, 10, 5, 0]
        assert sequences([one for page in pages for one in page.records]) == [25]
        assert sum(page.scanned for page in pages) == count(connection, rare)
    assert sequences(told(database, Wanted("acme", agent="dana"), most=4)) == [
        n for n in range(35) if n != 25
    ]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"direction": "inbound"}, [1]),
        ({"purpose": "service"}, [2]),
        ({"campaign": "קיץ"}, [3]),
        ({"agent": "o'hara"}, [4]),
        ({"disposition": "NO ANSWER"}, [5]),
        ({"number": "+4930123456"}, [6, 7]),
        ({"number": "+4930123456", "direction": "inbound"}, []),
    ],
)
def test_records_are_found_by_what_they_are_about(
    database: Database, tenant: str, wanted: dict[str, Any], found: list[int]
) -> None:
    about: list[dict[str, object]] = [
        {},
        {"direction": "inbound"},
        {"purpose": "service"},
        {"campaign": "קיץ"},
        {"agent": "o'hara"},
        {"disposition": "NO ANSWER"},
        {"subject": "+4930123456"},
        {"subject": None, "called": "+4930123456"},
    ]
    put_records(database, [record(n, **values) for n, values in enumerate(about)])
    assert sequences(told(database, Wanted("acme", **wanted))) == found


def test_a_call_is_found_by_its_id_but_not_as_another_tenants(
    database: Database, clock: HandClock, tenant: str
) -> None:
    add_tenant(database, clock, "beta")
    call = put_call(database)
    put_record(database, 1, call_id=call)
    put_record(database, 2)
    assert sequences(told(database, Wanted(call=call))) == [1]
    assert told(database, Wanted("beta", call=call)) == []
    early = Wanted(call=call, until=NOON)
    assert told(database, early) == []


def test_a_record_has_its_verdict_consents_and_recordings(database: Database, tenant: str) -> None:
    call = put_call(
        database, verdict="block", reasons=["12:30 is outside 10:00-12:00", "no \ud800"]
    )
    first = put_consent(database, call, "asked")
    second = put_consent(database, call, "granted", expires_at=LATER + timedelta(days=1))
    put_consent(database, call, "expired", expires_at=LATER)
    kept = put_recording(database, call, "sealed")
    put_recording(database, call, "lost", expires_at=NOON)
    put_record(database, 1, call_id=call, purpose=None, cause=17, answered_at=None)
    found = one(database)
    assert found["verdict"] == "block"
    assert found["verdict_reasons"] == ["12:30 is outside 10:00-12:00", "no ?"]
    assert (found["consent_ids"], found["consent_states"]) == (
        [first, second],
        ["asked", "granted"],
    )
    assert (found["recording_ids"], found["recording_states"]) == ([kept], ["sealed"])
    assert found["purpose"] == "service", "what the record does not say, its verdict does"
    assert (found["cause"], found["cause_text"]) == (17, "user busy")
    assert found["answered_at"] is None
    assert found["ended_at"] == "2026-11-20T12:00:01.000000+00:00"


def test_an_expired_verdict_is_not_told(database: Database, tenant: str) -> None:
    call = put_call(database, expires_at=LATER)
    put_record(database, 1, call_id=call)
    found = one(database)
    assert (found["verdict"], found["verdict_reasons"]) == (None, [])


def test_what_another_tenant_keeps_of_the_same_call_is_not_told(
    database: Database, clock: HandClock, tenant: str
) -> None:
    add_tenant(database, clock, "beta")
    call = put_call(database, "beta", verdict="block")
    put_consent(database, call, "granted", tenant_id="beta")
    put_recording(database, call, "sealed", tenant_id="beta")
    put_record(database, 1, call_id=call)
    found = one(database)
    assert (found["verdict"], found["consent_ids"], found["recording_ids"]) == (None, [], [])


def test_masked_no_number_is_left(database: Database, tenant: str) -> None:
    call = put_call(database, reasons=["+33123456789 asked, 20 days ago"])
    numbers = {
        "caller": "020 7946 0999",
        "routed_to": "PJSIP/+4930123456@trunk",
        "account_code": "0312345678",
        "agent": "agent 1001",
        "campaign": "c 0612345678",
    }
    put_record(database, 1, call_id=call, **numbers)
    (found,) = told(database, ALL)
    hidden = as_mapping(masked(found))
    text = repr(hidden)
    for digits in ("3312345", "20 7946", "493012", "03123456", "06123456"):
        assert digits not in text
    assert hidden["called"] == "+33*******89"
    assert hidden["agent"] == "agent 1001"
    assert hidden["verdict_reasons"] == ["**********89 asked, 20 days ago"]
    same = set(NAMES) - {column.name for column in COLUMNS if column.hides}
    assert all(hidden[name] == as_mapping(found)[name] for name in same)
    assert hidden["unique_id"] == "1700000000.1"


def test_the_last_come_first_in_a_list(database: Database, clock: HandClock, tenant: str) -> None:
    add_tenant(database, clock, "beta")
    for number, owner in enumerate(("beta", None, "acme", "beta", "acme")):
        put_record(database, number, tenant_id=owner)
    with database.reading() as connection:
        assert sequences(newest(connection, Wanted(), LATER, 3)) == [4, 3, 2]
        assert sequences(newest(connection, Wanted("acme"), LATER, 3)) == [4, 2]
        assert sequences(newest(connection, Wanted(number=SUBJECT), LATER, 2)) == [4, 3]


def test_a_cursor_leads_on_from_page_to_page(database: Database, tenant: str) -> None:
    put_records(database, [record(n) for n in range(5)])
    put_record(database, 5, tenant_id=None)
    found = list[Told]()
    with database.reading() as connection:
        text = beginning(connection).as_text()
        while True:
            page = read_page(connection, Wanted(), read_place(text), LATER, 2)
            found += page.records
            if page.following is None:
                break
            text = page.following.as_text()
    assert sequences(found) == [5, 0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "text",
    ["x", "é", "W10", "WzEsMl0", "bnVsbA", "WyIxIixudWxsLG51bGwsMF0", "WzEsMixudWxsLDBd",
     "Wy0xLG51bGwsbnVsbCwwXQ", "WzEsbnVsbCwxZTk5LDBd"],
)  # fmt: skip
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(CursorError):
        read_place(text)


def test_a_cursor_of_another_period_opens_nothing_before_the_one_that_is_asked_for(
    database: Database, tenant: str
) -> None:
    put_records(database, [record(n) for n in range(4)])
    late = Wanted("acme", since=NOON + timedelta(seconds=3))
    with database.reading() as connection:
        early = read_page(connection, ALL, beginning(connection), LATER, 1).following
        assert early is not None
        assert sequences(list(read_page(connection, late, early, LATER).records)) == [3]


def test_a_cursor_is_read_back_as_it_was_written() -> None:
    for place in (Place(7), Place(9, "acme", NOON + timedelta(microseconds=1), 3)):
        assert read_place(place.as_text()) == place


def test_a_record_whose_end_is_corrected_meanwhile_is_the_only_one_that_may_come_twice(
    database: Database, tenant: str
) -> None:
    """The promise as it stands in the docs: what stays as it was comes once."""
    put_records(database, [record(n) for n in range(6)])
    pages = read_pages(database.reading, ALL, lambda: LATER, 2)
    found = list(next(pages).records)
    with database.writing() as connection:
        moved = update(call_records).where(call_records.c.sequence == 0)
        connection.execute(moved.values(ended_at=NOON + timedelta(seconds=4, microseconds=1)))
    found += [one for page in pages for one in page.records]
    assert sorted(sequences(found)) == [0, 0, 1, 2, 3, 4, 5]
