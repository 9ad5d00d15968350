"""So many calls to one subject in a rolling window, and no more."""

from datetime import UTC, datetime, timedelta

import pytest

from callguard.policy.rules import Outcome
from tests.policy.facts import NOON, a_call, an_attempt, attempts_before
from tests.policy.kinds.asked import ask, loosens, refused

HOUR, DAY, TICK = timedelta(hours=1), timedelta(days=1), timedelta(microseconds=1)
THREE_A_DAY: dict[str, object] = {"limit": 3, "window": "24h"}


@pytest.mark.parametrize(
    ("earlier", "outcome"),
    [(0, Outcome.PASS), (2, Outcome.PASS), (3, Outcome.BLOCK), (4, Outcome.BLOCK)],
)
def test_the_call_after_the_last_allowed_one_is_blocked(earlier: int, outcome: Outcome) -> None:
    attempts = attempts_before(NOON, *(HOUR * (n + 1) for n in range(earlier)))
    assert ask("attempts", a_call(attempts=attempts), **THREE_A_DAY).outcome is outcome


@pytest.mark.parametrize(
    ("ago", "outcome"),
    [
        (DAY + TICK, Outcome.PASS),
        (DAY, Outcome.PASS),
        (DAY - TICK, Outcome.BLOCK),
        (timedelta(0), Outcome.BLOCK),
        (-TICK, Outcome.PASS),
    ],
)
def test_the_window_rolls_and_the_moment_that_it_reaches_back_to_is_out_of_it(
    ago: timedelta, outcome: Outcome
) -> None:
    facts = a_call(attempts=attempts_before(NOON, ago))
    assert ask("attempts", facts, limit=1, window="24h").outcome is outcome


def test_a_day_of_the_window_is_24_hours_also_when_the_clock_changes() -> None:
    """Sunday's 25 hours do not lengthen it."""
    at = datetime(2026, 10, 25, 20, 0, tzinfo=UTC)
    facts = a_call(at=at, attempts=attempts_before(at, DAY))
    assert ask("attempts", facts, limit=1, window="1d").outcome is Outcome.PASS
    facts = a_call(at=at, attempts=attempts_before(at, DAY - TICK))
    assert ask("attempts", facts, limit=1, window="1d").outcome is Outcome.BLOCK


def test_the_reason_tells_the_count_and_when_the_next_call_may_be_placed() -> None:
    facts = a_call(attempts=attempts_before(NOON, HOUR, 2 * HOUR, 3 * HOUR, 4 * HOUR))
    assert ask("attempts", facts, **THREE_A_DAY).reason == (
        "4 calls by the tenant in 24 hours, 3 are allowed; "
        "the next may be placed after 2026-11-21 09:00 UTC"
    )
    at = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
    later = a_call(at=at, attempts=facts.attempts)
    assert ask("attempts", later, **THREE_A_DAY).outcome is Outcome.PASS
    just_before = a_call(at=at - TICK, attempts=facts.attempts)
    assert ask("attempts", just_before, **THREE_A_DAY).outcome is Outcome.BLOCK


def test_the_moment_that_is_promised_is_kept_in_a_window_of_months() -> None:
    """On 28 February a month reaches back to 28 January: a call of the 31st counts until March."""
    called = datetime(2027, 1, 31, 12, 0, tzinfo=UTC)
    attempts = (an_attempt(called),)
    at = datetime(2027, 2, 28, 13, 0, tzinfo=UTC)
    found = ask("attempts", a_call(at=at, attempts=attempts), limit=1, window="1mo")
    assert found.outcome is Outcome.BLOCK
    assert "after 2027-03-01 12:00 UTC" in found.reason
    at = datetime(2027, 3, 1, 12, 0, tzinfo=UTC)
    found = ask("attempts", a_call(at=at, attempts=attempts), limit=1, window="1mo")
    assert found.outcome is Outcome.PASS


def test_no_calls_at_all_are_allowed_by_a_limit_of_none() -> None:
    for attempts in ((), attempts_before(NOON, HOUR), attempts_before(NOON, 30 * DAY)):
        found = ask("attempts", a_call(attempts=attempts), limit=0, window="24h")
        assert found.outcome is Outcome.BLOCK
        assert "may be placed" not in found.reason


def test_counters_that_cannot_be_reached_leave_the_count_unknown() -> None:
    found = ask("attempts", a_call(attempts=None), **THREE_A_DAY)
    assert found.outcome is Outcome.UNKNOWN
    assert "cannot be reached" in found.reason
    assert ask("attempts", a_call(attempts=None), limit=0, window="1d").outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("per", "counted"),
    [("subject", 6), ("tenant", 5), ("campaign", 2), ("debt", 3)],
)
def test_whose_calls_count_is_the_rules_to_say(per: str, counted: int) -> None:
    attempts = (
        an_attempt(NOON - HOUR, campaign="spring", debt="d1"),
        an_attempt(NOON - HOUR, campaign="spring", debt="d2"),
        an_attempt(NOON - HOUR, campaign="autumn", debt="d1"),
        an_attempt(NOON - HOUR, debt="d1"),
        an_attempt(NOON - HOUR),
        an_attempt(NOON - HOUR, tenant="other", campaign="spring", debt="d1"),
    )
    facts = a_call(attempts=attempts, campaign="spring", debt="d1")
    found = ask("attempts", facts, limit=100, window="1d", per=per)
    assert found.reason.startswith(f"{counted} calls")


