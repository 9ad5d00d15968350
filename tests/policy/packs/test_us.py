"""Federal law of the United States, at the edges that its rules draw."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callguard.policy.facts import (
    Attempt,
    CallFacts,
    CampaignDay,
    Channel,
    Purpose,
    RelationKind,
)
from callguard.policy.packs import shipped_packs
from callguard.policy.rulebook import Rulebook
from callguard.policy.rules import Finding, Obligation, Outcome, Rule
from tests.policy.facts import (
    LOS_ANGELES,
    MIAMI,
    NEW_YORK,
    NOON,
    TENANT,
    TOLL_FREE,
    a_call,
    a_consent,
    a_place,
    a_relationship,
    an_answer,
    an_attempt,
    an_opt_out,
    attempts_before,
)

RULES = [r for p in shipped_packs() if p.name in ("base", "us") for r in p.rules]
BOOK = Rulebook(RULES)
OURS = [rule for rule in RULES if rule.id.startswith("us.")]

PENSACOLA = "+18504320123"
PHOENIX = "+16025550123"
SAN_JUAN = "+17875550123"
HAGATNA = "+16715550123"
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


def found(rule: str, call: CallFacts) -> Finding | None:
    """What one rule says of a call; None where it is not about it."""
    return next((f for f in BOOK.decide(call).findings if f.rule.id == rule), None)


def blocks(rule: str, call: CallFacts) -> bool:
    finding = found(rule, call)
    assert finding is not None, f"{rule} is not about the call"
    return finding.blocks


def clock(zone: str, text: str) -> datetime:
    """The moment at which a clock there shows that."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


@pytest.mark.parametrize("rule", OURS, ids=lambda rule: rule.id)
def test_a_verified_rule_says_where_and_when_its_values_were_seen(rule: Rule) -> None:
    verified = rule.status == "verified"
    assert rule.citation.strip()
    assert rule.id.startswith("us.federal.")
    assert bool(rule.source.strip()) is verified
    assert (rule.verified_on is not None) is verified
    assert rule.verified_on is None or rule.verified_on <= date(2026, 11, 22)


@pytest.mark.parametrize(
    ("number", "zone"),
    [
        (NEW_YORK, "America/New_York"),
        (LOS_ANGELES, "America/Los_Angeles"),
        (PENSACOLA, "America/Chicago"),
        (PHOENIX, "America/Phoenix"),
        (SAN_JUAN, "America/Puerto_Rico"),
        (HAGATNA, "Pacific/Guam"),
    ],
)
@pytest.mark.parametrize(
    ("local", "held"),
    [
        ("2026-11-18T07:59:59", True),
        ("2026-11-18T08:00:00", False),
        ("2026-11-18T20:59:59", False),
        ("2026-11-18T21:00:00", True),
        ("2026-11-22T08:00:00", False),
        ("2026-11-26T20:59:00", False),
    ],
)
def test_sales_calls_keep_to_eight_till_nine_by_the_subjects_own_clock(
    number: str, zone: str, local: str, held: bool
) -> None:
    assert blocks("us.federal.hours", a_call(number, at=clock(zone, local))) is held


@given(
    st.integers(0, 14 * 365 * 24 * 60).map(lambda n: datetime(2021, 1, 1, tzinfo=UTC) + n * MINUTE)
)
def test_no_moment_passes_that_the_subjects_clock_shows_outside_the_hours(at: datetime) -> None:
    local = at.astimezone(ZoneInfo("America/New_York"))
    assert blocks("us.federal.hours", a_call(MIAMI, at=at)) is not (8 <= local.hour < 21)


@pytest.mark.parametrize(
    ("at", "held"),
    [
        # The night on which the hour from one o'clock came twice.
        ("2026-10-31T12:00:00+00:00", False),
        ("2026-11-01T05:30:00+00:00", True),
        ("2026-11-01T06:30:00+00:00", True),
        ("2026-11-01T12:59:00+00:00", True),
        ("2026-11-01T13:00:00+00:00", False),
        # The night on which the hour from two o'clock did not come.
        ("2026-03-07T12:59:00+00:00", True),
        ("2026-03-08T07:30:00+00:00", True),
        ("2026-03-08T11:59:00+00:00", True),
        ("2026-03-08T12:00:00+00:00", False),
    ],
)
def test_the_hours_follow_the_change_of_the_clocks(at: str, held: bool) -> None:
    call = a_call(NEW_YORK, at=datetime.fromisoformat(at))
    assert blocks("us.federal.hours", call) is held


