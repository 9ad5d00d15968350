"""The time zones in which a number may ring, and those of a country or a state."""

from collections.abc import Iterable
from functools import lru_cache
from importlib import resources

import phonenumbers
from phonenumbers import PhoneNumberType
from phonenumbers.tzdata import TIMEZONE_DATA, TIMEZONE_LONGEST_PREFIX

from callguard.policy.area_codes import codes_of

_NOWHERE = "Etc/Unknown"

ALSO_IN = (
    ("617", ("Australia/Brisbane",)),  # Queensland has no summer time
    ("618", ("Australia/Darwin",)),  # nor has the Northern Territory
    ("1807", ("America/Winnipeg",)),  # north-western Ontario
    (
        "1867",
        (
            "America/Whitehorse",
            "America/Inuvik",
            "America/Cambridge_Bay",
            "America/Rankin_Inlet",
            "America/Iqaluit",
        ),
    ),
)
"""Zones that the number data leaves out for a prefix, by the tz database: Canada's territories
share one area code, and some places share another's standard time but not its summer time."""

_KALININGRAD = ("Europe/Bucharest", "Europe/Kaliningrad")
"""The number data's name for the Kaliningrad region's time, which was the same until 2011."""


def zones_of_number(e164: str, country_code: int, kind: int) -> tuple[str, ...]:
    """What phonenumbers' ``time_zones_for_number`` says, mended, without finding the kind a second
    time."""
    if kind == PhoneNumberType.UNKNOWN:
        return ()
    geographical = phonenumbers.is_number_type_geographical(kind, country_code)
    digits = e164[1:] if geographical else str(country_code)
    for length in range(min(TIMEZONE_LONGEST_PREFIX, len(digits)), 0, -1):
        if (found := TIMEZONE_DATA.get(digits[:length])) is not None:
            return _mended(e164[1:], found)
    return ()


def _mended(digits: str, found: Iterable[str]) -> tuple[str, ...]:
    """The zones of a number with those that the data leaves out or calls by another's name."""
    zones = [zone for zone in found if zone != _NOWHERE]
    if digits.startswith("7") and _KALININGRAD[0] in zones:
        zones[zones.index(_KALININGRAD[0])] = _KALININGRAD[1]
    for prefix, also in ALSO_IN:
        if digits.startswith(prefix):
            zones += [zone for zone in also if zone not in zones]
    return tuple(zones)


@lru_cache(maxsize=512)
def zones_of(region: str | None) -> tuple[str, ...]:
    """Every time zone of a country (ISO 3166-1), from the tz database's own table."""
    table = resources.files("tzdata").joinpath("zoneinfo", "zone.tab").read_text("utf-8")
    rows = (line.split("\t") for line in table.splitlines() if not line.startswith("#"))
    return tuple(sorted(row[2] for row in rows if len(row) > 2 and row[0] == region))


@lru_cache(maxsize=64)
def zones_of_state(subdivision: str) -> tuple[str, ...]:
    """The zones of all area codes of a state of the United States; none for other places."""
    codes = {f"1{code}" for code in codes_of(subdivision)}
    found = (zones for prefix, zones in TIMEZONE_DATA.items() if prefix[:4] in codes)
    return tuple(sorted({zone for zones in found for zone in zones}))
