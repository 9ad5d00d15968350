"""Russia: consent to advertising, machines that dial, and debt collection by the clock."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from callguard.policy.facts import (
    Attempt,
    CallFacts,
    Channel,
    Direction,
    GivenConsent,
    Purpose,
)
from callguard.policy.packs import shipped_packs
from callguard.policy.rulebook import Rulebook
from callguard.policy.rules import Obligation, Outcome
from tests.policy.facts import a_call, a_consent, an_attempt

PACKS = {pack.name: pack for pack in shipped_packs()}
BOOK = Rulebook((*PACKS["base"].rules, *PACKS["ru"].rules))

MOSCOW = "+74955550123"
MOBILE = "+79005550123"


def at(local: str, zone: str = "Europe/Moscow") -> datetime:
    return datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


MIDDAY = at("2026-11-20 12:00")
"""A Friday."""


def outcome(rule: str, facts: CallFacts) -> Outcome:
    (found,) = (f for f in BOOK.decide(facts).findings if f.rule.id == rule)
    assert found.blocks == (found.outcome in (Outcome.BLOCK, Outcome.UNKNOWN))
    return found.outcome


@pytest.mark.parametrize("channel", ["voice", "sms", "email"])
@pytest.mark.parametrize(
    ("consents", "allowed"),
    [
        ((), False),
        ((a_consent(),), True),
        ((a_consent(granted_at=datetime(2010, 1, 1, tzinfo=UTC)),), True),
        ((a_consent(proof=None),), False),
        ((a_consent("service"),), False),
        ((a_consent(until=MIDDAY),), False),
        ((a_consent(granted_at=MIDDAY + timedelta(seconds=1)),), False),
    ],
    ids=["none", "consent", "old", "unproven", "to something else", "ended", "not yet given"],
)
def test_advertising_needs_a_consent_that_can_be_proved(
    channel: Channel, consents: tuple[GivenConsent, ...], allowed: bool
) -> None:
    verdict = BOOK.decide(a_call(MOSCOW, at=MIDDAY, channel=channel, consents=consents))
    assert verdict.allowed is allowed
    assert verdict.prompt == ("blocked" if allowed else "blocked-consent")


def test_a_business_is_advertised_to_with_consent_only() -> None:
    facts = a_call(MOSCOW, at=MIDDAY, subject_kind="business")
    assert outcome("ru.advertising.consent", facts) is Outcome.BLOCK


def test_advertising_keeps_no_statutory_hours() -> None:
    facts = a_call(MOBILE, at=at("2026-11-20 03:00"), consents=(a_consent(),))
    assert BOOK.decide(facts).allowed


@pytest.mark.parametrize("attempts", [(), None], ids=["first call", "counters out of reach"])
def test_a_machine_advertises_to_nobody_consent_or_not(
    attempts: tuple[Attempt, ...] | None,
) -> None:
    facts = a_call(MOSCOW, at=MIDDAY, dialler="machine", consents=(a_consent(),), attempts=attempts)
    verdict = BOOK.decide(facts)
    assert verdict.blocking is not None
    assert verdict.blocking.rule.id == "ru.advertising.no-machine"


MASS_CALLS: tuple[Purpose, ...] = ("service", "survey", "transactional", "collection")


@pytest.mark.parametrize("purpose", MASS_CALLS)
@pytest.mark.parametrize(
    ("consent", "proof", "allowed"),
    [
        ("this", "form 17", True),
        ("this", None, False),
        ("marketing", "form 17", False),
        ("recording", "form 17", False),
    ],
)
def test_a_machine_calls_with_a_proved_consent_to_such_calls(
    purpose: Purpose, consent: str, proof: str | None, allowed: bool
) -> None:
    given = a_consent(purpose if consent == "this" else consent, proof=proof)
    facts = a_call(MOSCOW, at=MIDDAY, purpose=purpose, dialler="machine", consents=(given,))
    verdict = BOOK.decide(facts)
    assert verdict.allowed is allowed
    assert verdict.prompt == ("blocked" if allowed else "blocked-consent")


@pytest.mark.parametrize("purpose", MASS_CALLS)
@pytest.mark.parametrize(
    ("local", "allowed"), [("2025-08-31 19:59:59", True), ("2025-09-01 08:00", False)]
)
def test_mass_calls_need_consent_since_september_2025(
    purpose: Purpose, local: str, allowed: bool
) -> None:
    facts = a_call(MOSCOW, at=at(local), purpose=purpose, dialler="machine")
    assert BOOK.decide(facts).allowed is allowed


@pytest.mark.parametrize("purpose", MASS_CALLS)
def test_an_agent_who_dials_makes_no_mass_call(purpose: Purpose) -> None:
    assert BOOK.decide(a_call(MOSCOW, at=MIDDAY, purpose=purpose, dialler="agent")).allowed


@pytest.mark.parametrize("channel", ["voice", "sms", "email"])
@pytest.mark.parametrize(
    ("local", "allowed"),
    [
        ("2026-11-20 07:59:59", False),
        ("2026-11-20 08:00", True),
        ("2026-11-20 21:59:59", True),
        ("2026-11-20 22:00", False),
        ("2026-11-21 08:59:59", False),
        ("2026-11-21 09:00", True),
        ("2026-11-21 19:59:59", True),
        ("2026-11-21 20:00", False),
        ("2026-11-22 09:00", True),
        ("2026-11-22 20:00", False),
        # Unity Day is a Wednesday; 11 May stands in for Victory Day, a Saturday.
        ("2026-11-04 08:59:59", False),
        ("2026-11-04 09:00", True),
        ("2026-11-04 20:00", False),
        ("2026-05-11 20:00", False),
        ("2026-05-12 20:00", True),
        # No clock changes when Europe's do, in the night to 29 March 2026.
        ("2026-03-29 08:59:59", False),
        ("2026-03-29 09:00", True),
    ],
)
def test_debtors_are_contacted_within_the_hours(
    channel: Channel, local: str, allowed: bool
) -> None:
    facts = a_call(MOSCOW, at=at(local), purpose="collection", channel=channel)
    verdict = BOOK.decide(facts)
    assert verdict.allowed is allowed
    assert verdict.prompt == ("blocked" if allowed else "blocked-hours")


@pytest.mark.parametrize(
    ("instant", "allowed"),
    [
        # From 8:00 in Kaliningrad to 22:00 in Kamchatka.
        ("2026-11-20T05:59:59+00:00", False),
        ("2026-11-20T06:00:00+00:00", True),
        ("2026-11-20T09:59:59+00:00", True),
        ("2026-11-20T10:00:00+00:00", False),
        # Saturday: from 9:00 to 20:00.
        ("2026-11-21T06:59:59+00:00", False),
        ("2026-11-21T07:00:00+00:00", True),
        ("2026-11-21T07:59:59+00:00", True),
        ("2026-11-21T08:00:00+00:00", False),
    ],
)
def test_a_mobile_in_any_of_eleven_clocks_leaves_few_hours(instant: str, allowed: bool) -> None:
    facts = a_call(MOBILE, at=datetime.fromisoformat(instant), purpose="collection")
    assert len({moment.utcoffset() for moment in facts.local}) == 11
    assert (outcome("ru.collection.hours", facts) is Outcome.PASS) is allowed


def calls(
    *ago: timedelta, channel: str = "voice", purpose: str = "collection"
) -> Iterable[Attempt]:
    return (an_attempt(MIDDAY - gap, channel=channel, purpose=purpose) for gap in ago)


DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("channel", "ago", "blocking"),
    [
        ("voice", (), set()),
        ("voice", (DAY - SECOND,), {"day"}),
        ("voice", (DAY,), set()),
        ("voice", (2 * DAY, 7 * DAY - SECOND), {"week"}),
        ("voice", (2 * DAY, 7 * DAY), set()),
        ("voice", (HOUR, 2 * DAY), {"day", "week"}),
        ("voice", (*(n * DAY for n in range(24, 31)), 31 * DAY - SECOND), {"month"}),
        ("voice", (*(n * DAY for n in range(24, 31)), 31 * DAY), set()),
        ("sms", (HOUR,), set()),
        ("sms", (HOUR, DAY - SECOND), {"day"}),
        ("sms", (HOUR, DAY), set()),
        ("email", (HOUR, DAY - SECOND), {"day"}),
        ("email", (2 * DAY, 3 * DAY, 4 * DAY, 7 * DAY - SECOND), {"week"}),
        ("email", tuple(n * DAY for n in range(8, 24)), {"month"}),
        ("sms", (2 * DAY, 3 * DAY, 4 * DAY, 7 * DAY - SECOND), {"week"}),
        ("sms", (2 * DAY, 3 * DAY, 4 * DAY, 7 * DAY), set()),
        ("sms", tuple(n * DAY for n in range(8, 24)), {"month"}),
        ("sms", (*(n * DAY for n in range(8, 23)), 31 * DAY - SECOND), {"month"}),
        ("sms", (*(n * DAY for n in range(8, 23)), 31 * DAY), set()),
        ("sms", tuple(n * DAY for n in range(8, 23)), set()),
    ],
)
def test_debtors_are_contacted_so_often_and_no_more(
    channel: Channel, ago: Iterable[timedelta], blocking: set[str]
) -> None:
    earlier = tuple(calls(*ago, channel=channel))
    facts = a_call(MOSCOW, at=MIDDAY, purpose="collection", channel=channel, attempts=earlier)
    verdict = BOOK.decide(facts)
    prefix = "ru.collection." if channel == "voice" else "ru.collection.messages."
    assert {f.rule.id for f in verdict.findings if f.blocks} == {prefix + b for b in blocking}
    assert verdict.prompt == ("blocked-limit" if blocking else "blocked")


def test_calls_for_another_purpose_are_not_counted() -> None:
    earlier = (*calls(HOUR, purpose="service"), *calls(HOUR, channel="sms"))
    facts = a_call(MOSCOW, at=MIDDAY, purpose="collection", attempts=earlier)
    assert BOOK.decide(facts).allowed


@pytest.mark.parametrize("channel", ["voice", "sms"])
def test_a_business_that_owes_is_outside_the_law_on_debtors(channel: Channel) -> None:
    earlier = tuple(calls(*(n * HOUR for n in range(17)), channel=channel))
    facts = a_call(
        MOSCOW,
        at=at("2026-11-22 23:00"),
        purpose="collection",
        channel=channel,
        subject_kind="business",
        caller="anonymous",
        attempts=earlier,
    )
    verdict = BOOK.decide(facts)
    assert verdict.allowed
    assert verdict.obligations <= {Obligation.PLAY_NOTICE}
    assert not [f for f in verdict.findings if f.rule.id.startswith("ru.collection")]


def test_counters_out_of_reach_block_collection() -> None:
    facts = a_call(MOSCOW, at=MIDDAY, purpose="collection", attempts=None)
    assert outcome("ru.collection.day", facts) is Outcome.UNKNOWN


def test_who_collects_shows_the_number_and_records_with_a_notice() -> None:
    hidden = a_call(MOSCOW, at=MIDDAY, purpose="collection", caller="anonymous")
    assert outcome("ru.collection.caller-id", hidden) is Outcome.BLOCK
    verdict = BOOK.decide(a_call(MOSCOW, at=MIDDAY, purpose="collection"))
    assert verdict.allowed
    assert verdict.obligations == {
        Obligation.IDENTIFY,
        Obligation.STATE_PURPOSE,
        Obligation.RECORD,
        Obligation.PLAY_NOTICE,
    }


@pytest.mark.parametrize(
    ("local", "record"), [("2024-08-04 12:00", False), ("2024-08-05 12:00", True)]
)
def test_conversations_with_debtors_are_recorded_since_august_2024(
    local: str, record: bool
) -> None:
    facts = a_call(MOSCOW, at=at(local), purpose="collection", direction="inbound")
    verdict = BOOK.decide(facts)
    assert (Obligation.RECORD in verdict.obligations) is record
    told = {f.rule.id for f in verdict.findings if Obligation.PLAY_NOTICE in f.obligations}
    assert ("ru.collection.record-notice" in told) is record


@pytest.mark.parametrize("direction", ["outbound", "inbound"])
def test_a_recording_is_announced_both_ways(direction: Direction) -> None:
    facts = a_call(MOSCOW, at=MIDDAY, purpose="service", direction=direction)
    assert Rulebook(PACKS["ru"].rules).decide(facts).obligations == {Obligation.PLAY_NOTICE}


def test_only_the_values_that_were_seen_are_marked_so() -> None:
    marks = {rule.id: rule for rule in PACKS["ru"].rules}
    assert {i for i, rule in marks.items() if rule.status == "unverified"} == {
        "ru.collection.caller-id",
        "ru.collection.identify",
        "ru.recording",
    }
    assert all(
        (rule.verified_on is not None) == bool(rule.source) == (rule.status == "verified")
        for rule in marks.values()
    )
    assert not any(rule.series for rule in marks.values())
