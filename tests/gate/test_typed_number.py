"""Which typed numbers are taken, and how many in an hour."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callguard.gate.typed_number import AN_HOUR_S, HourlyBound, read_typed

OWN = "+442079460999"


def is_own(e164: str) -> bool:
    return e164 == OWN


@pytest.mark.parametrize(
    ("region", "typed", "subject"),
    [
        ("GB", "02079460123", "+442079460123"),
        ("GB", "00442079460123", "+442079460123"),
        ("GB", "442079460123", "+442079460123"),
        ("GB", "0012025550143", "+12025550143"),
        ("US", "2025550143", "+12025550143"),
        ("US", "12025550143", "+12025550143"),
        ("US", "01197221234567", "+97221234567"),
        ("IL", "0541234567", "+972541234567"),
        ("NL", "0612345678", "+31612345678"),
    ],
)
def test_a_number_is_read_as_its_region_dials(region: str, typed: str, subject: str) -> None:
    assert read_typed(typed, region, is_own) == subject


@pytest.mark.parametrize(
    ("region", "typed"),
    [
        ("GB", "999"),
        ("GB", "112"),
        ("US", "911"),
        ("IL", "100"),
        ("GB", "118500"),
        ("GB", "09098790123"),
        ("US", "9002345678"),
        ("GB", "0088112345678"),
        ("GB", "02079460999"),
        ("GB", "1"),
        ("GB", "7946"),
        ("GB", "000000000000000000"),
        ("GB", "123456789012345678"),
        ("GB", "0207*460123"),
        ("GB", "0207946012A"),
        ("GB", "٠٢٠٧٩٤٦٠١٢٣"),
        ("GB", ""),
    ],
)
def test_what_no_wish_can_be_entered_for_is_not_taken(region: str, typed: str) -> None:
    assert read_typed(typed, region, is_own) is None


@given(st.text("0123456789*#ABCD", max_size=30), st.sampled_from(["GB", "US", "IL", "DE", "BR"]))
def test_whatever_is_typed_is_a_number_or_nothing(typed: str, region: str) -> None:
    subject = read_typed(typed, region, lambda _: False)
    assert subject is None or (subject.startswith("+") and subject[1:].isdigit())


def test_an_hour_has_room_for_so_many() -> None:
    bound = HourlyBound(3)
    assert [bound.take(float(now)) for now in (0, 1, 2, 3)] == [True, True, True, False]
    assert not bound.take(AN_HOUR_S - 0.1)
    assert [bound.take(AN_HOUR_S), bound.take(AN_HOUR_S), bound.take(AN_HOUR_S + 1)] == [
        True, False, True,
    ]  # fmt: skip
