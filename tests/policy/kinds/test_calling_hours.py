"""Calls only within the hours of the day, by the subject's clock and calendar."""

from datetime import timedelta

import pytest

from callguard.policy.rules import Outcome
from tests.policy.facts import LOS_ANGELES, NEW_YORK, PARIS, a_call
from tests.policy.kinds.asked import ask, by_the_clock

FRENCH = {"weekdays": ["10:00-13:00", "14:00-20:00"]}
ALL_DAY = {"daily": ["00:00-24:00"]}


def in_paris(text: str, **settings: object) -> Outcome:
    facts = a_call(PARIS, at=by_the_clock("Europe/Paris", text))
    return ask("calling_hours", facts, **{"hours": FRENCH, **settings}).outcome


@pytest.mark.parametrize(
    ("time", "outcome"),
    [
        ("09:59", Outcome.BLOCK),
        ("09:59:59.999999", Outcome.BLOCK),
        ("10:00", Outcome.PASS),
        ("10:01", Outcome.PASS),
        ("12:59:59.999999", Outcome.PASS),
        ("13:00", Outcome.BLOCK),
        ("13:59:59.999999", Outcome.BLOCK),
        ("14:00", Outcome.PASS),
        ("19:59:59.999999", Outcome.PASS),
        ("20:00", Outcome.BLOCK),
        ("00:00", Outcome.BLOCK),
        ("23:59", Outcome.BLOCK),
    ],
)
def test_the_first_minute_is_within_the_hours_and_the_last_is_not(
    time: str, outcome: Outcome
) -> None:
    assert in_paris(f"2026-11-23 {time}") is outcome


@pytest.mark.parametrize("day", ["2026-11-21", "2026-11-22"])
def test_a_day_without_hours_has_no_calls(day: str) -> None:
    facts = a_call(PARIS, at=by_the_clock("Europe/Paris", f"{day} 11:00"))
    found = ask("calling_hours", facts, hours=FRENCH)
    assert found.outcome is Outcome.BLOCK
    assert "no calls on that day" in found.reason


def test_the_reason_tells_both_the_time_and_the_hours() -> None:
    early = a_call(PARIS, at=by_the_clock("Europe/Paris", "2026-11-23 13:30"))
    assert ask("calling_hours", early, hours=FRENCH).reason == (
        "Monday 2026-11-23 13:30 in Europe/Paris is outside 10:00-13:00 and 14:00-20:00"
    )
    fine = a_call(PARIS, at=by_the_clock("Europe/Paris", "2026-11-23 14:05"))
    assert ask("calling_hours", fine, hours=FRENCH).reason == (
        "14:05 in Europe/Paris is within 10:00-13:00 and 14:00-20:00"
    )


def test_midnight_belongs_to_the_day_that_begins() -> None:
    hours = {"mon": ["00:00-24:00"]}
    assert in_paris("2026-11-22 23:59:59.999999", hours=hours) is Outcome.BLOCK
    assert in_paris("2026-11-23 00:00", hours=hours) is Outcome.PASS
    assert in_paris("2026-11-23 23:59:59.999999", hours=hours) is Outcome.PASS
    assert in_paris("2026-11-24 00:00", hours=hours) is Outcome.BLOCK


def test_a_day_by_its_own_name_goes_before_its_group_and_a_group_before_every_day() -> None:
    hours = {
        "wed": ["11:00-12:00"],
        "weekdays": ["09:00-10:00"],
        "daily": ["15:00-16:00"],
    }
    for text, outcome in [
        ("2026-11-25 11:30", Outcome.PASS),
        ("2026-11-25 09:30", Outcome.BLOCK),
        ("2026-11-25 15:30", Outcome.BLOCK),
        ("2026-11-24 09:30", Outcome.PASS),
        ("2026-11-24 15:30", Outcome.BLOCK),
        ("2026-11-22 15:30", Outcome.PASS),
        ("2026-11-22 09:30", Outcome.BLOCK),
    ]:
        assert in_paris(text, hours=hours) is outcome


