"""What is to be said of a set of rules as a whole: how much of it is verified, and whether rules
that are versions of one demand follow one another without doubling it or leaving it out."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import combinations

from callguard.policy.rules import Rule
from callguard.policy.scope import Scope

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two rules of one series that are about the same calls on the same days. ``until`` is None
    where neither ends."""

    series: str
    rules: tuple[str, str]
    since: date
    until: date | None

    def __str__(self) -> str:
        until = f"until {self.until}" if self.until else "without end"
        both = " and ".join(self.rules)
        return f"series {self.series}: {both} overlap from {self.since} {until}"


@dataclass(frozen=True, slots=True)
class Gap:
    """Days between two rules of a series on which none is in force; both ends included."""

    series: str
    rules: tuple[str, str]
    since: date
    until: date

    def __str__(self) -> str:
        before, after = self.rules
        days = f"from {self.since} until {self.until}"
        return f"series {self.series}: nothing is in force between {before} and {after}, {days}"


@dataclass(frozen=True, slots=True)
class Review:
    """The figures of a set of rules, and where its series do not fit together."""

    rules: int
    verified: int
    overlaps: tuple[Overlap, ...] = ()
    gaps: tuple[Gap, ...] = ()

    @property
    def unverified(self) -> int:
        return self.rules - self.verified

    @property
    def sound(self) -> bool:
        """Whether every series follows on without overlap or gap."""
        return not (self.overlaps or self.gaps)


def review(rules: Iterable[Rule]) -> Review:
    """Looks at the rules as a whole; their order does not matter."""
    ordered = sorted(rules, key=lambda rule: (rule.effective_from, rule.id))
    series: dict[str, list[Rule]] = defaultdict(list)
    for rule in ordered:
        if rule.series:
            series[rule.series].append(rule)
    return Review(
        rules=len(ordered),
        verified=sum(rule.status == "verified" for rule in ordered),
        overlaps=tuple(o for name in sorted(series) for o in _overlaps(name, series[name])),
        gaps=tuple(g for name in sorted(series) for g in _gaps(name, series[name])),
    )


def _overlaps(series: str, rules: list[Rule]) -> list[Overlap]:
    found = []
    for first, second in combinations(rules, 2):
        since = second.effective_from
        if first.in_force(since) and meet(first.scope, second.scope):
            ends = [e for e in (first.effective_to, second.effective_to) if e is not None]
            until = min(ends, default=None)
            found.append(Overlap(series, (first.id, second.id), since, until))
    return found


def _gaps(series: str, rules: list[Rule]) -> list[Gap]:
    found = []
    for rule in rules:
        if rule.effective_to is None or rule.effective_to == date.max:
            continue
        since = rule.effective_to + _DAY
        kin = [other for other in rules if other is not rule and meet(rule.scope, other.scope)]
        later = [other for other in kin if other.effective_from > since]
        if later and not any(other.in_force(since) for other in kin):
            after = later[0]  # the rules come in the order in which they take effect
            found.append(Gap(series, (rule.id, after.id), since, after.effective_from - _DAY))
    return found


def meet(one: Scope, other: Scope) -> bool:
    """Whether there is a call, its place known, that both scopes cover.

    Where one of them counts either end of a call, the two places can be those of its two ends.
    """
    anywhere = "either" in (one.ends, other.ends)
    return all(
        not mine or not theirs or mine & theirs
        for mine, theirs in (
            (frozenset(), frozenset()) if anywhere else (one.regions, other.regions),
            (frozenset(), frozenset()) if anywhere else (one.subdivisions, other.subdivisions),
            (one.directions, other.directions),
            (one.purposes, other.purposes),
            (one.channels, other.channels),
            (one.subjects, other.subjects),
            (one.lines, other.lines),
            (one.diallers, other.diallers),
            (one.tenants, other.tenants),
        )
    )
