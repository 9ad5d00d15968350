"""A registry counts only so long after the date that its list bears."""

from typing import Annotated

from pydantic import Field

from callguard.policy.facts import CallFacts
from callguard.policy.kinds.registry import answer_of
from callguard.policy.rules import Found, KindSettings, blocked, passed, unknown


class Settings(KindSettings):
    """``max_age_days`` counts whole days from the list's own date."""

    registry: Annotated[str, Field(min_length=1)]
    max_age_days: Annotated[int, Field(ge=0)]


def find(settings: Settings, facts: CallFacts) -> Found:
    answer = answer_of(settings.registry, facts)
    if answer is None or answer.list_date is None:
        return unknown(f"registry {settings.registry} is not there to ask")
    age = (max(facts.days) - answer.list_date).days
    said = f"the list of {settings.registry} is of {answer.list_date}, {age} days old"
    if age < 0:
        return unknown(f"{said}: it is dated after the call")
    if age > settings.max_age_days:
        return blocked(f"{said}; at most {settings.max_age_days} are allowed")
    return passed(f"{said}; {settings.max_age_days} are allowed")


def loosens(before: Settings, after: Settings) -> bool:
    return after.max_age_days > before.max_age_days or after.registry != before.registry
