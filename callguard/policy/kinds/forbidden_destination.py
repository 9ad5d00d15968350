"""Numbers that are not to be dialled: kinds of line, and countries."""

from pydantic import field_validator

from callguard.policy.facts import CallFacts
from callguard.policy.numbers import LINES
from callguard.policy.rules import Found, KindSettings, blocked, passed, unknown
from callguard.policy.scope import check_regions


class Settings(KindSettings):
    """``lines`` are forbidden kinds of line, ``regions`` forbidden countries (ISO 3166-1);
    ``only_regions`` are the only ones that may be called, where any are named."""

    lines: frozenset[str] = frozenset()
    regions: frozenset[str] = frozenset()
    only_regions: frozenset[str] = frozenset()

    @field_validator("lines")
    @classmethod
    def _known(cls, value: frozenset[str]) -> frozenset[str]:
        if strange := sorted(value - set(LINES)):
            raise ValueError(f"{strange[0]!r} is no kind of line; known: {', '.join(LINES)}")
        return value

    @field_validator("regions", "only_regions")
    @classmethod
    def _countries(cls, value: frozenset[str]) -> frozenset[str]:
        check_regions(value)
        return value


def find(settings: Settings, facts: CallFacts) -> Found:
    called = facts.called
    if not called.known:
        return unknown("the called number belongs to no numbering plan that is known")
    if called.line in settings.lines:
        return blocked(f"the called number is a {called.line} number")
    if called.region in settings.regions:
        return blocked(f"{called.region} is a country that may not be called")
    if settings.only_regions and called.region not in settings.only_regions:
        allowed = ", ".join(sorted(settings.only_regions))
        return blocked(f"{called.region or 'the number'} is outside {allowed}")
    return passed(f"a {called.line} number of {called.region} may be called")


def loosens(before: Settings, after: Settings) -> bool:
    fewer = not (before.lines <= after.lines and before.regions <= after.regions)
    only = bool(before.only_regions) and not (
        after.only_regions and after.only_regions <= before.only_regions
    )
    return fewer or only
