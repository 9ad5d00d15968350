"""What the page tells of holds: how many stand, which are to be looked at soonest, and an alarm
where that should have been done."""

from datetime import timedelta

from callguard.retention.holds.placing import NewHold, add, release
from callguard.retention.holds.told import SHOWN, read_standing
from callguard.storage.database import Database
from tests.clock import HandClock


def place(database: Database, clock: HandClock, tenant: str, days: float, case: str | None) -> str:
    now = clock.now()
    new = NewHold("a claim", "test", now + timedelta(days=days), tenant=tenant, case=case)
    with database.writing() as connection:
        return add(connection, new, now).id


def test_those_to_be_reviewed_first_come_first_and_a_late_one_is_an_alarm(
    database: Database, clock: HandClock, tenant: str
) -> None:
    later = place(database, clock, tenant, 30, None)
    sooner = place(database, clock, tenant, 2, "C-17")
    with database.reading() as connection:
        told = read_standing(connection, clock.now())
    assert [one.name for one in told.first] == ["C-17", later]
    assert (told.total, told.overdue, told.alarms) == (2, 0, ())
    clock.advance(days=2)
    with database.reading() as connection:
        told = read_standing(connection, clock.now())
    assert [one.overdue for one in told.first] == [True, False]
    assert told.alarms == ("holds whose review is overdue: 1; see callguard hold list",)
    assert place(database, clock, tenant, 0.5, "C-17") == sooner
    with database.reading() as connection:
        assert not read_standing(connection, clock.now()).alarms, "who looked puts it off"
    clock.advance(days=1)
    with database.reading() as connection:
        assert read_standing(connection, clock.now()).overdue == 1
    with database.writing() as connection:
        release(connection, [sooner], clock.now(), "test", {})
        assert read_standing(connection, clock.now()).alarms == ()


def test_many_are_counted_and_few_are_named(
    database: Database, clock: HandClock, tenant: str
) -> None:
    for number in range(SHOWN + 1):
        place(database, clock, tenant, 30, f"C-{number}")
    with database.reading() as connection:
        told = read_standing(connection, clock.now())
    assert (told.total, len(told.first)) == (SHOWN + 1, SHOWN)
