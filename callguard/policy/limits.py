"""Floors and ceilings: how long the law wants a record kept, and how long it lets it be. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from callguard.policy.rules import Status
from callguard.policy.span import Span

Bound = Literal["floor", "ceiling"]
Whose = Literal["tenant", "subject", "either"]


@dataclass(frozen=True, slots=True)
class RetentionLimit:
    """One demand of the law on one data class, as a pack has it.

    It is about records of a tenant at home in ``regions``, of a subject whose number belongs
    there, or of either (``whose``); of these ``purposes`` and ``directions`` where any are named;
    and, with ``operators_only``, of a tenant that is by law an operator of telephone networks.
    ``minimum`` are the fields of the record that a floor asks for; none is all of them.
    """

    id: str
    bound: Bound
    data_class: str
    span: Span
    title: str
    citation: str
    effective_from: date
    effective_to: date | None = None
    status: Status = "unverified"
    verified_on: date | None = None
    source: str = ""
    regions: frozenset[str] = frozenset()
    whose: Whose = "tenant"
    purposes: frozenset[str] = frozenset()
    directions: frozenset[str] = frozenset()
    operators_only: bool = False
    minimum: tuple[str, ...] = ()

    def in_force(self, moment: datetime) -> bool:
        """Whether it is law on that day."""
        day = moment.date()
        return self.effective_from <= day and (
            self.effective_to is None or day <= self.effective_to
        )

    def may_concern(self, home_region: str, *, operator: bool) -> bool:
        """Whether it can be about any record of a tenant that is at home there."""
        if self.operators_only and not operator:
            return False
        return not self.regions or self.whose != "tenant" or home_region in self.regions

    def concerns_all(self, home_region: str, *, operator: bool) -> bool:
        """Whether it is about every record of the class that such a tenant has."""
        return (
            self.may_concern(home_region, operator=operator)
            and not self.purposes
            and not self.directions
            and (not self.regions or (self.whose != "subject" and home_region in self.regions))
        )


def bounds(
    limits: Sequence[RetentionLimit], bound: Bound, data_class: str
) -> tuple[RetentionLimit, ...]:
    """Those of one kind on one data class."""
    return tuple(one for one in limits if one.bound == bound and one.data_class == data_class)
