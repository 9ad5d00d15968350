"""Where processing is restricted, the subject is not called, and not recorded when they call."""

from callguard.policy.facts import CallFacts
from callguard.policy.rules import Found, KindSettings, Obligation, blocked, passed, required

_FREE = passed("processing is not restricted")


class Settings(KindSettings):
    """None."""


def find(settings: Settings, facts: CallFacts) -> Found:
    since = facts.restricted_since
    if since is None or facts.at < since:
        return _FREE
    reason = f"processing of the subject's data is restricted since {since:%Y-%m-%d}"
    if facts.direction == "inbound":
        return required(f"{reason}: not recorded", [Obligation.DO_NOT_RECORD])
    return blocked(reason)
