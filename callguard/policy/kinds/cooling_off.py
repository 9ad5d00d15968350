"""After a refusal, or after a conversation, the subject is left alone for a while."""

from datetime import UTC, datetime
from typing import Literal

from callguard.policy.facts import CallFacts, local_times
from callguard.policy.kinds.attempts import same
from callguard.policy.period import PeriodField
from callguard.policy.rules import Found, KindSettings, blocked, passed, unknown


class Settings(KindSettings):
    """``after`` is what begins the rest of ``rest``; ``per`` which calls it holds back: all of
    the tenant's, those of the same campaign, or (for conversations) about the same debt."""

    after: Literal["refusal", "conversation"]
    rest: PeriodField
    per: Literal["tenant", "campaign", "debt"] = "tenant"


def find(settings: Settings, facts: CallFacts) -> Found:
    began = _moments(settings, facts)
    if began is None:
        return unknown("earlier calls cannot be told: the counters cannot be reached")
    last = max((moment for moment in began if moment <= facts.at), default=None)
    if last is None:
        return passed(f"no {settings.after} is known")
    over = _over(settings, last, facts)
    said = f"{settings.after} on {last:%Y-%m-%d %H:%M} UTC, {settings.rest} of rest"
    if facts.at < over:
        return blocked(f"{said} last until {over:%Y-%m-%d %H:%M} UTC")
    return passed(f"{said} ended on {over:%Y-%m-%d %H:%M} UTC")


def _over(settings: Settings, last: datetime, facts: CallFacts) -> datetime:
    """When the rest ends. After a refusal its days are also counted by the clocks of the subject,
    and the later end holds: one of them is an hour longer in autumn. Conversations are looked
    for no further back than the period itself."""
    ends = [settings.rest.after(last)]
    if settings.after == "refusal":
        local = local_times(last, facts.place.zones)
        ends += [settings.rest.after(moment).astimezone(UTC) for moment in local]
    return max(ends)


def _moments(settings: Settings, facts: CallFacts) -> list[datetime] | None:
    if settings.after == "refusal":
        return [
            refusal.at
            for refusal in facts.refusals
            if settings.per != "campaign" or refusal.campaign == facts.campaign
        ]
    if facts.attempts is None:
        return None
    return [
        attempt.answered_at
        for attempt in facts.attempts
        if attempt.answered_at is not None and same(settings.per, attempt, facts)
    ]


def loosens(before: Settings, after: Settings) -> bool:
    wider = after.per in (before.per, "tenant")
    return before.rest.longer_than(after.rest) or after.after != before.after or not wider
