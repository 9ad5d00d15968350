"""What holds in the whole Union, and what every European pack must look like."""

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise, product
from typing import get_args

import pytest

from callguard.policy.facts import CHANNELS, PURPOSES, CallFacts, Dialler
from callguard.policy.numbers import parse_address
from callguard.policy.packs import shipped_packs
from callguard.policy.rulebook import Rulebook
from callguard.policy.rules import Finding, Obligation, Outcome, Rule
from tests.policy.facts import NOON, a_call, a_consent, a_relationship

DUBLIN = "+35312000123"
HELSINKI_MOBILE = "+358401234567"
ALAND = "+35818123456"
REUNION = "+262262000123"
NEW_YORK = "+12125550123"
ZURICH = "+41442000123"

EUROPEAN = ("eu", "gb", "fr", "de", "nl", "es")
MEMBERS = [
    *("AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES"),
    *("FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU"),
    *("LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK"),
]
PACKS = {pack.name: pack for pack in shipped_packs() if pack.name in (*EUROPEAN, "base")}
BOOK = Rulebook(rule for name in ("base", "eu") for rule in PACKS[name].rules)
EVERY = [rule for name in EUROPEAN for rule in PACKS[name].rules]
RULES = [pytest.param(rule, id=rule.id) for rule in EVERY]
DUTY_RULES = [pytest.param(rule, id=rule.id) for rule in EVERY if rule.kind == "obligation"]


def finding(call: CallFacts, rule: str) -> Finding | None:
    return next((f for f in BOOK.decide(call).findings if f.rule.id == rule), None)


def an_email(region: str | None, **known: object) -> CallFacts:
    address = parse_address("jo@example.com")
    call = a_call(DUBLIN, channel="email", region=region or "", zones=())
    return replace(call, subject=address, called=address, **known)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", EUROPEAN)
def test_every_rule_is_named_after_its_pack(name: str) -> None:
    assert all(rule.id.startswith(f"{name}.") for rule in PACKS[name].rules)
    assert all(rule.scope.regions for rule in PACKS[name].rules)


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_claims_no_more_than_was_seen(rule: Rule) -> None:
    if rule.status == "verified":
        assert rule.source
        assert rule.verified_on is not None
        assert rule.verified_on.isoformat() in ("2026-11-21", "2026-11-22")
    else:
        assert not rule.source
        assert rule.verified_on is None


@pytest.mark.parametrize("rule", RULES)
def test_what_cannot_be_told_holds_the_call_back(rule: Rule) -> None:
    assert rule.on_unknown == "block"


@pytest.mark.parametrize("name", EUROPEAN)
def test_versions_of_one_demand_follow_each_other_day_by_day(name: str) -> None:
    series: dict[str, list[Rule]] = defaultdict(list)
    for rule in PACKS[name].rules:
        if rule.series:
            series[rule.series].append(rule)
        else:
            assert rule.effective_to is None, f"{rule.id} ends and nothing follows it"
    for versions in series.values():
        versions.sort(key=lambda rule: rule.effective_from)
        for before, after in pairwise(versions):
            assert before.effective_to == after.effective_from - timedelta(days=1)
            assert before.scope == after.scope
        assert versions[-1].effective_to is None


