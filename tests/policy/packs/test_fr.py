"""France: who may be called, when, how often, and by whose clock."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from callguard.policy.facts import CallFacts, Refusal
from callguard.policy.packs import shipped_packs
from callguard.policy.rulebook import Rulebook
from callguard.policy.rules import Finding, Obligation, Outcome
from tests.policy.facts import (
    PARIS,
    a_call,
    a_consent,
    a_relationship,
    an_answer,
    an_attempt,
    attempts_before,
)

REUNION = "+262262000123"
REUNION_MOBILE = "+262692000123"
MAYOTTE = "+262269601234"
GUADELOUPE = "+590690000123"
SAINT_MARTIN = "+590590000123"
SAINT_BARTH = "+590590271234"
MARTINIQUE = "+596596000123"
GUIANA = "+594594000123"
SAINT_PIERRE = "+508410001"

BOOK = Rulebook(
    rule for pack in shipped_packs() if pack.name in ("base", "eu", "fr") for rule in pack.rules
)
EASTER = [
    *("2023-04-09", "2024-03-31", "2025-04-20", "2026-04-05", "2027-03-28"),
    *("2028-04-16", "2029-04-01", "2030-04-21", "2031-04-13", "2032-03-28"),
    *("2033-04-17", "2034-04-09", "2035-03-25"),
]
SINCE = datetime(2023, 3, 2, tzinfo=UTC)
"""The decree is in force everywhere, west of Greenwich too."""
MOMENTS = st.timedeltas(timedelta(0), timedelta(days=4680)).map(lambda gone: SINCE + gone)
CONSENT = a_consent(granted_at=datetime(2026, 1, 5, tzinfo=UTC))
MINUTE = timedelta(minutes=1)


def at(day: str, clock: str, zone: str = "Europe/Paris") -> datetime:
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


CLOCK = [
    ("00:00", False),
    ("09:59:59", False),
    ("10:00", True),
    ("12:59:59", True),
    ("13:00", False),
    ("13:59:59", False),
    ("14:00", True),
    ("19:59:59", True),
    ("20:00", False),
]


@pytest.mark.parametrize(("clock", "allowed"), CLOCK)
@pytest.mark.parametrize(
    ("number", "zone"),
    [
        (PARIS, "Europe/Paris"),
        (REUNION, "Indian/Reunion"),
        (MAYOTTE, "Indian/Mayotte"),
        (GUADELOUPE, "America/Guadeloupe"),
        (SAINT_MARTIN, "America/Guadeloupe"),
        (MARTINIQUE, "America/Martinique"),
        (GUIANA, "America/Cayenne"),
        (SAINT_PIERRE, "America/Miquelon"),
    ],
)
@pytest.mark.parametrize("day", ["2026-09-15", "2026-12-15"])
def test_hours_are_those_of_the_consumers_own_clock(
    day: str, number: str, zone: str, clock: str, allowed: bool
) -> None:
    call = a_call(number, at=at(day, clock, zone), consents=(CONSENT,))
    verdict = BOOK.decide(call)
    assert verdict.allowed is allowed
    assert allowed or verdict.prompt == "blocked-hours"


@pytest.mark.parametrize(
    ("day", "in_paris", "paris", "reunion"),
    [
        ("2026-09-15", "07:59", False, False),
        ("2026-09-15", "08:00", False, True),
        ("2026-09-15", "10:00", True, True),
        ("2026-09-15", "11:00", True, False),
        ("2026-09-15", "12:00", True, True),
        ("2026-09-15", "13:00", False, True),
        ("2026-09-15", "18:00", True, False),
        ("2026-12-15", "07:00", False, True),
        ("2026-12-15", "17:00", True, False),
    ],
)
def test_one_moment_may_be_right_for_paris_and_wrong_for_reunion(
    day: str, in_paris: str, paris: bool, reunion: bool
) -> None:
    moment = at(day, in_paris)
    assert passes(a_call(PARIS, at=moment), "fr.hours") is paris
    assert passes(a_call(REUNION, at=moment), "fr.hours") is reunion


def test_a_mobile_of_reunion_or_mayotte_is_called_when_both_clocks_agree() -> None:
    assert not passes(
        a_call(REUNION_MOBILE, at=at("2026-09-15", "10:30", "Indian/Reunion")), "fr.hours"
    )
    assert passes(
        a_call(REUNION_MOBILE, at=at("2026-09-15", "11:00", "Indian/Reunion")), "fr.hours"
    )


@pytest.mark.parametrize(
    "day",
    [
        "2027-01-01",
        "2026-04-06",
        "2026-05-01",
        "2026-05-08",
        "2026-05-14",
        "2026-05-25",
        "2026-07-14",
        "2029-08-15",
        "2027-11-01",
        "2026-11-11",
        "2026-12-25",
        "2026-09-12",
        "2026-09-13",
    ],
)
@pytest.mark.parametrize("number", [PARIS, REUNION])
def test_nobody_is_called_on_a_holiday_or_at_the_weekend(day: str, number: str) -> None:
    zone = a_call(number).place.zones[0]
    for clock in ("10:00", "15:00", "19:59"):
        assert not passes(a_call(number, at=at(day, clock, zone)), "fr.hours")


@pytest.mark.parametrize(
    ("number", "day", "which"),
    [
        (PARIS, "2026-04-03", "Good Friday, a holiday in Alsace"),
        (PARIS, "2028-12-26", "the second day of Christmas, a holiday in Alsace"),
        (PARIS, "2026-07-13", "the eve of the national day"),
        (PARIS, "2026-07-15", "the day after it"),
        (REUNION, "2027-12-20", "the abolition in Réunion"),
        (GUADELOUPE, "2026-05-27", "the abolition in Guadeloupe"),
        (MARTINIQUE, "2026-05-22", "the abolition in Martinique"),
        (GUIANA, "2026-06-10", "the abolition in Guiana"),
    ],
)
def test_only_the_holidays_of_the_labour_code_count(number: str, day: str, which: str) -> None:
    zone = a_call(number).place.zones[0]
    assert passes(a_call(number, at=at(day, "10:00", zone)), "fr.hours"), which


@pytest.mark.parametrize(
    ("moment", "allowed"),
    [
        (datetime(2026, 3, 27, 8, 59, tzinfo=UTC), False),
        (datetime(2026, 3, 27, 9, 0, tzinfo=UTC), True),
        (datetime(2026, 3, 30, 7, 59, tzinfo=UTC), False),
        (datetime(2026, 3, 30, 8, 0, tzinfo=UTC), True),
        (datetime(2026, 10, 23, 17, 59, tzinfo=UTC), True),
        (datetime(2026, 10, 23, 18, 0, tzinfo=UTC), False),
        (datetime(2026, 10, 26, 18, 59, tzinfo=UTC), True),
        (datetime(2026, 10, 26, 19, 0, tzinfo=UTC), False),
        (datetime(2026, 3, 29, 9, 0, tzinfo=UTC), False),
        (datetime(2026, 10, 25, 9, 0, tzinfo=UTC), False),
    ],
)
def test_the_hours_follow_the_change_of_the_clocks(moment: datetime, allowed: bool) -> None:
    assert passes(a_call(PARIS, at=moment), "fr.hours") is allowed


def labour_code_holidays(year: int) -> set[date]:
    """Art. L. 3133-1, written out."""
    fixed = [(1, 1), (5, 1), (5, 8), (7, 14), (8, 15), (11, 1), (11, 11), (12, 25)]
    sunday = next(day for day in map(date.fromisoformat, EASTER) if day.year == year)
    moving = [sunday + timedelta(days=days) for days in (1, 39, 50)]
    return {*(date(year, month, day) for month, day in fixed), *moving}


@given(moment=MOMENTS, number=st.sampled_from([PARIS, REUNION, GUADELOUPE, SAINT_PIERRE]))
def test_hours_are_what_the_decree_says_at_any_moment(moment: datetime, number: str) -> None:
    call = a_call(number, at=moment)
    local = moment.astimezone(ZoneInfo(call.place.zones[0]))
    allowed = (
        local.weekday() < 5
        and local.date() not in labour_code_holidays(local.year)
        and local.hour in (10, 11, 12, 14, 15, 16, 17, 18, 19)
    )
    assert passes(call, "fr.hours") is allowed


def test_only_consent_to_calls_outside_the_hours_lifts_them() -> None:
    sunday = a_call(PARIS, at=at("2026-09-13", "21:00"), consents=(CONSENT,))
    assert blocking(sunday) == {"fr.hours"}
    any_hour = replace(CONSENT, purpose="marketing-hours")
    assert BOOK.decide(replace(sunday, consents=(CONSENT, any_hour))).allowed
    unproved = replace(any_hour, proof=None)
    assert blocking(replace(sunday, consents=(CONSENT, unproved))) == {"fr.hours"}
    assert blocking(replace(sunday, consents=(any_hour,))) == {"fr.consent"}


def test_a_number_whose_clock_is_not_known_is_not_called_to_sell() -> None:
    call = a_call("+33639981234", at=at("2026-09-15", "11:00"), consents=(CONSENT,))
    assert call.place.zones == ()
    assert blocking(call) == {"fr.hours"}


@pytest.mark.parametrize("number", [PARIS, REUNION, GUADELOUPE, SAINT_PIERRE])
def test_consent_is_needed_from_the_first_second_of_11_august_2026(number: str) -> None:
    change = at("2026-08-11", "00:00", a_call(number).place.zones[0])
    before = a_call(number, at=change - timedelta(seconds=1))
    assert finding(before, "fr.consent") is None
    assert finding(before, "fr.bloctel") is not None
    after = a_call(number, at=change)
    assert finding(after, "fr.bloctel") is None
    assert not passes(after, "fr.consent")


def test_where_it_may_be_either_day_both_laws_hold() -> None:
    call = a_call(REUNION_MOBILE, at=datetime(2026, 8, 10, 20, 30, tzinfo=UTC))
    assert {d.isoformat() for d in call.days} == {"2026-08-10", "2026-08-11"}
    assert {"fr.bloctel", "fr.consent"} <= blocking(call)


def test_the_afternoon_before_a_clear_number_may_be_called_and_the_afternoon_after_not() -> None:
    clear = (an_answer("fr-bloctel"),)
    assert BOOK.decide(a_call(PARIS, at=at("2026-08-10", "15:00"), registries=clear)).allowed
    verdict = BOOK.decide(a_call(PARIS, at=at("2026-08-11", "15:00"), registries=clear))
    assert not verdict.allowed
    assert verdict.prompt == "blocked-consent"


def test_until_then_bloctel_held_back_all_but_those_with_a_contract() -> None:
    listed = a_call(
        PARIS, at=at("2026-08-10", "15:00"), registries=(an_answer("fr-bloctel", True),)
    )
    assert blocking(listed) == {"fr.bloctel"}
    contract = a_relationship("contract", since=at("2026-01-05", "12:00"))
    assert BOOK.decide(replace(listed, relationships=(contract,))).allowed
    over = replace(contract, until=at("2026-08-10", "15:00"))
    assert blocking(replace(listed, relationships=(over,))) == {"fr.bloctel"}
    assert blocking(replace(listed, registries=())) == {"fr.bloctel"}


def test_the_seller_proves_consent_or_has_a_contract() -> None:
    moment = at("2026-09-15", "15:00")
    call = a_call(PARIS, at=moment)
    assert BOOK.decide(replace(call, consents=(CONSENT,))).allowed
    for lacking in (
        replace(CONSENT, proof=None),
        replace(CONSENT, proof=""),
        replace(CONSENT, until=moment),
        replace(CONSENT, granted_at=moment + timedelta(seconds=1)),
        replace(CONSENT, purpose="survey"),
    ):
        assert blocking(replace(call, consents=(lacking,))) == {"fr.consent"}
    contract = a_relationship("contract", since=at("2026-01-05", "12:00"))
    assert BOOK.decide(replace(call, relationships=(contract,))).allowed
    over = replace(contract, until=moment)
    assert blocking(replace(call, relationships=(over,))) == {"fr.consent"}
    bought = a_relationship("purchase", since=at("2026-01-05", "12:00"))
    assert blocking(replace(call, relationships=(bought,))) == {"fr.consent"}


def test_a_business_is_called_at_any_hour_and_a_subject_of_unknown_kind_is_a_consumer() -> None:
    sunday = a_call(PARIS, at=at("2026-09-13", "21:00"), subject_kind="business")
    assert BOOK.decide(sunday).allowed
    assert blocking(replace(sunday, subject_kind="unknown")) == {"fr.hours", "fr.consent"}
    assert BOOK.decide(replace(sunday, subject_kind="consumer", purpose="service")).allowed


NOW = at("2026-09-15", "15:00")
DAYS = timedelta(days=1)


@pytest.mark.parametrize(
    ("ago", "allowed"),
    [
        ([], True),
        ([1 * DAYS, 2 * DAYS, 3 * DAYS], True),
        ([1 * DAYS, 2 * DAYS, 3 * DAYS, 4 * DAYS], False),
        ([1 * DAYS, 2 * DAYS, 3 * DAYS, 30 * DAYS - MINUTE], False),
        ([1 * DAYS, 2 * DAYS, 3 * DAYS, 30 * DAYS], True),
        ([1 * DAYS, 2 * DAYS, 3 * DAYS, 31 * DAYS, 32 * DAYS], True),
    ],
)
def test_the_fifth_call_in_thirty_days_is_blocked(ago: list[timedelta], allowed: bool) -> None:
    call = a_call(PARIS, at=NOW, consents=(CONSENT,), attempts=attempts_before(NOW, *ago))
    verdict = BOOK.decide(call)
    assert verdict.allowed is allowed
    assert allowed or verdict.prompt == "blocked-limit"


def test_thirty_days_are_as_long_when_the_clocks_change_within_them() -> None:
    now = datetime(2026, 11, 10, 10, 0, tzinfo=UTC)
    three = [1 * DAYS, 2 * DAYS, 3 * DAYS]
    call = a_call(PARIS, at=now, attempts=attempts_before(now, *three, 30 * DAYS))
    assert passes(call, "fr.attempts")
    call = a_call(PARIS, at=now, attempts=attempts_before(now, *three, 30 * DAYS - MINUTE))
    assert not passes(call, "fr.attempts")


def test_only_the_same_sellers_sales_calls_are_counted() -> None:
    own = [an_attempt(NOW - n * DAYS, campaign=f"c{n}") for n in (1, 2, 3)]
    for other in (
        an_attempt(NOW - 4 * DAYS, tenant="rival"),
        an_attempt(NOW - 4 * DAYS, purpose="service"),
        an_attempt(NOW - 4 * DAYS, channel="sms"),
    ):
        assert passes(a_call(PARIS, at=NOW, attempts=(*own, other)), "fr.attempts")
    fourth = an_attempt(NOW - 4 * DAYS, campaign="another")
    assert not passes(a_call(PARIS, at=NOW, attempts=(*own, fourth)), "fr.attempts")
    assert not passes(a_call(PARIS, at=NOW, attempts=None), "fr.attempts")


@pytest.mark.parametrize(
    ("after", "allowed"),
    [
        (timedelta(0), False),
        (60 * DAYS - MINUTE, False),
        (60 * DAYS, False),
        (61 * DAYS - MINUTE, False),
        (61 * DAYS, True),
    ],
)
def test_who_refused_is_left_alone_until_sixty_days_are_full(
    after: timedelta, allowed: bool
) -> None:
    refused = Refusal(NOW - after, campaign="spring")
    call = a_call(PARIS, at=NOW, consents=(CONSENT,), campaign="autumn", refusals=(refused,))
    assert blocking(call) == (set() if allowed else {"fr.refusal-rest"})


@given(refused=MOMENTS)
@example(refused=datetime(2029, 8, 28, 22, tzinfo=UTC))
def test_no_call_follows_a_refusal_before_the_sixtieth_day_has_ended(refused: datetime) -> None:
    paris = ZoneInfo("Europe/Paris")
    sixtieth = refused.astimezone(paris).date() + 60 * DAYS
    last = datetime.combine(sixtieth, time(23, 59, 59), paris).astimezone(UTC)
    call = a_call(PARIS, at=last, refusals=(Refusal(refused),))
    assert not passes(call, "fr.refusal-rest")
    assert passes(replace(call, at=last + 25 * timedelta(hours=1)), "fr.refusal-rest")


@pytest.mark.parametrize(
    ("caller", "allowed"),
    [
        ("+33162000123", True),
        ("+33949000123", True),
        ("+262947800123", True),
        ("+590947500123", True),
        ("+590947600123", False),
        ("+33600000001", False),
        ("+33199001299", False),
        ("+442079460999", False),
        ("anonymous", False),
    ],
)
def test_a_dialler_shows_a_number_of_its_own_ranges(caller: str, allowed: bool) -> None:
    call = a_call(PARIS, at=NOW, caller=caller, dialler="machine")
    assert passes(call, "fr.caller-range") is allowed
    assert finding(replace(call, dialler="agent"), "fr.caller-range") is None


def test_a_sales_call_does_not_hide_its_number() -> None:
    call = a_call(PARIS, at=NOW, caller="anonymous", consents=(CONSENT,))
    assert blocking(call) == {"fr.caller-id"}


def test_a_machine_needs_consent_even_for_those_with_a_contract() -> None:
    contract = a_relationship("contract", since=at("2026-01-05", "12:00"))
    call = a_call(
        PARIS, at=NOW, caller="+33162000123", dialler="machine", relationships=(contract,)
    )
    assert blocking(call) == {"eu.automated-consent", "fr.automated-consent"}
    assert BOOK.decide(replace(call, consents=(CONSENT,))).allowed


@pytest.mark.parametrize(
    "number",
    [
        REUNION,
        MAYOTTE,
        GUADELOUPE,
        SAINT_MARTIN,
        SAINT_BARTH,
        MARTINIQUE,
        GUIANA,
        SAINT_PIERRE,
    ],
)
def test_the_law_of_france_holds_overseas(number: str) -> None:
    assert "fr.consent" in blocking(a_call(number, at=NOW))


def test_what_a_sales_call_must_say() -> None:
    verdict = BOOK.decide(a_call(PARIS, at=NOW, consents=(CONSENT,)))
    assert verdict.obligations == {
        Obligation.IDENTIFY,
        Obligation.STATE_PURPOSE,
        Obligation.OFFER_OPT_OUT,
        Obligation.PLAY_NOTICE,
    }


@pytest.mark.parametrize("channel", ["sms", "email"])
def test_messages_sell_with_consent_or_to_a_customer_at_any_hour(channel: str) -> None:
    call = a_call(PARIS, at=at("2026-09-13", "23:00"), channel=channel)  # type: ignore[arg-type]
    assert blocking(call) == {f"eu.{channel}-consent", f"fr.{channel}-consent"}
    assert BOOK.decide(replace(call, consents=(CONSENT,))).allowed
    bought = a_relationship("purchase", since=at("2026-01-05", "12:00"))
    verdict = BOOK.decide(replace(call, relationships=(bought,)))
    assert verdict.allowed
    assert verdict.obligations >= {Obligation.IDENTIFY, Obligation.OFFER_OPT_OUT}
    told = finding(call, "fr.message-objection")
    assert told is not None
    assert told.outcome is Outcome.REQUIRE
