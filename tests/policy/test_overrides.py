"""What a tenant may have otherwise: stricter freely, looser with a reason."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callguard.policy.evaluate import evaluate
from callguard.policy.facts import Attempt, CallFacts, GivenConsent, Place, Refusal, RegistryAnswer
from callguard.policy.kinds import KINDS
from callguard.policy.numbers import parse_number
from callguard.policy.overrides import Override, OverrideError, changed, loosens, overridden
from callguard.policy.rules import OnUnknown, Rule

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
MONTH: dict[str, Any] = {"limit": 3, "window": "1mo"}


def rule(kind: str, on_unknown: OnUnknown = "block", **settings: object) -> Rule:
    """A rule of any kind with these settings."""
    return Rule(
        f"x.{kind.replace('_', '-')}",
        kind,
        "t",
        "c",
        date(2020, 1, 1),
        on_unknown=on_unknown,
        settings=KINDS[kind].settings.model_validate(settings),
    )


def override(of: Rule, reason: str = "", **settings: object) -> Override:
    return Override(of.id, settings, reason=reason)


HOURS = rule("calling_hours", hours={"weekdays": ["09:00-20:00"], "sat": ["10:00-16:00"]})
LIMIT = rule("attempts", limit=3, window="30d", per="tenant")


@pytest.mark.parametrize(
    ("of", "settings", "looser"),
    [
        (HOURS, {"hours": {"weekdays": ["10:00-19:00"]}}, False),
        (HOURS, {"hours": {"weekdays": ["09:00-13:00", "14:00-20:00"]}}, False),
        (HOURS, {"hours": {"weekdays": ["09:00-20:01"]}}, True),
        (HOURS, {"hours": {"weekdays": ["09:00-20:00"], "sun": ["10:00-11:00"]}}, True),
        (HOURS, {"zone": "Europe/Paris"}, True),
        (HOURS, {"holidays": "GB"}, False),
        (HOURS, {"holidays": "GB", "on_holiday": ["06:00-23:00"]}, True),
        (LIMIT, {"limit": 2}, False),
        (LIMIT, {"limit": 0}, False),
        (LIMIT, {"limit": 4}, True),
        (LIMIT, {"window": "31d"}, False),
        (LIMIT, {"window": "29d"}, True),
        (LIMIT, {"window": "1mo"}, True),  # which has 28 days in February
        (LIMIT, {"count": "conversations"}, True),
        (LIMIT, {"per": "campaign"}, True),
        (LIMIT, {"purposes": ["marketing"]}, True),
        (rule("attempts", **MONTH), {"window": "31d"}, False),
        (rule("attempts", **MONTH), {"window": "30d"}, True),
        (rule("caller_id"), {"foreign": False}, False),
        (rule("caller_id"), {"anonymous": True}, True),
        (rule("caller_id", prefixes=["+44"]), {"prefixes": ["+4420"]}, False),
        (rule("caller_id", prefixes=["+44"]), {"prefixes": ["+4"]}, True),
        (rule("caller_id", prefixes=["+44"]), {"prefixes": []}, True),
        (rule("consent_required"), {"valid": "12mo"}, False),
        (rule("consent_required", valid="12mo"), {"valid": "366d"}, True),
        (rule("consent_required", proof=True), {"proof": False}, True),
        (rule("cooling_off", after="refusal", rest="60d"), {"rest": "90d"}, False),
        (rule("cooling_off", after="refusal", rest="60d"), {"rest": "59d"}, True),
        (rule("forbidden_destination", lines=["premium"]), {"lines": ["premium", "pager"]}, False),
        (rule("forbidden_destination", lines=["premium"]), {"lines": ["pager"]}, True),
        (rule("forbidden_destination"), {"only_regions": ["GB"]}, False),
        (rule("obligation", must=["beep"]), {"must": ["beep", "identify"]}, False),
        (rule("obligation", must=["beep"]), {"must": ["identify"]}, True),
        (rule("recording_mode", mode="notice"), {"mode": "ask"}, False),
        (rule("recording_mode", mode="notice"), {"mode": "silent"}, True),
        (rule("registry", registry="gb-tps"), {"registry": "empty"}, True),
        (rule("registry_freshness", registry="r", max_age_days=28), {"max_age_days": 7}, False),
        (rule("registry_freshness", registry="r", max_age_days=28), {"max_age_days": 29}, True),
    ],
)
def test_stricter_is_free_and_looser_needs_a_reason(
    of: Rule, settings: dict[str, Any], looser: bool
) -> None:
    without, with_reason = override(of, **settings), override(of, "the order of 2026", **settings)
    after = changed(of, without)
    assert after.settings != of.settings
    assert loosens(of, without) is looser
    assert overridden([of], [without]) == ((of,) if looser else (after,))
    assert overridden([of], [with_reason]) == (after,)


@pytest.mark.parametrize("reason", ["", " ", "\n\t"])
def test_a_reason_has_words(reason: str) -> None:
    assert overridden([LIMIT], [override(LIMIT, reason, limit=9)]) == (LIMIT,)


def test_what_an_override_does_not_name_stays() -> None:
    (after,) = overridden([LIMIT], [override(LIMIT, limit=1)])
    assert after.settings.model_dump() == {**LIMIT.settings.model_dump(), "limit": 1}
    assert replace(after, settings=LIMIT.settings) == LIMIT


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"colour": 1}, "rule x.attempts: colour: there is no such key"),
        ({"limit": "many"}, "rule x.attempts: limit: Input should be a valid integer"),
        ({"limit": -1}, "rule x.attempts: limit: Input should be greater than or equal to 0"),
        ({"window": "soon"}, "rule x.attempts: window: 'soon' is no period"),
        ({"a\nb": 1}, "rule x.attempts: a\\nb: there is no such key"),
    ],
)
def test_settings_that_a_rule_cannot_have_are_refused_in_one_line(
    settings: dict[str, object], complaint: str
) -> None:
    wrong = Override("x.attempts", settings, reason="because")
    for ask in (changed, loosens):
        with pytest.raises(OverrideError) as caught:
            ask(LIMIT, wrong)
        assert str(caught.value).startswith(complaint)
        assert str(caught.value).isprintable()
    assert overridden([LIMIT], [wrong]) == (LIMIT,)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "Europe", "../x", "a" * 300])
def test_a_zone_that_does_not_exist_is_refused_in_one_line(zone: str) -> None:
    with pytest.raises(OverrideError, match=r"rule x\.calling-hours: "):
        changed(HOURS, override(HOURS, zone=zone))
    assert overridden([HOURS], [override(HOURS, "because", zone=zone)]) == (HOURS,)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"on_unknown": "maybe"}, "on_unknown: Input should be 'pass' or 'block'"),
        ({"on_unknown": ""}, "on_unknown: Input should be 'pass' or 'block'"),
        ({"cause": 0}, "cause: Input should be greater than or equal to 1"),
        ({"cause": 128}, "cause: Input should be less than or equal to 127"),
        ({"cause": "21"}, "cause: Input should be a valid integer"),
        ({"prompt": "../x"}, "prompt: String should match pattern"),
    ],
)
def test_values_that_no_rule_can_have_are_refused_in_one_line(
    values: dict[str, Any], complaint: str
) -> None:
    """They come from a stored table, so that their types are promised by nobody."""
    wrong = Override(LIMIT.id, **values)
    with pytest.raises(OverrideError, match=f"rule x.attempts: {complaint}"):
        loosens(LIMIT, wrong)
    assert overridden([LIMIT], [wrong]) == (LIMIT,)


def test_a_rule_is_taken_away_only_with_a_reason() -> None:
    assert overridden([LIMIT, HOURS], [Override(LIMIT.id, disabled=True)]) == (LIMIT, HOURS)
    gone = Override(LIMIT.id, disabled=True, reason="no such law where we call")
    assert loosens(LIMIT, gone)
    assert overridden([LIMIT, HOURS], [gone]) == (HOURS,)


def test_the_rule_that_lets_emergency_calls_pass_cannot_be_taken_away() -> None:
    emergency = rule("emergency")
    gone = Override(emergency.id, disabled=True, reason="because")
    with pytest.raises(OverrideError, match="emergency calls always pass"):
        loosens(emergency, gone)
    assert overridden([emergency], [gone]) == (emergency,)


def test_what_is_unknown_may_block_freely_and_pass_with_a_reason() -> None:
    lenient = rule("registry", on_unknown="pass", registry="r")
    strict = rule("registry", registry="r")
    assert overridden([lenient], [Override(lenient.id, on_unknown="block")]) == (strict,)
    assert overridden([strict], [Override(strict.id, on_unknown="pass")]) == (strict,)
    reasoned = Override(strict.id, on_unknown="pass", reason="the list is not sold to us")
    assert overridden([strict], [reasoned]) == (lenient,)


def test_what_a_blocked_caller_hears_and_gets_is_the_tenants() -> None:
    (after,) = overridden([LIMIT], [Override(LIMIT.id, cause=34, prompt="")])
    assert (after.cause, after.prompt, after.settings) == (34, "", LIMIT.settings)


def test_an_override_of_a_rule_that_is_gone_changes_nothing() -> None:
    assert overridden([LIMIT], [Override("x.gone", {"limit": 1}, disabled=True)]) == (LIMIT,)


def test_one_override_leaves_the_other_rules() -> None:
    assert overridden([HOURS, LIMIT], [override(LIMIT, limit=1)])[0] is HOURS


# Whatever an override holds, without a reason it lets no call through that the rules hold back.

minutes = st.sampled_from([f"{hour:02}:{minute}" for hour in range(24) for minute in ("00", "30")])
ranges = st.lists(
    st.tuples(minutes, minutes)
    .filter(lambda pair: pair[0] < pair[1])
    .map(lambda pair: f"{pair[0]}-{pair[1]}"),
    max_size=1,
)
weeks = st.dictionaries(
    st.sampled_from(["daily", "weekdays", "weekend", "fri", "sat"]), ranges, max_size=4
)
periods = st.sampled_from(["1mo", "2mo", "28d", "30d", "31d", "62d", "24h", "720h", "1d"])
SETTINGS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "calling_hours": {
        "hours": weeks,
        "zone": st.sampled_from(["", "Europe/London", "Pacific/Auckland"]),
        "holidays": st.sampled_from(["", "GB", "US"]),
        "on_holiday": ranges,
    },
    "attempts": {
        "limit": st.integers(0, 3),
        "window": periods,
        "per": st.sampled_from(["subject", "tenant", "campaign", "debt"]),
        "count": st.sampled_from(["calls", "conversations"]),
        "purposes": st.sets(st.sampled_from(["marketing", "service"])),
    },
    "cooling_off": {
        "after": st.sampled_from(["refusal", "conversation"]),
        "rest": periods,
        "per": st.sampled_from(["tenant", "campaign", "debt"]),
    },
    "consent_required": {
        "consent": st.sampled_from(["marketing", "other"]),
        "valid": st.none() | periods,
        "proof": st.booleans(),
    },
    "caller_id": {
        "anonymous": st.booleans(),
        "foreign": st.booleans(),
        "prefixes": st.lists(st.sampled_from(["+44", "+4420", "+1"]), max_size=2),
    },
    "forbidden_destination": {
        "lines": st.sets(st.sampled_from(["fixed", "mobile", "premium"])),
        "regions": st.sets(st.sampled_from(["GB", "US"])),
        "only_regions": st.sets(st.sampled_from(["GB", "US"])),
    },
    "registry": {"registry": st.sampled_from(["one", "two"])},
    "registry_freshness": {
        "registry": st.sampled_from(["one", "two"]),
        "max_age_days": st.integers(1, 40),
    },
}
NEEDED = {"hours", "limit", "window", "after", "rest", "registry", "max_age_days"}

moments = st.sampled_from(
    [
        datetime(2026, month, day, hour, 30, tzinfo=UTC)
        for month, day in [(2, 14), (2, 28), (3, 1), (3, 31), (11, 20), (12, 25), (12, 26)]
        for hour in range(0, 24, 3)
    ]
)
ages = st.sampled_from([timedelta(hours=h) for h in (1, 23, 25)]) | st.integers(1, 70).map(
    lambda days: timedelta(days=days, hours=-1)
)


@st.composite
def calls(draw: st.DrawFn) -> CallFacts:
    """Calls of which much or nothing is known."""
    at = draw(moments)
    subject = parse_number(draw(st.sampled_from(["+442079460123", "+12025550123", "nobody"])), "GB")
    shown = draw(st.sampled_from(["+442079460999", "+12025550199", "anonymous", "1234567"]))
    names = st.sampled_from([None, "one"])
    attempts = st.lists(
        st.builds(
            lambda age, talked, tenant, purpose, campaign, debt: Attempt(
                at - age,
                tenant,
                purpose,
                campaign=campaign,
                debt=debt,
                answered_at=at - age if talked else None,
            ),
            ages,
            st.booleans(),
            st.sampled_from(["acme", "other"]),
            st.sampled_from(["marketing", "service"]),
            names,
            names,
        ),
        max_size=4,
    ).map(tuple)
    return CallFacts(
        at=at,
        tenant="acme",
        direction="outbound",
        purpose="marketing",
        subject=subject,
        caller=parse_number(shown, "GB"),
        called=subject,
        place=Place(draw(st.none() | st.just(subject.region)), (), subject.zones),
        attempts=draw(st.none() | attempts),
        refusals=draw(
            st.lists(st.builds(lambda a, c: Refusal(at - a, c), ages, names), max_size=2).map(tuple)
        ),
        consents=draw(
            st.lists(
                st.builds(
                    lambda age, to, proof: GivenConsent(to, at - age, None, proof),
                    ages,
                    st.sampled_from(["marketing", "other"]),
                    st.sampled_from([None, "file"]),
                ),
                max_size=2,
            ).map(tuple)
        ),
        registries=draw(
            st.lists(
                st.builds(
                    lambda name, listed, age: RegistryAnswer(name, listed, (at - age).date()),
                    st.sampled_from(["one", "two"]),
                    st.sampled_from([True, False, None]),
                    ages,
                ),
                max_size=2,
            ).map(tuple)
        ),
        campaign=draw(names),
        debt=draw(names),
    )


@st.composite
def rules_and_overrides(draw: st.DrawFn, kind: str) -> tuple[Rule, Override]:
    choices = SETTINGS[kind]
    needed = {name: value for name, value in choices.items() if name in NEEDED}
    other = {name: value for name, value in choices.items() if name not in NEEDED}
    settings = draw(st.fixed_dictionaries(needed, optional=other))
    if not settings.get("holidays"):
        settings.pop("on_holiday", None)
    of = rule(kind, draw(st.sampled_from(["pass", "block"])), **settings)
    told = Override(
        of.id,
        draw(st.fixed_dictionaries({}, optional=choices)),
        on_unknown=draw(st.sampled_from(["pass", "block", None])),
        cause=draw(st.sampled_from([None, 1, 127])),
        disabled=draw(st.sampled_from([False, False, False, True])),
    )
    return of, told


@pytest.mark.parametrize("kind", sorted(SETTINGS))
@given(data=st.data())
def test_without_a_reason_no_call_passes_that_the_rules_hold_back(
    kind: str, data: st.DataObject
) -> None:
    of, told = data.draw(rules_and_overrides(kind))
    facts = data.draw(calls())
    if not evaluate(facts, [of]).allowed:
        assert not evaluate(facts, overridden([of], [told])).allowed
