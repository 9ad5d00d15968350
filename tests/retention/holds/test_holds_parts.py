"""What a hold covers: by tenant, subject, call and period, each of what it names."""

import itertools
import random
from datetime import timedelta
from typing import Any

from sqlalchemy import Table, insert, select, true

from callguard.retention.holds.covering import (
    any_hold,
    is_covered,
    is_held,
    standing,
    standing_on,
)
from callguard.retention.holds.files import covers_file, read_file_holds
from callguard.retention.holds.placing import HELD
from callguard.retention.purging.expired import next_rows
from callguard.storage.database import Database
from callguard.storage.schema import (
    call_records,
    deliveries,
    holds,
    opt_outs,
    recordings,
)
from tests.clock import HandClock
from tests.databases import add_tenant
from tests.recording.playback.vault import hold
from tests.retention.rows import CLASSES, put

DAY = timedelta(days=1)


def held(database: Database, table: Table) -> int:
    with database.reading() as connection:
        return len(connection.execute(select(table).where(is_held(table))).all())


def put_wish(database: Database, clock: HandClock) -> None:
    wish: dict[str, Any] = {"purposes": [], "way": "cli", "actor": "test", "standing": True}
    with database.writing() as connection:
        connection.execute(
            insert(opt_outs).values(tenant_id="acme", subject="2", at=clock.now(), **wish)
        )


def test_a_period_holds_what_lies_in_it_its_end_left_out(
    database: Database, clock: HandClock, tenant: str
) -> None:
    now, second = clock.now(), timedelta(seconds=1)
    put_wish(database, clock)
    for name in set(HELD) - {"opt_out"}:
        put(database, name, 1, now, at=now)
    with database.writing() as connection:
        connection.execute(recordings.update().values(ended_at=now))
    for since, until, inside in (
        (now, now + second, True),
        (now, None, True),
        (None, now + second, True),
        (now - DAY, now, False),
        (None, now, False),
        (now + second, None, False),
    ):
        with database.writing() as connection:
            connection.execute(holds.delete())
        what: dict[str, Any] = {"from_at": since, "to_at": until}
        hold(database, now, **what)
        kept = {name for name, table in HELD.items() if held(database, table)}
        # Of an archive nobody can tell what lies in it.
        assert kept == (set(HELD) if inside else {"archive"}), (since, until)


def test_a_recording_and_a_call_record_last_into_a_period(
    database: Database, clock: HandClock, tenant: str
) -> None:
    now = clock.now()
    for name in ("recording", "call_record"):
        put(database, name, 1, None, at=now - DAY)
    with database.writing() as connection:
        connection.execute(recordings.update().values(ended_at=now + DAY))
        connection.execute(call_records.update().values(ended_at=now + DAY))
    middle: dict[str, Any] = {"from_at": now, "to_at": now + timedelta(hours=1)}
    hold(database, now, **middle)
    assert (held(database, recordings), held(database, call_records)) == (1, 1)
    with database.writing() as connection:
        connection.execute(recordings.update().values(ended_at=None))  # it goes on
    assert held(database, recordings) == 1


def test_a_call_record_is_held_by_its_own_subject_and_by_that_of_its_call(
    database: Database, clock: HandClock, tenant: str
) -> None:
    put(database, "call_record", 1, clock.now())
    put(database, "recording", 1, clock.now())
    with database.writing() as connection:
        connection.execute(call_records.update().values(subject="+44", call_id="c"))
    hold(database, clock.now(), subject="+44")
    assert (held(database, call_records), held(database, recordings)) == (1, 1)


DIALLED = {
    "+442079460123": True,
    "00442079460123": True,
    "011442079460123": True,
    "020 7946-0123": True,
    "(020) 7946.0123": True,
    "02079460124": False,
    "946 0123": True,
    "46 0123": False,
    "anonymous": False,
    "": False,
}


def test_a_call_record_of_nobody_is_held_by_its_numbers_however_they_are_written(
    database: Database, clock: HandClock, tenant: str
) -> None:
    put(database, "call_record", 1, clock.now())
    put(database, "call_record", 2, clock.now())
    placed = hold(database, clock.now(), subject=NUMBER)
    hold(database, clock.now(), subject="dana@example.com")
    for number, held_back in DIALLED.items():
        for column in ("caller", "called"):
            with database.writing() as connection:
                change = {"caller": "201", "called": "201", column: number}
                connection.execute(call_records.update().values(**change))
            assert held(database, call_records) == (2 if held_back else 0), (column, number)
            with database.reading() as connection:
                which = standing_on(connection, call_records, true())
            assert which == ([placed] if held_back else []), (column, number)
    with database.writing() as connection:  # to whom another's call was passed on
        connection.execute(call_records.update().values(subject="+31", called=NUMBER))
    assert held(database, call_records) == 2


def test_a_delivery_is_held_with_its_recording(
    database: Database, clock: HandClock, tenant: str
) -> None:
    put(database, "recording", 1, clock.now())
    put(database, "delivery", 1, clock.now())
    assert held(database, deliveries) == 0
    with database.writing() as connection:
        connection.execute(deliveries.update().values(recording_id="recording-1"))
    hold(database, clock.now(), call_id="c")
    assert held(database, deliveries) == 1


