"""Where a subject is taken to be."""

import pytest

from callguard.policy.numbers import parse_address, parse_number
from callguard.policy.place import place_of
from callguard.policy.zones import zones_of

PANHANDLE = parse_number("+18504321234", "US")
MIAMI = parse_number("+13055550123", "US")
LONDON = parse_number("+442079460123", "GB")


def test_a_number_tells_its_country_state_and_zone() -> None:
    place = place_of(PANHANDLE)
    assert (place.region, place.subdivisions) == ("US", ("US-FL",))
    assert (place.zones, place.told_by) == (("America/Chicago",), "number")


def test_a_zone_that_the_tenant_knows_is_the_only_one() -> None:
    place = place_of(LONDON, zone="Europe/Paris")
    assert (place.region, place.zones, place.told_by) == ("GB", ("Europe/Paris",), "contact")


def test_who_moved_to_another_country_may_be_in_any_of_its_zones() -> None:
    place = place_of(LONDON, region="AU")
    assert place.region == "AU"
    assert place.subdivisions == ()
    assert {"Australia/Perth", "Australia/Sydney"} <= set(place.zones)
    assert "Europe/London" not in place.zones


def test_who_is_where_the_number_says_keeps_the_number_s_zone() -> None:
    assert place_of(PANHANDLE, region="US").zones == ("America/Chicago",)
    assert place_of(PANHANDLE, subdivision="US-FL").zones == ("America/Chicago",)


@pytest.mark.parametrize(
    ("state", "zones"),
    [
        ("US-CA", {"America/Los_Angeles"}),
        ("US-KY", {"America/New_York", "America/Chicago"}),
        ("US-TN", {"America/New_York", "America/Chicago"}),
    ],
)
def test_who_moved_to_another_state_may_be_in_any_of_its_zones(state: str, zones: set[str]) -> None:
    place = place_of(MIAMI, subdivision=state)
    assert (place.subdivisions, set(place.zones)) == ((state,), zones)


def test_a_part_of_a_country_without_area_codes_has_the_country_s_zones() -> None:
    place = place_of(LONDON, subdivision="CA-BC")
    assert place.region == "CA"
    assert set(place.zones) == set(zones_of("CA"))


def test_an_address_lies_where_the_tenant_is_unless_the_tenant_knows_better() -> None:
    nobody = parse_address("ann@example.org")
    assert place_of(nobody, fallback="DE").region == "DE"
    assert place_of(nobody, fallback="DE").told_by == "tenant"
    assert place_of(nobody, region="FR", fallback="DE").zones == ("Europe/Paris",)


def test_a_number_of_nowhere_is_nowhere() -> None:
    place = place_of(parse_number("alice", "GB"))
    assert (place.region, place.zones) == (None, ())


def test_a_country_that_is_none_has_no_zones() -> None:
    assert zones_of("XX") == ()
    assert zones_of(None) == ()


@pytest.mark.parametrize(
    ("territory", "zone"),
    [("US-GU", "Pacific/Guam"), ("US-PR", "America/Puerto_Rico"), ("US-VI", "America/St_Thomas")],
)
def test_a_territory_has_its_own_clock(territory: str, zone: str) -> None:
    assert place_of(MIAMI, subdivision=territory).zones == (zone,)
