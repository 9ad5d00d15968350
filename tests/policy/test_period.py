"""Lengths of time as statutes count them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callguard.policy.period import Period

periods = st.builds(Period, st.integers(1, 600), st.sampled_from(("mo", "d", "h", "s")))
moments = st.datetimes(datetime(1950, 1, 1), datetime(2150, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1mo", "1 month"),
        ("18mo", "18 months"),
        ("1d", "1 day"),
        ("30d", "30 days"),
        ("24h", "24 hours"),
        ("10s", "10 seconds"),
        ("99999d", "99999 days"),
    ],
)
def test_a_period_is_one_number_of_one_unit(text: str, words: str) -> None:
    assert str(Period.parse(text)) == words


@pytest.mark.parametrize(
    "text",
    ["", "d", "0d", "01d", "-1d", "1.5d", "1 d", "1D", "1m", "1y", "1d\n", "100000d", "١d", "1d2h"],
)
def test_what_is_no_period_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no period"):
        Period.parse(text)


@pytest.mark.parametrize("value", [30, None, 1.5, ["30d"], timedelta(days=30)])
def test_only_text_is_read(value: object) -> None:
    with pytest.raises(ValueError, match="is no period"):
        Period.parse(value)


@pytest.mark.parametrize(
    ("start", "period", "end"),
    [
        ("2025-05-20T12:00", "18mo", "2026-11-20T12:00"),
        ("2026-01-31T12:00", "1mo", "2026-02-28T12:00"),
        ("2024-01-31T12:00", "1mo", "2024-02-29T12:00"),
        ("2024-02-29T12:00", "12mo", "2025-02-28T12:00"),
        ("2026-12-31T00:00", "2mo", "2027-02-28T00:00"),
        ("2026-08-31T12:00", "1mo", "2026-09-30T12:00"),
        ("2026-11-20T12:00", "1mo", "2026-12-20T12:00"),
        ("2026-02-28T12:00", "1d", "2026-03-01T12:00"),
        ("2026-10-24T12:00", "1d", "2026-10-25T12:00"),
        ("2026-10-24T12:00", "24h", "2026-10-25T12:00"),
        ("2026-11-20T23:59:55", "10s", "2026-11-21T00:00:05"),
    ],
)
def test_months_end_by_the_calendar_and_the_rest_by_the_clock(
    start: str, period: str, end: str
) -> None:
    assert Period.parse(period).after(utc(start)) == utc(end)


@pytest.mark.parametrize(
    ("end", "period", "start"),
    [
        ("2026-03-31T12:00", "1mo", "2026-02-28T12:00"),
        ("2026-01-15T12:00", "1mo", "2025-12-15T12:00"),
        ("2026-11-20T12:00", "18mo", "2025-05-20T12:00"),
        ("2026-03-01T12:00", "1d", "2026-02-28T12:00"),
    ],
)
def test_a_period_reaches_back_by_the_same_count(end: str, period: str, start: str) -> None:
    assert Period.parse(period).before(utc(end)) == utc(start)


@pytest.mark.parametrize("text", ["99999mo", "99999d"])
def test_a_period_beyond_the_calendar_ends_at_its_edge(text: str) -> None:
    period = Period.parse(text)
    assert period.after(utc("9900-06-15T12:00")).year == 9999
    assert period.before(utc("0100-06-15T12:00")).year == 1
    assert period.out_of_reach(utc("9900-06-15T12:00")).year == 9999


@given(periods, moments, moments)
def test_what_begins_later_ends_no_sooner(period: Period, one: datetime, other: datetime) -> None:
    early, late = sorted((one, other))
    assert period.after(early) <= period.after(late)
    assert period.before(early) <= period.before(late)


@given(periods, moments)
def test_what_was_out_of_reach_stays_so_and_a_little_before_it_was_not(
    period: Period, moment: datetime
) -> None:
    free = period.out_of_reach(moment)
    assert period.before(free) >= moment
    assert period.before(free - timedelta(days=1, microseconds=1)) < moment
    assert free - period.after(moment) in (timedelta(0), timedelta(days=1))


@given(periods, periods, moments)
def test_a_period_is_not_longer_only_where_it_never_is(
    one: Period, other: Period, moment: datetime
) -> None:
    if not one.longer_than(other):
        assert one.after(moment) <= other.after(moment)
        assert one.before(moment) >= other.before(moment)


@given(periods, moments)
def test_a_period_comes_to_no_less_and_no_more_than_its_span(
    period: Period, moment: datetime
) -> None:
    least, most = period.span()
    assert least <= period.after(moment) - moment <= most
    assert least <= moment - period.before(moment) <= most


@pytest.mark.parametrize(
    ("one", "other", "longer"),
    [
        ("31d", "30d", True),
        ("30d", "30d", False),
        ("30d", "720h", False),
        ("721h", "30d", True),
        ("1mo", "1mo", False),
        ("2mo", "1mo", True),
        ("1mo", "31d", False),
        ("1mo", "30d", True),
        ("30d", "1mo", True),
        ("28d", "1mo", False),
        ("12mo", "366d", False),
        ("12mo", "365d", True),
        ("365d", "12mo", False),
        ("366d", "12mo", True),
    ],
)
def test_of_months_and_days_each_may_be_the_longer(one: str, other: str, longer: bool) -> None:
    assert Period.parse(one).longer_than(Period.parse(other)) is longer


def test_four_hundred_years_are_always_as_long() -> None:
    assert Period.parse("4800mo").span() == (timedelta(days=146_097), timedelta(days=146_097))
