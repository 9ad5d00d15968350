"""One leader at a time, and one that was asleep stops."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, update

from callguard.retention.purging.leader import (
    LEASE_S,
    PURGE,
    RENEW_S,
    BusyError,
    leader,
    release,
    require,
    take,
)
from callguard.storage.database import Database
from callguard.storage.schema import leases
from tests.clock import HandClock


def until(database: Database) -> datetime:
    with database.reading() as connection:
        found: datetime = connection.execute(select(leases.c.until)).scalar_one()
    return found


def test_a_second_is_told_who_leads_until_the_first_lets_go(
    database: Database, clock: HandClock
) -> None:
    with database.writing() as connection:
        first = take(connection, PURGE, "one", clock.now())
        with pytest.raises(BusyError, match="one"):
            take(connection, PURGE, "two", clock.now())
        assert leader(connection, PURGE, clock.now()) == "one"
        release(connection, first, clock.now())
        assert leader(connection, PURGE, clock.now()) is None
        assert take(connection, PURGE, "two", clock.now()).fence == first.fence + 1


@pytest.mark.parametrize(("seconds", "taken"), [(LEASE_S - 0.001, False), (LEASE_S, True)])
def test_one_that_is_silent_is_replaced_when_its_lease_is_over(
    database: Database, clock: HandClock, seconds: float, taken: bool
) -> None:
    with database.writing() as connection:
        first = take(connection, PURGE, "one", clock.now())
    clock.advance(seconds)
    with database.writing() as connection:
        if not taken:
            with pytest.raises(BusyError):
                take(connection, PURGE, "two", clock.now())
            return
        second = take(connection, PURGE, "two", clock.now())
        with pytest.raises(BusyError, match="took over: two"):
            require(connection, first, clock.now())
        release(connection, first, clock.now())  # which is nobody's business any more
        require(connection, second, clock.now())
        assert leader(connection, PURGE, clock.now()) == "two"


def test_one_that_was_late_goes_on_where_nobody_took_over(
    database: Database, clock: HandClock
) -> None:
    with database.writing() as connection:
        first = take(connection, PURGE, "one", clock.now())
    clock.advance(10 * LEASE_S)
    with database.writing() as connection:
        require(connection, first, clock.now())
    assert until(database) == clock.now() + timedelta(seconds=LEASE_S)


def test_a_lease_is_renewed_now_and_then(database: Database, clock: HandClock) -> None:
    with database.writing() as connection:
        first = take(connection, PURGE, "one", clock.now())
    before = until(database)
    clock.advance(RENEW_S - 0.001)
    with database.writing() as connection:
        assert require(connection, first, clock.now()) == first
    assert until(database) == before
    clock.advance(0.001)
    with database.writing() as connection:
        assert require(connection, first, clock.now()).since == clock.now()
    assert until(database) == clock.now() + timedelta(seconds=LEASE_S)


def test_a_lease_of_a_clock_that_was_ahead_locks_nobody_out(
    database: Database, clock: HandClock
) -> None:
    with database.writing() as connection:
        take(connection, PURGE, "one", clock.now())
        connection.execute(update(leases).values(until=clock.now() + timedelta(days=365)))
        assert take(connection, PURGE, "two", clock.now()).holder == "two"
