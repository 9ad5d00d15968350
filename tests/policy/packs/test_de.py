"""Germany: express consent that is documented, and recordings only with a yes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from callguard.consent.modes import Mode, law_of
from callguard.policy.facts import CallFacts, Direction
from callguard.policy.packs import shipped_packs
from callguard.policy.rulebook import Rulebook
from callguard.policy.rules import Finding, Obligation
from tests.policy.facts import (
    BERLIN,
    LONDON,
    NOON,
    a_call,
    a_consent,
    a_relationship,
)

BOOK = Rulebook(
    rule for pack in shipped_packs() if pack.name in ("base", "eu", "de") for rule in pack.rules
)


def finding(call: CallFacts, rule: str) -> Finding | None:
    return next((f for f in BOOK.decide(call).findings if f.rule.id == rule), None)


def blocking(call: CallFacts) -> set[str]:
    return {f.rule.id for f in BOOK.decide(call).findings if f.blocks}


@pytest.mark.parametrize("hour", range(24))
def test_who_consented_may_be_called_at_any_hour(hour: int) -> None:
    at = NOON.replace(hour=hour)
    assert BOOK.decide(a_call(BERLIN, at=at, consents=(a_consent(),))).allowed
    assert BOOK.decide(a_call(BERLIN, at=at)).prompt == "blocked-consent"


@pytest.mark.parametrize(
    "lacking",
    [
        pytest.param(a_consent(proof=None), id="no proof"),
        pytest.param(a_consent(proof=""), id="empty proof"),
        pytest.param(a_consent(until=NOON), id="ended this moment"),
        pytest.param(a_consent(granted_at=NOON + timedelta(seconds=1)), id="not given yet"),
        pytest.param(a_consent("recording"), id="to something else"),
    ],
)
def test_consent_of_a_consumer_is_documented_and_stands(lacking: object) -> None:
    call = a_call(BERLIN, consents=(lacking,))  # type: ignore[arg-type]
    assert blocking(call) == {"de.consent-consumer"}
    assert BOOK.decide(replace(call, consents=(*call.consents, a_consent()))).allowed


def test_consent_ends_with_its_last_moment() -> None:
    until = a_consent(until=NOON + timedelta(seconds=1))
    assert BOOK.decide(a_call(BERLIN, consents=(until,))).allowed


def test_old_consent_does_not_run_out_by_itself() -> None:
    old = a_consent(granted_at=datetime(2010, 1, 1, tzinfo=UTC))
    assert BOOK.decide(a_call(BERLIN, consents=(old,))).allowed


@pytest.mark.parametrize("kind", ["purchase", "inquiry", "contract"])
def test_a_customer_is_not_called_to_sell_without_consent(kind: str) -> None:
    tie = a_relationship(kind)  # type: ignore[arg-type]
    assert blocking(a_call(BERLIN, relationships=(tie,))) == {"de.consent-consumer"}


def test_what_a_business_might_be_presumed_to_want_is_not_for_a_machine_to_say() -> None:
    call = a_call(BERLIN, subject_kind="business", relationships=(a_relationship("contract"),))
    assert blocking(call) == {"de.consent-business"}
    spoken = a_consent(proof=None)
    assert BOOK.decide(replace(call, consents=(spoken,))).allowed


def test_documentation_is_asked_for_since_october_2021() -> None:
    change = datetime(2021, 9, 30, 22, 0, tzinfo=UTC)
    assert finding(a_call(BERLIN, at=change), "de.consent-consumer") is not None
    before = change - timedelta(seconds=1)
    assert finding(a_call(BERLIN, at=before), "de.consent-consumer") is None


def test_a_machine_sells_to_nobody_without_consent() -> None:
    call = a_call(BERLIN, dialler="machine", subject_kind="business")
    assert "de.automated-consent" in blocking(call)
    assert BOOK.decide(replace(call, consents=(a_consent(),))).allowed


@pytest.mark.parametrize("channel", ["email", "sms"])
@pytest.mark.parametrize("kind", ["consumer", "business"])
def test_messages_to_anybody_need_consent_or_a_sale(channel: str, kind: str) -> None:
    call = a_call(BERLIN, channel=channel, subject_kind=kind)  # type: ignore[arg-type]
    assert f"de.{channel}-consent" in blocking(call)
    assert BOOK.decide(replace(call, consents=(a_consent(),))).allowed
    assert BOOK.decide(replace(call, relationships=(a_relationship("purchase"),))).allowed
    asked = BOOK.decide(replace(call, relationships=(a_relationship("inquiry"),)))
    assert not asked.allowed
    assert asked.obligations >= {Obligation.IDENTIFY, Obligation.OFFER_OPT_OUT}


def test_a_sales_call_shows_its_number() -> None:
    call = a_call(BERLIN, caller="anonymous", consents=(a_consent(),))
    assert blocking(call) == {"de.caller-id"}
    assert BOOK.decide(replace(call, purpose="service")).allowed


def test_a_sales_call_begins_with_who_and_what_for() -> None:
    found = finding(a_call(BERLIN), "de.identify")
    assert found is not None
    assert found.obligations == {Obligation.IDENTIFY, Obligation.STATE_PURPOSE}


@pytest.mark.parametrize("direction", ["outbound", "inbound"])
@pytest.mark.parametrize(
    ("number", "caller", "home", "asked"),
    [
        (BERLIN, "+442079460999", "GB", True),
        (LONDON, "+493023125099", "GB", True),
        (LONDON, "anonymous", "DE", True),
        (LONDON, "+442079460999", "GB", False),
        # Who speaks for the tenant is in Germany, whatever number is shown.
        (LONDON, "+442079460999", "DE", True),
    ],
)
def test_a_call_with_an_end_in_germany_is_recorded_only_after_a_yes(
    direction: Direction, number: str, caller: str, home: str, asked: bool
) -> None:
    call = a_call(number, direction=direction, caller=caller, home_region=home, purpose="service")
    verdict = BOOK.decide(call)
    assert (Obligation.ASK_CONSENT in verdict.obligations) is asked
    assert Obligation.PLAY_NOTICE in verdict.obligations


def test_who_consented_to_recordings_is_not_asked_again() -> None:
    verdict = BOOK.decide(a_call(BERLIN, purpose="service", consents=(a_consent("recording"),)))
    assert verdict.allowed
    assert law_of(verdict.obligations) is Mode.PRIOR
    over = a_consent("recording", until=NOON)
    again = BOOK.decide(a_call(BERLIN, purpose="service", consents=(over,)))
    assert law_of(again.obligations) is Mode.ASK
