"""Identifiers: UUIDv7 as RFC 9562 has them, in the order of their making."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callguard.ids import is_call_id, uuid7

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TIMES = st.timedeltas(timedelta(days=-20_000), timedelta(days=1_000_000)).map(lambda d: NOON + d)


def test_the_example_of_the_rfc() -> None:
    # RFC 9562, appendix A.6
    moment = datetime(2022, 2, 22, 19, 22, 22, tzinfo=UTC)
    entropy = bytes.fromhex("0cc3" + "18c4dc0c0c07398f")
    assert str(uuid7(moment, entropy)) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


@given(TIMES, st.binary(min_size=10, max_size=10))
def test_every_id_is_a_call_id_of_version_7(moment: datetime, entropy: bytes) -> None:
    made = uuid7(moment, entropy)
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert is_call_id(str(made))


@given(TIMES, st.binary(min_size=10, max_size=10), st.binary(min_size=10, max_size=10))
def test_ids_sort_by_the_time_of_their_making(moment: datetime, one: bytes, other: bytes) -> None:
    later = moment + timedelta(milliseconds=2)
    assert str(uuid7(moment, one)) < str(uuid7(later, other))


def test_two_ids_of_one_moment_differ() -> None:
    assert uuid7(NOON) != uuid7(NOON)


def test_ids_of_one_moment_sort_by_the_order_of_their_making() -> None:
    made = [str(uuid7(NOON)) for _ in range(3_000)]
    assert made == sorted(made)
    assert len({*made, *(str(uuid7(NOON)) for _ in range(3_000))}) == 6_000


@pytest.mark.parametrize("size", [0, 9, 11])
def test_entropy_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"{size} bytes"):
        uuid7(NOON, bytes(size))


def test_a_time_before_1970_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        uuid7(datetime(1969, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not an id",
        "017F22E2-79B0-7CC3-98C4-DC0C0C07398F",
        "{017f22e2-79b0-7cc3-98c4-dc0c0c07398f}",
        "urn:uuid:017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
        "017f22e279b07cc398c4dc0c0c07398f",
        "017f22e2-79b0-4cc3-98c4-dc0c0c07398f",
        "017f22e2-79b0-7cc3-18c4-dc0c0c07398f",
        " 017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398f\n",
    ],
)
def test_other_text_is_no_call_id(text: str) -> None:
    assert not is_call_id(text)


@given(st.text())
def test_no_text_breaks_the_question(text: str) -> None:
    assert is_call_id(text) in (True, False)
