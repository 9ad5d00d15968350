"""Numbers as they are dialled and shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callguard.policy.numbers import mask, parse_number


@pytest.mark.parametrize(
    ("raw", "region", "key"),
    [
        ("+442079460123", "GB", "+442079460123"),
        ("020 7946 0123", "GB", "+442079460123"),
        ("(020) 7946-0123", "GB", "+442079460123"),
        ("00442079460123", "DE", "+442079460123"),
        ("sip:+442079460123@carrier.example;user=phone", "GB", "+442079460123"),
        ("tel:+442079460123", "GB", "+442079460123"),
        ("03-1234567", "IL", "+97231234567"),
        ("1800", "IL", "IL:1800"),
        ("442079460123", "GB", "+442079460123"),
        ("442079460123", "US", "+442079460123"),
        ("4930123456", "GB", "+4930123456"),
        ("004930123456", "GB", "+4930123456"),
        ("2025550123", "US", "+12025550123"),
        ("12025550123", "US", "+12025550123"),
        ("61234567", "DK", "+4561234567"),
    ],
)
def test_one_subject_has_one_key_however_it_is_dialled(raw: str, region: str, key: str) -> None:
    assert parse_number(raw, region).key == key


@pytest.mark.parametrize(
    ("raw", "region"), [("112", "GB"), ("999", "GB"), ("911", "US"), ("100", "IL"), ("15", "FR")]
)
def test_emergency_numbers_of_the_region_are_known(raw: str, region: str) -> None:
    assert parse_number(raw, region).emergency


@pytest.mark.parametrize("raw", ["9116666666", "999123", "+44112", "0112", "1122"])
def test_a_number_that_only_begins_like_an_emergency_is_none(raw: str) -> None:
    assert not parse_number(raw, "GB").emergency


@pytest.mark.parametrize(
    ("raw", "region"),
    [
        ("79460123", "GB"),
        ("9460123", "GB"),
        ("460123", "GB"),
        ("5550123", "US"),
        ("+120255501234", "US"),
        ("+1202555012", "US"),
    ],
)
def test_the_local_part_of_a_number_names_nobody(raw: str, region: str) -> None:
    """Which area it is completed with is the carrier's to say, so no opt-out could be found."""
    assert not parse_number(raw, region).known


@pytest.mark.parametrize("raw", ["+112", "+999", "+190"])
def test_no_emergency_number_has_a_plus(raw: str) -> None:
    assert not parse_number(raw, "GB").emergency
    assert not parse_number(raw, "BR").known


@pytest.mark.parametrize("raw", ["", "anonymous", "Restricted", "sip:anonymous@anonymous.invalid"])
def test_a_withheld_number_is_anonymous_and_has_no_key(raw: str) -> None:
    number = parse_number(raw, "GB")
    assert number.anonymous
    assert not number.known


@pytest.mark.parametrize(
    "raw", ["alice", "+", "+44", "12;34&SIP/evil", "+1" + "2" * 70, "שלום", "+44'; DROP", "1"]
)
def test_what_is_no_number_has_no_key_and_is_not_anonymous(raw: str) -> None:
    number = parse_number(raw, "GB")
    assert not number.known
    assert not number.anonymous


def test_a_mask_keeps_the_country_and_two_digits() -> None:
    assert mask("+442079460123") == "+44********23"
    assert mask("IL:1800") == "IL:**00"
    assert mask("") == "no number"


@given(st.text(max_size=100), st.sampled_from(["GB", "US", "IL", "RU"]))
def test_any_text_gives_a_number_and_a_mask_that_hides_it(raw: str, region: str) -> None:
    number = parse_number(raw, region)
    assert number.known == bool(number.key)
    if len(number.key) > 6:
        assert number.key not in mask(number.key)
        assert len(mask(number.key)) == len(number.key)


@given(st.from_regex(r"\+44(20|131|161)[0-9]{7,8}", fullmatch=True))
def test_reading_a_key_again_gives_the_same_key(raw: str) -> None:
    key = parse_number(raw, "GB").key
    if key:
        assert parse_number(key, "US").key == key