A_NUMBER = {
    "eu": DUBLIN,
    "gb": "+442079460123",
    "fr": "+33199001234",
    "de": "+493023125001",
    "nl": "+31201234567",
    "es": "+34910000123",
}
DUTIES = {
    "eu.sender-identity": {Obligation.IDENTIFY, Obligation.OFFER_OPT_OUT},
    "eu.commercial-call": {Obligation.IDENTIFY, Obligation.STATE_PURPOSE},
    "eu.controller-named": {Obligation.IDENTIFY, Obligation.STATE_PURPOSE},
    "eu.objection-offered": {Obligation.OFFER_OPT_OUT},
    "gb.identify": {Obligation.IDENTIFY},
    "gb.sender-identity": {Obligation.IDENTIFY, Obligation.OFFER_OPT_OUT},
    "gb.objection-offered": {Obligation.OFFER_OPT_OUT},
    "fr.identify": {Obligation.IDENTIFY, Obligation.STATE_PURPOSE},
    "fr.message-objection": {Obligation.IDENTIFY, Obligation.OFFER_OPT_OUT},
    "de.sender-identity": {Obligation.IDENTIFY, Obligation.OFFER_OPT_OUT},
    "de.identify": {Obligation.IDENTIFY, Obligation.STATE_PURPOSE},
    "nl.objection-offered": {Obligation.OFFER_OPT_OUT},
    "nl.sender-identity": {Obligation.IDENTIFY, Obligation.OFFER_OPT_OUT},
    "nl.identify": {Obligation.IDENTIFY, Obligation.STATE_PURPOSE},
    "es.identify": {Obligation.IDENTIFY, Obligation.STATE_PURPOSE},
    "es.objection-offered": {Obligation.OFFER_OPT_OUT},
    "es.record": {Obligation.RECORD},
    "es.message-objection": {Obligation.IDENTIFY, Obligation.OFFER_OPT_OUT},
}
FOR_CONSUMERS = {
    "eu": {"automated-consent", "email-consent", "sms-consent", "commercial-call"},
    "gb": {"email-consent", "sms-consent"},
    "fr": {
        *("consent", "bloctel", "hours", "attempts", "refusal-rest", "caller-id", "identify"),
        *("automated-consent", "email-consent", "sms-consent"),
    },
    "de": {"consent-consumer", "identify"},
    "nl": {"consent", "consent-or-customer", "identify"},
    "es": {"hours"},
}
FOR_BUSINESSES = {"gb": {"ctps", "ctps-freshness"}, "de": {"consent-business"}}
NOT_ONLY_FOR_SALES = {
    "eu": {"controller-named", "recording"},
    "gb": {"abandonment", "recording"},
    "fr": {"recording"},
    "de": {"recording"},
    "nl": {"recording"},
    "es": {"recording"},
}
LAWS = (datetime(2024, 3, 5, 10, tzinfo=UTC), NOON)
"""Moments between which each of the packs' series has changed."""


def met(name: str, **known: object) -> set[str]:
    """Which rules of a pack meet such calls, on any channel, however dialled, in either law."""
    book = Rulebook(PACKS[name].rules)
    return {
        found.rule.id.removeprefix(f"{name}.")
        for at, channel, dialler in product(LAWS, CHANNELS, get_args(Dialler))
        for found in book.decide(
            replace(
                a_call(A_NUMBER[name], at=at, channel=channel, dialler=dialler),
                **known,  # type: ignore[arg-type]
            )
        ).findings
    }


@pytest.mark.parametrize("name", EUROPEAN)
def test_each_rule_is_about_those_it_protects(name: str) -> None:
    consumer, business = (met(name, subject_kind=kind) for kind in ("consumer", "business"))
    assert consumer | business == {rule.id.removeprefix(f"{name}.") for rule in PACKS[name].rules}
    assert consumer - business == FOR_CONSUMERS[name]
    assert business - consumer == FOR_BUSINESSES.get(name, set())
    assert met(name, subject_kind="unknown") == consumer


@pytest.mark.parametrize("purpose", [p for p in PURPOSES if p != "marketing"])
@pytest.mark.parametrize("name", EUROPEAN)
def test_only_sales_calls_meet_the_rules_for_sales_calls(name: str, purpose: str) -> None:
    for kind in ("consumer", "business"):
        assert met(name, subject_kind=kind, purpose=purpose) == NOT_ONLY_FOR_SALES[name]


@pytest.mark.parametrize("name", EUROPEAN)
def test_a_caller_who_rings_in_meets_the_rules_for_recordings_only(name: str) -> None:
    assert met(name, direction="inbound") == {"recording"}


def test_no_duty_is_lacking() -> None:
    assert {rule.id for rule in EVERY if rule.kind == "obligation"} == set(DUTIES)


@pytest.mark.parametrize("rule", RULES)
def test_who_is_held_back_hears_why(rule: Rule) -> None:
    heard = {
        "calling_hours": "blocked-hours",
        "attempts": "blocked-limit",
        "cooling_off": "blocked-limit",
        "abandonment": "blocked-limit",
        "consent_required": "blocked-consent",
    }
    assert rule.prompt == heard.get(rule.kind, "blocked")


@pytest.mark.parametrize("rule", DUTY_RULES)
def test_each_duty_is_what_the_law_names(rule: Rule) -> None:
    name = rule.id.partition(".")[0]
    channel = min(rule.scope.channels)
    found = Rulebook([rule]).decide(a_call(A_NUMBER[name], channel=channel))
    assert found.obligations == DUTIES[rule.id]


