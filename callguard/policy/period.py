"""Lengths of time as statutes count them: months by the calendar, days and hours by the clock."""

import calendar
import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Annotated

from pydantic import GetPydanticSchema
from pydantic_core import core_schema

_TEXT = re.compile(r"([1-9][0-9]{0,4})(mo|d|h|s)", re.ASCII)
_CYCLE_MONTHS = 400 * 12
_CYCLE_DAYS = 146_097
_WORDS = {"mo": "month", "d": "day", "h": "hour", "s": "second"}


@dataclass(frozen=True, slots=True)
class Period:
    """``18mo``, ``30d``, ``24h`` or ``10s``: one number of one unit."""

    count: int
    unit: str

    @classmethod
    def parse(cls, text: object) -> "Period":
        """Raises ValueError, in one line."""
        if isinstance(text, Period):
            return text
        found = _TEXT.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            raise ValueError(f"{text!r} is no period: a number with mo, d, h or s, such as '30d'")
        return cls(int(found[1]), found[2])

    def before(self, moment: datetime) -> datetime:
        """The moment that lies this period before another."""
        return self._moved(moment, -1)

    def after(self, moment: datetime) -> datetime:
        """The moment at which the period that began then is over."""
        return self._moved(moment, 1)

    def _moved(self, moment: datetime, sign: int) -> datetime:
        try:
            match self.unit:
                case "mo":
                    return _months_on(moment, sign * self.count)
                case "d":
                    return moment + timedelta(days=sign * self.count)
                case "h":
                    return moment + timedelta(hours=sign * self.count)
                case _:
                    return moment + timedelta(seconds=sign * self.count)
        except (OverflowError, ValueError):  # beyond what dates can say
            year, month, day = (9999, 12, 31) if sign > 0 else (1, 1, 1)
            return moment.replace(year=year, month=month, day=day)

    def out_of_reach(self, moment: datetime) -> datetime:
        """When ``before`` reaches back no further than to that moment. With months this can be
        later than ``after``: from the 28th of February it reaches to the 28th of January only."""
        after = self.after(moment)
        return after if self.before(after) >= moment else _ONE_DAY.after(after)

    def longer_than(self, other: "Period") -> bool:
        """Whether it may be the longer one: whether it is, counted from one day at least."""
        if self.unit == "mo" == other.unit:
            return self.count > other.count
        return self.span()[1] > other.span()[0]

    def span(self) -> tuple[timedelta, timedelta]:
        """The least and the most that it comes to."""
        match self.unit:
            case "mo":
                return _months_span(self.count)
            case "d":
                exact = timedelta(days=self.count)
            case "h":
                exact = timedelta(hours=self.count)
            case _:
                exact = timedelta(seconds=self.count)
        return exact, exact

    def __str__(self) -> str:
        return f"{self.count} {_WORDS[self.unit]}{'s' if self.count != 1 else ''}"


def _months_on(moment: datetime, months: int) -> datetime:
    """The same day so many months on; the last day of the month where that has no such day."""
    years, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    last = calendar.monthrange(years, month + 1)[1]
    return moment.replace(year=years, month=month + 1, day=min(moment.day, last))


_ONE_DAY = Period(1, "d")


@lru_cache
def _months_span(count: int) -> tuple[timedelta, timedelta]:
    """The shortest and the longest that so many months can be. The calendar repeats itself every
    400 years, and the first days of months show every length there is."""
    cycles, months = divmod(count, _CYCLE_MONTHS)
    firsts = [date(2000 + m // 12, m % 12 + 1, 1) for m in range(_CYCLE_MONTHS + months)]
    spans = [end - start for start, end in zip(firsts, firsts[months:], strict=False)]
    whole = timedelta(days=cycles * _CYCLE_DAYS)
    return whole + min(spans), whole + max(spans)


PeriodField = Annotated[
    Period,
    GetPydanticSchema(lambda _, __: core_schema.no_info_plain_validator_function(Period.parse)),
]
"""A period in the settings of a rule, written as text."""
