"""What lifts a rule for one subject: a consent they gave, or how they stand to the tenant."""

from pydantic import BaseModel, ConfigDict, model_validator

from callguard.policy.facts import CallFacts, GivenConsent, RelationKind
from callguard.policy.period import PeriodField


class Tie(BaseModel):
    """A relationship that is not over, or has been so for no longer than ``within``, or at all
    where ``ever`` is set. A purchase or an inquiry is over when it happens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: RelationKind
    within: PeriodField | None = None
    ever: bool = False


class Exemption(BaseModel):
    """Any one of these lifts the rule.

    ``consent`` names what the consent is to; ``valid`` is how long one counts from its day.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    consent: str | None = None
    valid: PeriodField | None = None
    proof: bool = False
    relationships: tuple[Tie, ...] = ()

    @model_validator(mode="after")
    def _says_of_what(self) -> "Exemption":
        if self.consent is None and (self.valid is not None or self.proof):
            raise ValueError("valid and proof are of a consent, and none is named")
        return self

    def why(self, facts: CallFacts) -> str | None:
        """Why the rule does not hold for this subject, or None where it does."""
        if self.consent is not None:
            for given in facts.consents:
                if given.purpose == self.consent and self._counts(given, facts):
                    return f"exempt: consent to {self.consent} of {given.granted_at.date()}"
        for tie in self.relationships:
            for has in facts.relationships:
                if has.kind == tie.kind and has.since <= facts.at:
                    over = has.until
                    if over is None or facts.at < over:
                        return f"exempt: {tie.kind} since {has.since.date()}"
                    if tie.ever:
                        return f"exempt: {tie.kind} of {over.date()}"
                    if tie.within is not None and facts.at < tie.within.after(over):
                        return f"exempt: {tie.kind} of {over.date()}, within {tie.within}"
        return None

    def _counts(self, given: GivenConsent, facts: CallFacts) -> bool:
        return stands(given, facts) and not (
            (self.proof and not given.proof)
            or (self.valid is not None and facts.at >= self.valid.after(given.granted_at))
        )


def stands(given: GivenConsent, facts: CallFacts) -> bool:
    """Whether a consent had been given and had not ended at the moment of the call."""
    return given.granted_at <= facts.at and (given.until is None or facts.at < given.until)
