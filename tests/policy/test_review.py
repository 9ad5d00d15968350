"""Rules that are versions of one demand follow one another."""

from datetime import date, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callguard.policy.packs import shipped_packs
from callguard.policy.review import meet, review
from callguard.policy.rules import Rule, Status
from callguard.policy.scope import Scope

FIRST = date(2026, 1, 1)
ANY = Scope()


def day(count: int) -> date:
    return FIRST + timedelta(days=count)


def rule(
    name: str,
    since: int,
    until: int | None,
    *,
    scope: Scope = ANY,
    series: str = "x.hours",
    kind: str = "opt_out",
    status: Status = "unverified",
) -> Rule:
    end = None if until is None else day(until)
    return Rule(name, kind, "t", "c", day(since), end, status=status, series=series, scope=scope)


def test_the_rules_are_counted_by_their_status() -> None:
    rules = [rule("a", 0, None, series="", status="verified"), rule("b", 0, None, series="")]
    found = review([*rules, rule("c", 0, None)])
    assert (found.rules, found.verified, found.unverified, found.sound) == (3, 1, 2, True)


def test_no_rules_are_sound() -> None:
    assert review([]).sound


def test_rules_that_follow_day_upon_day_are_sound_whatever_their_kind() -> None:
    rules = [rule("a", 0, 9, kind="registry"), rule("b", 10, 19), rule("c", 20, None)]
    assert review(rules).sound


def test_a_rule_that_has_ended_and_has_no_successor_is_sound() -> None:
    assert review([rule("a", 0, 9)]).sound


def test_a_rule_that_ends_on_the_last_day_there_is_is_sound() -> None:
    last = Rule("a", "opt_out", "t", "c", FIRST, date.max, series="x")
    assert review([last]).sound


def test_two_rules_in_force_on_one_day_overlap() -> None:
    found = review([rule("a", 0, 10), rule("b", 10, None)])
    assert [str(overlap) for overlap in found.overlaps] == [
        "series x.hours: a and b overlap from 2026-01-11 until 2026-01-11"
    ]
    assert not found.gaps
    assert not found.sound


def test_two_rules_that_never_end_overlap_without_end() -> None:
    (overlap,) = review([rule("b", 3, None), rule("a", 0, None)]).overlaps
    assert str(overlap) == "series x.hours: a and b overlap from 2026-01-04 without end"


def test_a_rule_within_the_days_of_another_overlaps_with_it_alone() -> None:
    found = review([rule("a", 0, 30), rule("b", 10, 20), rule("c", 31, None)])
    assert [(o.rules, o.since, o.until) for o in found.overlaps] == [(("a", "b"), day(10), day(20))]
    assert not found.gaps


def test_a_day_that_nothing_covers_is_a_gap() -> None:
    found = review([rule("a", 0, 9), rule("b", 11, None)])
    assert [str(gap) for gap in found.gaps] == [
        "series x.hours: nothing is in force between a and b, from 2026-01-11 until 2026-01-11"
    ]
    assert not found.overlaps
    assert not found.sound


def test_every_gap_of_a_series_is_told() -> None:
    found = review([rule("c", 30, 40), rule("a", 0, 9), rule("b", 15, 20)])
    assert [(gap.rules, gap.since, gap.until) for gap in found.gaps] == [
        (("a", "b"), day(10), day(14)),
        (("b", "c"), day(21), day(29)),
    ]


@pytest.mark.parametrize("until", [5, 9, None])
def test_rules_of_different_series_or_none_are_not_compared(until: int | None) -> None:
    for other in ("y.hours", ""):
        assert review([rule("a", 0, until), rule("b", 7, None, series=other)]).sound
    assert review([rule("a", 0, until, series=""), rule("b", 7, None, series="")]).sound


