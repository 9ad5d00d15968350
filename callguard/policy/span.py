"""How long a record is kept: years and months by the calendar, then days of the calendar.

A month that has no such day ends on its last one: a year from the 29th of February is over on the
28th. Days are those of the zone in which they are counted, so one with a change of clocks has 23
or 25 hours.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Annotated

from pydantic import GetPydanticSchema
from pydantic_core import core_schema

from callguard.policy.period import Period

_TEXT = re.compile(r"(?:([0-9]{1,3})y)?(?:([0-9]{1,4})mo)?(?:([0-9]{1,5})d)?", re.ASCII)
_LAST = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Span:
    """``12mo``, ``5y``, ``30d``, ``3y14d``; ``0d`` is nothing at all."""

    months: int = 0
    days: int = 0

    @classmethod
    def parse(cls, text: object) -> "Span":
        """Raises ValueError, in one line."""
        if isinstance(text, Span):
            return text
        found = _TEXT.fullmatch(text) if isinstance(text, str) and text else None
        if found is None:
            raise ValueError(
                f"{text!r} is no length of time: years, months and days, such as '12mo', '5y', "
                "'30d' or '3y14d'"
            )
        years, months, days = (int(part or 0) for part in found.groups())
        return cls(12 * years + months, days)

    def after(self, moment: datetime, zone: tzinfo = UTC) -> datetime:
        """The instant at which it is over that began then, in UTC; the last one of all where the
        calendar ends before. ``moment`` is aware."""
        try:
            local = moment.astimezone(zone)
            if self.months:
                local = Period(self.months, "mo").after(local)
            if self.days:
                local += timedelta(days=self.days)
            return local.astimezone(UTC)
        except OverflowError:
            return _LAST

    def before(self, moment: datetime) -> datetime:
        """The moment that lies it before another."""
        back = Period(self.months, "mo").before(moment) if self.months else moment
        return Period(self.days, "d").before(back) if self.days else back

    def may_exceed(self, other: "Span") -> bool:
        """Whether it ends later than the other on some day on which both begin."""
        return any(self.after(day) > other.after(day) for day in _DAYS)

    def __str__(self) -> str:
        years, months = divmod(self.months, 12)
        parts = [f"{years}y"] * (years > 0) + [f"{months}mo"] * (months > 0)
        parts += [f"{self.days}d"] * (self.days > 0 or not parts)
        return "".join(parts)

    def in_words(self) -> str:
        """``12 months and 1 day``."""
        named = [(self.months, "month"), (self.days, "day")]
        words = [f"{n} {name}{'s' if n != 1 else ''}" for n, name in named if n]
        return " and ".join(words) or "0 days"


_FIRST = date(2023, 1, 1)
_DAYS = tuple(
    datetime(day.year, day.month, day.day, tzinfo=UTC)
    for day in (_FIRST + timedelta(days=n) for n in range(4 * 365 + 1))
    if day.day in (1, 28, 29, 30, 31)
)

SpanField = Annotated[
    Span,
    GetPydanticSchema(lambda _, __: core_schema.no_info_plain_validator_function(Span.parse)),
]
"""A length of time in a file or in a tenant's policy, written as text."""