def test_a_call_of_no_campaign_counts_with_those_of_none() -> None:
    attempts = (an_attempt(NOON - HOUR), an_attempt(NOON - HOUR, campaign="spring"))
    found = ask("attempts", a_call(attempts=attempts), limit=9, window="1d", per="campaign")
    assert found.reason.startswith("1 calls of the campaign")


def test_calls_and_conversations_are_counted_apart() -> None:
    attempts = (
        an_attempt(NOON - HOUR),
        an_attempt(NOON - 2 * HOUR, answered=True),
        an_attempt(NOON - 3 * HOUR),
    )
    facts = a_call(attempts=attempts)
    assert ask("attempts", facts, limit=3, window="1d").outcome is Outcome.BLOCK
    talks = {"window": "1d", "count": "conversations"}
    assert ask("attempts", facts, limit=2, **talks).outcome is Outcome.PASS
    assert ask("attempts", facts, limit=1, **talks).outcome is Outcome.BLOCK


def test_a_conversation_counts_from_when_it_was_answered() -> None:
    """The call was placed before the window, the conversation began in it."""
    attempt = an_attempt(NOON - DAY - timedelta(seconds=10), answered=True)
    facts = a_call(attempts=(attempt,))
    assert ask("attempts", facts, limit=1, window="1d").outcome is Outcome.PASS
    talks = {"window": "1d", "count": "conversations"}
    assert ask("attempts", facts, limit=1, **talks).outcome is Outcome.BLOCK


def test_only_the_purposes_named_count() -> None:
    attempts = (
        an_attempt(NOON - HOUR, purpose="collection"),
        an_attempt(NOON - HOUR, purpose="service"),
    )
    facts = a_call(attempts=attempts)
    assert ask("attempts", facts, limit=2, window="1d").outcome is Outcome.BLOCK
    only = {"purposes": ["collection"]}
    assert ask("attempts", facts, limit=2, window="1d", **only).outcome is Outcome.PASS
    assert ask("attempts", facts, limit=1, window="1d", **only).outcome is Outcome.BLOCK


def test_messages_do_not_count_with_calls() -> None:
    attempts = (an_attempt(NOON - HOUR, channel="sms"),)
    voice, sms = a_call(attempts=attempts), a_call(attempts=attempts, channel="sms")
    assert ask("attempts", voice, limit=1, window="1d").outcome is Outcome.PASS
    assert ask("attempts", sms, limit=1, window="1d").outcome is Outcome.BLOCK


def test_a_window_longer_than_the_calendar_counts_everything() -> None:
    facts = a_call(attempts=(an_attempt(datetime(1990, 1, 1, tzinfo=UTC)),))
    found = ask("attempts", facts, limit=1, window="99999mo")
    assert found.outcome is Outcome.BLOCK


@pytest.mark.parametrize(
    "settings",
    [
        {"limit": -1, "window": "1d"},
        {"limit": 10_001, "window": "1d"},
        {"limit": 1, "window": "0d"},
        {"limit": 1, "window": 86_400},
        {"limit": 1, "window": "1d", "per": "agent"},
        {"limit": 1},
        {"limit": 1, "window": "1d", "purposes": ["fun"]},
        {"limit": 1, "window": "1d", "maximum": 2},
    ],
)
def test_limits_that_make_no_sense_are_refused(settings: dict[str, object]) -> None:
    refused("attempts", "attempts|Settings", **settings)


FOUR: dict[str, object] = {"limit": 4, "window": "30d"}


@pytest.mark.parametrize(
    ("before", "after", "loose"),
    [
        (FOUR, FOUR, False),
        (FOUR, {**FOUR, "limit": 3}, False),
        (FOUR, {**FOUR, "limit": 5}, True),
        (FOUR, {**FOUR, "window": "31d"}, False),
        (FOUR, {**FOUR, "window": "29d"}, True),
        (FOUR, {**FOUR, "window": "720h"}, False),
        (FOUR, {**FOUR, "window": "719h"}, True),
        # A month can have 28 days, and 31.
        (FOUR, {**FOUR, "window": "1mo"}, True),
        ({**FOUR, "window": "28d"}, {**FOUR, "window": "1mo"}, False),
        ({**FOUR, "window": "1mo"}, {**FOUR, "window": "30d"}, True),
        ({**FOUR, "window": "1mo"}, {**FOUR, "window": "31d"}, False),
        ({**FOUR, "window": "12mo"}, {**FOUR, "window": "365d"}, True),
        ({**FOUR, "window": "2mo"}, {**FOUR, "window": "3mo"}, False),
        (FOUR, {**FOUR, "count": "conversations"}, True),
        (FOUR, {**FOUR, "per": "campaign"}, True),
        (FOUR, {**FOUR, "purposes": ["marketing"]}, True),
        ({**FOUR, "purposes": ["marketing"]}, FOUR, False),
        (
            {**FOUR, "purposes": ["marketing"]},
            {**FOUR, "purposes": ["marketing", "survey"]},
            False,
        ),
        ({**FOUR, "purposes": ["marketing"]}, {**FOUR, "purposes": ["survey"]}, True),
    ],
)
def test_a_limit_is_looser_if_more_calls_could_pass(
    before: dict[str, object], after: dict[str, object], loose: bool
) -> None:
    assert loosens("attempts", before, after) is loose
