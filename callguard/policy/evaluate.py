"""Facts and rules in, a verdict out."""

from collections.abc import Sequence
from operator import attrgetter

from callguard.policy.facts import CallFacts
from callguard.policy.kinds import KINDS
from callguard.policy.rules import Finding, Obligation, Outcome, Rule, Verdict, passed

ALWAYS = "emergency"
"""The kind that is in force on every day: a clock that lost its date holds no call for help."""

_by_id = attrgetter("id")
_NOTHING: frozenset[Obligation] = frozenset()


def evaluate(facts: CallFacts, rules: Sequence[Rule]) -> Verdict:
    """Evaluates every rule that is about this call and in force on its day where the subject is;
    none short-cuts another.

    The call is blocked by any blocking finding, unless one finding overrides them all, which
    only an emergency call's does: then its obligations alone hold. Raises KeyError for a rule of
    an unknown kind (loading a pack refuses those).
    """
    reached = [rule for rule in rules if rule.scope.reaches(facts)]
    reached.sort(key=_by_id)
    return judge(facts, reached)


def judge(facts: CallFacts, reached: Sequence[Rule]) -> Verdict:
    """As ``evaluate``, for rules in order of their ids that are known to reach the call."""
    days = facts.days
    findings = [
        _find(rule, facts)
        for rule in reached
        if (rule.in_force_on_any(days) or rule.kind == ALWAYS)
        and (not rule.scope.more or rule.scope.covers(facts))
    ]
    overriding = [finding for finding in findings if finding.overrides]
    if overriding:
        findings = [finding._replace(blocks=False) for finding in findings]
    return Verdict(
        allowed=not any(finding.blocks for finding in findings),
        findings=tuple(findings),
        obligations=_NOTHING.union(
            *[f.obligations for f in overriding or findings if f.obligations]
        ),
        emergency=bool(overriding),
    )


def _find(rule: Rule, facts: CallFacts) -> Finding:
    exempt = rule.exemption.why(facts) if rule.exemption is not None else None
    found = passed(exempt) if exempt else KINDS[rule.kind].find(rule.settings, facts)
    outcome, reason, obligations, overrides = found
    blocks = outcome is Outcome.BLOCK or (outcome is Outcome.UNKNOWN and rule.on_unknown == "block")
    return Finding(rule, outcome, reason, blocks, obligations, overrides)