@pytest.mark.parametrize(
    ("local", "held"),
    [
        # Guam opens, and Newfoundland closes, as the first and the last of the 42.
        ("2026-11-18T21:59", True),
        ("2026-11-18T22:00", False),
        ("2026-11-19T00:29", False),
        ("2026-11-19T00:30", True),
        ("2026-07-15T22:00", False),
        ("2026-07-15T23:29", False),
        ("2026-07-15T23:30", True),
        ("2026-11-18T17:00", True),
    ],
)
def test_a_number_that_may_ring_in_any_zone_waits_until_all_of_them_are_open(
    local: str, held: bool
) -> None:
    call = a_call(TOLL_FREE, at=clock("UTC", local))
    assert len(call.place.zones) == 42
    assert blocks("us.federal.hours", call) is held


def test_a_subject_in_no_known_zone_is_not_called() -> None:
    assert blocks("us.federal.hours", a_call(NEW_YORK, zones=(), at=NOON + 4 * timedelta(hours=1)))


@pytest.mark.parametrize("purpose", ["service", "survey", "transactional"])
def test_calls_that_sell_nothing_have_no_hours(purpose: Purpose) -> None:
    midnight = clock("America/New_York", "2026-11-18T00:00")
    assert found("us.federal.hours", a_call(NEW_YORK, purpose=purpose, at=midnight)) is None


@pytest.mark.parametrize(("kind", "about"), [("business", False), ("unknown", True)])
def test_hours_and_registry_are_for_consumers_and_whoever_may_be_one(
    kind: str, about: bool
) -> None:
    call = a_call(NEW_YORK, subject_kind="business" if kind == "business" else "unknown")
    for rule in ("us.federal.hours", "us.federal.registry", "us.federal.registry-freshness"):
        assert (found(rule, call) is not None) is about


@pytest.mark.parametrize(
    ("listed", "outcome", "held"),
    [
        (False, Outcome.PASS, False),
        (True, Outcome.BLOCK, True),
        (None, Outcome.UNKNOWN, True),
    ],
)
def test_only_a_registry_that_says_no_lets_a_sales_call_pass(
    listed: bool | None, outcome: Outcome, held: bool
) -> None:
    finding = found(
        "us.federal.registry", a_call(NEW_YORK, registries=(an_answer("us-dnc", listed),))
    )
    assert finding is not None
    assert (finding.outcome, finding.blocks) == (outcome, held)


def test_a_registry_that_is_not_there_holds_every_sales_call_back() -> None:
    call = a_call(NEW_YORK, registries=(an_answer("us-tx-dnc"),))
    assert blocks("us.federal.registry", call)
    assert blocks("us.federal.registry-freshness", call)


@pytest.mark.parametrize(("age", "held"), [(0, False), (31, False), (32, True), (-1, True)])
def test_the_list_counts_for_thirty_one_days_from_its_own_date(age: int, held: bool) -> None:
    answer = an_answer("us-dnc", list_date=NOON.date() - age * DAY)
    assert blocks("us.federal.registry-freshness", a_call(NEW_YORK, registries=(answer,))) is held


@pytest.mark.parametrize("number", [NEW_YORK, HAGATNA])
def test_the_age_of_the_list_counts_by_the_subjects_own_calendar(number: str) -> None:
    evening = datetime(2026, 11, 20, 23, 0, tzinfo=UTC)
    answer = an_answer("us-dnc", list_date=evening.date() - 31 * DAY)
    call = a_call(number, at=evening, registries=(answer,))
    assert blocks("us.federal.registry-freshness", call) is (number == HAGATNA)


LISTED = (an_answer("us-dnc", True),)


