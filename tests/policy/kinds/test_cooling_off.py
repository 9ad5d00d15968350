"""After a refusal, or after a conversation, the subject is left alone for a while."""

from datetime import UTC, datetime, timedelta

import pytest

from callguard.policy.facts import Refusal
from callguard.policy.rules import Outcome
from tests.policy.facts import NOON, a_call, an_attempt
from tests.policy.kinds.asked import ask, loosens, refused

TICK = timedelta(microseconds=1)
HOUR = timedelta(hours=1)
DAYS_60 = timedelta(days=60)
AFTER_NO: dict[str, object] = {"after": "refusal", "rest": "60d"}
AFTER_TALK: dict[str, object] = {"after": "conversation", "rest": "7d", "per": "debt"}


@pytest.mark.parametrize(
    ("ago", "outcome"),
    [
        (timedelta(0), Outcome.BLOCK),
        (DAYS_60, Outcome.BLOCK),
        (DAYS_60 + HOUR - TICK, Outcome.BLOCK),
        (DAYS_60 + HOUR, Outcome.PASS),
        (-TICK, Outcome.PASS),
    ],
)
def test_the_rest_ends_at_its_last_moment_by_the_clock_of_the_subject(
    ago: timedelta, outcome: Outcome
) -> None:
    """Between September and November those days have an hour more."""
    facts = a_call(refusals=(Refusal(NOON - ago),))
    assert ask("cooling_off", facts, **AFTER_NO).outcome is outcome


def test_months_of_rest_are_those_of_the_calendar() -> None:
    no = Refusal(datetime(2026, 8, 31, 9, tzinfo=UTC))
    for at, outcome in [
        (datetime(2026, 9, 30, 8, 59, tzinfo=UTC), Outcome.BLOCK),
        (datetime(2026, 9, 30, 9, 0, tzinfo=UTC), Outcome.PASS),
    ]:
        facts = a_call(at=at, refusals=(no,))
        assert ask("cooling_off", facts, after="refusal", rest="1mo").outcome is outcome


def test_the_rest_begins_again_with_each_refusal() -> None:
    old, new = Refusal(NOON - 2 * DAYS_60), Refusal(NOON - timedelta(days=1))
    for refusals in ((old, new), (new, old)):
        found = ask("cooling_off", a_call(refusals=refusals), **AFTER_NO)
        assert found.outcome is Outcome.BLOCK
        assert found.reason == (
            "refusal on 2026-11-19 12:00 UTC, 60 days of rest last until 2027-01-18 12:00 UTC"
        )


def test_who_said_nothing_is_not_resting() -> None:
    assert ask("cooling_off", a_call(), **AFTER_NO).outcome is Outcome.PASS
    assert ask("cooling_off", a_call(), **AFTER_TALK).outcome is Outcome.PASS


def test_a_refusal_holds_back_the_tenants_calls_or_only_its_campaigns() -> None:
    no = (Refusal(NOON - timedelta(days=1), "spring"),)
    same, other = (a_call(refusals=no, campaign=name) for name in ("spring", "autumn"))
    assert ask("cooling_off", other, **AFTER_NO).outcome is Outcome.BLOCK
    per: dict[str, object] = {**AFTER_NO, "per": "campaign"}
    assert ask("cooling_off", same, **per).outcome is Outcome.BLOCK
    assert ask("cooling_off", other, **per).outcome is Outcome.PASS


def test_a_refusal_is_known_though_the_counters_are_not() -> None:
    facts = a_call(refusals=(Refusal(NOON - timedelta(days=1)),), attempts=None)
    assert ask("cooling_off", facts, **AFTER_NO).outcome is Outcome.BLOCK
    assert ask("cooling_off", a_call(attempts=None), **AFTER_NO).outcome is Outcome.PASS


def test_conversations_are_unknown_where_the_counters_are() -> None:
    assert ask("cooling_off", a_call(attempts=None), **AFTER_TALK).outcome is Outcome.UNKNOWN


def test_only_an_answered_call_was_a_conversation() -> None:
    rung = a_call(attempts=(an_attempt(NOON - timedelta(days=1)),))
    assert ask("cooling_off", rung, **AFTER_TALK).outcome is Outcome.PASS
    talked = a_call(attempts=(an_attempt(NOON - timedelta(days=1), answered=True),))
    assert ask("cooling_off", talked, **AFTER_TALK).outcome is Outcome.BLOCK


def test_the_rest_after_a_conversation_begins_when_it_was_answered() -> None:
    week = timedelta(days=7)
    attempt = an_attempt(NOON - week, answered=True)
    at = NOON + timedelta(seconds=20)  # when it was answered, a week on
    for moment, outcome in [(at - TICK, Outcome.BLOCK), (at, Outcome.PASS)]:
        facts = a_call(at=moment, attempts=(attempt,))
        assert ask("cooling_off", facts, **AFTER_TALK).outcome is outcome


@pytest.mark.parametrize(
    ("per", "tenant", "campaign", "debt", "outcome"),
    [
        ("tenant", "acme", "other", "other", Outcome.BLOCK),
        ("tenant", "other", "spring", "d1", Outcome.PASS),
        ("campaign", "acme", "spring", "other", Outcome.BLOCK),
        ("campaign", "acme", "other", "d1", Outcome.PASS),
        ("campaign", "other", "spring", "d1", Outcome.PASS),
        ("debt", "acme", "other", "d1", Outcome.BLOCK),
        ("debt", "acme", "spring", "d2", Outcome.PASS),
        ("debt", "other", "spring", "d1", Outcome.PASS),
    ],
)
def test_a_conversation_holds_back_the_calls_that_the_rule_names(
    per: str, tenant: str, campaign: str, debt: str, outcome: Outcome
) -> None:
    talk = an_attempt(
        NOON - timedelta(days=1), tenant=tenant, campaign=campaign, debt=debt, answered=True
    )
    facts = a_call(attempts=(talk,), campaign="spring", debt="d1")
    found = ask("cooling_off", facts, after="conversation", rest="7d", per=per)
    assert found.outcome is outcome


def test_a_rest_is_a_period() -> None:
    refused("cooling_off", "is no period", after="refusal", rest="two months")


@pytest.mark.parametrize(
    ("before", "after", "loose"),
    [
        (AFTER_NO, AFTER_NO, False),
        (AFTER_NO, {**AFTER_NO, "rest": "61d"}, False),
        (AFTER_NO, {**AFTER_NO, "rest": "59d"}, True),
        (AFTER_NO, {**AFTER_NO, "rest": "2mo"}, True),  # January and February have 59 days
        ({**AFTER_NO, "rest": "2mo"}, {**AFTER_NO, "rest": "62d"}, False),
        ({**AFTER_NO, "rest": "2mo"}, {**AFTER_NO, "rest": "61d"}, True),
        (AFTER_NO, {**AFTER_NO, "after": "conversation"}, True),
        (AFTER_NO, {**AFTER_NO, "per": "campaign"}, True),
        ({**AFTER_NO, "per": "campaign"}, AFTER_NO, False),
        (AFTER_TALK, {**AFTER_TALK, "per": "tenant"}, False),
        (AFTER_TALK, {**AFTER_TALK, "per": "campaign"}, True),
    ],
)
def test_a_rest_is_looser_if_a_call_could_come_sooner(
    before: dict[str, object], after: dict[str, object], loose: bool
) -> None:
    assert loosens("cooling_off", before, after) is loose
