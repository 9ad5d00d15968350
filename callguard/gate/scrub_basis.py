"""What is decided of numbers of one sort of which nothing is kept, and the ruling it makes."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from callguard.gate.decide import Decision
from callguard.optout.scrub.contract import MAY_CALL, Outcome, Ruling
from callguard.policy.evaluate import judge
from callguard.policy.facts import CallFacts
from callguard.policy.rules import Outcome as Found
from callguard.policy.rules import Rule, Verdict

UNTOUCHED: Final = frozenset(
    {
        "abandonment",
        "caller_id",
        "calling_hours",
        "emergency",
        "forbidden_destination",
        "obligation",
        "registry",
        "registry_freshness",
    }
)
"""The kinds of rule that look at nothing that is kept of a subject; their exemptions may."""


def ruling_of(verdict: Verdict) -> Ruling:
    """A verdict as what becomes of a row: only what could not be told holds it back, or more."""
    if verdict.allowed:
        return MAY_CALL
    holding = [finding for finding in verdict.findings if finding.blocks]
    known = any(finding.outcome is Found.BLOCK for finding in holding)
    outcome = Outcome.MUST_NOT if known else Outcome.CANNOT_TELL
    return Ruling(outcome, "; ".join(verdict.reasons), tuple(one.rule.id for one in holding))


@dataclass(slots=True)
class Basis:
    """What is decided of a number of one sort and one set of answers, of which nothing is kept.

    ``place`` is where its ruling stands; ``since`` is from when on the rules look at earlier
    calls to such a number, if any does; ``wished`` is the ruling on one who opted out, in parts
    around the words of the wish; ``contacts`` are rulings on contacts of whom the same is
    known, and ``asked`` the rules that may find otherwise where something is kept.
    """

    decision: Decision
    place: int
    since: datetime | None
    wished: tuple[Outcome, str, str, tuple[str, ...]] | None = None
    contacts: dict[str, Ruling] = field(default_factory=dict)
    asked: tuple[Rule, ...] | None = None


def anew(basis: Basis, facts: CallFacts) -> Ruling:
    """The ruling on somebody of whom something is kept, from the decision on a number of the same
    sort, place and kind of which nothing is. What a rule finds that looks at none of it stays as
    it was, and one that holds nobody back cannot but be lifted further."""
    findings = basis.decision.verdict.findings
    if basis.asked is None:
        basis.asked = tuple(
            finding.rule
            for finding in findings
            if finding.rule.kind not in UNTOUCHED or (finding.blocks and finding.rule.exemption)
        )
    anew = {finding.rule.id: finding for finding in judge(facts, basis.asked).findings}
    every = tuple([anew.get(finding.rule.id, finding) for finding in findings])
    return ruling_of(Verdict(not any(one.blocks for one in every), every))
