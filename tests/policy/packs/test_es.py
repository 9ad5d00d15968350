"""Spain: consent for two years, hours by the clock of the peninsula or the Canaries."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from callguard.policy.facts import CallFacts, RelationKind
from callguard.policy.packs import shipped_packs
from callguard.policy.rulebook import Rulebook
from callguard.policy.rules import Finding, Obligation
from tests.policy.facts import NOON, a_call, a_consent, a_relationship

MADRID = "+34910000123"
LAS_PALMAS = "+34928000123"
MOBILE = "+34600000123"
PENINSULA, CANARIES = "Europe/Madrid", "Atlantic/Canary"
SECOND = timedelta(seconds=1)

BOOK = Rulebook(
    rule for pack in shipped_packs() if pack.name in ("base", "eu", "es") for rule in pack.rules
)


def at(day: str, clock: str, zone: str = PENINSULA) -> datetime:
    local = datetime.combine(date.fromisoformat(day), time.fromisoformat(clock), ZoneInfo(zone))
    return local.astimezone(UTC)


def finding(call: CallFacts, rule: str) -> Finding | None:
    return next((f for f in BOOK.decide(call).findings if f.rule.id == rule), None)


def passes(call: CallFacts, rule: str) -> bool:
    found = finding(call, rule)
    assert found is not None, f"{rule} is not about this call"
    return not found.blocks


def blocking(call: CallFacts) -> set[str]:
    return {f.rule.id for f in BOOK.decide(call).findings if f.blocks}


@pytest.mark.parametrize(
    ("clock", "allowed"),
    [("08:59:59", False), ("09:00", True), ("20:59:59", True), ("21:00", False), ("23:59", False)],
)
@pytest.mark.parametrize(("number", "zone"), [(MADRID, PENINSULA), (LAS_PALMAS, CANARIES)])
@pytest.mark.parametrize("day", ["2026-09-15", "2026-12-15", "2026-10-26", "2026-03-30"])
def test_hours_are_those_of_the_consumers_own_clock(
    day: str, number: str, zone: str, clock: str, allowed: bool
) -> None:
    call = a_call(number, at=at(day, clock, zone), consents=(a_consent(granted_at=LONG_ENOUGH),))
    verdict = BOOK.decide(call)
    assert verdict.allowed is allowed
    assert allowed or verdict.prompt == "blocked-hours"


LONG_ENOUGH = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("in_madrid", "madrid", "las_palmas", "mobile"),
    [
        ("09:00", True, False, False),
        ("09:59", True, False, False),
        ("10:00", True, True, True),
        ("20:59", True, True, True),
        ("21:00", False, True, False),
        ("21:59", False, True, False),
        ("22:00", False, False, False),
    ],
)
def test_a_mobile_is_called_when_it_is_right_on_the_peninsula_and_the_islands(
    in_madrid: str, madrid: bool, las_palmas: bool, mobile: bool
) -> None:
    moment = at("2026-09-15", in_madrid)
    assert passes(a_call(MADRID, at=moment), "es.hours") is madrid
    assert passes(a_call(LAS_PALMAS, at=moment), "es.hours") is las_palmas
    assert passes(a_call(MOBILE, at=moment), "es.hours") is mobile


@pytest.mark.parametrize(
    "day",
    [
        "2026-01-06",
        "2026-04-03",
        "2026-05-01",
        "2026-10-12",
        "2026-12-08",
        "2026-12-25",
        "2026-09-12",
        "2026-09-13",
    ],
)
def test_nobody_is_called_on_a_holiday_or_at_the_weekend(day: str) -> None:
    for clock in ("09:00", "12:00", "20:59"):
        assert not passes(a_call(MADRID, at=at(day, clock)), "es.hours")
    assert passes(a_call(MADRID, at=at("2026-10-13", "09:00")), "es.hours")


def test_consent_does_not_lift_the_hours_and_a_business_has_none() -> None:
    sunday = a_call(MADRID, at=at("2026-09-13", "12:00"), consents=(a_consent(),))
    sunday = replace(sunday, consents=(a_consent(granted_at=LONG_ENOUGH),))
    assert blocking(sunday) == {"es.hours"}
    assert BOOK.decide(replace(sunday, subject_kind="business")).allowed


@pytest.mark.parametrize(
    ("granted", "allowed"),
    [
        (datetime(2024, 11, 20, 12, 0, 1, tzinfo=UTC), True),
        (datetime(2024, 11, 20, 12, 0, tzinfo=UTC), False),
        (datetime(2024, 11, 20, 11, 59, tzinfo=UTC), False),
        (NOON, True),
        (NOON + SECOND, False),
    ],
)
def test_consent_counts_for_two_years(granted: datetime, allowed: bool) -> None:
    verdict = BOOK.decide(a_call(MADRID, at=NOON, consents=(a_consent(granted_at=granted),)))
    assert verdict.allowed is allowed
    assert allowed or verdict.prompt == "blocked-consent"


def test_renewed_consent_counts_though_the_first_has_run_out() -> None:
    first = a_consent(granted_at=datetime(2023, 7, 3, tzinfo=UTC))
    renewed = a_consent(granted_at=datetime(2025, 7, 3, tzinfo=UTC))
    assert not passes(a_call(MADRID, consents=(first,)), "es.consent")
    assert BOOK.decide(a_call(MADRID, consents=(first, renewed))).allowed


def test_consent_of_29_february_ends_on_28_february() -> None:
    leap = a_consent(granted_at=datetime(2024, 2, 29, 12, 0, tzinfo=UTC))
    end = datetime(2026, 2, 28, 12, 0, tzinfo=UTC)
    assert passes(a_call(MADRID, at=end - SECOND, consents=(leap,)), "es.consent")
    assert not passes(a_call(MADRID, at=end, consents=(leap,)), "es.consent")


@pytest.mark.parametrize(("number", "zone"), [(MADRID, PENINSULA), (LAS_PALMAS, CANARIES)])
def test_the_two_years_hold_from_midnight_of_28_december_2025(number: str, zone: str) -> None:
    change = at("2025-12-28", "00:00", zone)
    old = (a_consent(granted_at=datetime(2023, 7, 3, tzinfo=UTC)),)
    before = a_call(number, at=change - SECOND, consents=old)
    assert passes(before, "es.consent-or-customer")
    assert finding(before, "es.consent") is None
    after = a_call(number, at=change, consents=old)
    assert finding(after, "es.consent-or-customer") is None
    assert not passes(after, "es.consent")


def test_in_the_hour_between_the_two_midnights_a_mobile_has_both_laws() -> None:
    call = a_call(MOBILE, at=datetime(2025, 12, 27, 23, 30, tzinfo=UTC))
    assert {"es.consent", "es.consent-or-customer"} <= blocking(call)


def test_opt_in_began_on_29_june_2023() -> None:
    change = at("2023-06-29", "00:00")
    assert finding(a_call(MADRID, at=change - SECOND), "es.consent-or-customer") is None
    assert not passes(a_call(MADRID, at=change), "es.consent-or-customer")


@pytest.mark.parametrize(
    ("until", "allowed"),
    [
        (None, True),
        (datetime(2025, 11, 20, 12, 0, 1, tzinfo=UTC), True),
        (datetime(2025, 11, 20, 12, 0, tzinfo=UTC), False),
    ],
)
def test_a_customer_of_the_last_year_may_be_called(until: datetime | None, allowed: bool) -> None:
    bought = a_relationship("purchase", since=datetime(2022, 1, 3, tzinfo=UTC), until=until)
    verdict = BOOK.decide(a_call(MADRID, at=NOON, relationships=(bought,)))
    assert verdict.allowed is allowed
    asked = a_relationship("inquiry")
    assert blocking(a_call(MADRID, at=NOON, relationships=(asked,))) == {"es.consent"}


@pytest.mark.parametrize(
    ("kind", "until", "allowed"),
    [
        ("contract", None, True),
        ("contract", datetime(2025, 6, 2, tzinfo=UTC), False),
        ("purchase", datetime(2024, 11, 20, 12, 0, 1, tzinfo=UTC), True),
        ("purchase", datetime(2024, 11, 20, 12, 0, tzinfo=UTC), False),
        ("inquiry", None, False),
    ],
)
def test_customers_could_be_called_before_the_two_years_too(
    kind: RelationKind, until: datetime | None, allowed: bool
) -> None:
    tie = a_relationship(kind, since=datetime(2022, 1, 3, tzinfo=UTC), until=until)
    call = a_call(MADRID, at=datetime(2025, 11, 20, 12, 0, tzinfo=UTC), relationships=(tie,))
    assert blocking(call) == (set() if allowed else {"es.consent-or-customer"})


def test_a_machine_needs_consent_of_customers_too() -> None:
    contract = (a_relationship("contract"),)
    call = a_call(MADRID, dialler="machine", relationships=contract)
    assert blocking(call) == {"es.automated-consent", "eu.automated-consent"}
    assert BOOK.decide(replace(call, consents=(a_consent(),))).allowed
    assert BOOK.decide(replace(call, dialler="agent")).allowed


@pytest.mark.parametrize(
    ("caller", "allowed"),
    [
        ("+34910000199", True),
        ("+34800000123", True),
        ("+34900000123", True),
        ("+34400000123", True),
        ("+442079460999", True),
        ("+33600000001", True),
        ("+351211234567", True),
        ("+34600000199", False),
        ("+34710000123", False),
        ("anonymous", False),
    ],
)
def test_a_sales_call_shows_a_number_that_is_no_spanish_mobile(caller: str, allowed: bool) -> None:
    call = a_call(MADRID, caller=caller, consents=(a_consent(),))
    assert blocking(call) == (set() if allowed else {"es.caller-not-mobile"})


def test_a_sales_call_is_announced_offers_objection_and_is_recorded() -> None:
    verdict = BOOK.decide(a_call(MADRID, consents=(a_consent(),)))
    assert verdict.allowed
    assert verdict.obligations == {
        Obligation.IDENTIFY,
        Obligation.STATE_PURPOSE,
        Obligation.OFFER_OPT_OUT,
        Obligation.RECORD,
        Obligation.PLAY_NOTICE,
    }
    service = BOOK.decide(a_call(MADRID, purpose="service"))
    assert Obligation.RECORD not in service.obligations


@pytest.mark.parametrize("channel", ["email", "sms"])
@pytest.mark.parametrize("kind", ["purchase", "contract"])
def test_messages_need_consent_or_a_contract_before_to_businesses_too(
    channel: str, kind: str
) -> None:
    call = a_call(MADRID, channel=channel, subject_kind="business")  # type: ignore[arg-type]
    assert blocking(call) == {f"es.{channel}-consent"}
    assert BOOK.decide(replace(call, consents=(a_consent(),))).allowed
    verdict = BOOK.decide(replace(call, relationships=(a_relationship(kind),)))  # type: ignore[arg-type]
    assert verdict.allowed
    assert verdict.obligations == {Obligation.IDENTIFY, Obligation.OFFER_OPT_OUT}


def test_a_recording_is_told_at_both_ends() -> None:
    for call in (a_call(MADRID, direction="inbound"), a_call("+12125550123", caller=MADRID)):
        found = finding(call, "es.recording")
        assert found is not None
        assert found.obligations == {Obligation.PLAY_NOTICE}
