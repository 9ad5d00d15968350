"""A campaign that leaves too many people with nobody on the line places no more calls."""

from datetime import UTC, datetime, timedelta

import pytest

from callguard.policy.facts import CampaignDay
from callguard.policy.rules import Outcome
from tests.policy.facts import NOON, TODAY, a_call
from tests.policy.kinds.asked import ask, loosens, refused

THREE: dict[str, object] = {"max_percent": 3, "window": "30d"}


def a_day(answered: int, abandoned: int, ago: int = 0) -> CampaignDay:
    return CampaignDay(TODAY - timedelta(days=ago), answered, abandoned)


def after(*days: CampaignDay, **settings: object) -> Outcome:
    facts = a_call(campaign="spring", dialler="machine", figures=days)
    return ask("abandonment", facts, **{**THREE, **settings}).outcome


@pytest.mark.parametrize(
    ("answered", "abandoned", "outcome"),
    [
        (1000, 29, Outcome.PASS),
        (1000, 30, Outcome.PASS),
        (1000, 31, Outcome.BLOCK),
        (100_000, 3_000, Outcome.PASS),
        (100_000, 3_001, Outcome.BLOCK),
        (100, 0, Outcome.PASS),
        (100, 100, Outcome.BLOCK),
    ],
)
def test_the_share_may_reach_the_limit_and_not_pass_it(
    answered: int, abandoned: int, outcome: Outcome
) -> None:
    assert after(a_day(answered, abandoned)) is outcome


@pytest.mark.parametrize("times", [1, 7, 333])
def test_a_share_exactly_at_a_limit_with_a_decimal_is_allowed(times: int) -> None:
    for tenths in range(1, 1000):
        at_limit = a_day(1000 * times, tenths * times)
        assert after(at_limit, max_percent=tenths / 10) is Outcome.PASS
        above = a_day(1000 * times, tenths * times + 1)
        assert after(above, max_percent=tenths / 10) is Outcome.BLOCK


def test_too_few_calls_tell_no_share() -> None:
    assert after(a_day(99, 99)) is Outcome.PASS
    assert after(a_day(100, 99)) is Outcome.BLOCK
    assert after(a_day(1, 1), least=1) is Outcome.BLOCK
    assert after(a_day(0, 0), least=1) is Outcome.PASS
    assert after() is Outcome.PASS


def test_the_window_is_counted_in_whole_days_this_one_included() -> None:
    assert after(a_day(1000, 20, 0), a_day(1000, 50, 29)) is Outcome.BLOCK
    assert after(a_day(1000, 20, 0), a_day(1000, 50, 30)) is Outcome.PASS
    assert after(a_day(1000, 20, 0), a_day(1000, 50, 1), window="24h") is Outcome.PASS


def test_a_day_of_the_future_does_not_count() -> None:
    assert after(a_day(1000, 20, 0), a_day(1000, 999, -1)) is Outcome.PASS


def test_the_reason_tells_the_share() -> None:
    facts = a_call(campaign="spring", figures=(a_day(1000, 31),))
    assert ask("abandonment", facts, **THREE).reason == (
        "31 of 1000 answered calls abandoned in 30 days (3.10 %), 3 % are allowed"
    )


def test_without_figures_or_a_campaign_the_share_is_unknown() -> None:
    unknown = a_call(campaign="spring", figures=None)
    assert ask("abandonment", unknown, **THREE).outcome is Outcome.UNKNOWN
    none = a_call(campaign=None, figures=(a_day(1000, 0),))
    assert ask("abandonment", none, **THREE).outcome is Outcome.UNKNOWN


def test_the_days_are_those_of_utc() -> None:
    late = datetime(2026, 11, 20, 23, 59, 59, tzinfo=UTC)
    assert late.date() == NOON.date()
    facts = a_call(at=late, campaign="spring", figures=(a_day(1000, 99, -1),))
    assert ask("abandonment", facts, **THREE).outcome is Outcome.PASS
    facts = a_call(
        at=late + timedelta(seconds=1), campaign="spring", figures=(a_day(1000, 99, -1),)
    )
    assert ask("abandonment", facts, **THREE).outcome is Outcome.BLOCK


@pytest.mark.parametrize("settings", [{"max_percent": 0}, {"max_percent": 100}, {"least": 0}])
def test_shares_that_make_no_sense_are_refused(settings: dict[str, object]) -> None:
    refused("abandonment", "Settings", **{**THREE, **settings})


@pytest.mark.parametrize(
    ("change", "loose"),
    [
        ({}, False),
        ({"max_percent": 2.9}, False),
        ({"max_percent": 3.1}, True),
        ({"least": 50}, False),
        ({"least": 101}, True),
        # A bad day leaves a shorter window sooner, and weighs less in a longer one.
        ({"window": "7d"}, True),
        ({"window": "31d"}, True),
    ],
)
def test_a_share_is_looser_if_a_campaign_could_go_on_longer(
    change: dict[str, object], loose: bool
) -> None:
    assert loosens("abandonment", THREE, {**THREE, **change}) is loose
