"""The Netherlands: consent since 2021, and customers no exception since July 2026."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from callguard.policy.facts import CallFacts, RelationKind
from callguard.policy.packs import shipped_packs
from callguard.policy.rulebook import Rulebook
from callguard.policy.rules import Finding, Obligation
from tests.policy.facts import NOON, a_call, a_consent, a_relationship

AMSTERDAM = "+31201234567"
CHANGE = datetime(2026, 6, 30, 22, 0, tzinfo=UTC)
"""Midnight in Amsterdam, when the exception for customers ended."""
SECOND = timedelta(seconds=1)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)

BOOK = Rulebook(
    rule for pack in shipped_packs() if pack.name in ("base", "eu", "nl") for rule in pack.rules
)


def finding(call: CallFacts, rule: str) -> Finding | None:
    return next((f for f in BOOK.decide(call).findings if f.rule.id == rule), None)


def blocking(call: CallFacts) -> set[str]:
    return {f.rule.id for f in BOOK.decide(call).findings if f.blocks}


@pytest.mark.parametrize("kind", ["purchase", "contract"])
def test_customers_were_an_exception_until_the_last_second_of_june_2026(kind: str) -> None:
    customer = (a_relationship(kind, since=LONG_AGO),)  # type: ignore[arg-type]
    before = a_call(AMSTERDAM, at=CHANGE - SECOND, relationships=customer)
    assert BOOK.decide(before).allowed
    after = BOOK.decide(a_call(AMSTERDAM, at=CHANGE, relationships=customer))
    assert not after.allowed
    assert after.prompt == "blocked-consent"


@pytest.mark.parametrize("at", [CHANGE - SECOND, CHANGE, NOON])
def test_consent_that_can_be_shown_is_enough_before_and_after(at: datetime) -> None:
    consent = a_consent(granted_at=LONG_AGO)
    call = a_call(AMSTERDAM, at=at)
    assert BOOK.decide(replace(call, consents=(consent,))).allowed
    assert not BOOK.decide(replace(call, consents=(replace(consent, proof=None),))).allowed
    assert not BOOK.decide(replace(call, consents=(replace(consent, until=at),))).allowed
    assert not BOOK.decide(call).allowed


def test_exactly_one_of_the_two_laws_holds_at_any_time() -> None:
    for at, law in ((CHANGE - SECOND, "nl.consent-or-customer"), (CHANGE, "nl.consent")):
        assert blocking(a_call(AMSTERDAM, at=at)) == {law}


@pytest.mark.parametrize("kind", ["purchase", "contract"])
def test_a_former_customer_counted_for_three_years(kind: RelationKind) -> None:
    now = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
    ended = datetime(2023, 3, 2, 12, 0, tzinfo=UTC)
    former = a_relationship(kind, since=LONG_AGO, until=ended)
    call = a_call(AMSTERDAM, at=now - SECOND, relationships=(former,))
    assert BOOK.decide(call).allowed
    assert blocking(replace(call, at=now)) == {"nl.consent-or-customer"}


def test_nobody_had_to_consent_before_july_2021() -> None:
    change = datetime(2021, 6, 30, 22, 0, tzinfo=UTC)
    assert BOOK.decide(a_call(AMSTERDAM, at=change - SECOND)).allowed
    assert blocking(a_call(AMSTERDAM, at=change)) == {"nl.consent-or-customer"}


def test_a_business_may_be_called_without_consent() -> None:
    assert BOOK.decide(a_call(AMSTERDAM, subject_kind="business")).allowed


def test_a_sales_call_shows_its_number() -> None:
    call = a_call(AMSTERDAM, caller="anonymous", consents=(a_consent(),))
    assert blocking(call) == {"nl.caller-id"}
    assert blocking(replace(call, subject_kind="business")) == {"nl.caller-id"}


def test_every_sales_call_offers_the_right_to_object() -> None:
    for kind in ("consumer", "business"):
        found = finding(a_call(AMSTERDAM, subject_kind=kind), "nl.objection-offered")
        assert found is not None
        assert found.obligations == {Obligation.OFFER_OPT_OUT}
    assert finding(a_call(AMSTERDAM, purpose="service"), "nl.objection-offered") is None


def test_a_consumer_hears_first_who_calls_and_what_for() -> None:
    verdict = BOOK.decide(a_call(AMSTERDAM, consents=(a_consent(),)))
    assert verdict.obligations == {
        Obligation.IDENTIFY,
        Obligation.STATE_PURPOSE,
        Obligation.OFFER_OPT_OUT,
        Obligation.PLAY_NOTICE,
    }


def test_a_machine_sells_to_nobody_without_consent() -> None:
    call = a_call(AMSTERDAM, dialler="machine", subject_kind="business")
    assert blocking(call) == {"nl.automated-consent"}
    assert BOOK.decide(replace(call, consents=(a_consent(),))).allowed


@pytest.mark.parametrize("channel", ["email", "sms"])
def test_messages_need_consent_or_a_sale_to_businesses_too(channel: str) -> None:
    call = a_call(AMSTERDAM, channel=channel, subject_kind="business")  # type: ignore[arg-type]
    assert blocking(call) == {f"nl.{channel}-consent"}
    assert BOOK.decide(replace(call, consents=(a_consent(),))).allowed
    verdict = BOOK.decide(replace(call, relationships=(a_relationship("purchase"),)))
    assert verdict.allowed
    assert verdict.obligations == {Obligation.IDENTIFY, Obligation.OFFER_OPT_OUT}


def test_the_caribbean_netherlands_have_law_of_their_own() -> None:
    call = a_call("+5997172000", dialler="machine", home_region="GB")
    assert call.place.region == "BQ"
    assert not {f.rule.id for f in BOOK.decide(call).findings if f.rule.id.startswith("nl.")}


@pytest.mark.parametrize("number", [AMSTERDAM, "+12125550123"])
def test_a_recording_is_told_where_either_end_is_in_the_netherlands(number: str) -> None:
    for direction in ("outbound", "inbound"):
        call = a_call(number, caller="+31201234599", direction=direction)
        found = finding(call, "nl.recording")
        assert found is not None
        assert found.obligations == {Obligation.PLAY_NOTICE}
