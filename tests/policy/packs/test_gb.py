"""The United Kingdom: the preference lists, their age, what diallers may do."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import get_args

import pytest

from callguard.policy.facts import CallFacts, CampaignDay, SubjectKind
from callguard.policy.numbers import parse_address
from callguard.policy.packs import shipped_packs
from callguard.policy.rulebook import Rulebook
from callguard.policy.rules import Finding, Obligation, Outcome
from tests.policy.facts import LONDON, NOON, a_call, a_consent, a_relationship, an_answer

JERSEY = "+441534000123"
TODAY = NOON.date()
BOOK = Rulebook(
    rule for pack in shipped_packs() if pack.name in ("base", "eu", "gb") for rule in pack.rules
)
KINDS: tuple[SubjectKind, ...] = get_args(SubjectKind)
CLEAR = (an_answer("gb-tps"), an_answer("gb-ctps"))


def finding(call: CallFacts, rule: str) -> Finding | None:
    return next((f for f in BOOK.decide(call).findings if f.rule.id == rule), None)


def blocking(call: CallFacts) -> set[str]:
    return {f.rule.id for f in BOOK.decide(call).findings if f.blocks}


@pytest.mark.parametrize("kind", KINDS)
def test_who_is_in_neither_list_may_be_called_at_any_hour(kind: SubjectKind) -> None:
    for hour in range(24):
        at = NOON.replace(hour=hour)
        assert BOOK.decide(a_call(at=at, subject_kind=kind, registries=CLEAR)).allowed


@pytest.mark.parametrize(
    ("kind", "listed", "blocks"),
    [
        ("consumer", "gb-tps", {"gb.tps"}),
        ("unknown", "gb-tps", {"gb.tps"}),
        ("business", "gb-tps", {"gb.tps"}),
        ("business", "gb-ctps", {"gb.ctps"}),
        ("consumer", "gb-ctps", set()),
    ],
)
def test_each_list_holds_back_those_it_protects(
    kind: SubjectKind, listed: str, blocks: set[str]
) -> None:
    answers = tuple(an_answer(name, name == listed) for name in ("gb-tps", "gb-ctps"))
    assert blocking(a_call(subject_kind=kind, registries=answers)) == blocks


def test_a_list_that_is_not_there_clears_nobody() -> None:
    assert blocking(a_call()) == {"gb.tps", "gb.tps-freshness"}
    assert blocking(a_call(subject_kind="business", registries=(an_answer("gb-tps"),))) == {
        "gb.ctps",
        "gb.ctps-freshness",
    }


def test_a_number_outside_the_coverage_of_the_list_is_not_clear() -> None:
    assert blocking(a_call(registries=(an_answer("gb-tps", None),))) == {"gb.tps"}


def test_consent_goes_before_the_list_and_its_age() -> None:
    old = an_answer("gb-tps", True, list_date=date(2020, 1, 1))
    assert BOOK.decide(a_call(registries=(old,), consents=(a_consent(),))).allowed
    assert BOOK.decide(a_call(consents=(a_consent(),))).allowed
    lists = (an_answer("gb-tps", True), an_answer("gb-ctps", True, list_date=date(2020, 1, 1)))
    firm = a_call(subject_kind="business", registries=lists)
    assert blocking(firm) == {"gb.tps", "gb.ctps", "gb.ctps-freshness"}
    assert BOOK.decide(replace(firm, consents=(a_consent(),))).allowed
    withdrawn = a_consent(until=NOON)
    assert not BOOK.decide(a_call(registries=(old,), consents=(withdrawn,))).allowed
    to_recording = a_consent("recording")
    assert not BOOK.decide(a_call(registries=(old,), consents=(to_recording,))).allowed


def test_a_customer_in_the_list_is_not_called_to_sell() -> None:
    listed = (an_answer("gb-tps", True),)
    assert not BOOK.decide(a_call(registries=listed, relationships=(a_relationship(),))).allowed
    assert BOOK.decide(a_call(registries=listed, purpose="service")).allowed


@pytest.mark.parametrize(("age", "fresh"), [(0, True), (28, True), (29, False), (-1, False)])
@pytest.mark.parametrize("name", ["tps", "ctps"])
def test_a_list_counts_for_28_days(name: str, age: int, fresh: bool) -> None:
    answers = (
        an_answer(f"gb-{name}", list_date=TODAY - timedelta(days=age)),
        *(a for a in CLEAR if a.registry != f"gb-{name}"),
    )
    blocks = blocking(a_call(subject_kind="business", registries=answers))
    assert blocks == (set() if fresh else {f"gb.{name}-freshness"})


def test_the_age_of_a_list_counts_by_the_day_in_london() -> None:
    """In summer the 29th day begins an hour before midnight in UTC."""
    answers = (an_answer("gb-tps", list_date=date(2026, 6, 2)),)
    before = datetime(2026, 6, 30, 22, 59, tzinfo=UTC)
    assert blocking(a_call(at=before, registries=answers)) == set()
    after = before + timedelta(minutes=1)
    assert blocking(a_call(at=after, registries=answers)) == {"gb.tps-freshness"}


def test_a_sales_call_shows_its_number() -> None:
    assert blocking(a_call(caller="anonymous", registries=CLEAR)) == {"gb.caller-id"}
    assert blocking(a_call(caller="anonymous", purpose="service")) == set()


def test_a_sales_call_says_who_calls_and_how_to_say_no() -> None:
    assert BOOK.decide(a_call(registries=CLEAR)).obligations == {
        Obligation.IDENTIFY,
        Obligation.OFFER_OPT_OUT,
        Obligation.PLAY_NOTICE,
    }


def dialled(day: date, answered: int, abandoned: int, **known: object) -> CallFacts:
    return a_call(
        purpose="service",
        dialler="machine",
        campaign="spring",
        figures=(CampaignDay(day, answered, abandoned),),
        **known,  # type: ignore[arg-type]
    )


def test_a_machine_sells_only_with_consent() -> None:
    call = replace(dialled(TODAY, 100, 0), purpose="marketing", registries=CLEAR)
    assert blocking(call) == {"gb.automated-consent"}
    assert blocking(replace(call, consents=(a_consent(),))) == set()
    assert blocking(replace(call, dialler="agent")) == set()


@pytest.mark.parametrize(
    ("answered", "abandoned", "allowed"),
    [(100, 3, True), (100, 4, False), (1000, 30, True), (1000, 31, False), (99, 50, True)],
)
def test_a_dialler_abandons_three_in_a_hundred_and_no_more(
    answered: int, abandoned: int, allowed: bool
) -> None:
    verdict = BOOK.decide(dialled(TODAY, answered, abandoned))
    assert verdict.allowed is allowed
    assert allowed or verdict.prompt == "blocked-limit"


def test_what_was_abandoned_the_day_before_is_over() -> None:
    assert BOOK.decide(dialled(TODAY - timedelta(days=1), 100, 50)).allowed


def test_a_dialler_that_nobody_counts_places_no_calls() -> None:
    assert blocking(replace(dialled(TODAY, 100, 0), figures=None)) == {"gb.abandonment"}
    assert blocking(replace(dialled(TODAY, 100, 0), campaign=None)) == {"gb.abandonment"}


@pytest.mark.parametrize(
    ("tie", "allowed"), [("purchase", True), ("inquiry", True), ("callback", False), (None, False)]
)
@pytest.mark.parametrize("channel", ["email", "sms"])
def test_messages_sell_after_a_sale_or_talks_about_one(
    channel: str, tie: str | None, allowed: bool
) -> None:
    ties = (a_relationship(tie),) if tie else ()  # type: ignore[arg-type]
    call = a_call(channel=channel, relationships=ties)  # type: ignore[arg-type]
    if channel == "email":
        address = parse_address("jo@example.com")
        call = replace(call, subject=address, called=address)
    assert blocking(call) == (set() if allowed else {f"gb.{channel}-consent"})
    assert BOOK.decide(replace(call, subject_kind="business")).allowed
    assert BOOK.decide(replace(call, consents=(a_consent(),))).allowed


def test_a_recording_is_told_to_whoever_is_on_either_end() -> None:
    for direction in ("outbound", "inbound"):
        found = finding(a_call("+12125550123", direction=direction), "gb.recording")
        assert found is not None
        assert found.obligations == {Obligation.PLAY_NOTICE}


def test_the_channel_islands_have_law_of_their_own() -> None:
    found = BOOK.decide(a_call(JERSEY)).findings
    assert {f.rule.id for f in found if f.rule.id.startswith("gb.")} == {"gb.recording"}


def test_an_emergency_call_passes_though_no_list_is_there() -> None:
    verdict = BOOK.decide(a_call("999", caller="anonymous"))
    assert verdict.allowed
    assert verdict.emergency


def test_the_law_of_the_union_is_not_the_kingdoms() -> None:
    assert finding(a_call(LONDON), "eu.objection-offered") is None
    told = finding(a_call(LONDON), "gb.objection-offered")
    assert told is not None
    assert told.outcome is Outcome.REQUIRE
