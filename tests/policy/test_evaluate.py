"""The contract of a verdict."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from callguard.policy.evaluate import evaluate
from callguard.policy.packs import shipped_packs
from callguard.policy.rules import (
    Finding,
    Obligation,
    OnUnknown,
    Outcome,
    Rule,
    Verdict,
    refusal,
    unrecorded,
)
from callguard.policy.scope import Scope
from tests.policy.facts import NEW_YORK, NOON, PARIS, a_call, an_answer, an_opt_out
from tests.policy.kinds.asked import ANY_CALL, a_rule, by_the_clock

BASE = next(pack for pack in shipped_packs() if pack.name == "base").rules


def test_a_call_that_nothing_forbids_is_allowed_and_every_rule_has_its_finding() -> None:
    verdict = evaluate(a_call(), BASE)
    assert verdict.allowed
    assert verdict.reasons == ()
    assert [finding.rule.id for finding in verdict.findings] == [
        "base.emergency",
        "base.opt-out",
        "base.recording-notice",
        "base.restriction",
    ]
    assert verdict.obligations == {Obligation.PLAY_NOTICE}


def test_who_opted_out_of_the_tenant_is_not_called_and_the_reason_says_since_when() -> None:
    verdict = evaluate(a_call(opt_outs=(an_opt_out(),)), BASE)
    assert verdict.decision == "block"
    assert verdict.cause == 21
    assert verdict.reasons == (
        "the subject opted out of tenant acme on 2026-11-20 12:00 UTC (call)",
    )


def test_who_opted_out_of_everyone_is_not_called_by_anyone() -> None:
    verdict = evaluate(a_call(opt_outs=(an_opt_out(None),)), BASE)
    assert not verdict.allowed
    assert "of all tenants" in verdict.reasons[0]


def test_an_opt_out_from_one_purpose_leaves_the_others() -> None:
    wish = an_opt_out("acme", "marketing")
    assert not evaluate(a_call(opt_outs=(wish,), purpose="marketing"), BASE).allowed
    assert evaluate(a_call(opt_outs=(wish,), purpose="service"), BASE).allowed


def test_who_opted_out_may_still_call_in() -> None:
    assert evaluate(a_call(direction="inbound", opt_outs=(an_opt_out(),)), BASE).allowed


def test_an_emergency_call_passes_above_everything_and_is_not_recorded() -> None:
    verdict = evaluate(a_call("999", opt_outs=(an_opt_out(),)), BASE)
    assert verdict.allowed
    assert verdict.emergency
    assert verdict.obligations == {Obligation.DO_NOT_RECORD}
    assert "999 is an emergency number in GB" in verdict.reasons[0]
    assert any(finding.outcome is Outcome.BLOCK for finding in verdict.findings)


def test_a_number_that_is_none_is_unknown_and_blocks() -> None:
    verdict = evaluate(a_call("alice"), BASE)
    assert not verdict.allowed
    assert verdict.findings[1].outcome is Outcome.UNKNOWN
    assert verdict.reasons == ("the called number is none that can be looked up",)


def test_on_unknown_is_the_rules_own() -> None:
    lenient = Rule("x", "opt_out", "t", "c", date(2020, 1, 1), on_unknown="pass")
    assert evaluate(a_call("alice"), [lenient]).allowed


def test_a_rule_counts_only_on_the_days_it_is_in_force() -> None:
    day = NOON.date()
    facts = a_call(opt_outs=(an_opt_out(),))
    for since, until, allowed in [
        (day, day, False),
        (day - timedelta(days=9), None, False),
        (day + timedelta(days=1), None, True),
        (day - timedelta(days=9), day - timedelta(days=1), True),
    ]:
        rule = Rule("x", "opt_out", "t", "c", since, until)
        assert evaluate(facts, [rule]).allowed is allowed


def test_a_refusal_of_the_gate_blocks_with_its_reason() -> None:
    verdict = refusal("gate.tenant", "no tenant 'x' is known")
    assert verdict.decision == "block"
    assert verdict.reasons == ("no tenant 'x' is known",)


def test_an_emergency_call_has_no_duty_that_would_keep_it_waiting() -> None:
    """No notice is played and nothing is asked, whatever the rules of recording are."""
    ask_first = a_rule("recording_mode", "a.ask", {"mode": "ask", "beep": True}, scope=ANY_CALL)
    must = a_rule("obligation", "b.must", {"must": ["record", "identify"]}, scope=ANY_CALL)
    verdict = evaluate(a_call("112"), [*BASE, ask_first, must])
    assert verdict.emergency
    assert verdict.obligations == {Obligation.DO_NOT_RECORD}
    assert {finding.rule.id for finding in verdict.findings} >= {"a.ask", "b.must"}


def test_whatever_blocks_an_emergency_call_passes_and_is_still_told() -> None:
    rules = [
        *BASE,
        a_rule("attempts", "a.none", {"limit": 0, "window": "1d"}),
        a_rule("calling_hours", "a.never", {"hours": {}}),
        a_rule("forbidden_destination", "a.nowhere", {"only_regions": ["FR"]}),
        a_rule("registry", "a.list", {"registry": "tps"}),
    ]
    verdict = evaluate(a_call("999", restricted_since=NOON, attempts=None), rules)
    assert verdict.allowed
    assert not any(finding.blocks for finding in verdict.findings)
    held = {f.rule.id for f in verdict.findings if f.outcome in (Outcome.BLOCK, Outcome.UNKNOWN)}
    assert held >= {"a.none", "a.never", "a.nowhere", "a.list", "base.restriction"}


def test_every_rule_is_evaluated_though_the_first_blocks() -> None:
    rules = [a_rule("opt_out", f"x.{name}") for name in "cab"]
    verdict = evaluate(a_call(opt_outs=(an_opt_out(),)), rules)
    assert [finding.rule.id for finding in verdict.findings] == ["x.a", "x.b", "x.c"]
    assert all(finding.blocks for finding in verdict.findings)
    assert len(verdict.reasons) == 1  # what all three say is said once


def test_a_rule_about_other_calls_has_no_finding() -> None:
    rules = [
        a_rule("opt_out", "x.fr", scope=Scope(regions=frozenset({"FR"}))),
        a_rule("opt_out", "x.gb", scope=Scope(regions=frozenset({"GB"}))),
    ]
    for number, name in [(PARIS, "x.fr"), ("+442079460123", "x.gb")]:
        verdict = evaluate(a_call(number, opt_outs=(an_opt_out(),)), rules)
        assert [finding.rule.id for finding in verdict.findings] == [name]


@pytest.mark.parametrize(
    ("text", "in_force"),
    [
        ("2026-11-19 23:59:59.999999", False),
        ("2026-11-20 00:00", True),
        ("2026-11-21 23:59:59.999999", True),
        ("2026-11-22 00:00", False),
    ],
)
@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Paris", "Pacific/Kiritimati"])
def test_a_rule_takes_effect_and_ends_at_the_subjects_midnight(
    text: str, in_force: bool, zone: str
) -> None:
    rule = a_rule("opt_out", effective_from=date(2026, 11, 20), effective_to=date(2026, 11, 21))
    facts = a_call(at=by_the_clock(zone, text), zones=(zone,), opt_outs=(an_opt_out(),))
    assert evaluate(facts, [rule]).allowed is not in_force


def test_a_rule_is_in_force_as_soon_as_it_is_so_in_one_possible_zone() -> None:
    rule = a_rule("opt_out", effective_from=date(2026, 11, 21))
    at = by_the_clock("Europe/Paris", "2026-11-21 00:30")
    for zones, allowed in [
        (("America/New_York",), True),
        (("America/New_York", "Europe/Paris"), False),
        (("Europe/Paris", "America/New_York"), False),
        ((), True),  # by UTC it is the day before
    ]:
        facts = a_call(at=at, zones=zones, opt_outs=(an_opt_out(),))
        assert evaluate(facts, [rule]).allowed is allowed


def test_last_years_call_is_explained_with_last_years_rule() -> None:
    old = a_rule("attempts", "x.old", {"limit": 9, "window": "1d"}, effective_to=date(2026, 8, 10))
    new = a_rule(
        "attempts", "x.new", {"limit": 0, "window": "1d"}, effective_from=date(2026, 8, 11)
    )
    for day, allowed, name in [(10, True, "x.old"), (11, False, "x.new")]:
        verdict = evaluate(a_call(at=datetime(2026, 8, day, 12, tzinfo=UTC)), [old, new])
        assert verdict.allowed is allowed
        assert [finding.rule.id for finding in verdict.findings] == [name]


@pytest.mark.parametrize(("on_unknown", "allowed"), [("block", False), ("pass", True)])
@pytest.mark.parametrize(
    ("kind", "settings", "facts"),
    [
        ("calling_hours", {"hours": {"daily": ["00:00-24:00"]}}, a_call(zones=())),
        ("attempts", {"limit": 9, "window": "1d"}, a_call(attempts=None)),
        ("registry", {"registry": "tps"}, a_call(registries=(an_answer("tps", None),))),
        ("registry_freshness", {"registry": "tps", "max_age_days": 9}, a_call()),
        ("cooling_off", {"after": "conversation", "rest": "7d"}, a_call(attempts=None)),
        ("abandonment", {"max_percent": 3, "window": "30d"}, a_call(campaign="spring")),
        ("caller_id", {}, a_call(caller="alice")),
        ("forbidden_destination", {}, a_call("alice")),
    ],
)
def test_what_cannot_be_told_is_the_rules_to_decide_and_is_always_a_reason(  # type: ignore[no-untyped-def]  # a table of settings
    kind, settings, facts, on_unknown: OnUnknown, allowed
) -> None:
    verdict = evaluate(facts, [a_rule(kind, settings=settings, on_unknown=on_unknown)])
    assert verdict.findings[0].outcome is Outcome.UNKNOWN
    assert verdict.allowed is allowed
    assert verdict.reasons == (verdict.findings[0].reason,)


def test_the_cause_and_the_prompt_are_those_of_the_first_rule_that_blocks() -> None:
    rules = [
        Rule("x.a", "emergency", "t", "c", date(2018, 1, 1), cause=1, prompt="no"),
        Rule("x.b", "opt_out", "t", "c", date(2018, 1, 1), cause=50, prompt=""),
        Rule("x.c", "opt_out", "t", "c", date(2018, 1, 1), cause=51, prompt="blocked-limit"),
    ]
    verdict = evaluate(a_call(opt_outs=(an_opt_out(),)), rules)
    assert (verdict.cause, verdict.prompt) == (50, "")
    assert verdict.blocking is not None
    assert verdict.blocking.rule.id == "x.b"
    fine = evaluate(a_call(), rules)
    assert (fine.cause, fine.prompt, fine.blocking) == (21, "blocked", None)


def test_obligations_of_all_rules_are_united() -> None:
    rules = [
        a_rule("obligation", "x.a", {"must": ["identify"]}),
        a_rule("obligation", "x.b", {"must": ["identify", "state_purpose"]}),
        a_rule("recording_mode", "x.c", {"mode": "ask"}),
    ]
    assert evaluate(a_call(), rules).obligations == {
        Obligation.IDENTIFY,
        Obligation.STATE_PURPOSE,
        Obligation.PLAY_NOTICE,
        Obligation.ASK_CONSENT,
    }


def test_no_rules_allow_a_call_that_owes_nothing() -> None:
    assert evaluate(a_call(), []) == Verdict(allowed=True, findings=())


def test_a_rule_of_an_unknown_kind_is_an_error_and_no_pass() -> None:
    with pytest.raises(KeyError):
        evaluate(a_call(), [Rule("x", "astrology", "t", "c", date(2018, 1, 1))])


def test_the_time_of_a_call_has_a_zone() -> None:
    """Else it would be read by the clock of whatever machine evaluates it."""
    with pytest.raises(ValueError, match="time zone"):
        a_call(at=datetime(2026, 11, 20, 12, 0))  # noqa: DTZ001 - what is refused


def test_in_the_hour_that_occurs_twice_both_moments_keep_their_own_verdict() -> None:
    """Two moments that one zone's clock shows alike are not one."""
    zone = ZoneInfo("America/New_York")
    rule = a_rule("calling_hours", settings={"hours": {"daily": ["05:00-06:00"]}, "zone": "UTC"})
    first = datetime(2026, 11, 1, 1, 30, tzinfo=zone)
    for moment, allowed in [(first, True), (first.replace(fold=1), False), (first, True)]:
        assert evaluate(a_call(NEW_YORK, at=moment), [rule]).allowed is allowed


