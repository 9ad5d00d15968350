"""Israel: the registry and what lifts it, advertisements by message, recordings."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from callguard.policy.facts import CallFacts, Channel, GivenConsent, Purpose, Relationship
from callguard.policy.overrides import Override, loosens, overridden
from callguard.policy.packs import shipped_packs
from callguard.policy.rulebook import Rulebook
from callguard.policy.rules import Obligation, Outcome
from tests.policy.facts import a_call, a_consent, a_relationship, an_answer

PACKS = {pack.name: pack for pack in shipped_packs()}
RULES = (*PACKS["base"].rules, *PACKS["il"].rules)
BOOK = Rulebook(RULES)

JERUSALEM = "+97225550123"


def at(local: str) -> datetime:
    zone = ZoneInfo("Asia/Jerusalem")
    return datetime.fromisoformat(local).replace(tzinfo=zone).astimezone(UTC)


MIDDAY = at("2026-11-22 12:00")
"""A Sunday, on which Israel works."""


def outcome(rule: str, facts: CallFacts) -> Outcome:
    (found,) = (f for f in BOOK.decide(facts).findings if f.rule.id == rule)
    assert found.blocks == (found.outcome in (Outcome.BLOCK, Outcome.UNKNOWN))
    return found.outcome


def test_a_legal_call_is_allowed_on_any_day_and_knows_its_duties() -> None:
    fresh = an_answer("il-dnc", list_date=date(2026, 11, 15))
    verdict = BOOK.decide(a_call(JERUSALEM, at=MIDDAY, registries=(fresh,)))
    assert verdict.allowed
    assert verdict.obligations == {
        Obligation.IDENTIFY,
        Obligation.STATE_PURPOSE,
        Obligation.PLAY_NOTICE,
        Obligation.ONE_PARTY,
    }


@pytest.mark.parametrize(
    ("listed", "found"),
    [(True, Outcome.BLOCK), (False, Outcome.PASS), (None, Outcome.UNKNOWN)],
)
def test_a_number_in_the_registry_is_not_called(listed: bool | None, found: Outcome) -> None:
    answer = an_answer("il-dnc", listed, list_date=date(2026, 11, 15))
    assert outcome("il.dnc.registry", a_call(JERUSALEM, at=MIDDAY, registries=(answer,))) is found


def test_a_registry_that_was_not_asked_blocks() -> None:
    facts = a_call(JERUSALEM, at=MIDDAY)
    assert outcome("il.dnc.registry", facts) is Outcome.UNKNOWN
    assert outcome("il.dnc.freshness", facts) is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("local", "found"),
    [
        ("2026-11-16 23:59:59", Outcome.PASS),
        ("2026-11-17 00:00", Outcome.BLOCK),  # 22:00 UTC on the 16th
    ],
)
def test_a_check_counts_for_fifteen_days_of_the_subjects_calendar(
    local: str, found: Outcome
) -> None:
    answer = an_answer("il-dnc", list_date=date(2026, 11, 1))
    facts = a_call(JERUSALEM, at=at(local), registries=(answer,))
    assert outcome("il.dnc.freshness", facts) is found


@pytest.mark.parametrize(
    ("local", "rules"),
    [
        ("2022-12-31 23:59:59", set()),
        ("2023-01-01 00:00", {"il.dnc.registry", "il.dnc.freshness"}),
    ],
)
def test_the_duty_to_check_began_in_2023(local: str, rules: set[str]) -> None:
    found = BOOK.decide(a_call(JERUSALEM, at=at(local))).findings
    assert {f.rule.id for f in found if f.rule.id.startswith("il.dnc")} == rules


@pytest.mark.parametrize(
    ("consents", "ties", "found"),
    [
        ((), (), Outcome.BLOCK),
        ((a_consent(granted_at=at("2025-11-22 12:00:01")),), (), Outcome.PASS),
        ((a_consent(granted_at=at("2025-11-22 12:00")),), (), Outcome.BLOCK),
        ((a_consent(granted_at=at("2025-11-21 12:00")),), (), Outcome.BLOCK),
        ((a_consent(proof=None),), (), Outcome.BLOCK),
        ((a_consent("service"),), (), Outcome.BLOCK),
        ((), (a_relationship("callback"),), Outcome.PASS),
        ((), (a_relationship("callback", until=MIDDAY),), Outcome.BLOCK),
        ((), (a_relationship("transaction"),), Outcome.PASS),
        ((), (a_relationship("transaction", until=MIDDAY),), Outcome.BLOCK),
        ((), (a_relationship("purchase"),), Outcome.BLOCK),
        ((), (a_relationship("inquiry"),), Outcome.BLOCK),
    ],
    ids=[
        "nothing",
        "less than a year",
        "a year",
        "a year and a day",
        "unproven",
        "to something else",
        "asked to be called",
        "was called back",
        "transaction goes on",
        "transaction is over",
        "bought once",
        "asked once",
    ],
)
def test_consent_of_a_year_a_callback_or_a_transaction_lifts_the_registry(
    consents: tuple[GivenConsent, ...], ties: tuple[Relationship, ...], found: Outcome
) -> None:
    stale = an_answer("il-dnc", listed=True, list_date=date(2026, 1, 1))
    facts = a_call(JERUSALEM, at=MIDDAY, registries=(stale,), consents=consents, relationships=ties)
    assert outcome("il.dnc.registry", facts) is found
    assert outcome("il.dnc.freshness", facts) is found
    assert BOOK.decide(facts).allowed is (found is Outcome.PASS)


@pytest.mark.parametrize("purpose", ["service", "survey", "collection", "transactional"])
def test_the_registry_is_about_marketing_only(purpose: Purpose) -> None:
    listed = an_answer("il-dnc", listed=True)
    facts = a_call(JERUSALEM, at=MIDDAY, purpose=purpose, registries=(listed,))
    assert BOOK.decide(facts).allowed


def test_a_business_is_no_consumer_but_whoever_is_not_known_is() -> None:
    listed = an_answer("il-dnc", listed=True, list_date=date(2026, 1, 1))
    business = a_call(JERUSALEM, at=MIDDAY, subject_kind="business", registries=(listed,))
    verdict = BOOK.decide(business)
    assert verdict.allowed
    assert verdict.obligations == {Obligation.PLAY_NOTICE, Obligation.ONE_PARTY}
    somebody = a_call(JERUSALEM, at=MIDDAY, subject_kind="unknown", registries=(listed,))
    assert not BOOK.decide(somebody).allowed


def test_a_tenant_outside_the_registry_needs_its_reason_on_record() -> None:
    facts = a_call(JERUSALEM, at=MIDDAY)
    rules = {rule.id: rule for rule in RULES}
    names = ("il.dnc.registry", "il.dnc.freshness")
    for reason, allowed in (("", False), ("an insurer, under its own supervisor", True)):
        off = [Override(name, disabled=True, reason=reason) for name in names]
        assert all(loosens(rules[override.rule], override) for override in off)
        assert Rulebook(overridden(RULES, off)).decide(facts).allowed is allowed


@pytest.mark.parametrize("channel", ["sms", "email"])
@pytest.mark.parametrize(
    ("consents", "ties", "found"),
    [
        ((), (), Outcome.BLOCK),
        ((a_consent(granted_at=MIDDAY - timedelta(days=3000)),), (), Outcome.PASS),
        ((a_consent(proof=None),), (), Outcome.BLOCK),
        ((), (a_relationship("transaction"),), Outcome.BLOCK),
    ],
    ids=["none", "old", "unproven", "customer"],
)
def test_advertisements_by_message_need_written_consent(
    channel: Channel,
    consents: tuple[GivenConsent, ...],
    ties: tuple[Relationship, ...],
    found: Outcome,
) -> None:
    facts = a_call(JERUSALEM, at=MIDDAY, channel=channel, consents=consents, relationships=ties)
    assert outcome("il.messages.consent", facts) is found
    verdict = BOOK.decide(facts)
    assert verdict.prompt == ("blocked" if verdict.allowed else "blocked-consent")
    assert verdict.obligations == {
        Obligation.IDENTIFY,
        Obligation.STATE_PURPOSE,
        Obligation.OFFER_OPT_OUT,
    }


@pytest.mark.parametrize(
    ("local", "obligations"),
    [
        ("2025-08-13 12:00", frozenset({Obligation.ONE_PARTY})),
        ("2025-08-14 12:00", frozenset({Obligation.ONE_PARTY, Obligation.PLAY_NOTICE})),
    ],
)
def test_the_wiretap_law_is_content_with_one_party_and_privacy_law_is_not(
    local: str, obligations: frozenset[Obligation]
) -> None:
    israel = Rulebook(PACKS["il"].rules)
    facts = a_call(JERUSALEM, at=at(local), purpose="service", direction="inbound")
    verdict = israel.decide(facts)
    assert verdict.findings[0].rule.id == "il.recording"
    assert verdict.findings[0].outcome is Outcome.PASS
    assert verdict.obligations == obligations


def test_only_the_values_that_were_seen_are_marked_so() -> None:
    marks = {rule.id: rule for rule in PACKS["il"].rules}
    assert {i for i, rule in marks.items() if rule.status == "unverified"} == {
        "il.identify",
        "il.recording.privacy",
    }
    assert all(
        (rule.verified_on is not None) == bool(rule.source) == (rule.status == "verified")
        for rule in marks.values()
    )
    assert not any(rule.series for rule in marks.values())