@pytest.mark.parametrize(
    ("kind", "ended", "at", "exempt"),
    [
        ("purchase", "2025-05-20T12:00", "2026-11-20T11:59", True),
        ("purchase", "2025-05-20T12:00", "2026-11-20T12:00", False),
        ("purchase", "2025-08-31T12:00", "2027-02-28T11:59", True),
        ("purchase", "2025-08-31T12:00", "2027-02-28T12:00", False),
        ("inquiry", "2026-08-20T12:00", "2026-11-20T11:59", True),
        ("inquiry", "2026-08-20T12:00", "2026-11-20T12:00", False),
        ("inquiry", "2026-11-30T12:00", "2027-02-28T11:59", True),
        ("inquiry", "2026-11-30T12:00", "2027-02-28T12:00", False),
        ("callback", "2026-11-20T11:00", "2026-11-20T12:00", False),
    ],
)
def test_business_done_lifts_the_registry_for_its_months_by_the_calendar(
    kind: RelationKind, ended: str, at: str, exempt: bool
) -> None:
    until = datetime.fromisoformat(ended).replace(tzinfo=UTC)
    tie = a_relationship(kind, since=until - DAY, until=until)
    moment = datetime.fromisoformat(at).replace(tzinfo=UTC)
    call = a_call(NEW_YORK, at=moment, registries=LISTED, relationships=(tie,))
    assert blocks("us.federal.registry", call) is not exempt


def test_a_request_to_the_tenant_overrides_business_done() -> None:
    tie = a_relationship("purchase", until=NOON - DAY)
    at = clock("America/New_York", "2026-11-20T12:00")
    asked = a_call(
        NEW_YORK, at=at, registries=LISTED, relationships=(tie,), opt_outs=(an_opt_out(),)
    )
    assert not blocks("us.federal.registry", asked)
    verdict = BOOK.decide(asked)
    assert not verdict.allowed
    assert [f.rule.id for f in verdict.findings if f.blocks] == ["base.opt-out"]


@pytest.mark.parametrize(("proof", "held"), [("signed form 17", False), (None, True)])
def test_only_a_consent_on_file_lifts_the_registry(proof: str | None, held: bool) -> None:
    call = a_call(NEW_YORK, registries=LISTED, consents=(a_consent(proof=proof),))
    assert blocks("us.federal.registry", call) is held


@pytest.mark.parametrize(("caller", "held"), [("anonymous", True), (MIAMI, False), ("4711", True)])
def test_a_sales_call_shows_a_number(caller: str, held: bool) -> None:
    assert blocks("us.federal.caller-id", a_call(NEW_YORK, caller=caller)) is held


def test_a_sales_call_identifies_itself_and_an_automatic_one_offers_a_way_out() -> None:
    by_hand = BOOK.decide(a_call(NEW_YORK)).obligations
    assert {Obligation.IDENTIFY, Obligation.STATE_PURPOSE} <= by_hand
    assert Obligation.OFFER_OPT_OUT not in by_hand
    by_machine = BOOK.decide(a_call(NEW_YORK, dialler="machine")).obligations
    assert {Obligation.IDENTIFY, Obligation.STATE_PURPOSE, Obligation.OFFER_OPT_OUT} <= by_machine


@pytest.mark.parametrize(
    ("days_ago", "answered", "abandoned", "held"),
    [
        (0, 100, 3, False),
        (0, 100, 4, True),
        (0, 1000, 30, False),
        (0, 1000, 31, True),
        (0, 99, 9, False),
        (29, 1000, 31, True),
        (30, 1000, 31, False),
    ],
)
def test_a_campaign_that_loses_more_than_three_percent_in_thirty_days_stops(
    days_ago: int, answered: int, abandoned: int, held: bool
) -> None:
    figures = (CampaignDay(NOON.date() - days_ago * DAY, answered, abandoned),)
    call = a_call(NEW_YORK, dialler="machine", campaign="spring", figures=figures)
    assert blocks("us.federal.abandonment", call) is held


def test_a_campaign_whose_losses_are_not_known_stops() -> None:
    assert blocks("us.federal.abandonment", a_call(NEW_YORK, dialler="machine", campaign="spring"))
    assert found("us.federal.abandonment", a_call(NEW_YORK, campaign="spring")) is None


