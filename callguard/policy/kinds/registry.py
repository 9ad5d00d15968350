"""Who stands in a public do-not-call registry is not called."""

from typing import Annotated

from pydantic import Field

from callguard.policy.facts import CallFacts, RegistryAnswer
from callguard.policy.rules import Found, KindSettings, blocked, passed, unknown


class Settings(KindSettings):
    """``registry`` is the name under which the list is imported."""

    registry: Annotated[str, Field(min_length=1)]


def find(settings: Settings, facts: CallFacts) -> Found:
    answer = answer_of(settings.registry, facts)
    if answer is None:
        return unknown(f"registry {settings.registry} is not there to ask")
    dated = f" of {answer.list_date}" if answer.list_date else ""
    if answer.listed is None:
        reason = answer.reason or "the number is outside its coverage"
        return unknown(f"registry {settings.registry}{dated} cannot tell: {reason}")
    if answer.listed:
        return blocked(f"the number is in registry {settings.registry}{dated}")
    return passed(f"the number is not in registry {settings.registry}{dated}")


def answer_of(registry: str, facts: CallFacts) -> RegistryAnswer | None:
    """What that registry said of the subject, if it was asked."""
    return next((a for a in facts.registries if a.registry == registry), None)
