"""How long a list counts, and what is told before and after."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callguard.optout.registry.freshness import (
    RegistryStanding,
    alarms_of,
    alarms_of_missing,
    standing_of,
)
from callguard.optout.registry.shelf import RegistryStatus
from callguard.policy.kinds.registry_freshness import Settings, find
from callguard.policy.rules import Outcome
from tests.policy.facts import a_call, an_answer

OF = date(2026, 11, 1)
LIST = RegistryStatus("us-dnc", OF, 9, ("+1202",), "5f" * 32, "2026-11-02T08:00Z", True, "", "")


def standing(
    today: date, *, age: int | None = 31, warn: int = 5, registry: RegistryStatus = LIST
) -> RegistryStanding:
    return standing_of(registry, age, "", today=today, warn_days=warn)


@pytest.mark.parametrize(
    ("day", "state", "alarm"),
    [
        (OF, "usable", ()),
        (date(2026, 11, 26), "usable", ()),
        (date(2026, 11, 27), "ageing", ("registry us-dnc goes stale on 2026-12-03, in 6 days",)),
        (date(2026, 12, 2), "ageing", ("registry us-dnc goes stale on 2026-12-03, in 1 day",)),
        (date(2026, 12, 3), "stale", ("registry us-dnc is stale since 2026-12-03",)),
        (OF - timedelta(days=1), "usable", ()),
        (
            OF - timedelta(days=2),
            "ahead",
            ("registry us-dnc is of 2026-11-01, which is still to come",),
        ),
    ],
)
def test_it_is_told_before_and_after_a_list_goes_stale(
    day: date, state: str, alarm: tuple[str, ...]
) -> None:
    found = standing(day, age=31, warn=6)
    assert (found.state, alarms_of(found, day)) == (state, alarm)
    assert found.usable == (state in ("usable", "ageing"))


@given(st.integers(0, 400), st.integers(0, 400))
def test_it_is_stale_on_the_day_from_which_the_rule_blocks(age: int, days: int) -> None:
    day = OF + timedelta(days=days)
    answer = replace(an_answer("us-dnc", listed=False), list_date=OF)
    settings = Settings(registry="us-dnc", max_age_days=age)
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    facts = a_call(at=noon, zones=("UTC",), registries=(answer,))
    blocks = find(settings, facts).outcome is Outcome.BLOCK
    assert (standing(day, age=age).state == "stale") == blocks


def test_where_no_rule_says_a_list_never_goes_stale() -> None:
    found = standing(date(2099, 1, 1), age=None)
    assert (found.state, found.stale_on, alarms_of(found, date(2099, 1, 1))) == ("usable", None, ())


def test_an_age_beyond_all_days_is_no_error() -> None:
    assert standing(OF, age=10**9).stale_on == date.max


def test_a_list_that_can_say_nothing_is_silent_however_fresh() -> None:
    damaged = replace(LIST, fault="the snapshot is damaged")
    found = standing(OF, registry=damaged)
    assert (found.state, found.usable, found.reason) == ("silent", False, "the snapshot is damaged")
    unread = replace(LIST, list_date=None, fault="")
    assert standing(OF, registry=unread).state == "silent"


def test_a_missing_registry_is_told_until_it_is_there() -> None:
    held = {"us-dnc": 3, "gb-tps": 1}
    assert alarms_of_missing(held, frozenset({"gb-tps"})) == (
        "registry us-dnc is not imported: calls held back since the start: 3",
    )