@pytest.mark.parametrize(
    "purpose", ["marketing", "service", "survey", "collection", "transactional"]
)
@pytest.mark.parametrize("number", [NEW_YORK, SAN_JUAN, TOLL_FREE])
def test_a_machine_calls_nobody_who_may_be_on_a_mobile_without_consent(
    purpose: Purpose, number: str
) -> None:
    rule = f"us.federal.machine-consent.{purpose}"
    assert blocks(rule, a_call(number, purpose=purpose, dialler="machine"))
    consented = a_call(number, purpose=purpose, dialler="machine", consents=(a_consent(purpose),))
    assert not blocks(rule, consented)
    assert found(rule, a_call(number, purpose=purpose)) is None


@pytest.mark.parametrize(("purpose", "held"), [("marketing", True), ("service", False)])
def test_consent_to_automatic_calls_is_in_writing_where_they_sell(
    purpose: Purpose, held: bool
) -> None:
    spoken = (a_consent(purpose, proof=None),)
    call = a_call(NEW_YORK, purpose=purpose, dialler="machine", consents=spoken)
    assert blocks(f"us.federal.machine-consent.{purpose}", call) is held


def test_business_done_is_no_consent_to_automatic_calls() -> None:
    call = a_call(NEW_YORK, dialler="machine", relationships=(a_relationship(),))
    assert blocks("us.federal.machine-consent.marketing", call)


@pytest.mark.parametrize(
    ("local", "held"), [("07:59", True), ("08:00", False), ("20:59", False), ("21:00", True)]
)
def test_sales_texts_keep_the_hours_of_calls(local: str, held: bool) -> None:
    at = clock("America/New_York", f"2026-11-18T{local}")
    call = a_call(NEW_YORK, channel="sms", at=at)
    assert blocks("us.federal.sms-hours", call) is held
    assert found("us.federal.hours", call) is None


@pytest.mark.parametrize(("proof", "held"), [("form 17", False), (None, True)])
def test_a_sales_text_needs_written_consent(proof: str | None, held: bool) -> None:
    call = a_call(NEW_YORK, channel="sms", consents=(a_consent(proof=proof),))
    assert blocks("us.federal.sms-consent", call) is held
    assert blocks("us.federal.sms-consent", a_call(NEW_YORK, channel="sms"))


@pytest.mark.parametrize("channel", ["voice", "sms", "email"])
@pytest.mark.parametrize(
    ("local", "held"), [("07:59", True), ("08:00", False), ("20:59", False), ("21:00", True)]
)
def test_a_collector_keeps_the_hours_on_every_channel(
    channel: Channel, local: str, held: bool
) -> None:
    at = clock("America/New_York", f"2026-11-18T{local}")
    call = a_call(NEW_YORK, channel=channel, purpose="collection", at=at)
    assert blocks("us.federal.collection.hours", call) is held


def test_a_collectors_text_offers_a_way_out_and_a_call_reveals_nothing() -> None:
    text = BOOK.decide(a_call(NEW_YORK, purpose="collection", channel="sms"))
    assert Obligation.OFFER_OPT_OUT in text.obligations
    call = BOOK.decide(a_call(NEW_YORK, purpose="collection"))
    assert not call.obligations & {Obligation.IDENTIFY, Obligation.STATE_PURPOSE}


def collecting(*attempts: Attempt, debt: str | None = "loan") -> CallFacts:
    return a_call(NEW_YORK, purpose="collection", attempts=attempts, debt=debt)


def tries(count: int, *, debt: str = "loan") -> tuple[Attempt, ...]:
    return tuple(
        an_attempt(NOON - (n + 1) * timedelta(hours=20), purpose="collection", debt=debt)
        for n in range(count)
    )


@pytest.mark.parametrize(("earlier", "held"), [(0, False), (6, False), (7, True), (8, True)])
def test_the_eighth_call_about_a_debt_in_seven_days_is_held_back(earlier: int, held: bool) -> None:
    assert blocks("us.federal.collection.attempts", collecting(*tries(earlier))) is held