def test_a_day_named_with_no_hours_has_none_whatever_its_group_has() -> None:
    hours = {"sun": [], "daily": ["08:00-20:00"]}
    assert in_paris("2026-11-22 12:00", hours=hours) is Outcome.BLOCK
    assert in_paris("2026-11-21 12:00", hours=hours) is Outcome.PASS


@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize(
    ("time", "outcome"),
    [
        ("01:29", Outcome.BLOCK),
        ("01:30", Outcome.PASS),
        ("01:59", Outcome.PASS),
        ("02:00", Outcome.BLOCK),
    ],
)
def test_the_hour_that_occurs_twice_is_judged_by_the_clock_both_times(
    time: str, outcome: Outcome, second: bool
) -> None:
    at = by_the_clock("America/New_York", f"2026-11-01 {time}", second=second)
    found = ask("calling_hours", a_call(NEW_YORK, at=at), hours={"daily": ["01:30-02:00"]})
    assert found.outcome is outcome


def test_hours_that_ended_come_again_when_the_clock_goes_back() -> None:
    at = by_the_clock("Europe/Paris", "2026-10-25 02:29")
    minutes = [
        ask(
            "calling_hours",
            a_call(PARIS, at=at + timedelta(minutes=step)),
            hours={"daily": ["02:00-02:30"]},
        ).outcome
        for step in (0, 1, 30, 31, 60, 61)
    ]
    assert minutes == [
        Outcome.PASS,  # 02:29
        Outcome.BLOCK,  # 02:30
        Outcome.BLOCK,  # 02:59
        Outcome.PASS,  # 02:00 again
        Outcome.PASS,  # 02:29 again
        Outcome.BLOCK,
    ]


def test_the_hour_that_does_not_exist_has_no_calls() -> None:
    before = by_the_clock("Europe/Paris", "2026-03-29 01:59:59")
    for step in range(3):
        facts = a_call(PARIS, at=before + timedelta(seconds=step))
        found = ask("calling_hours", facts, hours={"daily": ["02:00-03:00"]})
        assert found.outcome is Outcome.BLOCK


def test_hours_that_begin_in_the_missing_hour_begin_after_it() -> None:
    last = by_the_clock("Europe/Paris", "2026-03-29 01:59:59")
    hours = {"daily": ["02:30-08:00"]}
    assert ask("calling_hours", a_call(PARIS, at=last), hours=hours).outcome is Outcome.BLOCK
    next_second = a_call(PARIS, at=last + timedelta(seconds=1))
    assert ask("calling_hours", next_second, hours=hours).outcome is Outcome.PASS


def test_the_evening_ends_by_the_same_clock_in_winter_and_in_summer() -> None:
    for day in ("2026-03-07", "2026-03-08", "2026-10-31", "2026-11-01"):
        end = by_the_clock("America/New_York", f"{day} 21:00")
        hours = {"daily": ["08:00-21:00"]}
        late = a_call(NEW_YORK, at=end)
        assert ask("calling_hours", late, hours=hours).outcome is Outcome.BLOCK
        just = a_call(NEW_YORK, at=end - timedelta(microseconds=1))
        assert ask("calling_hours", just, hours=hours).outcome is Outcome.PASS


def test_a_holiday_has_no_calls_and_the_reason_names_it() -> None:
    facts = a_call(PARIS, at=by_the_clock("Europe/Paris", "2026-11-11 11:00"))
    assert ask("calling_hours", facts, hours=FRENCH).outcome is Outcome.PASS
    found = ask("calling_hours", facts, hours=FRENCH, holidays="FR")
    assert found.outcome is Outcome.BLOCK
    assert "Wednesday, Armistice" in found.reason
    assert "no calls on that holiday" in found.reason


def test_a_holiday_begins_and_ends_at_the_subjects_midnight() -> None:
    for text, outcome in [
        ("2026-11-10 23:59:59.999999", Outcome.PASS),
        ("2026-11-11 00:00", Outcome.BLOCK),
        ("2026-11-11 23:59:59.999999", Outcome.BLOCK),
        ("2026-11-12 00:00", Outcome.PASS),
    ]:
        assert in_paris(text, hours=ALL_DAY, holidays="FR") is outcome


