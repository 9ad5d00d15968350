"""Australia: hours by the national calendar, the register, messages, debt collection."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from callguard.policy.facts import (
    Attempt,
    CallFacts,
    Channel,
    GivenConsent,
    Purpose,
    Relationship,
)
from callguard.policy.packs import shipped_packs
from callguard.policy.rulebook import Rulebook
from callguard.policy.rules import Obligation, Outcome
from tests.policy.facts import a_call, a_consent, a_relationship, an_answer, an_attempt

PACKS = {pack.name: pack for pack in shipped_packs()}
BOOK = Rulebook((*PACKS["base"].rules, *PACKS["au"].rules))

SYDNEY = "+61255501234"
SOUTH_OR_WEST = "+61870101234"
"""A number of South Australia or Western Australia."""
MOBILE = "+61491570156"
CHRISTMAS_ISLAND = "+61891640123"


def at(local: str, zone: str = "Australia/Sydney") -> datetime:
    return datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


MIDDAY = at("2026-11-20 12:00")  # a Friday


def outcome(rule: str, facts: CallFacts) -> Outcome:
    (found,) = (f for f in BOOK.decide(facts).findings if f.rule.id == rule)
    assert found.blocks == (found.outcome in (Outcome.BLOCK, Outcome.UNKNOWN))
    return found.outcome


def may_call_at(moment: datetime, purpose: Purpose = "marketing", number: str = SYDNEY) -> bool:
    rule = "au.collection.hours" if purpose == "collection" else f"au.hours.{purpose}"
    return outcome(rule, a_call(number, purpose=purpose, at=moment)) is Outcome.PASS


@pytest.mark.parametrize(
    ("purpose", "day", "opens", "closes"),
    [
        ("marketing", "2026-11-20", "09:00", "20:00"),
        ("marketing", "2026-11-21", "09:00", "17:00"),
        ("survey", "2026-11-20", "09:00", "20:30"),
        ("survey", "2026-11-21", "09:00", "17:00"),
        ("survey", "2026-11-22", "09:00", "17:00"),
        ("collection", "2026-11-20", "07:30", "21:00"),
        ("collection", "2026-11-21", "09:00", "21:00"),
        ("collection", "2026-11-22", "09:00", "21:00"),
    ],
)
def test_the_first_and_the_last_second_of_a_day(
    purpose: Purpose, day: str, opens: str, closes: str
) -> None:
    fresh = (an_answer("au-dncr", list_date=date(2026, 11, 1)),)
    first, over, second = at(f"{day} {opens}"), at(f"{day} {closes}"), timedelta(seconds=1)
    found = [
        BOOK.decide(a_call(SYDNEY, purpose=purpose, at=moment, registries=fresh)).blocking
        for moment in (first - second, first, over - second, over)
    ]
    prompts = [finding.rule.prompt if finding else None for finding in found]
    assert prompts == ["blocked-hours", None, None, "blocked-hours"]


@pytest.mark.parametrize("purpose", ["marketing", "survey", "collection"])
@pytest.mark.parametrize(
    "day",
    ["2026-01-01", "2026-01-26", "2026-04-03", "2026-04-06", "2027-04-25", "2026-12-25"],
)
def test_nobody_is_called_on_a_national_holiday(purpose: Purpose, day: str) -> None:
    assert not may_call_at(at(f"{day} 12:00"), purpose)


def test_a_holiday_of_one_state_only_is_a_day_like_any_and_a_sunday_is_not() -> None:
    assert may_call_at(at("2026-11-03 12:00"))  # Melbourne Cup Day
    assert not may_call_at(at("2026-11-22 12:00"))


@pytest.mark.parametrize(
    ("instant", "allowed"),
    [
        # Clocks go forward in the night to Sunday, 4 October 2026: 9:00 comes an hour sooner.
        ("2026-10-02T23:00:00+00:00", True),
        ("2026-10-03T21:59:59+00:00", False),
        ("2026-10-03T22:00:00+00:00", True),
        ("2026-10-04T05:59:59+00:00", True),
        ("2026-10-04T06:00:00+00:00", False),
        # And back in the night to Sunday, 4 April 2027.
        ("2027-04-03T22:30:00+00:00", False),
        ("2027-04-03T23:00:00+00:00", True),
    ],
)
def test_surveys_on_the_days_on_which_clocks_change(instant: str, allowed: bool) -> None:
    assert may_call_at(datetime.fromisoformat(instant), "survey") is allowed


@pytest.mark.parametrize(
    ("instant", "allowed"),
    [
        # Summer: the islands of Cocos reach 9:00 at 2:30 UTC, Sydney 20:00 at 9:00 UTC.
        ("2026-11-20T02:29:59+00:00", False),
        ("2026-11-20T02:30:00+00:00", True),
        ("2026-11-20T08:59:59+00:00", True),
        ("2026-11-20T09:00:00+00:00", False),
        # Winter: Lord Howe's clock, at half an hour of summer time less, is the last but for that.
        ("2026-07-17T09:29:59+00:00", True),
        ("2026-07-17T09:30:00+00:00", False),
        # Saturday ends at 17:00 in the east, not before 2:30 in the west.
        ("2026-11-21T05:59:59+00:00", True),
        ("2026-11-21T06:00:00+00:00", False),
    ],
)
def test_a_mobile_is_called_when_it_is_legal_in_all_its_zones(instant: str, allowed: bool) -> None:
    facts = a_call(MOBILE, at=datetime.fromisoformat(instant))
    assert len(facts.place.zones) == 8
    assert (outcome("au.hours.marketing", facts) is Outcome.PASS) is allowed


def test_a_number_with_several_zones_waits_for_the_later_and_ends_with_the_earlier() -> None:
    zones = a_call(SOUTH_OR_WEST).place.zones
    assert zones == ("Australia/Adelaide", "Australia/Perth", "Australia/Darwin")
    assert not may_call_at(at("2026-11-20 08:59:59", "Australia/Perth"), number=SOUTH_OR_WEST)
    assert may_call_at(at("2026-11-20 09:00", "Australia/Perth"), number=SOUTH_OR_WEST)
    assert may_call_at(at("2026-11-20 19:59:59", "Australia/Adelaide"), number=SOUTH_OR_WEST)
    assert not may_call_at(at("2026-11-20 20:00", "Australia/Adelaide"), number=SOUTH_OR_WEST)


def test_without_a_zone_nobody_is_called() -> None:
    facts = a_call(SYDNEY, at=MIDDAY, zones=())
    assert outcome("au.hours.marketing", facts) is Outcome.UNKNOWN


def test_the_islands_that_share_the_numbers_share_the_rules() -> None:
    facts = a_call(CHRISTMAS_ISLAND, at=at("2026-11-22 12:00", "Indian/Christmas"))
    assert facts.place.region == "CX"
    assert outcome("au.hours.marketing", facts) is Outcome.BLOCK


def test_a_legal_call_is_allowed_and_knows_its_duties() -> None:
    fresh = an_answer("au-dncr", list_date=date(2026, 11, 1))
    verdict = BOOK.decide(a_call(SYDNEY, at=MIDDAY, registries=(fresh,)))
    assert verdict.allowed
    assert verdict.obligations == {
        Obligation.IDENTIFY,
        Obligation.STATE_PURPOSE,
        Obligation.PLAY_NOTICE,
    }


@pytest.mark.parametrize(
    ("listed", "found"),
    [(True, Outcome.BLOCK), (False, Outcome.PASS), (None, Outcome.UNKNOWN)],
)
def test_a_number_in_the_register_is_not_called(listed: bool | None, found: Outcome) -> None:
    answer = an_answer("au-dncr", listed, list_date=date(2026, 11, 1))
    assert outcome("au.dncr.registry", a_call(SYDNEY, at=MIDDAY, registries=(answer,))) is found


@pytest.mark.parametrize("purpose", ["survey", "service", "collection"])
def test_the_register_is_about_telemarketing_only(purpose: Purpose) -> None:
    answer = an_answer("au-dncr", listed=True)
    facts = a_call(SYDNEY, at=MIDDAY, purpose=purpose, registries=(answer,))
    assert BOOK.decide(facts).allowed


@pytest.mark.parametrize(
    ("local", "found"),
    [
        ("2026-10-31 23:59:59", Outcome.PASS),
        ("2026-11-01 00:00", Outcome.BLOCK),  # 13:00 UTC on the 31st
    ],
)
def test_a_list_counts_for_thirty_days_of_the_subjects_calendar(local: str, found: Outcome) -> None:
    answer = an_answer("au-dncr", list_date=date(2026, 10, 1))
    facts = a_call(SYDNEY, at=at(local), registries=(answer,))
    assert outcome("au.dncr.freshness", facts) is found


GIVEN = at("2026-08-20 12:00")


@pytest.mark.parametrize(
    ("consents", "ties", "found"),
    [
        ((), (), Outcome.BLOCK),
        ((a_consent(granted_at=GIVEN + timedelta(seconds=1)),), (), Outcome.PASS),
        ((a_consent(granted_at=GIVEN - timedelta(days=1)),), (), Outcome.BLOCK),
        ((a_consent("survey"),), (), Outcome.BLOCK),
        ((), (a_relationship("contract"),), Outcome.PASS),
        ((), (a_relationship("contract", until=GIVEN),), Outcome.BLOCK),
        ((), (a_relationship("purchase"),), Outcome.BLOCK),
    ],
    ids=["none", "fresh", "three months old", "other", "customer", "former", "buyer"],
)
def test_consent_of_three_months_or_a_contract_lifts_the_register(
    consents: tuple[GivenConsent, ...], ties: tuple[Relationship, ...], found: Outcome
) -> None:
    answer = an_answer("au-dncr", listed=True, list_date=date(2026, 1, 1))
    facts = a_call(SYDNEY, at=MIDDAY, registries=(answer,), consents=consents, relationships=ties)
    assert outcome("au.dncr.registry", facts) is found
    assert outcome("au.dncr.freshness", facts) is found


def test_a_consent_does_not_lift_the_hours() -> None:
    facts = a_call(SYDNEY, at=at("2026-11-22 12:00"), consents=(a_consent(),))
    assert outcome("au.hours.marketing", facts) is Outcome.BLOCK


@pytest.mark.parametrize("purpose", ["marketing", "survey"])
def test_the_number_is_shown(purpose: Purpose) -> None:
    hidden = a_call(SYDNEY, at=MIDDAY, purpose=purpose, caller="anonymous")
    assert outcome("au.caller-id", hidden) is Outcome.BLOCK


@pytest.mark.parametrize("channel", ["sms", "email"])
@pytest.mark.parametrize(
    ("consents", "ties", "found"),
    [
        ((), (), Outcome.BLOCK),
        ((a_consent(proof=None),), (), Outcome.BLOCK),
        ((a_consent(),), (), Outcome.PASS),
        ((), (a_relationship("contract"),), Outcome.PASS),
    ],
    ids=["none", "unproven", "consent", "customer"],
)
def test_messages_need_consent(
    channel: Channel,
    consents: tuple[GivenConsent, ...],
    ties: tuple[Relationship, ...],
    found: Outcome,
) -> None:
    facts = a_call(SYDNEY, at=MIDDAY, channel=channel, consents=consents, relationships=ties)
    assert outcome("au.messages.consent", facts) is found
    verdict = BOOK.decide(facts)
    assert verdict.prompt == ("blocked" if verdict.allowed else "blocked-consent")
    assert verdict.obligations == {Obligation.IDENTIFY, Obligation.OFFER_OPT_OUT}


@pytest.mark.parametrize(
    ("conversations", "ago", "blocks"),
    [
        # A conversation begins twenty seconds after its call.
        (2, timedelta(days=7), None),
        (3, timedelta(days=7), "au.collection.week"),
        (3, timedelta(days=7, seconds=20), None),
        (9, timedelta(days=31), None),
        (10, timedelta(days=31), "au.collection.month"),
        (10, timedelta(days=31, seconds=20), None),
    ],
)
def test_conversations_about_a_debt_are_counted(
    conversations: int, ago: timedelta, blocks: str | None
) -> None:
    def calls(number: int, ago: timedelta, debt: str, *, answered: bool) -> list[Attempt]:
        moment = MIDDAY - ago
        one = an_attempt(moment, purpose="collection", debt=debt, answered=answered)
        return [one] * number

    earlier = calls(conversations, ago, "7", answered=True)
    unanswered = calls(20, timedelta(hours=1), "7", answered=False)
    another = calls(20, timedelta(hours=1), "8", answered=True)
    attempts = (*earlier, *unanswered, *another)
    facts = a_call(SYDNEY, at=MIDDAY, purpose="collection", debt="7", attempts=attempts)
    verdict = BOOK.decide(facts)
    assert (verdict.blocking.rule.id if verdict.blocking else None) == blocks
    assert verdict.prompt == ("blocked-limit" if blocks else "blocked")


def test_the_guideline_is_about_people_who_owe_and_not_businesses() -> None:
    late = a_call(SYDNEY, at=at("2026-11-20 22:00"), purpose="collection", subject_kind="business")
    assert not [f for f in BOOK.decide(late).findings if f.rule.id.startswith("au.collection")]


def test_a_recording_is_announced_whichever_end_is_in_australia() -> None:
    rules = Rulebook(PACKS["au"].rules)
    abroad = a_call("+442079460123", caller=SYDNEY, purpose="service")
    assert rules.decide(abroad).obligations == {Obligation.PLAY_NOTICE}
    calling_in = a_call(SYDNEY, purpose="service", direction="inbound")
    assert rules.decide(calling_in).obligations == {Obligation.PLAY_NOTICE}


def test_only_the_values_that_were_seen_are_marked_so() -> None:
    marks = {rule.id: rule for rule in PACKS["au"].rules}
    assert {i for i, rule in marks.items() if rule.status == "unverified"} == {"au.state-purpose"}
    assert all(
        (rule.verified_on is not None) == bool(rule.source) == (rule.status == "verified")
        for rule in marks.values()
    )
    assert not any(rule.series for rule in marks.values())