@pytest.mark.parametrize(
    "region", [*MEMBERS, "IS", "LI", "NO", "AX", "GF", "GP", "MF", "MQ", "RE", "YT"]
)
def test_a_machine_sells_to_nobody_in_the_union_without_consent(region: str) -> None:
    call = a_call(DUBLIN, region=region, dialler="machine")
    refused = finding(call, "eu.automated-consent")
    assert refused is not None
    assert refused.blocks
    given = finding(replace(call, consents=(a_consent(),)), "eu.automated-consent")
    assert given is not None
    assert given.outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("number", "region"), [(ALAND, "AX"), (REUNION, "RE"), (HELSINKI_MOBILE, "FI")]
)
def test_parts_with_a_code_of_their_own_are_in_the_union(number: str, region: str) -> None:
    call = a_call(number)
    assert call.place.region == region
    assert finding(call, "eu.objection-offered") is not None


@pytest.mark.parametrize("number", [ZURICH, NEW_YORK, "+442079460123"])
def test_law_of_the_union_ends_at_its_border(number: str) -> None:
    found = BOOK.decide(a_call(number, dialler="machine", home_region="US")).findings
    assert {f.rule.id.partition(".")[0] for f in found} == {"base"}


def test_an_agent_may_call_without_consent_where_only_the_unions_own_law_holds() -> None:
    verdict = BOOK.decide(a_call(DUBLIN))
    assert verdict.allowed
    assert verdict.obligations == {
        Obligation.IDENTIFY,
        Obligation.STATE_PURPOSE,
        Obligation.OFFER_OPT_OUT,
        Obligation.PLAY_NOTICE,
    }


def test_a_service_call_says_who_and_what_for_but_offers_no_objection() -> None:
    verdict = BOOK.decide(a_call(DUBLIN, purpose="service", dialler="machine"))
    assert verdict.allowed
    assert verdict.obligations == {
        Obligation.IDENTIFY,
        Obligation.STATE_PURPOSE,
        Obligation.PLAY_NOTICE,
    }


BOUGHT = a_relationship("purchase")
ASKED = a_relationship("inquiry")


@pytest.mark.parametrize(
    ("consented", "tie", "allowed"),
    [
        (False, None, False),
        (True, None, True),
        (False, BOUGHT, True),
        (False, ASKED, False),
        (False, a_relationship("purchase", since=NOON + timedelta(seconds=1)), False),
    ],
)
@pytest.mark.parametrize("channel", ["email", "sms"])
def test_messages_sell_with_consent_or_to_a_customer(
    channel: str, consented: bool, tie: object, allowed: bool
) -> None:
    known = {
        "consents": (a_consent(),) if consented else (),
        "relationships": (tie,) if tie else (),
    }
    call = (
        an_email("IE", **known)
        if channel == "email"
        else replace(a_call(DUBLIN, channel="sms"), **known)  # type: ignore[arg-type]
    )
    verdict = BOOK.decide(call)
    assert verdict.allowed is allowed
    assert verdict.obligations >= {Obligation.IDENTIFY, Obligation.OFFER_OPT_OUT}
    if not allowed:
        assert verdict.prompt == "blocked-consent"


def test_messages_to_a_business_are_left_to_each_country() -> None:
    assert BOOK.decide(an_email("IE", subject_kind="business")).allowed


def test_an_address_in_no_known_country_meets_no_law_of_the_union() -> None:
    """An address says nothing of where its owner is: the tenant's contact data must."""
    assert finding(an_email(None), "eu.email-consent") is None


@pytest.mark.parametrize(
    ("number", "caller", "home", "told"),
    [
        (DUBLIN, "+12125550199", "US", True),
        (NEW_YORK, DUBLIN, "US", True),
        (NEW_YORK, "anonymous", "IE", True),
        (NEW_YORK, "+12125550199", "IE", True),
    ],
)
def test_a_recording_is_told_where_either_end_is_in_the_union(
    number: str, caller: str, home: str, told: bool
) -> None:
    for call in (
        a_call(number, caller=caller, home_region=home),
        a_call(number, caller=caller, home_region=home, direction="inbound"),
    ):
        found = finding(call, "eu.recording")
        assert (found is not None) is told
        assert found is None or found.obligations == {Obligation.PLAY_NOTICE}
