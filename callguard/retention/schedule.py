"""The instant at which a record must be gone. Pure.

A tenant's policy says how long; floors and ceilings are the law's. A ceiling shortens, a floor
lengthens, and where one law forbids what another demands, the record is kept: a record that is
gone cannot be produced.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from callguard.policy.limits import RetentionLimit
from callguard.policy.span import Span

Keep = Callable[[datetime], datetime | None]
"""Until when a record is kept whose time counts from that instant; None is no end yet."""


@dataclass(frozen=True, slots=True)
class RecordFacts:
    """What the law asks of a record. ``since`` is the instant that its data class names; None for
    one that has not come yet (a contract that goes on). Regions are ISO 3166; "" is not known.
    ``zone`` is where its days are counted; ``gone_at`` when the end of the tenant's contract takes
    it away, if that is known."""

    since: datetime | None
    tenant_region: str = ""
    operator: bool = False
    subject_region: str = ""
    purpose: str = ""
    direction: str = ""
    zone: tzinfo = UTC
    gone_at: datetime | None = None


def schedule(
    data_class: str,
    facts: RecordFacts,
    policy: Span | None,
    floors: Sequence[RetentionLimit],
    ceilings: Sequence[RetentionLimit],
    now: datetime,
) -> datetime | None:
    """From when on the record is hidden and due to be purged; None where no date is known yet.
    ``now`` says which laws are in force."""
    if facts.since is None:
        return None
    due = None if policy is None else policy.after(facts.since, facts.zone)
    if facts.gone_at is not None:  # what a law wants longer stays until it is archived
        due = facts.gone_at if due is None else min(due, facts.gone_at)
    for limit in ceilings:
        if concerns(limit, data_class, facts, now):
            latest = limit.span.after(facts.since, facts.zone)
            due = latest if due is None else min(due, latest)
    for limit in floors:
        if due is not None and concerns(limit, data_class, facts, now):
            due = max(due, limit.span.after(facts.since, facts.zone))
    return due


def concerns(limit: RetentionLimit, data_class: str, facts: RecordFacts, now: datetime) -> bool:
    """Whether a limit is about such a record. Of one whose purpose or direction is not known, a
    floor is, and a ceiling is not."""
    if limit.data_class != data_class or not limit.in_force(now):
        return False
    if limit.operators_only and not facts.operator:
        return False
    if not _is_there(limit, facts):
        return False
    wanted = ((facts.purpose, limit.purposes), (facts.direction, limit.directions))
    return all(
        value in among if value else limit.bound == "floor" for value, among in wanted if among
    )


def _is_there(limit: RetentionLimit, facts: RecordFacts) -> bool:
    if not limit.regions:
        return True
    if limit.whose != "subject" and facts.tenant_region in limit.regions:
        return True
    if limit.whose == "tenant":
        return False
    return facts.subject_region in limit.regions


def for_days(days: int) -> Keep:
    """So many days of 24 hours, whatever the law says: for what no law speaks of."""

    def keep(since: datetime) -> datetime:
        try:
            return since + timedelta(days=days)
        except OverflowError:
            return datetime.max.replace(tzinfo=since.tzinfo)

    return keep


def later(*moments: datetime | None) -> datetime | None:
    """The latest; None, which is no end, is later than any."""
    known = [moment for moment in moments if moment is not None]
    return max(known) if len(known) == len(moments) else None