def test_calls_about_another_debt_do_not_count() -> None:
    mixed = (*tries(6), *tries(7, debt="card"))
    assert not blocks("us.federal.collection.attempts", collecting(*mixed))
    assert blocks("us.federal.collection.attempts", collecting(*mixed, debt="card"))


@pytest.mark.parametrize(("gap", "held"), [(7 * DAY - MINUTE, True), (7 * DAY, False)])
def test_a_call_of_seven_days_ago_counts_no_more(gap: timedelta, held: bool) -> None:
    oldest = an_attempt(NOON - gap, purpose="collection", debt="loan")
    assert blocks("us.federal.collection.attempts", collecting(*tries(6), oldest)) is held


def test_a_sales_call_uses_up_nothing_of_a_collectors_seven() -> None:
    sold = attempts_before(NOON, *(n * MINUTE for n in range(1, 9)), debt="loan")
    assert not blocks("us.federal.collection.attempts", collecting(*sold))


@pytest.mark.parametrize(
    ("gap", "debt", "held"),
    [
        (timedelta(0), "loan", True),
        (7 * DAY - MINUTE, "loan", True),
        (7 * DAY, "loan", False),
        (MINUTE, "card", False),
    ],
)
def test_a_conversation_about_a_debt_is_followed_by_seven_days_of_rest(
    gap: timedelta, debt: str, held: bool
) -> None:
    talked = Attempt(NOON - gap, TENANT, "collection", debt="loan", answered_at=NOON - gap)
    assert blocks("us.federal.collection.rest", collecting(talked, debt=debt)) is held


@pytest.mark.parametrize("rule", ["us.federal.collection.attempts", "us.federal.collection.rest"])
def test_a_collector_whose_calls_cannot_be_counted_places_none(rule: str) -> None:
    assert blocks(rule, a_call(NEW_YORK, purpose="collection", attempts=None, debt="loan"))


@pytest.mark.parametrize(
    ("call", "about"),
    [
        (a_call(NEW_YORK), True),
        (a_call(NEW_YORK, direction="inbound"), True),
        (a_call(caller=NEW_YORK), True),
        (a_call(), False),
        (a_call(place=a_place(a_call().subject, region="US")), True),
    ],
)
def test_one_partys_consent_suffices_where_either_end_is_in_the_country(
    call: CallFacts, about: bool
) -> None:
    finding = found("us.federal.recording", call)
    assert (finding is not None) is about
    if finding is not None:
        assert (finding.outcome, finding.obligations) == (
            Outcome.PASS,
            frozenset({Obligation.ONE_PARTY}),
        )


def test_federal_law_is_the_law_of_the_territories_too() -> None:
    for number in (SAN_JUAN, HAGATNA, "+13405550123", "+16845550123", "+16705550123"):
        ids = {finding.rule.id for finding in BOOK.decide(a_call(number)).findings}
        assert {"us.federal.hours", "us.federal.registry", "us.federal.recording"} <= ids
    assert found("us.federal.hours", a_call("+14165550123")) is None


@pytest.mark.parametrize(
    ("purpose", "channel", "rules"),
    [
        (
            "marketing",
            "voice",
            (
                "hours registry registry-freshness caller-id identify state-purpose abandonment "
                "machine-consent.marketing machine-opt-out recording"
            ),
        ),
        ("marketing", "sms", "sms-hours sms-consent"),
        ("service", "voice", "machine-consent.service recording"),
        ("survey", "voice", "machine-consent.survey recording"),
        ("transactional", "voice", "machine-consent.transactional recording"),
        (
            "collection",
            "voice",
            (
                "machine-consent.collection collection.hours collection.attempts collection.rest "
                "recording"
            ),
        ),
        ("collection", "email", "collection.hours collection.opt-out"),
        ("service", "sms", ""),
    ],
)
def test_a_call_meets_the_rules_of_its_purpose_and_channel_and_no_others(
    purpose: Purpose, channel: Channel, rules: str
) -> None:
    call = a_call(NEW_YORK, purpose=purpose, channel=channel, dialler="machine")
    met = {f.rule.id for f in BOOK.decide(call).findings if f.rule.id.startswith("us.")}
    assert met == {f"us.federal.{name}" for name in rules.split()}