def test_whether_any_stands(database: Database, clock: HandClock, tenant: str) -> None:
    with database.writing() as connection:
        assert not any_hold(connection)
    hold(database, clock.now())
    with database.writing() as connection:
        assert any_hold(connection)
        connection.execute(holds.update().values(released_at=clock.now()))
        assert not any_hold(connection)


def test_the_quick_question_and_the_plain_one_have_one_answer(
    database: Database, clock: HandClock, tenant: str
) -> None:
    """A purge asks the one that looks holds up; what a hold is said to cover is the other."""
    seeded, now = random.Random(7), clock.now()
    add_tenant(database, clock, "other")
    put_wish(database, clock)
    for number, name in itertools.product(range(4), CLASSES):
        at = now + timedelta(hours=seeded.randrange(48))
        put(database, name, number, now, at=at, tenant=seeded.choice(["acme", "other"]))
    with database.writing() as connection:
        for table in HELD.values():
            for column, values in (("subject", "23"), ("call_id", "cd")):
                if column in table.c and column not in table.primary_key.columns:
                    one_key = table.primary_key.columns.values()[-1]
                    for one in connection.execute(select(one_key)).scalars().all():
                        change = {column: seeded.choice(values)}
                        connection.execute(table.update().where(one_key == one).values(change))
    seen = set[bool]()
    for _ in range(6):
        with database.writing() as connection:
            connection.execute(holds.delete())
        for _ in range(seeded.randrange(1, 3)):
            what: dict[str, Any] = {
                "tenant_id": seeded.choice([None, "acme", "other"]),
                "subject": seeded.choice([None, "2", "3", "4"]),
                "call_id": seeded.choice([None, "c", "d", "verdict-1"]),
                "from_at": seeded.choice([None, now, now + DAY]),
                "to_at": seeded.choice([None, now + DAY]),
            }
            hold(database, now, **what)
        with database.reading() as connection:
            rows = standing(connection)
            for table in HELD.values():
                key = table.primary_key.columns.values()
                asked = select(*key, is_held(table), *(is_covered(table, row) for row in rows))
                answers, which = list[bool](), set[str]()
                for found in connection.execute(asked).all():
                    quick, *plain = found[len(key) :]
                    assert bool(quick) == any(plain), (table.name, found, rows)
                    answers.append(bool(quick))
                    which |= {row.id for row, one in zip(rows, plain, strict=True) if one}
                seen.update(answers)
                assert set(standing_on(connection, table, true())) == which, table.name
                assert not set(standing_on(connection, table, true(), which)), table.name
                if "expires_at" in table.c:
                    step = next_rows(connection, table, now, None, len(answers) + 1)
                    told = (len(step.held), len(step.rows))
                    assert told == (answers.count(True), answers.count(False)), table.name
    assert seen == {True, False}


NUMBER = "+442079460123"


FILES: list[tuple[dict[str, str], str, bool]] = [
    ({}, "", True),
    ({"tenant_id": "acme"}, "x", True),
    ({"tenant_id": "other"}, "x", False),
    ({"subject": NUMBER}, "msg0001-02079460123.wav", True),
    ({"subject": NUMBER}, "0044 20 7946-0123", True),
    ({"subject": NUMBER}, "٢٠٧٩٤٦٠١٢٣", True),
    ({"subject": NUMBER}, "02079460124", False),
    ({"subject": "dana@example.com"}, "02079460124", False),
    ({"subject": NUMBER, "tenant_id": "other"}, "02079460123", False),
    ({"call_id": "verdict-1"}, "rec-1699999999.17.wav", True),
    ({"call_id": "verdict-1"}, "rec-1699999998.17.wav", False),
]


def test_a_file_is_held_by_its_tenant_its_time_and_its_digits(
    database: Database, clock: HandClock, tenant: str
) -> None:
    add_tenant(database, clock, "other")
    put(database, "verdict", 1, None, at=clock.now())
    with database.writing() as connection:
        connection.execute(CLASSES["verdict"].update().values(uniqueid="1699999999.17"))
    for what, digits, covered in FILES:
        with database.writing() as connection:
            connection.execute(holds.delete())
        hold(database, clock.now(), **what)
        with database.reading() as connection:
            assert covers_file(connection, "acme", clock.now(), digits) is covered, (what, digits)
            assert covers_file(connection, "acme", clock.now(), ["7", digits]) is covered


def test_a_file_of_nobody_is_held_by_any_tenants_hold_within_its_period(
    database: Database, clock: HandClock, tenant: str
) -> None:
    now = clock.now()
    period: dict[str, Any] = {"from_at": now, "to_at": now + DAY}
    hold(database, now, tenant_id="acme", **period)
    with database.reading() as connection:
        holding = read_file_holds(connection)
    assert holding.cover(None, now, "")
    assert holding.cover(None, now - DAY, "", until=now)
    assert not holding.cover(None, now - DAY, "")
    assert not holding.cover(None, now + DAY, "")
