"""Emergency numbers pass before and above everything, and are not recorded."""

from callguard.policy.facts import CallFacts
from callguard.policy.rules import Finding, Obligation, Outcome, Rule


def find(rule: Rule, facts: CallFacts) -> Finding:
    if facts.direction == "outbound" and facts.called.emergency:
        return Finding(
            rule.id,
            Outcome.PASS,
            f"{facts.called.raw} is an emergency number in {facts.called.region}",
            rule.citation,
            overrides=True,
            obligations=frozenset({Obligation.DO_NOT_RECORD}),
        )
    return Finding(rule.id, Outcome.PASS, "not an emergency call", rule.citation)
