"""Emergency numbers pass before and above everything, and are not recorded."""

from callguard.policy.facts import CallFacts
from callguard.policy.rules import Found, KindSettings, Obligation, Outcome, passed

_NOT_RECORDED = frozenset({Obligation.DO_NOT_RECORD})


_NONE = passed("not an emergency call")


class Settings(KindSettings):
    """None."""


def find(settings: Settings, facts: CallFacts) -> Found:
    if facts.direction == "outbound" and facts.called.emergency:
        reason = f"{facts.called.raw} is an emergency number in {facts.called.region}"
        return Found(Outcome.PASS, reason, _NOT_RECORDED, overrides=True)
    return _NONE
