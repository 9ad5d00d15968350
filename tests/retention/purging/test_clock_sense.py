"""The sense of time: a clock that was set back or ran ahead purges nothing until that is over."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

from callguard.audit.log import Entry, append
from callguard.retention.purging.clock_sense import (
    AHEAD_S,
    BACK_S,
    ClockError,
    ClockSense,
    Reading,
    Seen,
    confirm,
    judge,
)
from callguard.storage.database import Database
from callguard.storage.schema import audit, clock_marks
from tests.clock import HandClock

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
GAP = timedelta(days=35)


class Jumping(HandClock):
    """A clock that somebody sets."""

    def jump(self, **by: float) -> None:
        self._now += timedelta(**by)


@pytest.fixture
def clock() -> Jumping:
    return Jumping()


def look(database: Database, sense: ClockSense) -> str | None:
    with database.writing() as connection:
        return sense.look(connection)


def mark(database: Database) -> datetime:
    with database.reading() as connection:
        found: datetime = connection.execute(select(clock_marks.c.seen_at)).scalar_one()
    return found


@pytest.mark.parametrize(
    ("back", "believed"), [(BACK_S, True), (BACK_S + 0.001, False), (86_400.0, False)]
)
def test_a_clock_before_what_was_seen_is_not_believed(back: float, believed: bool) -> None:
    now = Reading(NOON - timedelta(seconds=back), 0.0)
    assert (judge(now, Seen(NOON), None, GAP) is None) == believed
    assert (judge(now, Seen(NOON), Reading(NOON, 0.0), GAP) is None) == believed


@pytest.mark.parametrize(("ahead", "believed"), [(AHEAD_S, True), (AHEAD_S + 0.001, False)])
@pytest.mark.parametrize("passed", [0.0, 3_600.0])
def test_a_clock_that_ran_ahead_of_the_time_is_not_believed(
    ahead: float, believed: bool, passed: float
) -> None:
    now = Reading(NOON + timedelta(seconds=passed + ahead), 1_000.0 + passed)
    assert (judge(now, Seen(NOON), Reading(NOON, 1_000.0), GAP) is None) == believed


@pytest.mark.parametrize(("micros", "believed"), [(0, True), (1, False)])
def test_after_a_long_silence_somebody_must_say_so(micros: int, believed: bool) -> None:
    now = Reading(NOON + GAP + timedelta(microseconds=micros), 0.0)
    assert (judge(now, Seen(NOON), None, GAP) is None) == believed


@given(st.timedeltas(timedelta(0), timedelta(days=400)), st.floats(0, 1e7))
def test_a_clock_that_goes_as_time_does_is_always_believed(by: timedelta, start: float) -> None:
    now = Reading(NOON + by, start + by.total_seconds())
    assert judge(now, Seen(NOON), Reading(NOON, start), GAP) is None


def test_where_nothing_was_ever_seen_any_clock_is_believed(
    database: Database, clock: Jumping
) -> None:
    assert look(database, ClockSense(clock)) is None
    assert mark(database) == clock.now()


def test_a_new_database_is_told_the_time_by_its_newest_rows(
    database: Database, clock: Jumping
) -> None:
    with database.writing() as connection:
        append(connection, Entry(clock.now(), "test", "x", "y"))
    clock.jump(hours=-1)
    fault = look(database, ClockSense(clock))
    assert fault is not None
    assert "2026-11-20 11:00:00Z" in fault
    assert "12:00:00Z before" in fault


def test_the_mark_moves_once_a_minute(database: Database, clock: Jumping) -> None:
    sense = ClockSense(clock)
    look(database, sense)
    first = clock.now()
    for seconds, wanted in ((59.9, 0.0), (0.1, 60.0), (59.0, 60.0)):
        clock.advance(seconds)
        look(database, sense)
        assert mark(database) == first + timedelta(seconds=wanted)


def test_a_jump_ahead_is_remembered_over_a_new_start_and_moves_no_mark(
    database: Database, clock: Jumping
) -> None:
    sense = ClockSense(clock)
    look(database, sense)
    seen = mark(database)
    clock.jump(days=10)
    assert look(database, sense) is not None
    clock.advance(3_600)
    for one in (sense, ClockSense(clock)):  # ten days alone would be believed after a new start
        fault = look(database, one)
        assert fault is not None
        assert "10.0 days" in fault
        with pytest.raises(ClockError, match="--confirm-clock"), database.writing() as connection:
            one.require(connection)
    assert mark(database) == seen


def test_a_jump_ahead_behind_a_step_back_is_remembered_over_a_new_start(
    database: Database, clock: Jumping
) -> None:
    sense = ClockSense(clock)
    look(database, sense)
    clock.jump(hours=-2)
    assert look(database, sense) is not None
    clock.jump(days=10)
    assert look(database, sense) is not None
    fault = look(database, ClockSense(clock))
    assert fault is not None
    assert "9.9 days" in fault


@pytest.mark.parametrize("rows", [False, True])
def test_a_first_start_in_1970_is_not_believed_until_the_clock_is_set(
    database: Database, clock: Jumping, rows: bool
) -> None:
    by = clock.now() - datetime(1970, 1, 1, tzinfo=UTC)
    clock.jump(seconds=-by.total_seconds())
    if rows:
        with database.writing() as connection:
            append(connection, Entry(clock.now(), "test", "x", "y"))
    sense = ClockSense(clock)
    for _ in range(2):
        assert look(database, sense) == "the clock says 1970-01-01 00:00:00Z"
    with pytest.raises(ClockError):
        sense.believed()
    clock.jump(seconds=by.total_seconds())
    assert look(database, sense) is None
    assert sense.believed() == mark(database) == clock.now()


@pytest.mark.parametrize("restart", [False, True])
def test_a_jump_that_is_set_right_is_over(
    database: Database, clock: Jumping, restart: bool
) -> None:
    sense = ClockSense(clock)
    look(database, sense)
    clock.jump(days=3650)
    assert look(database, sense) is not None
    clock.jump(days=-3650)
    clock.advance(60)
    assert look(database, ClockSense(clock) if restart else sense) is None
    assert mark(database) == clock.now()


def test_after_a_step_back_it_waits_until_the_time_has_caught_up(
    database: Database, clock: Jumping
) -> None:
    sense = ClockSense(clock)
    look(database, sense)
    clock.jump(hours=-2)
    assert look(database, sense) is not None
    clock.advance(2 * 3600 - BACK_S - 0.001)
    assert look(database, sense) is not None
    clock.advance(0.001)
    assert look(database, sense) is None


def test_a_step_back_does_not_hide_a_jump_ahead(database: Database, clock: Jumping) -> None:
    sense = ClockSense(clock)
    look(database, sense)
    clock.jump(hours=-2)
    look(database, sense)
    clock.jump(days=3650)
    assert look(database, sense) is not None
    assert look(database, ClockSense(clock)) is not None


@pytest.mark.parametrize("jump", [{"days": 3650}, {"days": -3650}, {"hours": -1}])
def test_what_somebody_confirms_is_believed_by_every_process(
    database: Database, clock: Jumping, jump: dict[str, float]
) -> None:
    service, other = ClockSense(clock), ClockSense(clock)
    look(database, service)
    look(database, other)
    clock.jump(**jump)
    assert look(database, service) is not None
    with database.writing() as connection:
        confirm(connection, clock.now(), "cli:ann", "compared with a watch")
    clock.advance(1)
    for one in (service, other, ClockSense(clock)):
        assert look(database, one) is None
    with database.reading() as connection:
        row = connection.execute(select(audit)).one()
        assert (row.action, row.actor) == ("purge.clock_confirmed", "cli:ann")
        assert "compared with a watch" in row.details
    clock.jump(days=3650)  # it was for that one time
    assert look(database, service) is not None


@pytest.mark.parametrize(
    "change",
    [
        lambda _: {"fault": None},
        lambda _: {"fault_at": None},
        lambda row: {"seen_at": row.seen_at - timedelta(days=1)},
    ],
)
def test_a_row_that_somebody_changed_breaks_nothing(
    database: Database, clock: Jumping, change: Callable[[object], dict[str, object]]
) -> None:
    sense = ClockSense(clock)
    look(database, sense)
    clock.jump(days=400)
    look(database, sense)
    with database.writing() as connection:
        row = connection.execute(select(clock_marks)).one()
        connection.execute(update(clock_marks).values(change(row)))
    assert look(database, sense) is not None
