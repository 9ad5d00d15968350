"""The contract of a verdict."""

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from callguard.policy.evaluate import evaluate
from callguard.policy.packs import shipped_packs
from callguard.policy.rules import Finding, Obligation, Outcome, Rule, refusal
from tests.policy.facts import NOON, a_call, an_opt_out

BASE = next(pack for pack in shipped_packs() if pack.name == "base").rules


def test_a_call_that_nothing_forbids_is_allowed_and_every_rule_has_its_finding() -> None:
    verdict = evaluate(a_call(), BASE)
    assert verdict.allowed
    assert verdict.reasons == ()
    assert [finding.rule for finding in verdict.findings] == ["base.emergency", "base.opt-out"]


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
    assert Obligation.DO_NOT_RECORD in verdict.obligations
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


numbers = st.sampled_from(["+442079460123", "999", "alice", "112", "GB1234", "1234"])
wishes = st.lists(
    st.builds(
        an_opt_out, st.sampled_from(["acme", None]), st.sampled_from(["marketing", "survey"])
    ),
    max_size=3,
).map(tuple)
some_rules = st.lists(
    st.builds(
        Rule,
        st.uuids().map(str),
        st.sampled_from(["emergency", "opt_out"]),
        st.just("t"),
        st.just("c"),
        st.just(date(2020, 1, 1)),
        on_unknown=st.sampled_from(["pass", "block"]),
    ),
    max_size=5,
)


@given(numbers, wishes, some_rules, st.randoms())
def test_the_order_of_rules_never_matters(number, opt_outs, rules, random) -> None:  # type: ignore[no-untyped-def]  # hypothesis gives the types
    facts = a_call(number, opt_outs=opt_outs)
    shuffled = list(rules)
    random.shuffle(shuffled)
    assert evaluate(facts, rules) == evaluate(facts, shuffled)


@given(numbers, wishes, some_rules)
def test_one_more_blocking_rule_never_turns_block_into_allow(number, opt_outs, rules) -> None:  # type: ignore[no-untyped-def]  # hypothesis gives the types
    facts = a_call(number, opt_outs=opt_outs)
    more = [*rules, Rule("zz", "opt_out", "t", "c", date(2020, 1, 1))]
    if not evaluate(facts, rules).allowed:
        assert not evaluate(facts, more).allowed


def test_a_finding_is_stored_with_what_explains_it() -> None:
    finding = Finding("r", Outcome.BLOCK, "why", "law", blocks=True)
    assert finding.as_json() == {
        "rule": "r",
        "outcome": "block",
        "reason": "why",
        "citation": "law",
        "blocks": True,
    }
