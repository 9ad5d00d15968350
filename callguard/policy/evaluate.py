"""Facts and rules in, a verdict out."""

from collections.abc import Sequence
from dataclasses import replace

from callguard.policy.facts import CallFacts
from callguard.policy.kinds import KINDS
from callguard.policy.rules import Finding, Outcome, Rule, Verdict


def evaluate(facts: CallFacts, rules: Sequence[Rule]) -> Verdict:
    """Evaluates every rule in force on the day of the call; none short-cuts another.

    The call is blocked by any blocking finding, unless one finding overrides them all, which
    only an emergency call's does.

    Raises KeyError for a rule of an unknown kind (loading a pack refuses those).
    """
    day = facts.at.date()
    findings = [_find(rule, facts) for rule in rules if rule.in_force(day)]
    findings.sort(key=lambda finding: finding.rule)
    overridden = any(finding.overrides for finding in findings)
    if overridden:
        findings = [replace(finding, blocks=False) for finding in findings]
    obligations = frozenset(o for finding in findings for o in finding.obligations)
    return Verdict(
        allowed=not any(finding.blocks for finding in findings),
        findings=tuple(findings),
        obligations=obligations,
        emergency=overridden,
    )


def _find(rule: Rule, facts: CallFacts) -> Finding:
    finding = KINDS[rule.kind](rule, facts)
    blocks = finding.outcome is Outcome.BLOCK or (
        finding.outcome is Outcome.UNKNOWN and rule.on_unknown == "block"
    )
    return replace(finding, blocks=blocks)
