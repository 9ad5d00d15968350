"""The rules by where they apply, so that a call meets only those that can be about it."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from functools import cached_property
from itertools import pairwise

from pydantic import BaseModel

from callguard.policy.evaluate import judge
from callguard.policy.facts import CallFacts
from callguard.policy.kinds import attempts, cooling_off, registry_freshness
from callguard.policy.period import Period
from callguard.policy.rules import KindSettings, Rule, Verdict

SORTS = 4_096
"""Most sorts of calls whose rules are remembered."""


RINGING = Period(1, "h")
"""Longer than any call rings. A conversation counts from when it was answered, so its call may
have been placed before the window began."""


class Rulebook:
    """A set of rules, immutable. ``about_age`` are those about the age of a registry's list.

    Raises ValueError for two rules of one id.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(sorted(rules, key=lambda rule: rule.id))
        for one, other in pairwise(self.rules):
            if one.id == other.id:
                raise ValueError(f"there are two rules {one.id}")
        everywhere: list[Rule] = []
        somewhere: dict[str, list[Rule]] = defaultdict(list)
        for rule in self.rules:
            for region in rule.scope.regions:
                somewhere[region].append(rule)
            if not rule.scope.regions:
                everywhere.append(rule)
        self._everywhere = tuple(everywhere)
        self._somewhere = {region: tuple(rules) for region, rules in somewhere.items()}
        self.registries = frozenset(
            str(rule.settings.registry) for rule in self.rules if hasattr(rule.settings, "registry")
        )
        self.about_age = tuple(
            rule for rule in self.rules if isinstance(rule.settings, registry_freshness.Settings)
        )
        self._looking_back = {
            rule.id: period for rule in self.rules if (period := looks_back(rule.settings))
        }
        self._furthest = _longest(self._looking_back.values())
        self._by_sort: dict[tuple[object, ...], tuple[Rule, ...]] = {}

    @cached_property
    def digest(self) -> str:
        """Names exactly these rules, wherever it is made."""
        told = [_plain(rule) for rule in self.rules]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()

    def about(self, facts: CallFacts) -> tuple[Rule, ...]:
        """The rules that may be about a call: those of no place, and those of where either party
        is."""
        other = facts.caller if facts.direction == "outbound" else facts.called
        regions = {facts.place.region, other.region, facts.home_region} - {None}
        found = [self._somewhere.get(region or "", ()) for region in regions]
        if sum(map(bool, found)) < 2:
            return (*self._everywhere, *(rule for rules in found for rule in rules))
        return tuple(
            {rule.id: rule for rules in (self._everywhere, *found) for rule in rules}.values()
        )

    def looks_back_to(self, facts: CallFacts) -> datetime | None:
        """From when on earlier attempts were placed that the rules about a call look at; None
        where they look at none."""
        return min(
            (
                RINGING.before(period.before(facts.at))
                for rule in self._reached(facts)
                if (period := self._looking_back.get(rule.id)) and rule.scope.covers(facts)
            ),
            default=None,
        )

    def counts_until(self, moment: datetime) -> datetime:
        """Until when any of these rules may look back at an attempt of that moment."""
        looked = (RINGING.after(period.after(moment)) for period in self._furthest)
        return max(looked, default=moment)

    def decide(self, facts: CallFacts) -> Verdict:
        """The verdict on a call by all these rules."""
        return judge(facts, self._reached(facts))

    def _reached(self, facts: CallFacts) -> tuple[Rule, ...]:
        """Those rules that reach calls of this sort between these places, which are few sorts."""
        other = facts.caller if facts.direction == "outbound" else facts.called
        sort = (
            facts.direction,
            facts.channel,
            facts.purpose,
            facts.place.region,
            facts.place.subdivisions,
            other.region,
            other.subdivisions,
            facts.home_region,
        )
        found = self._by_sort.get(sort)
        if found is None:
            if len(self._by_sort) >= SORTS:
                self._by_sort.clear()
            about = (rule for rule in self.about(facts) if rule.scope.reaches(facts))
            found = self._by_sort[sort] = tuple(sorted(about, key=lambda rule: rule.id))
        return found


def strictest_ages(rules: Iterable[Rule], day: date) -> dict[str, int]:
    """How many days old each registry's list may be, by the strictest of these rules that is in
    force on that day."""
    ages: dict[str, int] = {}
    for rule in rules:
        settings = rule.settings
        if isinstance(settings, registry_freshness.Settings) and rule.in_force(day):
            name, days = settings.registry, settings.max_age_days
            ages[name] = min(days, ages.get(name, days))
    return ages


def looks_back(settings: KindSettings) -> Period | None:
    """How far back a rule with these settings looks at earlier attempts, if it does."""
    if isinstance(settings, attempts.Settings):
        return settings.window
    if isinstance(settings, cooling_off.Settings) and settings.after == "conversation":
        return settings.rest
    return None


def _plain(value: object) -> object:
    """A value as JSON has it. Sets are sorted, because their order differs by process."""
    if isinstance(value, frozenset | set):
        return sorted(json.dumps(_plain(part)) for part in value)
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in sorted(value.items())}
    if isinstance(value, BaseModel):
        return {name: _plain(getattr(value, name)) for name in sorted(type(value).model_fields)}
    if is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value) if f.compare}
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def _longest(periods: Iterable[Period]) -> tuple[Period, ...]:
    """The longest of each unit: which of these is, the calendar decides."""
    longest: dict[str, Period] = {}
    for period in periods:
        known = longest.get(period.unit)
        if known is None or period.count > known.count:
            longest[period.unit] = period
    return tuple(longest.values())
