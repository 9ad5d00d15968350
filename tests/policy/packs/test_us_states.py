"""The law of the states of the United States, at the edges that its rules draw."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from callguard.policy.facts import CHANNELS, CallFacts, Channel, Direction, Purpose, SubjectKind
from callguard.policy.kinds import attempts, calling_hours, recording_mode, registry
from callguard.policy.packs import shipped_packs
from callguard.policy.rulebook import Rulebook
from callguard.policy.rules import Finding, Obligation, Outcome, Rule
from tests.policy.facts import (
    LONDON,
    LOS_ANGELES,
    MIAMI,
    NEW_YORK,
    NOON,
    TOLL_FREE,
    a_call,
    a_consent,
    a_relationship,
    an_answer,
    an_attempt,
    attempts_before,
)

PACKS = {p.name: p for p in shipped_packs()}
STATES = PACKS["us-states"].rules
BOOK = Rulebook(rule for name in ("base", "us", "us-states") for rule in PACKS[name].rules)

BIRMINGHAM = "+12055550123"
PHOENIX = "+16025550123"
HARTFORD = "+18605550123"
PENSACOLA = "+18504320123"
CHICAGO = "+13125550123"
INDIANAPOLIS = "+13175550123"
LOUISVILLE = "+15025550123"
NEW_ORLEANS = "+15045550123"
PORTLAND_ME = "+12075550123"
BALTIMORE = "+14105550123"
BOSTON = "+16175550123"
DETROIT = "+13135550123"
MINNEAPOLIS = "+16125550123"
JACKSON = "+16015550123"
RENO = "+17755550123"
NEWARK = "+19735550123"
ALBUQUERQUE = "+15055550123"
CHARLOTTE = "+17045550123"
OKLAHOMA_CITY = "+14055550123"
PORTLAND = "+15035550123"
PHILADELPHIA = "+12155550123"
PROVIDENCE = "+14015550123"
CHARLESTON = "+18435550123"
SIOUX_FALLS = "+16055550123"
SAN_ANTONIO = "+12105550123"
EL_PASO = "+19155550123"
SALT_LAKE = "+18015550123"
RICHMOND = "+18045550123"
SEATTLE = "+12065550123"
CHEYENNE = "+13075550123"

ALL_PARTY = {"CA", "CT", "DE", "FL", "IL", "MA", "MD", "MI", "MT", "NH", "NV", "OR", "PA", "WA"}
STATES_AND_DC = 51
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


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


def a_clean_call(number: str, at: datetime, **more: Any) -> CallFacts:
    """One that no registry, list or consent stands against."""
    lists = tuple(an_answer(name, list_date=at.date() - DAY) for name in BOOK.registries)
    consents = (a_consent(granted_at=at - DAY),)
    return a_call(
        number,
        at=at,
        caller=NEW_YORK,
        home_region="US",
        registries=lists,
        consents=consents,
        **more,
    )


def about(findings: Iterable[Finding]) -> set[str]:
    """Whose law the findings rest on."""
    return {finding.rule.id.partition(".")[0] for finding in findings}


# The rules as data


@pytest.mark.parametrize("rule", STATES, ids=lambda rule: rule.id)
def test_a_verified_rule_says_where_and_when_its_values_were_seen(rule: Rule) -> None:
    verified = rule.status == "verified"
    assert rule.citation.strip()
    assert bool(rule.source.strip()) is verified
    assert (rule.verified_on is not None) is verified
    assert rule.verified_on is None or rule.verified_on <= date(2026, 11, 22)


@pytest.mark.parametrize("rule", STATES, ids=lambda rule: rule.id)
def test_a_rule_is_of_the_one_state_that_its_name_says(rule: Rule) -> None:
    (state,) = rule.scope.subdivisions
    assert rule.id.startswith(f"{state.lower()}.")
    assert rule.scope.regions == {"US"}
    if isinstance(rule.settings, calling_hours.Settings) and rule.settings.holidays:
        assert rule.settings.holidays == state
    if isinstance(rule.settings, registry.Settings):
        assert rule.settings.registry == f"{state.lower()}-dnc"


def test_every_state_and_the_district_says_how_it_is_recorded() -> None:
    modes = {
        rule.id: rule.settings.mode
        for rule in STATES
        if isinstance(rule.settings, recording_mode.Settings)
    }
    assert len(modes) == STATES_AND_DC
    noticed = {
        name.removesuffix(".recording")[3:].upper() for name in modes if modes[name] != "silent"
    }
    assert noticed == ALL_PARTY
    assert set(modes.values()) == {"silent", "notice"}


def test_versions_of_a_rule_follow_one_another_without_a_gap() -> None:
    series = Counter(rule.series for rule in STATES if rule.series)
    assert series == {"us-pa.hours": 2}
    before, after = sorted(
        (rule for rule in STATES if rule.series), key=lambda rule: rule.effective_from
    )
    assert before.effective_to is not None
    assert before.effective_to + DAY == after.effective_from
    assert after.effective_to is None


@pytest.mark.parametrize(
    ("kind", "prompt"),
    [
        ("calling_hours", "blocked-hours"),
        ("attempts", "blocked-limit"),
        ("consent_required", "blocked-consent"),
        ("registry", "blocked"),
        ("obligation", ""),
        ("recording_mode", ""),
    ],
)
def test_who_is_held_back_hears_why(kind: str, prompt: str) -> None:
    prompts = {rule.prompt for rule in STATES if rule.kind == kind}
    assert prompts == {prompt}


# Hours


@pytest.mark.parametrize(
    ("rule", "number", "zone", "opens", "closes"),
    [
        ("us-al.hours", BIRMINGHAM, "America/Chicago", "08:00", "20:00"),
        ("us-ct.hours", HARTFORD, "America/New_York", "09:00", "20:00"),
        ("us-fl.hours", MIAMI, "America/New_York", "08:00", "20:00"),
        ("us-fl.hours", PENSACOLA, "America/Chicago", "08:00", "20:00"),
        ("us-il.hours", CHICAGO, "America/Chicago", "08:00", "21:00"),
        ("us-ky.hours", LOUISVILLE, "America/New_York", "10:00", "21:00"),
        ("us-la.hours", NEW_ORLEANS, "America/Chicago", "08:00", "20:00"),
        ("us-md.hours", BALTIMORE, "America/New_York", "08:00", "20:00"),
        ("us-ma.hours", BOSTON, "America/New_York", "08:00", "20:00"),
        ("us-mi.hours", DETROIT, "America/Detroit", "09:00", "21:00"),
        ("us-mn.hours", MINNEAPOLIS, "America/Chicago", "09:00", "21:00"),
        ("us-ms.hours", JACKSON, "America/Chicago", "08:00", "20:00"),
        ("us-nj.hours", NEWARK, "America/New_York", "08:00", "21:00"),
        ("us-nm.hours", ALBUQUERQUE, "America/Denver", "09:00", "21:00"),
        ("us-ny.hours", NEW_YORK, "America/New_York", "08:00", "21:00"),
        ("us-nc.hours", CHARLOTTE, "America/New_York", "08:00", "21:00"),
        ("us-ok.hours", OKLAHOMA_CITY, "America/Chicago", "08:00", "20:00"),
        ("us-or.hours", PORTLAND, "America/Los_Angeles", "08:00", "20:00"),
        ("us-pa.hours-2026", PHILADELPHIA, "America/New_York", "09:00", "19:00"),
        ("us-ri.hours", PROVIDENCE, "America/New_York", "09:00", "18:00"),
        ("us-sc.hours", CHARLESTON, "America/New_York", "08:00", "21:00"),
        ("us-tx.hours", SAN_ANTONIO, "America/Chicago", "09:00", "21:00"),
        ("us-tx.hours", EL_PASO, "America/Denver", "09:00", "21:00"),
        ("us-ut.hours", SALT_LAKE, "America/Denver", "08:00", "21:00"),
        ("us-va.hours", RICHMOND, "America/New_York", "08:00", "21:00"),
        ("us-wa.hours", SEATTLE, "America/Los_Angeles", "08:00", "20:00"),
        ("us-wy.hours", CHEYENNE, "America/Denver", "08:00", "20:00"),
    ],
)
def test_a_state_opens_and_closes_to_the_minute_by_the_subjects_own_clock(
    rule: str, number: str, zone: str, opens: str, closes: str
) -> None:
    first, end = (clock(zone, f"2026-11-18T{text}") for text in (opens, closes))
    asked = (first - MINUTE, first, end - MINUTE, end)
    assert [blocks(rule, a_call(number, at=at)) for at in asked] == [True, False, False, True]


@pytest.mark.parametrize(
    ("rule", "number", "zone", "opens", "closes"),
    [
        ("us-al.hours", BIRMINGHAM, "America/Chicago", "08:00", "20:00"),
        ("us-la.hours", NEW_ORLEANS, "America/Chicago", "08:00", "20:00"),
        ("us-ms.hours", JACKSON, "America/Chicago", "08:00", "20:00"),
        ("us-pa.hours-2026", PHILADELPHIA, "America/New_York", "09:00", "19:00"),
        ("us-ri.hours", PROVIDENCE, "America/New_York", "10:00", "17:00"),
        ("us-tx.hours", SAN_ANTONIO, "America/Chicago", "09:00", "21:00"),
        ("us-ut.hours", SALT_LAKE, "America/Denver", "08:00", "21:00"),
    ],
)
def test_a_state_with_a_saturday_of_its_own_keeps_it_to_the_minute(
    rule: str, number: str, zone: str, opens: str, closes: str
) -> None:
    first, end = (clock(zone, f"2026-11-21T{text}") for text in (opens, closes))
    asked = (first - MINUTE, first, end - MINUTE, end)
    assert [blocks(rule, a_call(number, at=at)) for at in asked] == [True, False, False, True]


@pytest.mark.parametrize(
    ("rule", "number", "first", "last"),
    [
        (
            "us-sd.machine-hours",
            SIOUX_FALLS,
            ("America/Denver", "09:00"),
            ("America/Chicago", "21:00"),
        ),
        # Places whose number does not say in which of two zones they lie: both must be open.
        ("us-nv.hours", RENO, ("America/Los_Angeles", "09:00"), ("America/Boise", "20:00")),
        ("us-sd.hours", SIOUX_FALLS, ("America/Denver", "09:00"), ("America/Chicago", "21:00")),
    ],
)
def test_a_state_of_two_zones_opens_with_the_later_and_closes_with_the_earlier(
    rule: str, number: str, first: tuple[str, str], last: tuple[str, str]
) -> None:
    opens, closes = (clock(zone, f"2026-11-18T{text}") for zone, text in (first, last))
    calls = [
        a_call(number, at=at, dialler="machine")
        for at in (opens - MINUTE, opens, closes - MINUTE, closes)
    ]
    assert [blocks(rule, call) for call in calls] == [True, False, False, True]


@pytest.mark.parametrize(
    ("rule", "number", "zone", "day", "opens", "closes"),
    [
        ("us-ca.machine-hours", LOS_ANGELES, "America/Los_Angeles", "18", "09:00", "21:00"),
        ("us-in.machine-hours", INDIANAPOLIS, "America/New_York", "22", "09:00", "20:00"),
        ("us-me.machine-hours", PORTLAND_ME, "America/New_York", "18", "09:00", "17:00"),
    ],
)
def test_machines_have_hours_of_their_own(
    rule: str, number: str, zone: str, day: str, opens: str, closes: str
) -> None:
    first, end = (clock(zone, f"2026-11-{day}T{text}") for text in (opens, closes))
    for at, held in ((first - MINUTE, True), (first, False), (end - MINUTE, False), (end, True)):
        assert blocks(rule, a_call(number, at=at, dialler="machine")) is held
        assert found(rule, a_call(number, at=at)) is None


@pytest.mark.parametrize(
    ("rule", "number"),
    [("us-me.machine-hours", PORTLAND_ME), ("us-sd.machine-hours", SIOUX_FALLS)],
)
@pytest.mark.parametrize(("day", "held"), [("20", False), ("21", True), ("22", True)])
def test_machines_rest_at_the_weekend_where_the_law_says_weekdays(
    rule: str, number: str, day: str, held: bool
) -> None:
    at = clock("America/Chicago", f"2026-11-{day}T12:00")
    assert blocks(rule, a_call(number, at=at, dialler="machine")) is held


@pytest.mark.parametrize(
    ("rule", "number"),
    [
        ("us-al.hours", BIRMINGHAM),
        ("us-la.hours", NEW_ORLEANS),
        ("us-ms.hours", JACKSON),
        ("us-pa.hours-2026", PHILADELPHIA),
        ("us-ri.hours", PROVIDENCE),
        ("us-sd.hours", SIOUX_FALLS),
        ("us-ut.hours", SALT_LAKE),
    ],
)
def test_where_sunday_is_free_saturday_is_not(rule: str, number: str) -> None:
    noon = clock("America/Chicago", "2026-11-21T12:00")
    held = [blocks(rule, a_call(number, at=noon + n * DAY)) for n in range(3)]
    assert held == [False, True, False]


@pytest.mark.parametrize(
    ("rule", "number", "local", "held"),
    [
        ("us-tx.hours", SAN_ANTONIO, "2026-11-22T11:59", True),
        ("us-tx.hours", SAN_ANTONIO, "2026-11-22T12:00", False),
        ("us-tx.hours", SAN_ANTONIO, "2026-11-22T20:59", False),
        ("us-tx.hours", SAN_ANTONIO, "2026-11-22T21:00", True),
        ("us-fl.hours", MIAMI, "2026-11-22T12:59", False),
        ("us-ok.hours", OKLAHOMA_CITY, "2026-11-22T12:00", False),
    ],
)
def test_the_weekend_has_the_hours_that_the_state_gives_it(
    rule: str, number: str, local: str, held: bool
) -> None:
    assert blocks(rule, a_call(number, at=clock("America/Chicago", local))) is held


def test_a_sunday_begins_and_ends_with_the_subjects_own_midnight() -> None:
    saturday_night = clock("America/Chicago", "2026-11-21T19:59")
    assert saturday_night.astimezone(ZoneInfo("Asia/Tokyo")).strftime("%a") == "Sun"
    assert not blocks("us-al.hours", a_call(BIRMINGHAM, at=saturday_night))


@pytest.mark.parametrize(
    ("local", "rule", "held"),
    [
        ("2026-10-17T20:59", "us-pa.hours", False),
        ("2026-10-18T12:00", "us-pa.hours-2026", True),
        ("2026-10-19T08:59", "us-pa.hours-2026", True),
        ("2026-10-19T18:59", "us-pa.hours-2026", False),
        ("2026-10-19T19:00", "us-pa.hours-2026", True),
    ],
)
def test_pennsylvania_closes_earlier_from_the_eighteenth_of_october(
    local: str, rule: str, held: bool
) -> None:
    call = a_call(PHILADELPHIA, at=clock("America/New_York", local))
    hours = {f.rule.id for f in BOOK.decide(call).findings if f.rule.id.startswith("us-pa.hours")}
    assert hours == {rule}
    assert blocks(rule, call) is held


@pytest.mark.parametrize(
    ("rule", "number"),
    [
        ("us-ct.hours", HARTFORD),
        ("us-fl.sms-hours", MIAMI),
        ("us-ny.hours", NEW_YORK),
        ("us-or.hours", PORTLAND),
        ("us-pa.hours-2026", PHILADELPHIA),
    ],
)
def test_texts_keep_the_hours_where_the_state_says_so(rule: str, number: str) -> None:
    night, day = (clock("America/Denver", f"2026-11-18T{text}") for text in ("03:00", "12:00"))
    assert blocks(rule, a_call(number, at=night, channel="sms"))
    assert not blocks(rule, a_call(number, at=day, channel="sms"))


@pytest.mark.parametrize(
    ("number", "zone", "local", "state"),
    [
        (MIAMI, "America/New_York", "2026-11-18T20:30", "us-fl.hours"),
        (PENSACOLA, "America/Chicago", "2026-11-18T20:30", "us-fl.hours"),
        (LOUISVILLE, "America/New_York", "2026-11-18T09:30", "us-ky.hours"),
        (BIRMINGHAM, "America/Chicago", "2026-11-22T12:00", "us-al.hours"),
        (SALT_LAKE, "America/Denver", "2026-07-24T12:00", "us-ut.holidays"),
    ],
)
def test_a_states_shorter_hours_win_over_the_federal(
    number: str, zone: str, local: str, state: str
) -> None:
    call = a_clean_call(number, clock(zone, local))
    if state == "us-ut.holidays":
        call = a_call(number, at=call.at, registries=call.registries)
    assert not blocks("us.federal.hours", call)
    assert blocks(state, call)
    assert not BOOK.decide(call).allowed


def test_the_panhandle_is_called_an_hour_longer_than_miami() -> None:
    at = clock("America/New_York", "2026-11-18T20:30")
    assert BOOK.decide(a_clean_call(PENSACOLA, at)).allowed
    assert not BOOK.decide(a_clean_call(MIAMI, at)).allowed


def test_a_call_that_every_law_of_its_place_allows_is_allowed() -> None:
    noon = clock("America/Chicago", "2026-11-18T12:00")
    for number in (MIAMI, LOS_ANGELES, HARTFORD, SAN_ANTONIO, BALTIMORE, NEWARK, PHOENIX):
        verdict = BOOK.decide(a_clean_call(number, noon))
        assert verdict.allowed, verdict.reasons


# Holidays


@pytest.mark.parametrize(
    ("rule", "number", "day", "name"),
    [
        ("us-al.holidays", BIRMINGHAM, "2026-04-27", "Confederate Memorial Day"),
        ("us-al.holidays", BIRMINGHAM, "2026-06-01", "Jefferson Davis"),
        ("us-la.holidays", NEW_ORLEANS, "2026-02-17", "Mardi Gras"),
        ("us-la.holidays", NEW_ORLEANS, "2026-04-03", "Good Friday"),
        ("us-ms.holidays", JACKSON, "2026-11-26", "Thanksgiving"),
        ("us-pa.holidays", PHILADELPHIA, "2026-09-07", "Labor Day"),
        ("us-ri.holidays", PROVIDENCE, "2026-08-10", "Victory Day"),
        ("us-ut.holidays", SALT_LAKE, "2026-07-24", "Pioneer Day"),
        ("us-ut.holidays", SALT_LAKE, "2026-07-03", "Independence Day (observed)"),
    ],
)
def test_nobody_sells_on_a_state_holiday(rule: str, number: str, day: str, name: str) -> None:
    noon = clock("America/Chicago", f"{day}T12:00")
    finding = found(rule, a_call(number, at=noon))
    assert finding is not None
    assert finding.blocks
    assert name in finding.reason
    assert not blocks(rule, a_call(number, at=noon - 2 * DAY))


def test_a_holiday_of_one_state_is_a_workday_in_the_next() -> None:
    mardi_gras = clock("America/Chicago", "2026-02-17T12:00")
    assert not blocks("us-ms.holidays", a_call(JACKSON, at=mardi_gras))
    assert "us-la.holidays" not in {
        f.rule.id for f in BOOK.decide(a_call(JACKSON, at=mardi_gras)).findings
    }


def test_in_utah_consent_lifts_the_sunday_and_the_holiday() -> None:
    sunday, holiday = (clock("America/Denver", f"2026-{d}T12:00") for d in ("11-22", "07-24"))
    given = (a_consent(granted_at=datetime(2026, 1, 5, tzinfo=UTC)),)
    assert blocks("us-ut.hours", a_call(SALT_LAKE, at=sunday))
    assert not blocks("us-ut.hours", a_call(SALT_LAKE, at=sunday, consents=given))
    assert not blocks("us-ut.holidays", a_call(SALT_LAKE, at=holiday, consents=given))


# Caps


@pytest.mark.parametrize(
    ("rule", "number"),
    [
        ("us-fl.attempts", MIAMI),
        ("us-ok.attempts", OKLAHOMA_CITY),
        ("us-md.attempts", BALTIMORE),
        ("us-or.attempts", PORTLAND),
    ],
)
def test_the_fourth_sales_call_in_a_day_is_held_back(rule: str, number: str) -> None:
    hour = timedelta(hours=1)
    two = attempts_before(NOON, hour, 2 * hour)
    three = attempts_before(NOON, hour, 2 * hour, 24 * hour - MINUTE)
    aged = attempts_before(NOON, hour, 2 * hour, 24 * hour)
    assert not blocks(rule, a_call(number, attempts=two))
    assert blocks(rule, a_call(number, attempts=three))
    assert not blocks(rule, a_call(number, attempts=aged))
    assert blocks(rule, a_call(number, attempts=three, campaign="another"))
    assert blocks(rule, a_call(number, attempts=None))


@pytest.mark.parametrize(
    ("rule", "number"),
    [
        ("us-fl.attempts", MIAMI),
        ("us-ok.attempts", OKLAHOMA_CITY),
        ("us-md.attempts", BALTIMORE),
        ("us-or.attempts", PORTLAND),
        ("us-me.machine-attempts", PORTLAND_ME),
    ],
)
def test_calls_that_sell_nothing_use_up_nothing_of_the_cap(rule: str, number: str) -> None:
    served = tuple(an_attempt(NOON - n * MINUTE, purpose="service") for n in range(1, 5))
    assert not blocks(rule, a_call(number, attempts=served, dialler="machine"))


def test_oregon_does_not_count_calls_to_who_bought_within_eighteen_months() -> None:
    three = attempts_before(NOON, *(n * MINUTE for n in (1, 2, 3)))
    bought = datetime(2025, 5, 20, 12, tzinfo=UTC)
    for until, held in ((bought, True), (bought + MINUTE, False)):
        tie = a_relationship("purchase", since=bought - DAY, until=until)
        call = a_call(PORTLAND, attempts=three, relationships=(tie,))
        assert blocks("us-or.attempts", call) is held


def test_a_machine_calls_maine_once_in_eight_hours() -> None:
    for gap, held in ((timedelta(hours=8) - MINUTE, True), (timedelta(hours=8), False)):
        call = a_call(PORTLAND_ME, dialler="machine", attempts=attempts_before(NOON, gap))
        assert blocks("us-me.machine-attempts", call) is held


@pytest.mark.parametrize(
    ("rule", "number", "limit"),
    [("us-ma.collection.attempts", BOSTON, 2), ("us-wa.collection.attempts", SEATTLE, 3)],
)
def test_a_collector_calls_less_often_than_federal_law_allows(
    rule: str, number: str, limit: int
) -> None:
    tries = [an_attempt(NOON - n * DAY, purpose="collection", debt="loan") for n in (1, 2, 3)]
    few, many = tuple(tries[: limit - 1]), tuple(tries[:limit])
    assert not blocks(rule, a_call(number, purpose="collection", debt="loan", attempts=few))
    assert blocks(rule, a_call(number, purpose="collection", debt="loan", attempts=many))
    assert not blocks(rule, a_call(number, purpose="collection", debt="card", attempts=many))
    federal = a_call(number, purpose="collection", debt="loan", attempts=many)
    assert not blocks("us.federal.collection.attempts", federal)


# Consent, lists and duties


@pytest.mark.parametrize(
    ("rule", "number", "by_machine", "written"),
    [
        ("us-ct.consent", HARTFORD, False, True),
        ("us-fl.machine-consent", MIAMI, True, True),
        ("us-md.machine-consent", BALTIMORE, True, True),
        ("us-ok.machine-consent", OKLAHOMA_CITY, True, True),
        ("us-az.mobile-consent", PHOENIX, False, False),
        ("us-la.mobile-consent", NEW_ORLEANS, False, False),
        ("us-nj.mobile-consent", NEWARK, False, False),
    ],
)
def test_a_state_that_asks_for_consent_gets_it_before_the_call(
    rule: str, number: str, by_machine: bool, written: bool
) -> None:
    spoken, signed = (a_consent(proof=None),), (a_consent(),)
    machine = a_call(number, dialler="machine")
    assert blocks(rule, machine)
    assert blocks(rule, a_call(number, dialler="machine", consents=spoken)) is written
    assert not blocks(rule, a_call(number, dialler="machine", consents=signed))
    assert (found(rule, a_call(number)) is None) is by_machine
    assert found(rule, a_call(number, purpose="service", dialler="machine")) is None


def test_connecticut_asks_no_consent_of_a_business() -> None:
    assert found("us-ct.consent", a_call(HARTFORD, subject_kind="business")) is None
    assert blocks("us-ct.consent", a_call(HARTFORD, channel="sms"))


LISTS = [rule for rule in STATES if isinstance(rule.settings, registry.Settings)]


@pytest.mark.parametrize("rule", LISTS, ids=lambda rule: rule.id)
@pytest.mark.parametrize(
    ("listed", "outcome"),
    [(True, Outcome.BLOCK), (False, Outcome.PASS), (None, Outcome.UNKNOWN)],
)
def test_a_state_with_a_list_of_its_own_is_asked_of_it(
    rule: Rule, listed: bool | None, outcome: Outcome
) -> None:
    states = tuple(rule.scope.subdivisions)
    name = f"{states[0].lower()}-dnc"
    call = a_call(NEW_YORK, subdivisions=states, registries=(an_answer(name, listed),))
    finding = found(rule.id, call)
    assert finding is not None
    assert (finding.outcome, finding.blocks) == (outcome, outcome is not Outcome.PASS)
    bare = a_call(NEW_YORK, subdivisions=states, registries=(an_answer("us-dnc"),))
    assert blocks(rule.id, bare)
    for proof, held in (("form 17", False), (None, True)):
        consents = (a_consent(proof=proof),)
        assert blocks(rule.id, a_call(NEW_YORK, subdivisions=states, consents=consents)) is held


def test_businesses_stand_in_pennsylvanias_list_too() -> None:
    assert len(LISTS) == 11
    asked = {
        rule.id
        for rule in LISTS
        if found(
            rule.id,
            a_call(NEW_YORK, subdivisions=tuple(rule.scope.subdivisions), subject_kind="business"),
        )
    }
    assert asked == {"us-pa.registry"}


def test_texas_lets_a_customer_of_the_last_year_be_called() -> None:
    for until, held in ((NOON - 366 * DAY, True), (NOON - 364 * DAY, False)):
        tie = a_relationship("purchase", since=until - DAY, until=until)
        call = a_call(SAN_ANTONIO, relationships=(tie,), registries=(an_answer("us-tx-dnc", True),))
        assert blocks("us-tx.registry", call) is held


@pytest.mark.parametrize(
    ("rule", "number", "must"),
    [
        ("us-ct.identify", HARTFORD, "identify state_purpose offer_opt_out"),
        ("us-fl.identify", MIAMI, "identify state_purpose"),
        ("us-il.identify", CHICAGO, "identify state_purpose"),
        ("us-nj.identify", NEWARK, "identify state_purpose"),
        ("us-ny.identify", NEW_YORK, "identify"),
        ("us-ny.opt-out", NEW_YORK, "offer_opt_out"),
        ("us-tx.identify", SAN_ANTONIO, "identify state_purpose"),
        ("us-ut.identify", SALT_LAKE, "identify state_purpose"),
        ("us-va.identify", RICHMOND, "identify"),
        ("us-wa.identify", SEATTLE, "identify state_purpose"),
    ],
)
def test_a_sales_call_says_what_the_state_asks(rule: str, number: str, must: str) -> None:
    finding = found(rule, a_call(number))
    assert finding is not None
    assert finding.obligations == {Obligation(duty) for duty in must.split()}
    assert found(rule, a_call(number, purpose="service")) is None


def test_virginia_asks_for_a_number_to_call_back() -> None:
    assert blocks("us-va.caller-id", a_call(RICHMOND, caller="anonymous"))
    assert not blocks("us-va.caller-id", a_call(RICHMOND))


# Recording


def noticed_by(call: CallFacts) -> set[str]:
    """Which states ask that the subject be told of a recording."""
    return {
        f.rule.id[:5]
        for f in BOOK.decide(call).findings
        if f.rule.id.startswith("us-")
        and f.rule.kind == "recording_mode"
        and Obligation.PLAY_NOTICE in f.obligations
    }


@pytest.mark.parametrize(
    ("subject", "caller", "states"),
    [
        (LOS_ANGELES, NEW_YORK, {"us-ca"}),
        (NEW_YORK, LOS_ANGELES, {"us-ca"}),
        (NEW_YORK, NEW_YORK, set()),
        (SAN_ANTONIO, NEW_YORK, set()),
        (MIAMI, LOS_ANGELES, {"us-fl", "us-ca"}),
        (LONDON, SEATTLE, {"us-wa"}),
        (PORTLAND, NEW_YORK, {"us-or"}),
        (HARTFORD, DETROIT, {"us-ct", "us-mi"}),
        (NEW_YORK, LONDON, set()),
    ],
)
@pytest.mark.parametrize("purpose", ["marketing", "service"])
def test_the_stricter_of_both_ends_says_whether_the_subject_is_told(
    subject: str, caller: str, states: set[str], purpose: str
) -> None:
    outbound = a_call(
        subject, caller=caller, purpose="service" if purpose == "service" else "marketing"
    )
    assert noticed_by(outbound) == states
    assert noticed_by(a_call(subject, caller=caller, direction="inbound")) == states


def test_a_state_that_is_not_known_is_taken_for_each_of_them() -> None:
    everywhere = {f"us-{state.lower()}" for state in ALL_PARTY}
    assert noticed_by(a_call(TOLL_FREE)) == everywhere
    assert noticed_by(a_call(NEW_YORK, caller=TOLL_FREE)) == everywhere
    assert len(about(BOOK.decide(a_call(TOLL_FREE)).findings)) == STATES_AND_DC + 2


@pytest.mark.parametrize("direction", ["outbound", "inbound"])
@pytest.mark.parametrize(("subject", "caller"), [(NEW_YORK, TOLL_FREE), (TOLL_FREE, NEW_YORK)])
def test_every_states_law_of_recording_holds_at_both_ends_and_in_both_directions(
    subject: str, caller: str, direction: Direction
) -> None:
    call = a_call(subject, caller=caller, direction=direction)
    recording = {f.rule.id for f in BOOK.decide(call).findings if f.rule.kind == "recording_mode"}
    assert len({name for name in recording if name.startswith("us-")}) == STATES_AND_DC


@pytest.mark.parametrize(
    ("purpose", "channel", "more"),
    [
        ("service", "voice", set()),
        ("survey", "voice", set()),
        ("transactional", "voice", set()),
        ("service", "sms", set()),
        ("collection", "voice", {"us-ma.collection.attempts", "us-wa.collection.attempts"}),
        ("collection", "sms", {"us-ma.collection.attempts"}),
    ],
)
def test_calls_that_sell_nothing_meet_no_law_of_selling(
    purpose: Purpose, channel: Channel, more: set[str]
) -> None:
    call = a_call(TOLL_FREE, purpose=purpose, channel=channel, dialler="machine")
    met = {f.rule.id for f in BOOK.decide(call).findings if f.rule.id.startswith("us-")}
    assert {name for name in met if not name.endswith(".recording")} == more
    assert (len(met) > len(more)) is (channel == "voice")


def test_a_business_is_spared_what_only_consumers_are_given() -> None:
    def met(kind: SubjectKind) -> set[str]:
        calls = (
            a_call(TOLL_FREE, subject_kind=kind, dialler="machine", channel=channel)
            for channel in CHANNELS
        )
        return {f.rule.id for call in calls for f in BOOK.decide(call).findings}

    lists = {rule.id for rule in LISTS} - {"us-pa.registry"}
    spared = met("unknown") - met("business")
    assert {name for name in spared if name.startswith("us-")} == lists | {
        "us-ct.consent",
        "us-ct.hours",
        "us-ct.identify",
        "us-or.attempts",
        "us-or.hours",
        "us-wy.hours",
    }


def test_which_laws_of_selling_reach_texts() -> None:
    text = a_call(TOLL_FREE, channel="sms", dialler="machine")
    met = {f.rule.id for f in BOOK.decide(text).findings if f.rule.id.startswith("us-")}
    assert met == {
        "us-ct.consent",
        "us-ct.hours",
        "us-fl.sms-hours",
        "us-md.attempts",
        "us-ny.hours",
        "us-or.attempts",
        "us-or.hours",
        "us-pa.hours-2026",
    }


def test_no_minute_of_the_week_is_open_in_every_state_at_once() -> None:
    sunday = datetime(2026, 11, 15, tzinfo=UTC)
    for quarter in range(7 * 24 * 4):
        call = a_call(TOLL_FREE, at=sunday + quarter * 15 * MINUTE)
        assert any(
            f.blocks for f in BOOK.decide(call).findings if f.rule.kind == "calling_hours"
        ), call.at


@pytest.mark.parametrize("number", [MIAMI, NEW_YORK, PHOENIX, SALT_LAKE])
def test_a_call_meets_the_law_of_its_own_state_and_no_other(number: str) -> None:
    call = a_call(number)
    (state,) = call.place.subdivisions
    assert about(BOOK.decide(call).findings) == {"base", "us", state.lower()}


def test_the_states_have_no_say_in_the_territories_and_abroad() -> None:
    for number in ("+17875550123", "+14165550123", LONDON):
        assert not {s for s in about(BOOK.decide(a_call(number)).findings) if "-" in s}


def test_where_the_tenant_says_where_the_subject_is_that_state_counts() -> None:
    at = clock("America/New_York", "2026-11-18T20:30")
    moved = a_call(NEW_YORK, at=at, subdivisions=("US-FL",))
    assert blocks("us-fl.hours", moved)
    assert found("us-ny.hours", moved) is None


def test_no_states_cap_is_wider_than_it_says() -> None:
    caps = {r.id: r.settings for r in STATES if isinstance(r.settings, attempts.Settings)}
    assert {name: (cap.limit, str(cap.window)) for name, cap in caps.items()} == {
        "us-fl.attempts": (3, "24 hours"),
        "us-ok.attempts": (3, "24 hours"),
        "us-md.attempts": (3, "24 hours"),
        "us-or.attempts": (3, "24 hours"),
        "us-me.machine-attempts": (1, "8 hours"),
        "us-ma.collection.attempts": (2, "7 days"),
        "us-wa.collection.attempts": (3, "7 days"),
    }
