"""Calls only within the hours of the day, by the subject's own clock and calendar."""

import re
from collections.abc import Sequence
from datetime import date, datetime
from functools import cached_property, lru_cache
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import holidays
from pydantic import AfterValidator, model_validator

from callguard.policy.facts import CallFacts, local_times
from callguard.policy.rules import Found, KindSettings, blocked, passed, unknown

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_GROUPS = {"daily": DAYS, "weekdays": DAYS[:5], "weekend": DAYS[5:]}
_RANGE = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-4]):([0-5][0-9])", re.ASCII)
MIDNIGHT = 24 * 60

Ranges = tuple[str, ...]
"""Such as ``("10:00-13:00", "14:00-20:00")``: the first minute is within, the last is not."""


def _minutes(text: str) -> tuple[int, int]:
    found = _RANGE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no range of hours such as '08:00-21:00'")
    start, end = int(found[1]) * 60 + int(found[2]), int(found[3]) * 60 + int(found[4])
    if not start < end <= MIDNIGHT:
        raise ValueError(f"{text} ends before it starts")
    return start, end


def _ranges(value: Ranges) -> Ranges:
    ends = 0
    for start, end in sorted(_minutes(text) for text in value):
        if start < ends:
            raise ValueError(f"{', '.join(value)} overlap")
        ends = end
    return value


def _calendar(value: str) -> str:
    country, dash, part = value.partition("-")
    known = holidays.list_supported_countries(include_aliases=False)
    if value and (country not in known or (dash and part not in known[country])):
        raise ValueError(f"there is no calendar of holidays {value!r}")
    return value


def _zone(value: str) -> str:
    if value:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"there is no time zone {value!r}") from error
    return value


class Settings(KindSettings):
    """``hours`` by day (``mon`` to ``sun``) or group of days (``weekdays``, ``weekend``,
    ``daily``), a day by its own name going before its group; a day left out has none.

    ``zone`` is an IANA zone whose clock counts in place of the subject's own.
    ``holidays`` names a calendar: a country (``FR``) or a part of one (``US-AL``);
    ``on_holiday`` are the hours of its days.
    """

    hours: dict[str, Annotated[Ranges, AfterValidator(_ranges)]]
    zone: Annotated[str, AfterValidator(_zone)] = ""
    holidays: Annotated[str, AfterValidator(_calendar)] = ""
    on_holiday: Annotated[Ranges, AfterValidator(_ranges)] = ()

    @model_validator(mode="after")
    def _days_known(self) -> "Settings":
        for day in self.hours:
            if day not in DAYS and day not in _GROUPS:
                raise ValueError(f"{day!r} is no day; known: {', '.join((*DAYS, *_GROUPS))}")
        if self.on_holiday and not self.holidays:
            raise ValueError("on_holiday needs a calendar of holidays")
        return self

    @cached_property
    def week(self) -> "tuple[Hours, ...]":
        """The hours of the seven days, from Monday."""
        return tuple(Hours(self._named(day)) for day in DAYS)

    @cached_property
    def off(self) -> "Hours":
        """The hours of a holiday."""
        return Hours(self.on_holiday)

    @cached_property
    def told(self) -> dict[tuple[int, tuple[str, ...]], Found]:
        """What was found lately, by the minute since 1970 and the zones."""
        return {}

    def _named(self, day: str) -> Ranges:
        if day in self.hours:
            return self.hours[day]
        for group in ("weekdays", "weekend", "daily"):
            if day in _GROUPS[group] and group in self.hours:
                return self.hours[group]
        return ()


WHOLE_MINUTES = 1973
"""Since that year every zone is whole minutes off UTC."""

TOLD = 1_024
"""Most findings that one rule remembers."""

_NO_ZONE = unknown("the subject's time zone is not known")


class Hours:
    """The hours of one day, ready to be asked."""

    def __init__(self, ranges: Ranges) -> None:
        self.minutes = tuple(sorted(map(_minutes, ranges)))
        self.said = " and ".join(ranges)

    def __contains__(self, minute: int) -> bool:
        return any(start <= minute < end for start, end in self.minutes)


def find(settings: Settings, facts: CallFacts) -> Found:
    zones = (settings.zone,) if settings.zone else facts.place.zones
    if not zones:
        return _NO_ZONE
    if facts.at.year < WHOLE_MINUTES:
        return _found(settings, local_times(facts.at, zones))
    sort = (int(facts.at.timestamp()) // 60, zones)
    found = settings.told.get(sort)
    if found is None:
        if len(settings.told) >= TOLD:
            settings.told.clear()
        found = settings.told[sort] = _found(settings, local_times(facts.at, zones))
    return found


def _found(settings: Settings, local: Sequence[datetime]) -> Found:
    for moment in local:
        hours, name = hours_of(settings, moment)
        if moment.hour * 60 + moment.minute not in hours:
            return blocked(_outside(hours, name, moment))
    first = local[0]
    where = f"{first.hour:02}:{first.minute:02} in {first.tzinfo}"
    if len(local) > 1:
        return passed(f"{where}, and within the hours in all {len(local)} possible zones")
    return passed(f"{where} is within {hours.said}")


def hours_of(settings: Settings, moment: date) -> tuple[Hours, str | None]:
    """The hours of a day and, where it is one, the name of the holiday."""
    if settings.holidays:
        name = holiday(settings.holidays, date(moment.year, moment.month, moment.day))
        if name is not None:
            return settings.off, name
    return settings.week[moment.weekday()], None


def _outside(hours: Hours, name: str | None, moment: datetime) -> str:
    day = f"{moment:%A}" + (f", {name}," if name else "")
    where = f"{day} {moment:%Y-%m-%d} {moment:%H:%M} in {moment.tzinfo}"
    if not hours.minutes:
        return f"{where}: no calls on {'that holiday' if name else 'that day'}"
    return f"{where} is outside {hours.said}"


def holiday(calendar: str, day: date) -> str | None:
    """The name of that day in a calendar, if it is a holiday there."""
    return _holidays(calendar, day.year).get(day)


@lru_cache(maxsize=256)
def _holidays(calendar: str, year: int) -> dict[date, str]:
    """One year's holidays."""
    country, _, part = calendar.partition("-")
    return dict(holidays.country_holidays(country, subdiv=part or None, years=year))


def loosens(before: Settings, after: Settings) -> bool:
    if after.zone != before.zone:
        return True
    if before.holidays and after.holidays != before.holidays:
        return True
    # A holiday that was none before can fall on any day of the week.
    instead_of = (before.off,) if before.holidays else before.week if after.holidays else ()
    if not all(_within(after.off, hours) for hours in instead_of):
        return True
    return not all(map(_within, after.week, before.week))


def _within(inner: Hours, outer: Hours) -> bool:
    """Whether every minute of the first is one of the second."""
    return all(minute in outer for start, end in inner.minutes for minute in range(start, end))
