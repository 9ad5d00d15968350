"""Canada: telemarketing hours, the national list, who is exempt, messages, abandoned calls."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from callguard.policy.facts import (
    CallFacts,
    CampaignDay,
    Channel,
    GivenConsent,
    Purpose,
    RelationKind,
    Relationship,
)
from callguard.policy.packs import shipped_packs
from callguard.policy.rulebook import Rulebook
from callguard.policy.rules import Obligation, Outcome
from tests.policy.facts import a_call, a_consent, a_relationship, an_answer

PACKS = {pack.name: pack for pack in shipped_packs()}
BOOK = Rulebook((*PACKS["base"].rules, *PACKS["ca"].rules))

TORONTO = "+14165550123"
REGINA = "+13065550123"
NEWFOUNDLAND_OR_LABRADOR = "+17095550123"


def at(local: str, zone: str = "America/Toronto") -> datetime:
    return datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


MIDDAY = at("2026-11-20 12:00")
"""A Friday."""


def outcome(rule: str, facts: CallFacts) -> Outcome:
    (found,) = (f for f in BOOK.decide(facts).findings if f.rule.id == rule)
    assert found.blocks == (found.outcome in (Outcome.BLOCK, Outcome.UNKNOWN))
    return found.outcome


def may_call_at(moment: datetime, number: str = TORONTO) -> bool:
    return outcome("ca.hours", a_call(number, at=moment)) is Outcome.PASS


@pytest.mark.parametrize(
    ("local", "allowed"),
    [
        ("2026-11-20 08:59:59", False),
        ("2026-11-20 09:00", True),
        ("2026-11-20 21:29:59", True),
        ("2026-11-20 21:30", False),
        ("2026-11-21 09:59:59", False),
        ("2026-11-21 10:00", True),
        ("2026-11-21 17:59:59", True),
        ("2026-11-21 18:00", False),
        ("2026-11-22 10:00", True),
        ("2026-11-22 18:00", False),
        ("2026-07-01 12:00", True),  # the rules know no holidays, Canada Day neither
    ],
)
def test_the_hours_of_a_day(local: str, allowed: bool) -> None:
    assert may_call_at(at(local)) is allowed


@pytest.mark.parametrize(
    ("instant", "number", "allowed"),
    [
        # Clocks go back in the night to Sunday, 1 November 2026; Regina's never move.
        ("2026-10-31T14:00:00+00:00", TORONTO, True),
        ("2026-11-01T14:59:59+00:00", TORONTO, False),
        ("2026-11-01T15:00:00+00:00", TORONTO, True),
        ("2026-11-01T22:59:59+00:00", TORONTO, True),
        ("2026-11-01T23:00:00+00:00", TORONTO, False),
        ("2026-10-31T15:59:59+00:00", REGINA, False),
        ("2026-10-31T16:00:00+00:00", REGINA, True),
        ("2026-11-01T15:59:59+00:00", REGINA, False),
        ("2026-11-01T16:00:00+00:00", REGINA, True),
        # And forward in the night to Sunday, 14 March 2027.
        ("2027-03-13T14:59:59+00:00", TORONTO, False),
        ("2027-03-14T14:00:00+00:00", TORONTO, True),
    ],
)
def test_the_days_on_which_clocks_change(instant: str, number: str, allowed: bool) -> None:
    assert may_call_at(datetime.fromisoformat(instant), number) is allowed


@pytest.mark.parametrize(
    ("local", "zone", "allowed"),
    [
        # Labrador keeps Halifax's clock, half an hour behind Newfoundland's.
        ("2026-11-20 09:00", "America/St_Johns", False),
        ("2026-11-20 09:29:59", "America/St_Johns", False),
        ("2026-11-20 09:30", "America/St_Johns", True),
        ("2026-11-20 09:00", "America/Halifax", True),
        ("2026-11-20 20:59:59", "America/Halifax", True),
        ("2026-11-20 21:00", "America/Halifax", False),
        ("2026-11-20 21:29:59", "America/St_Johns", True),
        ("2026-11-20 21:30", "America/St_Johns", False),
        ("2026-11-21 18:00", "America/St_Johns", False),
        ("2026-11-21 17:59:59", "America/St_Johns", True),
    ],
)
def test_a_number_with_two_zones_is_called_when_both_allow_it(
    local: str, zone: str, allowed: bool
) -> None:
    assert len(a_call(NEWFOUNDLAND_OR_LABRADOR).place.zones) == 2
    assert may_call_at(at(local, zone), NEWFOUNDLAND_OR_LABRADOR) is allowed


def test_saturday_evening_is_friday_elsewhere_but_each_zone_has_its_own_day() -> None:
    # Where it is Saturday already, half past midnight is no hour; where it is Friday, neither.
    assert not may_call_at(at("2026-11-21 00:15", "America/St_Johns"), NEWFOUNDLAND_OR_LABRADOR)


def test_without_a_zone_nobody_is_called() -> None:
    assert outcome("ca.hours", a_call(TORONTO, at=MIDDAY, zones=())) is Outcome.UNKNOWN


def test_a_legal_call_is_allowed_and_knows_its_duties() -> None:
    fresh = an_answer("ca-dncl", list_date=date(2026, 11, 1))
    verdict = BOOK.decide(a_call(TORONTO, at=MIDDAY, registries=(fresh,)))
    assert verdict.allowed
    assert verdict.obligations == {
        Obligation.IDENTIFY,
        Obligation.STATE_PURPOSE,
        Obligation.PLAY_NOTICE,
    }


@pytest.mark.parametrize("purpose", ["survey", "service", "collection", "transactional"])
def test_only_telemarketing_is_under_the_rules(purpose: Purpose) -> None:
    listed = an_answer("ca-dncl", listed=True)
    night = a_call(TORONTO, at=at("2026-11-22 23:00"), purpose=purpose, registries=(listed,))
    assert BOOK.decide(night).allowed


def test_a_business_is_called_in_spite_of_the_list_but_within_the_hours() -> None:
    listed = an_answer("ca-dncl", listed=True, list_date=date(2026, 1, 1))
    business = a_call(TORONTO, at=MIDDAY, subject_kind="business", registries=(listed,))
    assert BOOK.decide(business).allowed
    late = a_call(TORONTO, at=at("2026-11-20 21:30"), subject_kind="business")
    blocking = BOOK.decide(late).blocking
    assert blocking is not None
    assert (blocking.rule.id, blocking.rule.prompt) == ("ca.hours", "blocked-hours")


@pytest.mark.parametrize(
    ("listed", "found"),
    [(True, Outcome.BLOCK), (False, Outcome.PASS), (None, Outcome.UNKNOWN)],
)
def test_a_number_on_the_national_list_is_not_called(listed: bool | None, found: Outcome) -> None:
    answer = an_answer("ca-dncl", listed, list_date=date(2026, 11, 1))
    assert outcome("ca.dncl.registry", a_call(TORONTO, at=MIDDAY, registries=(answer,))) is found


@pytest.mark.parametrize(
    ("local", "found"),
    [
        ("2026-11-01 23:59:59", Outcome.PASS),  # 2 November in UTC
        ("2026-11-02 00:00", Outcome.BLOCK),
    ],
)
def test_a_version_counts_for_31_days_of_the_subjects_calendar(local: str, found: Outcome) -> None:
    answer = an_answer("ca-dncl", list_date=date(2026, 10, 1))
    facts = a_call(TORONTO, at=at(local), registries=(answer,))
    assert outcome("ca.dncl.freshness", facts) is found


def tie(kind: RelationKind, until: str | None) -> Relationship:
    over = datetime.fromisoformat(until).replace(tzinfo=UTC) if until else None
    return a_relationship(kind, since=datetime(2020, 1, 1, tzinfo=UTC), until=over)


@pytest.mark.parametrize(
    ("kind", "until", "call", "list_lifted", "message_lifted"),
    [
        ("purchase", "2025-05-20 17:00:01", "2026-11-20 17:00:00", True, True),
        ("purchase", "2025-05-20 17:00:00", "2026-11-20 17:00:00", False, True),
        ("purchase", "2024-11-20 17:00:01", "2026-11-20 17:00:00", False, True),
        ("purchase", "2024-11-20 17:00:00", "2026-11-20 17:00:00", False, False),
        ("contract", None, "2026-11-20 17:00:00", True, True),
        ("contract", "2025-05-20 17:00:01", "2026-11-20 17:00:00", True, True),
        ("contract", "2025-05-20 17:00:00", "2026-11-20 17:00:00", False, True),
        ("contract", "2024-11-20 17:00:00", "2026-11-20 17:00:00", False, False),
        ("inquiry", "2026-05-20 17:00:01", "2026-11-20 17:00:00", True, True),
        ("inquiry", "2026-05-20 17:00:00", "2026-11-20 17:00:00", False, False),
        # Six months from 31 August end with February.
        ("inquiry", "2026-08-31 17:00:00", "2027-02-28 16:59:59", True, True),
        ("inquiry", "2026-08-31 17:00:00", "2027-02-28 17:00:00", False, False),
        ("transaction", None, "2026-11-20 17:00:00", False, False),
    ],
)
def test_a_relationship_lifts_the_list_and_implies_consent_for_its_months(
    kind: RelationKind, until: str | None, call: str, list_lifted: bool, message_lifted: bool
) -> None:
    moment = datetime.fromisoformat(call).replace(tzinfo=UTC)
    stale = an_answer("ca-dncl", listed=True, list_date=date(2020, 1, 1))
    ties = (tie(kind, until),)
    facts = a_call(TORONTO, at=moment, registries=(stale,), relationships=ties)
    for rule in ("ca.dncl.registry", "ca.dncl.freshness"):
        assert (outcome(rule, facts) is Outcome.PASS) is list_lifted
    message = a_call(TORONTO, at=moment, channel="sms", relationships=ties)
    assert (outcome("ca.messages.consent", message) is Outcome.PASS) is message_lifted


@pytest.mark.parametrize(
    ("consents", "found"),
    [
        ((a_consent(granted_at=datetime(2010, 1, 1, tzinfo=UTC)),), Outcome.PASS),
        ((a_consent(proof=None),), Outcome.BLOCK),
        ((a_consent("survey"),), Outcome.BLOCK),
        ((a_consent(until=MIDDAY),), Outcome.BLOCK),
        ((a_consent(until=MIDDAY + timedelta(seconds=1)),), Outcome.PASS),
        ((), Outcome.BLOCK),
    ],
    ids=["old", "unproven", "to something else", "ended", "about to end", "none"],
)
def test_express_consent_that_is_proved_lifts_the_list_and_allows_messages(
    consents: tuple[GivenConsent, ...], found: Outcome
) -> None:
    stale = an_answer("ca-dncl", listed=True, list_date=date(2026, 1, 1))
    facts = a_call(TORONTO, at=MIDDAY, registries=(stale,), consents=consents)
    assert outcome("ca.dncl.registry", facts) is found
    assert outcome("ca.dncl.freshness", facts) is found
    channels: tuple[Channel, ...] = ("sms", "email")
    for channel in channels:
        message = a_call(TORONTO, at=MIDDAY, channel=channel, consents=consents)
        assert outcome("ca.messages.consent", message) is found
        verdict = BOOK.decide(message)
        assert verdict.prompt == ("blocked" if verdict.allowed else "blocked-consent")
        assert verdict.obligations == {Obligation.IDENTIFY, Obligation.OFFER_OPT_OUT}


def test_the_number_is_shown() -> None:
    hidden = a_call(TORONTO, at=MIDDAY, caller="anonymous")
    assert outcome("ca.caller-id", hidden) is Outcome.BLOCK


@pytest.mark.parametrize(
    ("days", "found"),
    [
        ((CampaignDay(date(2026, 11, 19), 1000, 50),), Outcome.PASS),
        ((CampaignDay(date(2026, 11, 19), 1000, 51),), Outcome.BLOCK),
        ((CampaignDay(date(2026, 10, 21), 1000, 51),), Outcome.BLOCK),
        ((CampaignDay(date(2026, 10, 20), 1000, 51),), Outcome.PASS),
        (None, Outcome.UNKNOWN),
    ],
    ids=["5 %", "more", "within the month", "a month ago", "not counted"],
)
def test_a_machine_that_abandons_more_than_five_percent_stops(
    days: tuple[CampaignDay, ...] | None, found: Outcome
) -> None:
    facts = a_call(TORONTO, at=MIDDAY, dialler="machine", campaign="spring", figures=days)
    assert outcome("ca.abandonment", facts) is found


def test_a_recording_is_announced_whichever_end_is_in_canada() -> None:
    rules = Rulebook(PACKS["ca"].rules)
    abroad = a_call("+442079460123", caller=TORONTO, purpose="service")
    assert rules.decide(abroad).obligations == {Obligation.PLAY_NOTICE}
    calling_in = a_call(TORONTO, purpose="service", direction="inbound")
    assert rules.decide(calling_in).obligations == {Obligation.PLAY_NOTICE}


def test_only_the_values_that_were_seen_are_marked_so() -> None:
    marks = {rule.id: rule for rule in PACKS["ca"].rules}
    assert {i for i, rule in marks.items() if rule.status == "unverified"} == {
        "ca.abandonment",
        "ca.state-purpose",
    }
    assert all(
        (rule.verified_on is not None) == bool(rule.source) == (rule.status == "verified")
        for rule in marks.values()
    )
    assert not any(rule.series for rule in marks.values())
