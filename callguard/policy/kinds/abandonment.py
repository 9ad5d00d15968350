"""A campaign whose dialler leaves too many people with nobody on the line places no more calls."""

from typing import Annotated

from pydantic import Field

from callguard.policy.facts import CallFacts
from callguard.policy.period import PeriodField
from callguard.policy.rules import Found, KindSettings, blocked, passed, unknown


class Settings(KindSettings):
    """At most ``max_percent`` of the live calls answered in ``window``, which is counted in whole
    days; with fewer than ``least`` of them no share is told."""

    max_percent: Annotated[float, Field(gt=0, lt=100)]
    window: PeriodField
    least: Annotated[int, Field(ge=1)] = 100


def find(settings: Settings, facts: CallFacts) -> Found:
    if facts.campaign is None:
        return unknown("a machine dials for no campaign, so nothing is counted")
    if facts.figures is None:
        return unknown(f"how many calls campaign {facts.campaign} abandoned is not known")
    since = settings.window.before(facts.at).date()
    days = [day for day in facts.figures if since < day.day <= facts.at.date()]
    answered = sum(day.answered for day in days)
    abandoned = sum(day.abandoned for day in days)
    said = f"{abandoned} of {answered} answered calls abandoned in {settings.window}"
    if answered < settings.least:
        return passed(f"{said}: too few to tell a share")
    share = 100 * abandoned / answered
    said = f"{said} ({share:.2f} %), {settings.max_percent:g} % are allowed"
    return blocked(said) if share > settings.max_percent else passed(said)


def loosens(before: Settings, after: Settings) -> bool:
    return (
        after.max_percent > before.max_percent
        or after.window != before.window
        or after.least > before.least
    )
