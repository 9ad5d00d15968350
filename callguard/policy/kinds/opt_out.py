"""A subject who opted out is not called."""

from callguard.policy.facts import CallFacts
from callguard.policy.rules import Finding, Outcome, Rule


def find(rule: Rule, facts: CallFacts) -> Finding:
    if facts.direction == "inbound":
        return Finding(rule.id, Outcome.PASS, "the subject is the one calling", rule.citation)
    if not facts.subject.known:
        reason = "the called number is none that can be looked up"
        return Finding(rule.id, Outcome.UNKNOWN, reason, rule.citation, cause=rule.cause)
    standing = [wish for wish in facts.opt_outs if wish.covers(facts.purpose)]
    if not standing:
        return Finding(rule.id, Outcome.PASS, "no opt-out stands", rule.citation)
    first = min(standing, key=lambda wish: wish.since)
    against = f"of tenant {first.tenant}" if first.tenant else "of all tenants"
    when = first.since.strftime("%Y-%m-%d %H:%M UTC")
    reason = f"the subject opted out {against} on {when} ({first.channel})"
    return Finding(rule.id, Outcome.BLOCK, reason, rule.citation, cause=rule.cause)