def test_the_hours_of_a_holiday_stand_in_place_of_its_weekday() -> None:
    settings = {"holidays": "FR", "on_holiday": ["10:30-11:00"]}
    assert in_paris("2026-11-11 10:29", **settings) is Outcome.BLOCK
    assert in_paris("2026-11-11 10:30", **settings) is Outcome.PASS
    assert in_paris("2026-11-11 11:00", **settings) is Outcome.BLOCK
    assert in_paris("2026-11-12 11:00", **settings) is Outcome.PASS


def test_a_state_has_holidays_that_the_country_does_not_have() -> None:
    facts = a_call(NEW_YORK, at=by_the_clock("America/New_York", "2026-04-27 12:00"))
    hours = {"daily": ["08:00-20:00"]}
    us = ask("calling_hours", facts, hours=hours, holidays="US")
    assert us.outcome is Outcome.PASS
    alabama = ask("calling_hours", facts, hours=hours, holidays="US-AL")
    assert alabama.outcome is Outcome.BLOCK


COASTS = ("America/New_York", "America/Los_Angeles")


@pytest.mark.parametrize(
    ("in_new_york", "outcome"),
    [
        ("10:59", Outcome.BLOCK),  # 07:59 in Los Angeles
        ("11:00", Outcome.PASS),
        ("20:59", Outcome.PASS),
        ("21:00", Outcome.BLOCK),
    ],
)
@pytest.mark.parametrize("zones", [COASTS, COASTS[::-1]])
def test_a_number_of_several_zones_must_be_called_legally_in_all_of_them(
    in_new_york: str, outcome: Outcome, zones: tuple[str, ...]
) -> None:
    at = by_the_clock("America/New_York", f"2026-11-20 {in_new_york}")
    found = ask(
        "calling_hours", a_call(NEW_YORK, at=at, zones=zones), hours={"daily": ["08:00-21:00"]}
    )
    assert found.outcome is outcome
    if outcome is Outcome.PASS:
        assert "all 2 possible zones" in found.reason


def test_a_holiday_in_one_possible_zone_is_enough() -> None:
    """Half an hour before midnight in Paris it is the holiday already further east."""
    at = by_the_clock("Europe/Paris", "2026-11-10 23:30")
    here = a_call(PARIS, at=at, zones=("Europe/Paris",))
    either = a_call(PARIS, at=at, zones=("Europe/Paris", "Indian/Reunion"))
    assert ask("calling_hours", here, hours=ALL_DAY, holidays="FR").outcome is Outcome.PASS
    found = ask("calling_hours", either, hours=ALL_DAY, holidays="FR")
    assert found.outcome is Outcome.BLOCK
    assert "Indian/Reunion" in found.reason


def test_without_a_zone_the_hours_are_unknown() -> None:
    found = ask("calling_hours", a_call(PARIS, zones=()), hours=ALL_DAY)
    assert found.outcome is Outcome.UNKNOWN


def test_the_rules_own_zone_counts_in_place_of_the_subjects() -> None:
    at = by_the_clock("America/New_York", "2026-11-20 20:30")
    hours = {"daily": ["08:00-21:00"]}
    for zones in (("America/Los_Angeles",), ("Europe/Paris",), ()):
        facts = a_call(LOS_ANGELES, at=at, zones=zones)
        found = ask("calling_hours", facts, hours=hours, zone="America/New_York")
        assert found.outcome is Outcome.PASS
        late = a_call(LOS_ANGELES, at=at + timedelta(minutes=30), zones=zones)
        found = ask("calling_hours", late, hours=hours, zone="America/New_York")
        assert found.outcome is Outcome.BLOCK


def test_ranges_may_stand_in_any_order_and_touch() -> None:
    hours = {"daily": ["14:00-20:00", "10:00-14:00"]}
    assert in_paris("2026-11-23 14:00", hours=hours) is Outcome.PASS
    assert in_paris("2026-11-23 13:59", hours=hours) is Outcome.PASS
    assert in_paris("2026-11-23 09:59", hours=hours) is Outcome.BLOCK