def test_without_a_zone_the_day_is_that_of_utc_however_the_time_is_written() -> None:
    rule = a_rule("opt_out", effective_from=date(2026, 11, 21))
    at = datetime(2026, 11, 20, 20, 0, tzinfo=ZoneInfo("America/New_York"))  # the 21st in UTC
    for moment in (at, at.astimezone(UTC), at.astimezone(ZoneInfo("Asia/Tokyo"))):
        facts = a_call(at=moment, zones=(), opt_outs=(an_opt_out(),))
        assert not evaluate(facts, [rule]).allowed


def test_an_inbound_call_that_cannot_be_decided_is_connected_and_not_recorded() -> None:
    verdict = unrecorded("gate.tenant", "no tenant is known")
    assert verdict.allowed
    assert verdict.obligations == {Obligation.DO_NOT_RECORD}
    assert verdict.reasons == ("no tenant is known",)


def test_a_finding_is_stored_with_what_explains_it() -> None:
    rule = Rule("r", "opt_out", "t", "law", date(2024, 1, 2))
    duties = frozenset({Obligation.PLAY_NOTICE, Obligation.BEEP})
    finding = Finding(rule, Outcome.BLOCK, "why", blocks=True, obligations=duties)
    assert finding.as_json() == {
        "rule": "r",
        "title": "t",
        "outcome": "block",
        "reason": "why",
        "citation": "law",
        "since": "2024-01-02",
        "status": "unverified",
        "blocks": True,
        "obligations": ["beep", "play_notice"],
    }
