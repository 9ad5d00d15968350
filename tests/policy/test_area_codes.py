"""The table of area codes says what phonenumbers' own data say."""

from collections.abc import Iterator

import pytest
from phonenumbers.geodata import GEOCODE_DATA

from callguard.policy.area_codes import states_of
from callguard.policy.numbers import parse_number

NAMES = {
    "Alabama": "AL", "Alaska": "AK", "Arizona": "AZ", "Arkansas": "AR", "California": "CA",
    "Colorado": "CO", "Connecticut": "CT", "Delaware": "DE", "Florida": "FL", "Georgia": "GA",
    "Hawaii": "HI", "Idaho": "ID", "Illinois": "IL", "Indiana": "IN", "Iowa": "IA",
    "Kansas": "KS", "Kentucky": "KY", "Louisiana": "LA", "Maine": "ME", "Maryland": "MD",
    "Massachusetts": "MA", "Michigan": "MI", "Minnesota": "MN", "Mississippi": "MS",
    "Missouri": "MO", "Montana": "MT", "Nebraska": "NE", "Nevada": "NV", "New Hampshire": "NH",
    "New Jersey": "NJ", "New Mexico": "NM", "New York": "NY", "North Carolina": "NC",
    "North Dakota": "ND", "Ohio": "OH", "Oklahoma": "OK", "Oregon": "OR", "Pennsylvania": "PA",
    "Rhode Island": "RI", "South Carolina": "SC", "South Dakota": "SD", "Tennessee": "TN",
    "Texas": "TX", "Utah": "UT", "Vermont": "VT", "Virginia": "VA", "Washington": "WA",
    "Washington D.C.": "DC", "Washington State": "WA", "West Virginia": "WV", "Wisconsin": "WI",
    "Wyoming": "WY",
}  # fmt: skip
CODES = {f"{n}" for n in range(200, 1000)}


def told(name: str) -> str | None:
    """The state in a place's name: ``Texas``, ``Miami, FL``."""
    _, comma, state = name.rpartition(", ")
    if comma and state in NAMES.values():
        return state
    return NAMES.get(name)


def test_every_area_code_with_a_state_in_the_data_has_it_in_the_table() -> None:
    found = {
        prefix[1:]: state
        for prefix, names in GEOCODE_DATA.items()
        if len(prefix) == 4 and prefix[0] == "1" and (state := told(names["en"]))
    }
    assert len(found) > 300
    assert {code: states_of(f"+1{code}5550123") for code in found} == {
        code: (f"US-{state}",) for code, state in found.items()
    }


def states_by_longer_prefixes() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for prefix, names in GEOCODE_DATA.items():
        if len(prefix) > 4 and prefix[0] == "1" and (state := told(names.get("en", ""))):
            found.setdefault(prefix[1:4], set()).add(state)
    return found


def in_the_table() -> Iterator[tuple[str, str]]:
    for code in CODES:
        for state in states_of(f"+1{code}5550123"):
            yield code, state.removeprefix("US-")


def test_every_area_code_of_the_table_has_its_state_in_the_data() -> None:
    longer = states_by_longer_prefixes()
    unproved = {
        code
        for code, state in in_the_table()
        if told(GEOCODE_DATA.get(f"1{code}", {}).get("en", "")) != state
    }
    # These the data have by longer prefixes only; all of them are of the one state.
    assert unproved == {"203", "310", "713", "718"}
    table = dict(in_the_table())
    assert {code: longer[code] for code in unproved} == {code: {table[code]} for code in unproved}


@pytest.mark.parametrize(
    ("code", "state"),
    [
        *(("203", "CT"), ("310", "CA"), ("713", "TX"), ("718", "NY")),
        *((code, "WA") for code in ("206", "253", "360", "425", "509", "564")),
    ],
)
def test_an_area_code_that_the_data_word_otherwise_is_in_the_table(code: str, state: str) -> None:
    assert states_of(f"+1{code}5550123") == (f"US-{state}",)


def test_the_table_has_every_state_and_the_capital() -> None:
    assert {state for _, state in in_the_table()} == set(NAMES.values())
    assert len(set(NAMES.values())) == 51


@pytest.mark.parametrize("code", ["800", "833", "900", "500", "710", "204", "709", "787", "242"])
def test_a_code_of_no_state_has_none(code: str) -> None:
    assert states_of(f"+1{code}5550123") == ()


@pytest.mark.parametrize("e164", ["", "+", "+1", "+12", "+120"])
def test_what_has_no_area_code_has_no_state(e164: str) -> None:
    assert states_of(e164) == ()


def test_only_numbers_of_the_united_states_have_a_state() -> None:
    assert parse_number("+202 2555 0123", "GB").subdivisions == ()
    assert parse_number("+12025550123", "GB").subdivisions == ("US-DC",)
