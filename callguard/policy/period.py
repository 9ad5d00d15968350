"""Lengths of time as statutes count them: months by the calendar, days and hours by the clock."""

import calendar
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import GetPydanticSchema
from pydantic_core import core_schema

_TEXT = re.compile(r"([1-9][0-9]{0,4})(mo|d|h|s)", re.ASCII)
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

    def longer_than(self, other: "Period") -> bool:
        """Whether it is the longer one, counted from any one day."""
        return self.after(_SOME_DAY) > other.after(_SOME_DAY)

    def __str__(self) -> str:
        return f"{self.count} {_WORDS[self.unit]}{'s' if self.count != 1 else ''}"


_SOME_DAY = datetime(2026, 1, 1)  # noqa: DTZ001 - only differences from it mean anything


def _months_on(moment: datetime, months: int) -> datetime:
    """The same day so many months on; the last day of the month where that has no such day."""
    years, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    last = calendar.monthrange(years, month + 1)[1]
    return moment.replace(year=years, month=month + 1, day=min(moment.day, last))


PeriodField = Annotated[
    Period,
    GetPydanticSchema(lambda _, __: core_schema.no_info_plain_validator_function(Period.parse)),
]
"""A period in the settings of a rule, written as text."""
