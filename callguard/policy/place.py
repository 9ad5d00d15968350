"""Where a subject is taken to be, from their number and from what the tenant knows of them."""

from callguard.policy.facts import Place
from callguard.policy.numbers import Number
from callguard.policy.zones import zones_of, zones_of_state


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
        # A territory has its own line in the tz database's table of countries.
        tail = subdivision.partition("-")[2]
        zones = zones_of_state(subdivision) or zones_of(tail) or zones_of(where)
    else:
        zones = number.zones if same else zones_of(where)
    return Place(where, subdivisions, zones, "contact")
