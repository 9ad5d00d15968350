"""What becomes of each record of a tenant whose contract ends. Pure.

Of all that was promised the shortest counts: the record's own time, and what the tenant was
promised for the end. Only where the law wants a record longer it does not go wholly: the fields
that the law asks for move to a sealed archive, with the citation and an end, and the rest keeps the
promise. Recordings cannot be cut down to fields: they stay sealed as they are until that end.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from callguard.policy.limits import RetentionLimit, bounds
from callguard.retention.at_end import Action, at_end_of
from callguard.retention.classes import CLASSES
from callguard.retention.schedule import RecordFacts, concerns
from callguard.tenants.keeping import zone_of
from callguard.tenants.tenant import Tenant

Done = Literal["delete", "keep", "archive"]

AT_ONCE = ("list",)
"""Classes that go with the contract itself: lists, as credentials do (Cellact 3.8)."""

LATER = ("synced", "upload")
"""Origins of contacts that go with it too: nothing is left of what was synchronised (Quicktalk
Annex A) or uploaded (Cellact 3.8)."""


@dataclass(frozen=True, slots=True)
class Promise:
    """What a tenant was promised for one data class. ``gone_at`` is from when on nothing is left
    in its place; ``acts_at`` when rows that are archived leave their table."""

    data_class: str
    action: Action
    acts_at: datetime
    gone_at: datetime
    basis: str = ""


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one record: it is gone ``at`` that instant; with ``archive``, ``fields`` of
    it (none is all) lie sealed until ``until``."""

    done: Done
    at: datetime
    until: datetime | None = None
    basis: str = ""
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the plan: so many records of a class, what becomes of them, when the last of
    them goes, and why. ``count`` is None where it is not rows that are counted."""

    data_class: str
    count: int | None
    action: str
    at: datetime
    basis: str = ""

    def as_json(self) -> dict[str, object]:
        return {
            "class": self.data_class,
            "count": self.count,
            "action": self.action,
            "date": self.at.isoformat(timespec="seconds"),
            "basis": self.basis,
        }


def promises(tenant: Tenant, ends_at: datetime) -> dict[str, Promise]:
    """The promise for each data class: what the tenant chose for the end; where nothing, what the
    class says. Raises ValueError where a choice has no basis or no end."""
    zone = zone_of(tenant)
    found = {}
    for name, data_class in CLASSES.items():
        if name in AT_ONCE:
            found[name] = Promise(name, "delete", ends_at, ends_at)
            continue
        choice = tenant.at_end.get(name)
        if choice is None:
            choice = at_end_of(name)
        else:
            choice.check()
        gone_at = choice.gone_at(ends_at, zone)
        acts_at = gone_at
        if choice.action == "archive":
            acts_at = min(gone_at, data_class.at_end.after(ends_at, zone))
        found[name] = Promise(name, choice.action, acts_at, gone_at, choice.basis)
    return found


def fate(
    promise: Promise,
    facts: RecordFacts,
    floors: Iterable[RetentionLimit],
    expires_at: datetime | None,
    now: datetime,
    *,
    whole: bool = False,
) -> Fate:
    """What becomes of a record. ``floors`` are those of its class; ``expires_at`` is its own time,
    ``whole`` is whether it cannot be cut down to fields. ``now`` says which laws are in force."""
    gone_at = promise.gone_at if expires_at is None else min(promise.gone_at, expires_at)
    asking = [
        (limit, limit.span.after(facts.since, facts.zone))
        for limit in floors
        if facts.since is not None and concerns(limit, promise.data_class, facts, now)
    ]
    longer = [(limit, until) for limit, until in asking if until > gone_at]
    law = "; ".join(sorted({limit.citation for limit, _ in longer}))
    until = max((until for _, until in longer), default=gone_at)
    if whole or promise.action == "keep":
        basis = "; ".join(filter(None, (promise.basis, law)))
        kept = bool(longer) or promise.action == "keep"
        return Fate("keep" if kept else "delete", until, None, basis if kept else "")
    if promise.action == "archive" and gone_at > promise.acts_at:
        basis = "; ".join(filter(None, (promise.basis, law)))
        return Fate("archive", promise.acts_at, until, basis, _fields(limit for limit, _ in asking))
    if longer:
        return Fate("archive", gone_at, until, law, _fields(limit for limit, _ in longer))
    return Fate("delete", gone_at)


def floors_of(tenant: Tenant, data_class: str) -> tuple[RetentionLimit, ...]:
    """The law's floors that can be about the tenant's records of a class."""
    return bounds(tenant.limits, "floor", data_class)


def _fields(limits: Iterable[RetentionLimit]) -> tuple[str, ...]:
    """What all of these together ask for; none where one of them asks for all, or none asks."""
    found = list(limits)
    if any(not limit.minimum for limit in found):
        return ()
    return tuple(sorted({name for limit in found for name in limit.minimum}))


class Tally:
    """Counts fates into the lines of a plan, in bounded memory."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, str, str, tuple[int, int]], tuple[int, datetime]] = {}

    def add(self, data_class: str, what: Fate) -> None:
        """One record more."""
        at = what.until or what.at
        month = (at.year, at.month) if what.done == "archive" else (0, 0)
        key = (data_class, what.done, what.basis, month)
        count, latest = self._lines.get(key, (0, at))
        self._lines[key] = (count + 1, max(latest, at))

    def steps(self) -> list[Step]:
        """In the order of the classes."""
        order = {name: place for place, name in enumerate(CLASSES)}
        found = [
            Step(data_class, count, done, at, basis)
            for (data_class, done, basis, _), (count, at) in self._lines.items()
        ]
        return sorted(found, key=lambda one: (order[one.data_class], one.at, one.action))


def plan(
    ending: Mapping[str, Promise], tally: Tally, ends_at: datetime, *, returned: bool
) -> list[Step]:
    """The plan of a termination: what happens on the day, then each class, then the keys. A class
    without a record has its line too: the promise is about what comes until the day."""
    steps = [Step("access", None, "ends", ends_at)]
    if returned:
        steps.append(Step("export", None, "return", ends_at, "the tenant's choice"))
    steps.append(Step("credentials", None, "delete", ends_at, "with the contract"))
    counted = tally.steps()
    for name, promise in ending.items():
        lines = [one for one in counted if one.data_class == name]
        if not lines and name not in ("audit", "archive", "case"):
            count = 0 if CLASSES[name].kept_in == "rows" and name != "account" else None
            lines = [Step(name, count, promise.action, promise.gone_at, promise.basis)]
        steps += lines
    last = max((one.at for one in steps if one.action != "archive"), default=ends_at)
    steps.append(Step("keys", None, "destroy", last, "when nothing sealed with them is left"))
    return steps
