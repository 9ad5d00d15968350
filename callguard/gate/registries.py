"""Which registries the rules asked about a call. Pure."""

from callguard.policy.facts import CallFacts
from callguard.policy.rules import Outcome, Verdict

ASKING = frozenset({"registry", "registry_freshness"})
"""The kinds of rule that ask a registry."""


def snapshots_asked(verdict: Verdict, facts: CallFacts | None) -> dict[str, str] | None:
    """The digest of the snapshot by registry, of those that a rule about this call names and that
    were there; None where there is none. What no rule asked says nothing of the verdict."""
    if facts is None or not facts.registries:
        return None
    asked = _asked(verdict)
    found = {a.registry: a.digest for a in facts.registries if a.digest and a.registry in asked}
    return found or None


def registries_missing(verdict: Verdict, facts: CallFacts | None) -> frozenset[str]:
    """Those that are not there to ask, and so held the call back."""
    if verdict.allowed or facts is None:
        return frozenset()
    there = {answer.registry for answer in facts.registries}
    return frozenset(_asked(verdict, only_holding=True) - there)


def _asked(verdict: Verdict, *, only_holding: bool = False) -> set[str]:
    return {
        finding.rule.settings.registry  # type: ignore[attr-defined] # the kind has it
        for finding in verdict.findings
        if finding.rule.kind in ASKING
        and (not only_holding or (finding.blocks and finding.outcome is Outcome.UNKNOWN))
    }
