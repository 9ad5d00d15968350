"""No call without a consent that was given before, still stands and can be proved."""

from datetime import UTC, datetime, timedelta

import pytest

from callguard.policy.facts import GivenConsent
from callguard.policy.rules import Outcome
from tests.policy.facts import NOON, a_call, a_consent
from tests.policy.kinds.asked import ask, loosens, refused

TICK = timedelta(microseconds=1)


def asked(*consents: GivenConsent, **settings: object) -> Outcome:
    return ask("consent_required", a_call(consents=consents), **settings).outcome


def test_without_a_consent_there_is_no_call() -> None:
    found = ask("consent_required", a_call())
    assert found.outcome is Outcome.BLOCK
    assert found.reason == "no consent to marketing is on file"


def test_a_consent_counts_for_what_it_was_given_to() -> None:
    assert asked(a_consent("marketing")) is Outcome.PASS
    assert asked(a_consent("recording")) is Outcome.BLOCK
    assert asked(a_consent("marketing"), consent="survey") is Outcome.BLOCK


@pytest.mark.parametrize(
    ("granted_at", "outcome"),
    [(NOON - TICK, Outcome.PASS), (NOON, Outcome.PASS), (NOON + TICK, Outcome.BLOCK)],
)
def test_a_consent_counts_from_the_moment_it_was_given(
    granted_at: datetime, outcome: Outcome
) -> None:
    assert asked(a_consent(granted_at=granted_at)) is outcome


@pytest.mark.parametrize(
    ("until", "outcome"),
    [(NOON - TICK, Outcome.BLOCK), (NOON, Outcome.BLOCK), (NOON + TICK, Outcome.PASS)],
)
def test_a_consent_ends_at_the_moment_it_was_said_to(until: datetime, outcome: Outcome) -> None:
    assert asked(a_consent(until=until)) is outcome


@pytest.mark.parametrize(
    ("granted_at", "valid", "outcome"),
    [
        (datetime(2025, 11, 20, 12, tzinfo=UTC), "12mo", Outcome.BLOCK),
        (datetime(2025, 11, 20, 12, tzinfo=UTC) + TICK, "12mo", Outcome.PASS),
        (datetime(2024, 11, 20, 12, tzinfo=UTC), "24mo", Outcome.BLOCK),
        (datetime(2024, 11, 21, 12, tzinfo=UTC), "24mo", Outcome.PASS),
        (NOON - timedelta(days=365), "365d", Outcome.BLOCK),
        (NOON - timedelta(days=365) + TICK, "365d", Outcome.PASS),
    ],
)
def test_a_consent_counts_for_so_long_by_the_calendar(
    granted_at: datetime, valid: str, outcome: Outcome
) -> None:
    assert asked(a_consent(granted_at=granted_at), valid=valid) is outcome


def test_a_consent_of_leap_day_counts_until_the_end_of_february() -> None:
    given = a_consent(granted_at=datetime(2024, 2, 29, 9, tzinfo=UTC))
    for at, outcome in [
        (datetime(2025, 2, 28, 8, 59, tzinfo=UTC), Outcome.PASS),
        (datetime(2025, 2, 28, 9, 0, tzinfo=UTC), Outcome.BLOCK),
    ]:
        facts = a_call(at=at, consents=(given,))
        assert ask("consent_required", facts, valid="12mo").outcome is outcome


@pytest.mark.parametrize("proof", [None, ""])
def test_a_consent_without_evidence_counts_only_where_none_is_asked_for(proof: str | None) -> None:
    given = a_consent(proof=proof)
    assert asked(given) is Outcome.PASS
    assert asked(given, proof=True) is Outcome.BLOCK
    assert asked(given, a_consent(proof="form 17"), proof=True) is Outcome.PASS


def test_two_halves_make_no_consent() -> None:
    """One has proof and is over, the other stands and has none."""
    over = a_consent(until=NOON - TICK, proof="form 17")
    unproved = a_consent(proof=None)
    assert asked(over, unproved, proof=True) is Outcome.BLOCK


def test_any_one_consent_that_stands_is_enough_wherever_it_is_in_the_list() -> None:
    over, good = a_consent(until=NOON), a_consent()
    for consents in ((over, good), (good, over)):
        assert asked(*consents) is Outcome.PASS


@pytest.mark.parametrize(
    ("consent", "settings", "why"),
    [
        (a_consent(until=NOON), {}, "ended on 2026-11-20"),
        (a_consent(granted_at=NOON + TICK), {}, "had not been given yet"),
        (a_consent(proof=None), {"proof": True}, "has no proof on file"),
        (a_consent(), {"valid": "30d"}, "counted for 30 days, until 2026-11-20"),
    ],
)
def test_the_reason_tells_what_the_consent_lacks(
    consent: GivenConsent, settings: dict[str, object], why: str
) -> None:
    found = ask("consent_required", a_call(consents=(consent,)), **settings)
    assert why in found.reason


def test_the_newest_consent_is_the_one_that_is_explained() -> None:
    old = a_consent(granted_at=NOON - timedelta(days=900), until=NOON - timedelta(days=800))
    new = a_consent(granted_at=NOON - timedelta(days=90), until=NOON - timedelta(days=1))
    for consents in ((old, new), (new, old)):
        reason = ask("consent_required", a_call(consents=consents)).reason
        assert "ended on 2026-11-19" in reason


def test_a_length_of_validity_is_a_period() -> None:
    refused("consent_required", "is no period", valid="1 year")


@pytest.mark.parametrize(
    ("before", "after", "loose"),
    [
        ({}, {}, False),
        ({}, {"valid": "12mo"}, False),
        ({"valid": "12mo"}, {}, True),
        ({"valid": "12mo"}, {"valid": "24mo"}, True),
        ({"valid": "24mo"}, {"valid": "12mo"}, False),
        ({"valid": "365d"}, {"valid": "12mo"}, True),  # in a leap year it is a day more
        ({"valid": "12mo"}, {"valid": "365d"}, False),
        ({"valid": "12mo"}, {"valid": "366d"}, True),
        ({"valid": "1mo"}, {"valid": "30d"}, True),
        ({"valid": "1mo"}, {"valid": "28d"}, False),
        ({}, {"proof": True}, False),
        ({"proof": True}, {}, True),
        ({}, {"consent": "survey"}, True),
    ],
)
def test_a_consent_is_looser_if_one_that_did_not_count_could(
    before: dict[str, object], after: dict[str, object], loose: bool
) -> None:
    assert loosens("consent_required", before, after) is loose
