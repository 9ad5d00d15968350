"""Lengths of time as they are promised: months by the calendar, days of the place."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callguard.policy.span import Span

HOUR = timedelta(hours=1)
spans = st.builds(Span, st.integers(0, 1_200), st.integers(0, 36_525))
moments = st.integers(0, 120 * 366 * 24).map(lambda h: datetime(1990, 1, 1, tzinfo=UTC) + h * HOUR)


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "span", "written"),
    [
        ("30d", Span(days=30), "30d"),
        ("12mo", Span(months=12), "1y"),
        ("5y", Span(months=60), "5y"),
        ("3y14d", Span(months=36, days=14), "3y14d"),
        ("0d", Span(), "0d"),
        ("18mo", Span(months=18), "1y6mo"),
    ],
)
def test_it_is_written_in_one_way(text: str, span: Span, written: str) -> None:
    assert Span.parse(text) == span
    assert str(span) == written
    assert Span.parse(written) == span


@pytest.mark.parametrize(
    "text", ["", "d", "12", "-1d", "1.5y", "1d1y", "1h", "30 d", "٣d", 30, None]
)
def test_what_is_none_is_refused_in_one_line(text: object) -> None:
    with pytest.raises(ValueError, match=r"^.+ is no length of time: [^\n]+$"):
        Span.parse(text)


@pytest.mark.parametrize(
    ("begun", "text", "over"),
    [
        ("2024-02-29", "1y", "2025-02-28"),
        ("2024-02-29", "4y", "2028-02-29"),
        ("2025-02-28", "1y", "2026-02-28"),
        ("2026-01-31", "1mo", "2026-02-28"),
        ("2028-01-31", "1mo", "2028-02-29"),
        ("2026-01-31", "1mo1d", "2026-03-01"),
        ("2026-12-31", "12mo", "2027-12-31"),
        ("2024-01-01", "366d", "2025-01-01"),
        ("2026-05-05", "0d", "2026-05-05"),
    ],
)
def test_months_and_years_go_by_the_calendar(begun: str, text: str, over: str) -> None:
    assert Span.parse(text).after(day(begun)) == day(over)


def test_a_day_with_a_change_of_clocks_is_as_long_as_it_is_there() -> None:
    noon = datetime(2026, 3, 28, 11, tzinfo=UTC)  # 12:00 in Paris, the day before
    assert Span(days=1).after(noon, ZoneInfo("Europe/Paris")) == noon.replace(day=29, hour=10)
    assert Span(days=1).after(noon) == noon.replace(day=29)


def test_a_month_is_counted_from_the_day_that_it_is_there() -> None:
    late = datetime(2026, 1, 31, 23, 30, tzinfo=UTC)  # the 1st of February in Paris
    assert Span(months=1).after(late, ZoneInfo("Europe/Paris")) == datetime(
        2026, 2, 28, 23, 30, tzinfo=UTC
    )
    assert Span(months=1).after(late) == datetime(2026, 2, 28, 23, 30, tzinfo=UTC)


def test_beyond_the_calendar_it_is_the_last_moment_of_all() -> None:
    assert Span(months=12_000 * 12 - 1).after(day("2026-01-01")).year == 9999


@given(spans, moments)
def test_it_never_ends_before_it_began(span: Span, moment: datetime) -> None:
    assert span.after(moment) >= moment


@given(spans, spans)
def test_of_two_at_least_one_may_exceed_the_other_unless_they_are_as_long(
    one: Span, other: Span
) -> None:
    if not one.may_exceed(other) and not other.may_exceed(one):
        moment = day("2024-02-29")
        assert one.after(moment) == other.after(moment)