APART = [
    (Scope(regions=frozenset({"GB"})), Scope(regions=frozenset({"FR"}))),
    (
        Scope(regions=frozenset({"US"}), subdivisions=frozenset({"US-FL"})),
        Scope(regions=frozenset({"US"}), subdivisions=frozenset({"US-CA"})),
    ),
    (Scope(directions=frozenset({"inbound"})), ANY),
    (Scope(purposes=frozenset({"survey"})), Scope(purposes=frozenset({"marketing"}))),
    (Scope(channels=frozenset({"sms"})), ANY),
    (Scope(subjects=frozenset({"consumer"})), Scope(subjects=frozenset({"business"}))),
    (Scope(lines=frozenset({"mobile"})), Scope(lines=frozenset({"fixed"}))),
    (Scope(diallers=frozenset({"agent"})), Scope(diallers=frozenset({"machine"}))),
    (Scope(tenants=frozenset({"acme"})), Scope(tenants=frozenset({"other"}))),
]
TOGETHER = [
    (ANY, ANY),
    (ANY, Scope(regions=frozenset({"GB"}))),
    (Scope(regions=frozenset({"GB", "FR"})), Scope(regions=frozenset({"FR", "DE"}))),
    (
        Scope(regions=frozenset({"US"})),
        Scope(regions=frozenset({"US"}), subdivisions=frozenset({"US-FL"})),
    ),
    (Scope(purposes=frozenset({"survey", "service"})), Scope(purposes=frozenset({"survey"}))),
    (Scope(lines=frozenset({"mobile"})), Scope(diallers=frozenset({"machine"}))),
    # A call from one of them to the other is about both.
    (Scope(regions=frozenset({"GB"}), ends="either"), Scope(regions=frozenset({"FR"}))),
]


@pytest.mark.parametrize(("one", "other"), APART)
def test_rules_about_different_calls_do_not_meet(one: Scope, other: Scope) -> None:
    assert not meet(one, other)
    assert not meet(other, one)
    assert review([rule("a", 0, None, scope=one), rule("b", 5, None, scope=other)]).sound
    assert review([rule("a", 0, 3, scope=one), rule("b", 5, None, scope=other)]).sound


@pytest.mark.parametrize(("one", "other"), TOGETHER)
def test_rules_about_the_same_calls_meet(one: Scope, other: Scope) -> None:
    assert meet(one, other)
    assert meet(other, one)
    assert review([rule("a", 0, None, scope=one), rule("b", 5, None, scope=other)]).overlaps
    assert review([rule("a", 0, 3, scope=one), rule("b", 5, None, scope=other)]).gaps


def test_a_rule_about_other_calls_fills_no_gap() -> None:
    consumers = Scope(subjects=frozenset({"consumer"}))
    businesses = Scope(subjects=frozenset({"business"}))
    rules = [
        rule("a", 0, 9, scope=consumers),
        rule("b", 0, None, scope=businesses),
        rule("c", 20, None, scope=consumers),
    ]
    (gap,) = review(rules).gaps
    assert (gap.rules, gap.since, gap.until) == (("a", "c"), day(10), day(19))


def in_force(rules: list[Rule], count: int) -> list[str]:
    return [rule.id for rule in rules if rule.in_force(day(count))]


spans = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 8) | st.none()), max_size=5)


@given(spans, st.randoms())
def test_what_is_found_is_what_each_single_day_says(
    spans: list[tuple[int, int | None]], random: Random
) -> None:
    rules = [
        rule(f"r{n}", since, None if length is None else since + length)
        for n, (since, length) in enumerate(spans)
    ]
    random.shuffle(rules)
    found = review(rules)
    days = [in_force(rules, count) for count in range(40)]
    assert bool(found.overlaps) == any(len(ids) > 1 for ids in days)
    covered = [count for count, ids in enumerate(days) if ids]
    bare = [c for c in range(40) if not days[c] and covered and covered[0] < c < covered[-1]]
    gaps = {day(c) for c in bare}
    told = {
        gap.since + timedelta(days=n)
        for gap in found.gaps
        for n in range((gap.until - gap.since).days + 1)
    }
    assert told == gaps


def test_the_shipped_rules_neither_overlap_nor_leave_gaps() -> None:
    found = review(rule for pack in shipped_packs() for rule in pack.rules)
    assert (found.overlaps, found.gaps) == ((), ())
    assert found.rules == found.verified + found.unverified
