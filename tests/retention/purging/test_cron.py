"""When a purge runs next: schedules as cron has them, in a time zone whose clocks change."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callguard.config import Purge
from callguard.retention.purging.cron import missed, next_run

PARIS = ZoneInfo("Europe/Paris")


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


@pytest.mark.parametrize(
    ("schedule", "zone", "now", "wanted"),
    [
        ("30 2 * * *", "UTC", at("2026-11-20T02:29:59"), at("2026-11-20T02:30")),
        ("30 2 * * *", "UTC", at("2026-11-20T02:30"), at("2026-11-21T02:30")),
        ("30 2 * * *", "Europe/Paris", at("2026-11-20T02:00"), at("2026-11-21T01:30")),
        ("0 3 29 2 *", "UTC", at("2026-11-20T00:00"), at("2028-02-29T03:00")),
        ("0 4 * * sun", "UTC", at("2026-11-20T00:00"), at("2026-11-22T04:00")),
        ("0 0 L * *", "UTC", at("2028-02-10T00:00"), at("2028-02-29T00:00")),
        # 02:30 does not come on the 29th of March 2026 in Paris: it runs at 03:00, once.
        ("30 2 * * *", "Europe/Paris", at("2026-03-28T12:00"), at("2026-03-29T01:00")),
        ("30 2 * * *", "Europe/Paris", at("2026-03-29T01:00"), at("2026-03-30T00:30")),
        # On the 25th of October it comes twice: at 00:30 and 01:30 UTC.
        ("30 2 * * *", "Europe/Paris", at("2026-10-24T12:00"), at("2026-10-25T00:30")),
        ("30 2 * * *", "Europe/Paris", at("2026-10-25T00:30"), at("2026-10-26T01:30")),
        ("30 2 * * *", "Europe/Paris", at("2026-10-25T01:00"), at("2026-10-26T01:30")),
        # What follows the minutes follows them through both.
        ("*/30 * * * *", "Europe/Paris", at("2026-10-25T00:30"), at("2026-10-25T01:00")),
        ("*/30 * * * *", "Europe/Paris", at("2026-03-29T00:30"), at("2026-03-29T01:00")),
    ],
)
def test_the_next_run(schedule: str, zone: str, now: datetime, wanted: datetime) -> None:
    settings = Purge(schedule=schedule, time_zone=zone)
    assert next_run(now, settings) == wanted.astimezone(UTC)
    assert next_run(now.astimezone(ZoneInfo("Asia/Kolkata")), settings) == wanted


def test_a_schedule_that_never_comes_has_no_next_run() -> None:
    assert next_run(at("9999-12-31T23:59:59"), Purge(schedule="0 0 1 1 *")) is None


@given(st.integers(0, 3 * 365 * 86_400), st.sampled_from(["UTC", "Europe/Paris", "America/Havana"]))
def test_it_comes_once_a_day_of_the_calendar(seconds: int, zone: str) -> None:
    settings = Purge(schedule="30 0 * * *", time_zone=zone)
    now = at("2026-01-01T00:00") + timedelta(seconds=seconds)
    first = next_run(now, settings)
    assert first is not None
    second = next_run(first, settings)
    assert second is not None
    days = [moment.astimezone(ZoneInfo(zone)).date() for moment in (first, second)]
    assert days[1] - days[0] == timedelta(days=1)
    assert now < first <= now + timedelta(hours=26)


def test_a_run_was_missed_where_its_time_passed_and_not_before() -> None:
    settings = Purge(schedule="30 2 * * *")
    last = at("2026-11-20T02:30:07")
    assert not missed(last, at("2026-11-21T02:29:59"), settings)
    assert missed(last, at("2026-11-21T02:30"), settings)
    assert not missed(None, at("2026-11-21T02:30"), settings)
    assert not missed(last, at("2026-11-01T00:00"), settings)
