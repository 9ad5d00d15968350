"""What becomes of a class at the end of the contract: never without an end, never long without a
reason."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from callguard.policy.span import Span
from callguard.retention.at_end import AtEnd, at_end_of
from callguard.retention.classes import CLASSES

ENDED = datetime(2026, 10, 24, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "typed",
    [
        {"action": "delete", "after": "30d"},
        {"action": "delete", "after": "0d"},
        {"action": "delete", "after": "1y", "basis": "contract"},
        {"action": "keep", "until": "2030-12-31", "basis": "claims"},
        {"action": "archive", "after": "3y14d", "basis": "law"},
    ],
)
def test_what_is_stored_is_read_again(typed: dict[str, object]) -> None:
    found = AtEnd.parse(typed)
    assert AtEnd.parse(found.as_json()) == found
    assert found.in_words().isprintable()


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ({"action": "keep"}, "keep needs a basis and an end date"),
        ({"action": "keep", "basis": "law"}, "keep needs an end date"),
        ({"action": "keep", "until": "2030-12-31"}, "keep needs a basis"),
        ({"action": "archive", "after": "1y"}, "archive needs a basis"),
        ({"action": "delete"}, "needs a basis and an end date"),
        ({"action": "delete", "after": "31d"}, "stays longer than 30d after the end needs a basis"),
        ({"action": "delete", "after": "1mo"}, "needs a basis"),
        ({"action": "delete", "until": "2030-01-01"}, "needs a basis"),
        ({"action": "keep", "after": "1y", "until": "2030-01-01", "basis": "x"}, "not both"),
        ({"action": "burn"}, "'burn' is none of delete, archive and keep"),
        ({"action": "keep", "until": "someday", "basis": "x"}, "'someday' is no day"),
        ({"action": "keep", "until": 7, "basis": "x"}, "7 is no day"),
        ({"action": "keep", "after": "long", "basis": "x"}, "is no length of time"),
        ({"action": "keep", "after": "1y", "basis": 7}, "7 is no basis"),
        ({"action": "delete", "after": "1d", "why": 1}, "no such key: 'why'"),
        (["delete"], "is a table"),
        (None, "is a table"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(typed: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        AtEnd.parse(typed)
    assert "\n" not in str(caught.value)


def test_a_span_ends_by_the_calendar_of_the_tenant() -> None:
    at_end = AtEnd("delete", Span(days=30))
    assert at_end.gone_at(ENDED) == ENDED + timedelta(days=30)
    paris = at_end.gone_at(ENDED, ZoneInfo("Europe/Paris"))
    assert paris == ENDED + timedelta(days=30, hours=1)


def test_a_last_day_ends_with_its_midnight_and_never_before_the_contract() -> None:
    at_end = AtEnd("keep", until=date(2026, 12, 31), basis="claims")
    assert at_end.gone_at(ENDED) == datetime(2027, 1, 1, tzinfo=UTC)
    jerusalem = at_end.gone_at(ENDED, ZoneInfo("Asia/Jerusalem"))
    assert jerusalem == datetime(2026, 12, 31, 22, tzinfo=UTC)
    later = datetime(2028, 1, 1, tzinfo=UTC)
    assert at_end.gone_at(later) == later
    assert AtEnd("keep", until=date.max, basis="x").gone_at(ENDED).year == 9999


def test_unless_chosen_every_class_goes_within_thirty_days() -> None:
    for name in CLASSES:
        found = at_end_of(name)
        found.check()
        assert found.action == "delete"
        assert found.gone_at(ENDED) <= ENDED + timedelta(days=30)
