"""Which calls a rule is about."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import product
from typing import ClassVar, Literal

from phonenumbers import SUPPORTED_REGIONS
from pydantic import ConfigDict

from callguard.policy.facts import (
    CHANNELS,
    DIRECTIONS,
    PURPOSES,
    CallFacts,
    Channel,
    Dialler,
    Direction,
    Purpose,
    SubjectKind,
)
from callguard.policy.numbers import LINES

_NOWHERE_LAND = "001"
"""The region of numbers that belong to no country."""

_REGIONS = frozenset(SUPPORTED_REGIONS) | {_NOWHERE_LAND}
_SUBDIVISION = re.compile(r"[A-Z]{2}-[A-Z0-9]{1,3}", re.ASCII)
_NONE: frozenset[str] = frozenset()
_OUTBOUND: frozenset[Direction] = frozenset({"outbound"})
_VOICE: frozenset[Channel] = frozenset({"voice"})


def check_regions(codes: Iterable[str]) -> None:
    """Raises ValueError for what is no region (ISO 3166-1) that a number can be of: a rule about
    it would never apply."""
    for code in sorted(codes):
        if code not in _REGIONS:
            raise ValueError(f"{code!r} is no ISO 3166 code of a country")


@dataclass(frozen=True, slots=True)
class Scope:
    """Every condition must hold; an empty one holds always.

    ``regions`` (ISO 3166-1) and ``subdivisions`` (ISO 3166-2) are where the subject is or, with
    ``ends = "either"``, where either party is: the tenant is where its number is, and at home. A
    party of whom no subdivision is known is taken
    to be in each of them; a subject of unknown ``subjects`` kind to be a consumer.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    regions: frozenset[str] = _NONE
    subdivisions: frozenset[str] = _NONE
    ends: Literal["subject", "either"] = "subject"
    directions: frozenset[Direction] = _OUTBOUND
    purposes: frozenset[Purpose] = frozenset()
    channels: frozenset[Channel] = _VOICE
    subjects: frozenset[SubjectKind] = frozenset()
    lines: frozenset[str] = _NONE
    diallers: frozenset[Dialler] = frozenset()
    tenants: frozenset[str] = _NONE
    calls: frozenset[tuple[str, str, str]] = field(init=False, repr=False, compare=False)
    more: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_regions(self.regions)
        for code in sorted(self.subdivisions):
            if _SUBDIVISION.fullmatch(code) is None:
                raise ValueError(f"{code!r} is no ISO 3166 code of a subdivision")
        countries = {code[:2] for code in self.subdivisions}
        if countries and countries != self.regions:
            raise ValueError("the subdivisions are to be of the regions, some of each")
        if strange := sorted(self.lines - set(LINES)):
            raise ValueError(f"{strange[0]!r} is no kind of line; known: {', '.join(LINES)}")
        # What is asked of every rule for every call is asked in one look.
        calls = product(
            self.directions or DIRECTIONS, self.channels or CHANNELS, self.purposes or PURPOSES
        )
        object.__setattr__(self, "calls", frozenset(calls))
        more = bool(self.subjects or self.lines or self.diallers or self.tenants)
        object.__setattr__(self, "more", more)

    def covers(self, facts: CallFacts) -> bool:
        """Whether the rule is about this call."""
        return self.reaches(facts) and (not self.more or self._further(facts))

    def reaches(self, facts: CallFacts) -> bool:
        """Whether the rule is about calls of this direction, channel and purpose between the
        places of this one."""
        return (facts.direction, facts.channel, facts.purpose) in self.calls and (
            not self.regions or self._somewhere(facts)
        )

    def _somewhere(self, facts: CallFacts) -> bool:
        place = facts.place
        if place.region in self.regions and self._within(place.subdivisions):
            return True
        if self.ends == "subject":
            return False
        other = facts.caller if facts.direction == "outbound" else facts.called
        if other.region in self.regions and self._within(other.subdivisions):
            return True
        # Who speaks for the tenant is at home, whatever number is shown.
        return facts.home_region != other.region and facts.home_region in self.regions

    def _within(self, subdivisions: tuple[str, ...]) -> bool:
        if not self.subdivisions or not subdivisions:
            return True
        return any(one in self.subdivisions for one in subdivisions)

    def _further(self, facts: CallFacts) -> bool:
        kind = "consumer" if facts.subject_kind == "unknown" else facts.subject_kind
        return (
            (not self.subjects or kind in self.subjects)
            and (not self.lines or facts.subject.line in self.lines)
            and (not self.diallers or facts.dialler in self.diallers)
            and (not self.tenants or facts.tenant in self.tenants)
        )
