"""Which hours a pack can have, and when other hours are looser ones."""

import pytest

from tests.policy.kinds.asked import loosens, refused

FRENCH = {"weekdays": ["10:00-13:00", "14:00-20:00"]}


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"hours": {"daily": ["8:00-21:00"]}}, "no range of hours"),
        ({"hours": {"daily": ["08:00-24:01"]}}, "ends before it starts"),
        ({"hours": {"daily": ["21:00-08:00"]}}, "ends before it starts"),
        ({"hours": {"daily": ["08:00-08:00"]}}, "ends before it starts"),
        ({"hours": {"daily": ["08:00-12:00", "11:59-13:00"]}}, "overlap"),
        ({"hours": {"daily": ["11:59-13:00", "08:00-12:00"]}}, "overlap"),
        ({"hours": {"daily": ["٠٨:00-12:00"]}}, "no range of hours"),
        ({"hours": {"monday": []}}, "is no day"),
        ({"hours": {}, "zone": "Europe/Nowhere"}, "no time zone"),
        ({"hours": {}, "zone": "../UTC"}, "no time zone"),
        ({"hours": {}, "holidays": "ZZ"}, "no calendar"),
        ({"hours": {}, "holidays": "US-ZZ"}, "no calendar"),
        ({"hours": {}, "holidays": "US-"}, "no calendar"),
        ({"hours": {}, "holidays": "fr"}, "no calendar"),
        # Names that the library of holidays has beside its countries; some have no holidays.
        ({"hours": {}, "holidays": "HolidayBase"}, "no calendar"),
        ({"hours": {}, "holidays": "utils"}, "no calendar"),
        ({"hours": {}, "on_holiday": ["10:00-12:00"]}, "needs a calendar"),
        ({}, "Field required"),
    ],
)
def test_hours_that_make_no_sense_are_refused(settings: dict[str, object], complaint: str) -> None:
    refused("calling_hours", complaint, **settings)


DAY = {"hours": {"daily": ["09:00-20:00"]}}


@pytest.mark.parametrize(
    ("before", "after", "loose"),
    [
        (DAY, DAY, False),
        (DAY, {"hours": {"daily": ["10:00-20:00"]}}, False),
        (DAY, {"hours": {"daily": ["09:00-12:00", "13:00-20:00"]}}, False),
        (DAY, {"hours": {"weekdays": ["09:00-20:00"]}}, False),
        (DAY, {"hours": {}}, False),
        (DAY, {"hours": {"daily": ["08:59-20:00"]}}, True),
        (DAY, {"hours": {"daily": ["09:00-20:01"]}}, True),
        (DAY, {"hours": {"sun": ["08:00-09:00"], "daily": ["09:00-20:00"]}}, True),
        (DAY, {**DAY, "zone": "Europe/Paris"}, True),
        (DAY, {**DAY, "holidays": "FR"}, False),
        (DAY, {**DAY, "holidays": "FR", "on_holiday": ["10:00-12:00"]}, False),
        (DAY, {**DAY, "holidays": "FR", "on_holiday": ["08:00-12:00"]}, True),
        (
            {"hours": FRENCH},
            {"hours": FRENCH, "holidays": "FR", "on_holiday": ["10:00-13:00"]},
            True,  # a holiday may be a Sunday, which had no hours
        ),
        ({**DAY, "holidays": "FR"}, DAY, True),
        ({**DAY, "holidays": "FR"}, {**DAY, "holidays": "US"}, True),
        (
            {**DAY, "holidays": "FR"},
            {**DAY, "holidays": "FR", "on_holiday": ["10:00-11:00"]},
            True,
        ),
        (
            {**DAY, "holidays": "FR", "on_holiday": ["10:00-11:00"]},
            {**DAY, "holidays": "FR"},
            False,
        ),
    ],
)
def test_hours_are_looser_if_any_minute_of_any_day_is_added(
    before: dict[str, object], after: dict[str, object], loose: bool
) -> None:
    assert loosens("calling_hours", before, after) is loose
