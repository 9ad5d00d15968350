"""A registry counts only so long after the date that its list bears."""

from datetime import UTC, datetime, timedelta

import pytest

from callguard.policy.rules import Outcome
from tests.policy.facts import TODAY, a_call, an_answer
from tests.policy.kinds.asked import ask, by_the_clock, loosens, refused

MONTHLY: dict[str, object] = {"registry": "tps", "max_age_days": 28}


@pytest.mark.parametrize(
    ("age", "outcome"),
    [
        (0, Outcome.PASS),
        (27, Outcome.PASS),
        (28, Outcome.PASS),
        (29, Outcome.BLOCK),
        (400, Outcome.BLOCK),
        (-1, Outcome.UNKNOWN),
    ],
)
def test_a_list_is_stale_the_day_after_its_last(age: int, outcome: Outcome) -> None:
    answer = an_answer("tps", list_date=TODAY - timedelta(days=age))
    found = ask("registry_freshness", a_call(registries=(answer,)), **MONTHLY)
    assert found.outcome is outcome


def test_the_day_turns_at_the_subjects_midnight() -> None:
    answer = an_answer("tps", list_date=TODAY - timedelta(days=28))
    for zone, text, outcome in [
        ("Europe/Paris", "2026-11-20 23:59:59", Outcome.PASS),
        ("Europe/Paris", "2026-11-21 00:00", Outcome.BLOCK),
        ("America/New_York", "2026-11-20 23:59:59", Outcome.PASS),  # the 21st in London
    ]:
        facts = a_call(at=by_the_clock(zone, text), zones=(zone,), registries=(answer,))
        assert ask("registry_freshness", facts, **MONTHLY).outcome is outcome


def test_of_several_possible_days_the_latest_counts() -> None:
    at = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
    answer = an_answer("tps", list_date=TODAY - timedelta(days=28))
    west, east = "America/Los_Angeles", "Europe/Paris"
    for zones, outcome in [
        ((west,), Outcome.PASS),
        ((west, east), Outcome.BLOCK),
        ((east, west), Outcome.BLOCK),
        ((), Outcome.BLOCK),
    ]:
        facts = a_call(at=at, zones=zones, registries=(answer,))
        assert ask("registry_freshness", facts, **MONTHLY).outcome is outcome


def test_a_list_that_may_not_age_is_one_of_the_day() -> None:
    for age, outcome in [(0, Outcome.PASS), (1, Outcome.BLOCK)]:
        answer = an_answer("tps", list_date=TODAY - timedelta(days=age))
        facts = a_call(registries=(answer,))
        found = ask("registry_freshness", facts, registry="tps", max_age_days=0)
        assert found.outcome is outcome


def test_a_registry_without_a_list_or_a_date_is_unknown() -> None:
    assert ask("registry_freshness", a_call(), **MONTHLY).outcome is Outcome.UNKNOWN
    undated = a_call(registries=(an_answer("tps", list_date=None),))
    assert ask("registry_freshness", undated, **MONTHLY).outcome is Outcome.UNKNOWN
    other = a_call(registries=(an_answer("ctps"),))
    assert ask("registry_freshness", other, **MONTHLY).outcome is Outcome.UNKNOWN


def test_a_fresh_list_is_fresh_whatever_it_says_of_the_number() -> None:
    for listed in (True, False, None):
        facts = a_call(registries=(an_answer("tps", listed),))
        assert ask("registry_freshness", facts, **MONTHLY).outcome is Outcome.PASS


def test_the_reason_tells_the_age() -> None:
    facts = a_call(registries=(an_answer("tps", list_date=TODAY - timedelta(days=29)),))
    assert ask("registry_freshness", facts, **MONTHLY).reason == (
        "the list of tps is of 2026-10-22, 29 days old; at most 28 are allowed"
    )


@pytest.mark.parametrize("change", [{"max_age_days": -1}, {"registry": ""}])
def test_an_age_that_makes_no_sense_is_refused(change: dict[str, object]) -> None:
    refused("registry_freshness", "Settings", **{**MONTHLY, **change})


@pytest.mark.parametrize(
    ("change", "loose"),
    [
        ({}, False),
        ({"max_age_days": 27}, False),
        ({"max_age_days": 29}, True),
        ({"registry": "ctps"}, True),
    ],
)
def test_an_older_list_is_looser(change: dict[str, object], loose: bool) -> None:
    assert loosens("registry_freshness", MONTHLY, {**MONTHLY, **change}) is loose
