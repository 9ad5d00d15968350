"""No call without a consent that was given before, still stands and can be proved."""

from functools import cached_property

from callguard.policy.exemption import stands
from callguard.policy.facts import CallFacts, GivenConsent
from callguard.policy.period import PeriodField
from callguard.policy.rules import Found, KindSettings, blocked, passed


class Settings(KindSettings):
    """``consent`` names what it is to; ``valid`` is how long it counts from its day, for ever if
    left out; ``proof`` is whether its evidence must be on file."""

    consent: str = "marketing"
    valid: PeriodField | None = None
    proof: bool = False

    @cached_property
    def none(self) -> Found:
        """What is found where there is no consent to it at all."""
        return blocked(f"no consent to {self.consent} is on file")


def find(settings: Settings, facts: CallFacts) -> Found:
    if not facts.consents:
        return settings.none
    faults = []
    for given in facts.consents:
        if given.purpose != settings.consent:
            continue
        fault = _fault(settings, given, facts)
        if fault is None:
            return passed(f"consent to {settings.consent} of {given.granted_at.date()} stands")
        faults.append((given, fault))
    if not faults:
        return settings.none
    newest, fault = max(faults, key=lambda pair: pair[0].granted_at)
    return blocked(f"the consent to {settings.consent} of {newest.granted_at:%Y-%m-%d} {fault}")


def _fault(settings: Settings, given: GivenConsent, facts: CallFacts) -> str | None:
    if not stands(given, facts):
        over = given.until
        if over is not None and over <= facts.at:
            return f"ended on {over:%Y-%m-%d}"
        return "had not been given yet"
    if settings.valid is not None and facts.at >= (over := settings.valid.after(given.granted_at)):
        return f"counted for {settings.valid}, until {over:%Y-%m-%d}"
    if settings.proof and not given.proof:
        return "has no proof on file"
    return None


def loosens(before: Settings, after: Settings) -> bool:
    longer = before.valid is not None and (
        after.valid is None or after.valid.longer_than(before.valid)
    )
    return after.consent != before.consent or longer or (before.proof and not after.proof)
