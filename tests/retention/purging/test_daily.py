"""The daily purge: once a day at its time, whatever the clock and the store do."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, select

from callguard.config import Purge
from callguard.recording.store.folder import FolderStore
from callguard.recording.store.objects import ObjectStoreError
from callguard.retention.purging import daily as daily_module
from callguard.retention.purging.clock_sense import confirm
from callguard.retention.purging.cron import next_time
from callguard.retention.purging.daily import DailyPurge
from callguard.retention.purging.leader import LEASE_S, PURGE, take
from callguard.retention.purging.purge import purge
from callguard.storage.database import Database
from callguard.storage.journal import Journal, NotDurableError
from callguard.storage.schema import clock_marks
from tests.clock import HandClock
from tests.databases import add_tenant, ledger_of
from tests.retention.rows import left, patient, put

T = TypeVar("T")
NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "at", "wanted"),
    [
        (NOON, "12:01", NOON + timedelta(minutes=1)),
        (NOON, "12:00", NOON + timedelta(days=1)),
        (NOON, "02:30", datetime(2026, 11, 21, 2, 30, tzinfo=UTC)),
        (NOON.replace(hour=23, minute=59, second=59), "00:00", datetime(2026, 11, 21, tzinfo=UTC)),
        (
            datetime(2026, 12, 31, 23, 0, tzinfo=UTC),
            "02:30",
            datetime(2027, 1, 1, 2, 30, tzinfo=UTC),
        ),
        (
            datetime(2028, 2, 28, 3, 0, tzinfo=UTC),
            "02:30",
            datetime(2028, 2, 29, 2, 30, tzinfo=UTC),
        ),
    ],
)
def test_the_next_run_is_today_or_over_midnight(now: datetime, at: str, wanted: datetime) -> None:
    assert next_time(now, at) == wanted


@given(
    st.timedeltas(timedelta(days=-20_000), timedelta(days=1_000_000)).map(lambda d: NOON + d),
    st.times(),
)
def test_the_next_run_is_within_a_day_and_at_its_time(now: datetime, at: object) -> None:
    text = f"{at:%H:%M}"
    run = next_time(now, text)
    assert timedelta(0) < run - now <= timedelta(days=1)
    assert f"{run:%H:%M:%S}" == f"{text}:00"


def test_the_next_run_is_told_in_utc() -> None:
    zone = timezone(timedelta(hours=2))
    assert next_time(NOON.astimezone(zone), "02:30").utcoffset() == timedelta(0)


class Moody(FolderStore):
    """A store that fails while it is told to."""

    failing: Exception | None = None

    def delete(self, names: Iterable[str]) -> int:
        if self.failing is not None:
            raise self.failing
        return super().delete(names)


@pytest.fixture
def store(tmp_path: Path) -> Moody:
    return Moody(tmp_path / "objects")


@pytest.fixture
async def daily(
    database: Database,
    journal: Journal,
    clock: HandClock,
    store: Moody,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[DailyPurge]:
    monkeypatch.setattr(daily_module, "LOOK_S", 0.001)
    made = DailyPurge(
        journal.write, store, ledger_of(database), clock, Purge(at="02:30"), tidy=lambda: None
    )
    task = asyncio.create_task(made.run())
    yield made
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not what():
            await asyncio.sleep(0.001)


def ran(daily: DailyPurge) -> Callable[[], bool]:
    """A question whether it has run once more."""
    before = daily.last
    return lambda: daily.last is not before


async def test_it_waits_for_its_time_and_runs_once_a_day(
    daily: DailyPurge, database: Database, clock: HandClock, tenant: str
) -> None:
    put(database, "consent", 1, clock.now())
    assert daily.next == datetime(2026, 11, 21, 2, 30, tzinfo=UTC)
    clock.advance(14 * 3600)
    for _ in range(20):
        await asyncio.sleep(0)
    assert left(database)["consent"] == 1
    for day in (21, 22):
        done = ran(daily)
        clock.advance(0.5 * 3600 if day == 21 else 24 * 3600)
        await until(done)
        assert daily.last is not None
        assert daily.last.counts["consent"] == (day == 21)
        await until(lambda day=day: daily.next.day == day + 1)  # type: ignore[misc]  # mypy knows no lambda defaults


async def test_a_clock_that_was_ahead_does_not_put_the_purge_off_for_years(
    daily: DailyPurge, clock: HandClock
) -> None:
    clock.advance(days=4000)
    await until(lambda: daily.next.year > 2036)
    clock.advance(days=-4000)
    await until(lambda: daily.next == datetime(2026, 11, 21, 2, 30, tzinfo=UTC))


def resumed(daily: DailyPurge) -> int | None:
    """What the last purge took up of the one before it; None while there was none."""
    return daily.last.resumed if daily.last else None


@pytest.mark.parametrize(
    ("failure", "shown"), [(ObjectStoreError("away"), "away"), (TimeoutError(), "TimeoutError")]
)
async def test_a_store_that_fails_is_shown_and_tried_the_next_day(
    daily: DailyPurge,
    database: Database,
    clock: HandClock,
    store: Moody,
    tenant: str,
    failure: Exception,
    shown: str,
) -> None:
    put(database, "recording", 1, clock.now())
    store.failing = failure
    clock.advance(days=1)
    await until(lambda: daily.fault == shown)
    await until(lambda: daily.next > clock.now())
    assert resumed(daily) is None
    store.failing = None
    clock.advance(days=1)
    await until(lambda: resumed(daily) == 1)
    assert (daily.fault, left(database)["recording"]) == (None, 0)


def started(
    database: Database, journal: Journal, clock: HandClock, store: Moody, **more: object
) -> DailyPurge:
    settings = Purge(at="02:30")
    ledger = ledger_of(database)
    return DailyPurge(patient(journal), store, ledger, clock, settings, tidy=lambda: None, **more)  # type: ignore[arg-type]  # as its own


async def running(daily: DailyPurge, what: Callable[[], bool]) -> None:
    """Runs it until then."""
    task = asyncio.create_task(daily.run())
    try:
        await until(what)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daily_module, "LOOK_S", 0.001)


@pytest.mark.usefixtures("short")
async def test_a_run_that_was_missed_comes_soon_after_the_start_and_once(
    database: Database, journal: Journal, clock: HandClock, store: Moody, tenant: str
) -> None:
    clock.advance(days=3)
    put(database, "consent", 1, clock.now())
    daily = started(database, journal, clock, store)
    soon = clock.now() + timedelta(minutes=1)
    await running(daily, lambda: daily.next == soon)
    assert left(database)["consent"] == 1
    clock.advance(60)
    await running(daily, lambda: daily.last is not None)
    assert left(database)["consent"] == 0
    clock.advance(60)
    again = started(database, journal, clock, store)
    await running(again, lambda: again.clock_fault is None)
    assert again.next == datetime(2026, 11, 24, 2, 30, tzinfo=UTC)


@pytest.mark.usefixtures("short")
async def test_a_store_that_is_away_at_the_start_puts_off_no_missed_run(
    database: Database, journal: Journal, clock: HandClock, store: Moody, tenant: str
) -> None:
    put(database, "recording", 1, clock.now())
    store.failing = ObjectStoreError("away")
    with suppress(ObjectStoreError):
        await purge(patient(journal), store, ledger_of(database), clock, actor="test")
    clock.advance(days=3)
    daily = started(database, journal, clock, store)
    soon = clock.now() + timedelta(minutes=1)
    await running(daily, lambda: daily.fault == "away")
    assert daily.next == soon


@pytest.mark.usefixtures("short")
async def test_it_waits_for_whoever_purges_just_now(
    database: Database, journal: Journal, clock: HandClock, store: Moody, tenant: str
) -> None:
    daily = started(database, journal, clock, store)
    clock.advance(days=1)
    with database.writing() as connection:
        take(connection, PURGE, "cli:ann", clock.now())
    await running(daily, lambda: daily.waits_for is not None)
    assert daily.waits_for == "somebody else purges just now: cli:ann"
    assert (daily.last, daily.fault) == (None, None)
    clock.advance(LEASE_S)
    await running(daily, lambda: daily.last is not None)
    assert daily.waits_for is None


@pytest.mark.usefixtures("short")
async def test_a_database_that_takes_nothing_for_a_while_does_not_cost_a_day(
    database: Database, journal: Journal, clock: HandClock, store: Moody, tenant: str
) -> None:
    full = False
    write = patient(journal)

    async def moody(work: Callable[[Connection], T], /) -> T:
        if full:
            raise NotDurableError("the disk is full")
        return await write(work)

    daily = DailyPurge(
        moody, store, ledger_of(database), clock, Purge(at="02:30"), tidy=lambda: None
    )
    task = asyncio.create_task(daily.run())
    try:
        await until(lambda: daily.next > clock.now())
        full = True
        clock.advance(days=1)
        await until(lambda: daily.waits_for == "the disk is full")
        assert daily.last is None
        full = False
        await until(lambda: daily.last is not None)
        assert (daily.waits_for, daily.fault) == (None, None)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class Jumping(HandClock):
    def jump(self, **by: float) -> None:
        self._now += timedelta(**by)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("jump", [{"days": 10}, {"days": -10}], ids=["ahead", "back"])
async def test_a_clock_that_is_not_believed_keeps_the_purge_until_somebody_confirms_it(
    database: Database, journal: Journal, store: Moody, jump: dict[str, float]
) -> None:
    clock = Jumping()
    add_tenant(database, clock, "acme")
    put(database, "consent", 1, clock.now() - timedelta(days=20))
    daily = started(database, journal, clock, store)
    task = asyncio.create_task(daily.run())
    try:
        await until(lambda: seen(database))
        clock.jump(**jump)
        await until(lambda: daily.clock_fault is not None)
        clock.advance(days=1)
        await until(lambda: daily.next <= clock.now())
        for _ in range(50):
            await asyncio.sleep(0)
        assert (left(database)["consent"], daily.last) == (1, None)
        await journal.write(lambda c: confirm(c, clock.now(), "ann", "looked at a watch"))
        await until(lambda: daily.last is not None)
        assert (left(database)["consent"], daily.clock_fault) == (0, None)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def seen(database: Database) -> bool:
    with database.reading() as connection:
        return connection.execute(select(clock_marks)).first() is not None
