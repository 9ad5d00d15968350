"""The number shown to the subject: present, of the right country, of the prescribed range."""

from typing import Annotated

from pydantic import Field

from callguard.policy.facts import CallFacts
from callguard.policy.rules import Found, KindSettings, blocked, passed, unknown


class Settings(KindSettings):
    """``anonymous`` and ``foreign`` are whether such caller numbers may be used; ``prefixes``
    (E.164) are the only ones that may, where any are named."""

    anonymous: bool = False
    foreign: bool = True
    prefixes: tuple[Annotated[str, Field(pattern=r"^\+[1-9][0-9]{0,14}$")], ...] = ()


def find(settings: Settings, facts: CallFacts) -> Found:
    caller = facts.caller
    if caller.anonymous:
        return (
            passed("no number is shown")
            if settings.anonymous
            else blocked("no caller number is shown to the subject")
        )
    if caller.e164 is None:
        return unknown("the caller number shown is no full telephone number")
    if settings.prefixes and not caller.e164.startswith(settings.prefixes):
        return blocked(f"the caller number does not begin with {' or '.join(settings.prefixes)}")
    if not settings.foreign and facts.place.region is None:
        return unknown("the subject's country is not known, so neither is a foreign number")
    if not settings.foreign and caller.region != facts.place.region:
        return blocked(
            f"the caller number is of {caller.region}, the subject is in {facts.place.region}"
        )
    return passed(f"a number of {caller.region} is shown")


def loosens(before: Settings, after: Settings) -> bool:
    freer = (after.anonymous and not before.anonymous) or (after.foreign and not before.foreign)
    wider = bool(before.prefixes) and (
        not after.prefixes or not all(p.startswith(before.prefixes) for p in after.prefixes)
    )
    return freer or wider
