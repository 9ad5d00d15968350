"""So many calls to one subject in a rolling window, and no more."""

from datetime import UTC, datetime
from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field

from callguard.policy.facts import Attempt, CallFacts, Purpose
from callguard.policy.period import PeriodField
from callguard.policy.rules import Found, KindSettings, blocked, passed, unknown

_NEVER = datetime.min.replace(tzinfo=UTC)

Per = Literal["subject", "tenant", "campaign", "debt"]


_WHOSE = {
    "subject": "by anybody",
    "tenant": "by the tenant",
    "campaign": "of the campaign",
    "debt": "about the debt",
}


class Settings(KindSettings):
    """At most ``limit`` in ``window``, this call included.

    ``per`` is whose calls count: anybody's to the subject, the tenant's, those of the same
    campaign, or those about the same debt. ``count`` says whether each call counts or only those
    that became a conversation. ``purposes`` are those that count; empty means all.
    """

    limit: Annotated[int, Field(ge=0, le=1_000)]
    window: PeriodField
    per: Per = "tenant"
    count: Literal["calls", "conversations"] = "calls"
    purposes: frozenset[Purpose] = frozenset()

    def said(self, number: int) -> str:
        """How many were counted, beside what is allowed."""
        counted = f"{number} {self.count} {_WHOSE[self.per]} in {self.window}"
        return f"{counted}, {self.limit} are allowed"

    @cached_property
    def none_yet(self) -> Found:
        """What is found where nothing was counted."""
        return passed(self.said(0)) if self.limit else blocked(self.said(0))


def find(settings: Settings, facts: CallFacts) -> Found:
    if facts.attempts is None:
        return unknown("earlier calls cannot be counted: the counters cannot be reached")
    if not facts.attempts:
        return settings.none_yet
    since = settings.window.before(facts.at)
    counted = [
        attempt
        for attempt in facts.attempts
        if attempt.channel == facts.channel
        and since < _moment(attempt, settings) <= facts.at
        and (not settings.purposes or attempt.purpose in settings.purposes)
        and same(settings.per, attempt, facts)
    ]
    said = settings.said(len(counted))
    if len(counted) < settings.limit:
        return passed(said)
    if not settings.limit:
        return blocked(said)
    moments = sorted(_moment(attempt, settings) for attempt in counted)
    frees = settings.window.out_of_reach(moments[-settings.limit])
    return blocked(f"{said}; the next may be placed after {frees:%Y-%m-%d %H:%M} UTC")


def _moment(attempt: Attempt, settings: Settings) -> datetime:
    if settings.count == "calls":
        return attempt.at
    return attempt.answered_at or _NEVER


def same(per: Per, attempt: Attempt, facts: CallFacts) -> bool:
    """Whether an attempt counts for this call. A call about no campaign or debt in particular
    counts with all of the tenant's that name none, and so does one with another."""
    if per == "subject":
        return True
    if attempt.tenant != facts.tenant:
        return False
    if per == "campaign":
        return attempt.campaign == facts.campaign
    return per == "tenant" or attempt.debt == facts.debt


def loosens(before: Settings, after: Settings) -> bool:
    same_count = (before.per, before.count) == (after.per, after.count)
    return (
        after.limit > before.limit
        or before.window.longer_than(after.window)
        or not (same_count and _counts_all_of(before, after))
    )


def _counts_all_of(before: Settings, after: Settings) -> bool:
    return not after.purposes or (bool(before.purposes) and before.purposes <= after.purposes)
