"""When a record must be gone."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callguard.policy.limits import RetentionLimit
from callguard.policy.span import Span
from callguard.retention.schedule import RecordFacts, for_days, later, schedule

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
FACTS = RecordFacts(NOON, tenant_region="FR", purpose="marketing", direction="outbound")
LAW = RetentionLimit(
    "fr.some", "floor", "call_record", Span(months=12), "A law", "a statute", date(2020, 1, 1)
)


def due(
    policy: Span | None, *limits: RetentionLimit, facts: RecordFacts = FACTS
) -> datetime | None:
    floors = [one for one in limits if one.bound == "floor"]
    ceilings = [one for one in limits if one.bound == "ceiling"]
    return schedule("call_record", facts, policy, floors, ceilings, NOON)


def days(count: int) -> datetime:
    return NOON + timedelta(days=count)


def test_the_tenants_choice_counts_where_no_law_speaks() -> None:
    assert due(Span(days=30)) == days(30)
    assert due(None) is None
    assert due(Span()) == NOON


def test_what_has_not_begun_has_no_date() -> None:
    assert due(Span(days=30), LAW, facts=replace(FACTS, since=None)) is None


def test_a_floor_lengthens_and_a_ceiling_shortens() -> None:
    ceiling = replace(LAW, bound="ceiling", span=Span(months=6))
    assert due(Span(days=30), LAW) == NOON.replace(year=2027)
    assert due(Span(days=900), ceiling) == NOON.replace(month=12)
    assert due(None, ceiling) == NOON.replace(month=12)


def test_what_one_law_demands_is_kept_though_another_forbids_it() -> None:
    ceiling = replace(LAW, bound="ceiling", span=Span(months=6))
    assert due(Span(days=900), ceiling, LAW) == NOON.replace(year=2027)


@pytest.mark.parametrize(
    ("limit", "concerned"),
    [
        (replace(LAW, regions=frozenset({"FR"})), True),
        (replace(LAW, regions=frozenset({"DE"})), False),
        (replace(LAW, regions=frozenset({"DE"}), whose="subject"), False),
        (replace(LAW, regions=frozenset({"FR"}), whose="subject"), False),
        (replace(LAW, regions=frozenset({"FR"}), whose="either"), True),
        (replace(LAW, purposes=frozenset({"survey"})), False),
        (replace(LAW, purposes=frozenset({"marketing"})), True),
        (replace(LAW, directions=frozenset({"inbound"})), False),
        (replace(LAW, operators_only=True), False),
        (replace(LAW, data_class="recording"), False),
        (replace(LAW, effective_from=date(2026, 6, 2)), False),
        (replace(LAW, effective_from=date(2026, 6, 1)), True),
        (replace(LAW, effective_to=date(2026, 5, 31)), False),
        (replace(LAW, effective_to=date(2026, 6, 1)), True),
    ],
)
def test_a_limit_counts_for_what_it_is_about(limit: RetentionLimit, concerned: bool) -> None:
    assert (due(Span(days=30), limit) != days(30)) is concerned


def test_of_an_unknown_purpose_a_floor_counts_and_a_ceiling_does_not() -> None:
    unknown = replace(FACTS, purpose="")
    floor = replace(LAW, purposes=frozenset({"marketing"}))
    ceiling = replace(floor, bound="ceiling", span=Span(days=1))
    assert due(Span(days=30), floor, facts=unknown) == NOON.replace(year=2027)
    assert due(Span(days=30), ceiling, facts=unknown) == days(30)


@given(st.integers(0, 4_000), st.integers(0, 4_000), st.integers(0, 4_000))
def test_no_floor_is_undercut_and_no_ceiling_exceeded_but_by_a_floor(
    policy: int, floor: int, ceiling: int
) -> None:
    limits = (
        replace(LAW, span=Span(days=floor)),
        replace(LAW, bound="ceiling", span=Span(days=ceiling)),
    )
    found = due(Span(days=policy), *limits)
    assert found == days(max(floor, min(policy, ceiling)))


def test_for_ever_is_later_than_any_moment() -> None:
    assert later(NOON, None) is None
    assert later(NOON, days(1)) == days(1)
    assert for_days(36_525_000)(NOON) == datetime.max.replace(tzinfo=UTC)
