"""What holds for every call and every set of rules."""

from dataclasses import replace
from datetime import timedelta
from random import Random
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from callguard.policy.evaluate import evaluate
from callguard.policy.facts import Attempt, CallFacts, local_times
from callguard.policy.kinds.calling_hours import holiday
from callguard.policy.rulebook import Rulebook
from callguard.policy.rules import Obligation, Outcome, Rule
from tests.policy.kinds import drawn_calls, drawn_rules
from tests.policy.kinds.asked import ANY_CALL, a_rule

ORDINARY = tuple(kind for kind in drawn_rules.SETTINGS if kind != "emergency")
some_rules = drawn_rules.rule_sets()
many = settings(max_examples=150)


@many
@given(drawn_calls.facts, some_rules, drawn_rules.rules(name="zz.more"))
def test_one_more_rule_never_lets_a_blocked_call_through_but_to_an_emergency(
    facts: CallFacts, rules: list[Rule], more: Rule
) -> None:
    before, after = evaluate(facts, rules), evaluate(facts, [*rules, more])
    if not before.allowed and after.allowed:
        assert more.kind == "emergency"
        assert facts.direction == "outbound"
        assert facts.called.emergency


@many
@given(drawn_calls.facts, some_rules, drawn_rules.rules(ORDINARY, name="zz.more"))
def test_one_more_rule_drops_no_duty_of_another(
    facts: CallFacts, rules: list[Rule], more: Rule
) -> None:
    before, after = evaluate(facts, rules), evaluate(facts, [*rules, more])
    assert before.obligations <= after.obligations
    assert all(finding in after.findings for finding in before.findings)


@many
@given(drawn_calls.facts, some_rules, st.integers())
def test_the_order_of_rules_never_matters(facts: CallFacts, rules: list[Rule], seed: int) -> None:
    shuffled = list(rules)
    Random(seed).shuffle(shuffled)
    assert evaluate(facts, rules) == evaluate(facts, shuffled)


@many
@given(drawn_calls.facts, some_rules)
def test_an_emergency_call_is_allowed_whatever_the_rules_are(
    facts: CallFacts, rules: list[Rule]
) -> None:
    always = a_rule("emergency", "base.emergency", scope=ANY_CALL)
    verdict = evaluate(facts, [*rules, always])
    assert verdict.emergency is (facts.direction == "outbound" and facts.called.emergency)
    if verdict.emergency:
        assert verdict.allowed
        assert verdict.obligations == {Obligation.DO_NOT_RECORD}


@many
@given(drawn_calls.facts, some_rules)
def test_a_verdict_is_what_its_findings_say(facts: CallFacts, rules: list[Rule]) -> None:
    verdict = evaluate(facts, rules)
    about = {
        r.id
        for r in rules
        if r.scope.covers(facts)
        and (any(map(r.in_force, facts.days)) or r.kind == "emergency")  # of every day
    }
    assert [finding.rule.id for finding in verdict.findings] == sorted(about)
    assert verdict.allowed is not any(finding.blocks for finding in verdict.findings)
    assert verdict.allowed or verdict.reasons
    for finding in verdict.findings:
        assert finding.reason
        assert "\n" not in finding.reason
        if not verdict.emergency:
            unknown = finding.outcome is Outcome.UNKNOWN and finding.rule.on_unknown == "block"
            assert finding.blocks is (finding.outcome is Outcome.BLOCK or unknown)


@many
@given(drawn_calls.facts, some_rules, drawn_calls.seeds)
def test_a_verdict_is_the_same_whenever_it_is_given(
    facts: CallFacts, rules: list[Rule], seed: int
) -> None:
    """What was asked before, of this call or others, leaves no trace."""
    local_times.cache_clear()
    cold = evaluate(facts, rules)
    assert evaluate(facts, rules) == cold
    near = [replace(facts, at=facts.at + timedelta(hours=step)) for step in (-1, 1, 24)]
    for other in (*near, *drawn_calls.some_calls(seed, 4)):
        evaluate(other, rules)
    assert evaluate(facts, rules) == cold
    holiday("FR", facts.at.date())
    assert evaluate(replace(facts), [replace(rule) for rule in rules]) == cold


@many
@given(
    drawn_calls.facts,
    some_rules,
    st.sampled_from(("Europe/London", "America/New_York", "Asia/Kathmandu", "Pacific/Apia")),
)
def test_a_verdict_is_the_same_in_whatever_zone_the_time_is_written(
    facts: CallFacts, rules: list[Rule], zone: str
) -> None:
    elsewhere = replace(facts, at=facts.at.astimezone(ZoneInfo(zone)))
    assert evaluate(elsewhere, rules) == evaluate(facts, rules)


@many
@given(drawn_calls.seeds, drawn_rules.rule_sets(at_most=12))
def test_a_rulebook_decides_every_call_as_all_its_rules_do(seed: int, rules: list[Rule]) -> None:
    book = Rulebook(rules)
    for facts in drawn_calls.some_calls(seed, 12):
        elsewhere = replace(facts, home_region="FR", place=replace(facts.place, region="US"))
        turned = replace(facts, direction="inbound", caller=facts.called, called=facts.caller)
        for one in (facts, elsewhere, turned):
            assert book.decide(one) == evaluate(one, book.rules) == evaluate(one, rules)


def as_they_happen(attempt: Attempt) -> Attempt:
    """A call is answered within the hour or not at all."""
    if attempt.answered_at is None:
        return attempt
    rang = timedelta(seconds=attempt.answered_at.minute * 60 + attempt.answered_at.hour)
    return replace(attempt, answered_at=attempt.at + rang)


@many
@given(
    drawn_calls.seeds,
    st.lists(drawn_rules.rules(("attempts", "cooling_off")), max_size=4, unique_by=lambda r: r.id),
)
def test_attempts_placed_before_those_looked_up_change_no_decision(
    seed: int, rules: list[Rule]
) -> None:
    book = Rulebook(rules)
    for facts in drawn_calls.some_calls(seed, 12):
        told = tuple(map(as_they_happen, facts.attempts or ()))
        since = book.looks_back_to(facts)
        looked_up = tuple(a for a in told if since is not None and a.at > since)
        whole = book.decide(replace(facts, attempts=told))
        assert book.decide(replace(facts, attempts=looked_up)).allowed is whole.allowed


@many
@given(drawn_calls.facts, drawn_rules.rule_sets(at_most=5))
def test_a_subject_of_whom_more_is_known_meets_no_more_rules(
    facts: CallFacts, rules: list[Rule]
) -> None:
    """Not to know the state or the kind of subject never takes a rule for consumers away."""
    vague = replace(facts, place=replace(facts.place, subdivisions=()), subject_kind="unknown")
    known = replace(vague, place=replace(facts.place, subdivisions=("US-NY",)))
    for rule in rules:
        if rule.scope.covers(replace(known, subject_kind="consumer")):
            assert rule.scope.covers(vague)
