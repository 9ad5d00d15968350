"""Where a subject is taken to be, from their number and from what the tenant knows of them."""

from functools import lru_cache
from importlib import resources

from phonenumbers.tzdata import TIMEZONE_DATA

from callguard.policy.area_codes import codes_of
from callguard.policy.facts import Place
from callguard.policy.numbers import Number


def place_of(
    number: Number,
    *,
    region: str | None = None,
    subdivision: str | None = None,
    zone: str | None = None,
    fallback: str | None = None,
) -> Place:
    """What the tenant knows (``region``, ``subdivision``, ``zone``) goes before what the number
    says. ``fallback`` is the region of whoever has no number that lies anywhere, such as an
    e-mail address.

    A known region that is not the number's leaves the number's zones out: then all zones of the
    region, or of the subdivision, are possible.
    """
    if subdivision is not None:
        region = subdivision.partition("-")[0]
    if region is None and zone is None and subdivision is None:
        if number.region is None and fallback is not None:
            return Place(fallback, (), zones_of(fallback), "tenant")
        return Place(number.region, number.subdivisions, number.zones, "number")
    where = region or number.region or fallback
    same = where == number.region
    subdivisions = (subdivision,) if subdivision else (number.subdivisions if same else ())
    if zone is not None:
        zones: tuple[str, ...] = (zone,)
    elif subdivision is not None and subdivision not in number.subdivisions:
        zones = _zones_of_state(subdivision) or zones_of(where)
    else:
        zones = number.zones if same else zones_of(where)
    return Place(where, subdivisions, zones, "contact")


@lru_cache(maxsize=512)
def zones_of(region: str | None) -> tuple[str, ...]:
    """Every time zone of a country (ISO 3166-1), from the tz database's own table."""
    table = resources.files("tzdata").joinpath("zoneinfo", "zone.tab").read_text("utf-8")
    rows = (line.split("\t") for line in table.splitlines() if not line.startswith("#"))
    return tuple(sorted(row[2] for row in rows if len(row) > 2 and row[0] == region))


@lru_cache(maxsize=64)
def _zones_of_state(subdivision: str) -> tuple[str, ...]:
    """The zones of all area codes of a state of the United States; none for other places."""
    codes = {f"1{code}" for code in codes_of(subdivision)}
    found = (zones for prefix, zones in TIMEZONE_DATA.items() if prefix[:4] in codes)
    return tuple(sorted({zone for zones in found for zone in zones}))
