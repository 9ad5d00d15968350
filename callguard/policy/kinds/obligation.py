"""What must be done in every call of a kind: who is calling, what for, how to say no."""

from functools import cached_property

from pydantic import Field, field_validator

from callguard.policy.facts import CallFacts
from callguard.policy.rules import Found, KindSettings, Obligation, required

DEMANDS = frozenset(Obligation) - {Obligation.PRIOR_CONSENT, Obligation.ONE_PARTY}
"""What a rule can demand; the others say that nothing need be done, which only a look at the call
can tell."""


class Settings(KindSettings):
    """``must`` are the duties; the dialogue carries out what a machine can, and the agent's
    screen shows the rest."""

    must: frozenset[Obligation] = Field(min_length=1)

    @field_validator("must")
    @classmethod
    def _are_demands(cls, must: frozenset[Obligation]) -> frozenset[Obligation]:
        for other in sorted(must - DEMANDS):
            raise ValueError(f"{other.value} is nothing that a rule can demand")
        return must

    @cached_property
    def found(self) -> Found:
        """What is found in every call."""
        duties = ", ".join(sorted(duty.value.replace("_", " ") for duty in self.must))
        return required(f"the call must: {duties}", self.must)


def find(settings: Settings, facts: CallFacts) -> Found:
    return settings.found


def loosens(before: Settings, after: Settings) -> bool:
    return not before.must <= after.must
