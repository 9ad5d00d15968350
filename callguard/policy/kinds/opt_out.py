"""A subject who opted out is not called."""

from collections.abc import Sequence

from callguard.policy.facts import CallFacts, OptOut
from callguard.policy.rules import Found, KindSettings, blocked, passed, unknown

_CALLS_IN = passed("the subject is the one calling")
_NO_WISH = passed("no opt-out stands")


class Settings(KindSettings):
    """None."""


def find(settings: Settings, facts: CallFacts) -> Found:
    if facts.direction == "inbound":
        return _CALLS_IN
    if not facts.subject.known:
        return unknown("the called number is none that can be looked up")
    if not facts.opt_outs:
        return _NO_WISH
    standing = [wish for wish in facts.opt_outs if wish.covers(facts.purpose, facts.channel)]
    if not standing:
        return _NO_WISH
    return blocked(reason_of(standing))


def reason_of(standing: Sequence[OptOut]) -> str:
    """Why a subject is not called who has these wishes."""
    first = standing[0] if len(standing) == 1 else min(standing, key=lambda wish: wish.since)
    against = f"of tenant {first.tenant}" if first.tenant else "of all tenants"
    when = first.since.isoformat(" ", "minutes")[:16]  # thrice as fast as strftime
    return f"the subject opted out {against} on {when} UTC ({first.way})"
