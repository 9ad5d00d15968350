"""What makes a list refused, one fault at a time."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callguard.optout.registry import refusals
from callguard.optout.registry.contract import Coverage, RegistryError

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
DAY = NOON.date()
PREFIXES = st.text("1234567890", min_size=1, max_size=4).map(lambda digits: f"+{digits}")


def test_the_date_is_given_or_in_the_names_of_the_files() -> None:
    assert refusals.list_date(DAY, []) == DAY
    assert refusals.list_date(None, [("a", None), ("b", DAY), ("c", DAY)]) == DAY
    assert refusals.list_date(DAY, [("a", DAY), ("b", None)]) == DAY


def test_a_list_without_any_date_is_refused() -> None:
    with pytest.raises(RegistryError, match="no file name bears the date"):
        refusals.list_date(None, [("a", None)])


def test_files_of_two_dates_are_refused() -> None:
    with pytest.raises(RegistryError, match="b is of 2026-11-20, a is of 2026-11-19"):
        refusals.list_date(None, [("a", DAY - timedelta(days=1)), ("b", DAY)])


def test_a_file_of_another_date_than_the_given_one_is_refused() -> None:
    with pytest.raises(RegistryError, match="a is of 2026-11-20, the date given is of 2026-11-19"):
        refusals.list_date(DAY - timedelta(days=1), [("a", DAY)])


@pytest.mark.parametrize(
    ("now", "day", "fine"),
    [
        (datetime(2026, 11, 20, 9, 59, 59, tzinfo=UTC), date(2026, 11, 21), False),
        (datetime(2026, 11, 20, 10, 0, tzinfo=UTC), date(2026, 11, 21), True),
        (datetime(2026, 11, 20, 10, 0, tzinfo=UTC), date(2026, 11, 22), False),
    ],
)
def test_a_day_is_of_the_future_until_it_has_begun_anywhere(
    now: datetime, day: date, fine: bool
) -> None:
    if fine:
        refusals.check_date(day, None, now)
    else:
        with pytest.raises(RegistryError, match="in the future"):
            refusals.check_date(day, None, now)


def test_a_list_may_be_of_the_day_of_the_present_one_but_not_older() -> None:
    refusals.check_date(DAY, DAY, NOON)
    with pytest.raises(RegistryError, match="dated 2026-11-19, the present one 2026-11-20"):
        refusals.check_date(DAY - timedelta(days=1), DAY, NOON)


TWO = [("a", ("+1201",)), ("b", ("+1202",))]


@pytest.mark.parametrize(
    ("asked", "told", "covered"),
    [
        ((), TWO, ("+1201", "+1202")),
        (("+1",), TWO, ("+1201", "+1202")),
        (("+1202", "+1201"), TWO, ("+1201", "+1202")),
        (("+1201", "+1202"), [("a", ("+1",))], ("+1201", "+1202")),
        (("+44",), [("a", ())], ("+44",)),
        (("+1",), [("a", ("+1201",)), ("b", ())], ("+1",)),
        (("+44", "+4420"), [], ("+44",)),
    ],
    ids=[
        "what the files say",
        "no wider than the files",
        "both agree",
        "no wider than the operator says",
        "what the operator says",
        "a file that says nothing",
        "one prefix within another",
    ],
)
def test_a_list_covers_what_its_files_and_the_operator_say(
    asked: tuple[str, ...], told: list[tuple[str, tuple[str, ...]]], covered: tuple[str, ...]
) -> None:
    assert refusals.coverage("us-dnc", asked, told).prefixes == covered


def test_a_list_of_the_tps_covers_the_united_kingdom() -> None:
    assert refusals.coverage("uk-tps", (), [("a", ())]).prefixes == ("+44",)


@pytest.mark.parametrize("list_format", ["csv", "e164", "us-dnc"])
def test_a_list_of_which_nobody_says_what_it_covers_is_refused(list_format: str) -> None:
    with pytest.raises(RegistryError, match="--covers"):
        refusals.coverage(list_format, (), [("a", ())])  # type: ignore[arg-type]  # all are formats


def test_a_file_that_was_forgotten_is_missed() -> None:
    with pytest.raises(RegistryError, match=r"no file is about \+1203"):
        refusals.coverage("us-dnc", ("+1201", "+1202", "+1203"), TWO)


def test_a_file_about_something_else_is_refused() -> None:
    with pytest.raises(RegistryError, match=r"b is about \+1202, the list is to cover \+1201"):
        refusals.coverage("us-dnc", ("+1201",), TWO)


@given(st.lists(PREFIXES))
def test_prefixes_are_told_once_and_cover_the_same(prefixes: list[str]) -> None:
    kept = refusals.normal(prefixes)
    assert list(kept) == sorted(set(kept))
    for one in kept:
        assert not any(one.startswith(other) for other in kept if other != one)
    for prefix in prefixes:
        assert prefix.startswith(kept)
    assert set(kept) <= set(prefixes)


@pytest.mark.parametrize(
    ("check", "wanted"),
    [
        (lambda bad: refusals.check_lines("a", 1000, bad, 0.001), "a: 2 of 1000 lines"),
        (lambda bad: refusals.check_doubled(1000, 1000 - bad, 0.001), "2 of 1000 .* doubled"),
        (
            lambda bad: refusals.check_outside(bad, 1000, Coverage(("+44",)), 0.001),
            r"2 of 1000 numbers \(0.20%\) do not begin with \+44",
        ),
        (lambda bad: refusals.check_fit(bad, 1000, 0.001), "2 of 1000 changes"),
    ],
    ids=["bad lines", "doubled", "outside", "changes that do not fit"],
)
def test_a_share_is_refused_above_what_is_allowed(
    check: Callable[[int], None], wanted: str
) -> None:
    check(0)
    check(1)
    with pytest.raises(RegistryError, match=wanted):
        check(2)


def test_nothing_at_all_is_no_share_of_anything() -> None:
    refusals.check_lines("a", 0, 0, 0)
    refusals.check_doubled(0, 0, 0)
    refusals.check_outside(0, 0, Coverage(("+1",)), 0)
    refusals.check_fit(0, 0, 0)
    with pytest.raises(RegistryError, match="no number"):
        refusals.check_any(0)


def test_a_file_is_the_one_that_the_checksums_are_of() -> None:
    refusals.check_sum("a", "1", None)
    refusals.check_sum("a", "1", {"a": "1"})
    with pytest.raises(RegistryError, match="a: its SHA-256 is 1, the checksums say 2"):
        refusals.check_sum("a", "1", {"a": "2"})
    with pytest.raises(RegistryError, match="a: the checksums do not name it"):
        refusals.check_sum("a", "1", {"b": "1"})


def test_what_is_no_longer_covered_is_told() -> None:
    before = Coverage(("+1201", "+1202"))
    assert refusals.lost(before, Coverage(("+1201",))) == ("+1202",)
    assert refusals.lost(before, Coverage(("+1",))) == ()
    assert refusals.lost(Coverage(("+1",)), before) == ("+1",)


def test_a_fall_is_seen_in_all_and_in_each_prefix() -> None:
    before = {"+1201": 100, "+1202": 1000}
    covered = Coverage(("+1201", "+1202"))

    def fallen(one: int, two: int) -> list[str]:
        now = {"+1201": one, "+1202": two}
        return [f.prefix for f in refusals.falls(before, covered, now.__getitem__, 0.1)]

    assert fallen(90, 900) == []
    assert fallen(100, 5000) == []
    assert fallen(89, 1000) == ["+1201"]
    assert fallen(500, 899) == ["+1202"]
    assert fallen(90, 899) == ["", "+1202"]
    assert fallen(0, 0) == ["", "+1201", "+1202"]


def test_only_what_both_lists_cover_is_compared() -> None:
    before = {"+1201": 100, "+1202": 100}
    covered = Coverage(("+1201", "+1203"))
    assert refusals.falls(before, covered, {"+1201": 95}.__getitem__, 0.1) == ()


def test_a_list_that_was_empty_cannot_fall() -> None:
    assert refusals.falls({"+1201": 0}, Coverage(("+1201",)), lambda _: 0, 0) == ()


def test_what_is_smaller_is_told_in_one_line() -> None:
    fallen = [refusals.Fall(f"+120{n}", 100, 50) for n in range(5)]
    assert refusals.told_falls([], []) == ""
    assert refusals.told_falls(["+1999"], fallen[:1]) == (
        "+1999 is no longer covered; +1200 has 50 numbers, the present one 100 (50.0% fewer)"
    )
    assert refusals.told_falls([], fallen).endswith(", and 2 prefixes more")
