"""The rules by where they apply."""

import os
import subprocess
import sys
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from callguard.policy.exemption import Exemption
from callguard.policy.facts import CallFacts
from callguard.policy.kinds import KINDS
from callguard.policy.rulebook import Rulebook, strictest_ages
from callguard.policy.rules import Rule
from callguard.policy.scope import Scope
from tests.policy.facts import (
    HERE,
    LONDON,
    MIAMI,
    NEW_YORK,
    NOON,
    PARIS,
    a_call,
    an_attempt,
    an_opt_out,
)
from tests.policy.kinds.asked import a_rule


def of(*regions: str, either: bool = False) -> Rule:
    name = f"x.{'-'.join(regions).lower() or 'all'}"
    scope = Scope(regions=frozenset(regions), ends="either" if either else "subject")
    return a_rule("opt_out", name, scope=scope)


def ids(*found: Rule) -> set[str]:
    return {rule.id for rule in found}


BOOK = Rulebook([of(), of("GB"), of("FR"), of("FR", "US"), of("DE", either=True)])


@pytest.mark.parametrize(
    ("number", "own", "home", "met"),
    [
        (LONDON, HERE, "GB", {"x.all", "x.gb"}),
        (PARIS, PARIS, "FR", {"x.all", "x.fr", "x.fr-us"}),
        (MIAMI, MIAMI, None, {"x.all", "x.fr-us"}),
        (PARIS, HERE, None, {"x.all", "x.gb", "x.fr", "x.fr-us"}),
        (PARIS, "anonymous", "US", {"x.all", "x.fr", "x.fr-us"}),
        (LONDON, "anonymous", "DE", {"x.all", "x.gb", "x.de"}),
        ("alice", "alice", None, {"x.all"}),
    ],
)
@pytest.mark.parametrize("direction", ["outbound", "inbound"])
def test_a_call_meets_the_rules_of_no_place_and_of_where_either_party_is(  # type: ignore[no-untyped-def]  # a table of texts
    number, own, home, met, direction
) -> None:
    found = BOOK.about(a_call(number, caller=own, home_region=home, direction=direction))
    assert ids(*found) == met
    assert len(found) == len(met)


def test_where_the_subject_is_told_to_be_goes_before_their_number() -> None:
    facts = a_call(LONDON, caller=HERE, region="FR")
    assert "x.fr" in ids(*BOOK.about(facts))
    nowhere = a_call(LONDON, caller="anonymous", region="", home_region=None)
    assert ids(*BOOK.about(nowhere)) == {"x.all"}


def test_the_rules_stand_in_order_of_their_names() -> None:
    shuffled = Rulebook(reversed(BOOK.rules))
    assert shuffled.rules == BOOK.rules
    assert [rule.id for rule in BOOK.rules] == sorted(rule.id for rule in BOOK.rules)


def test_a_decision_is_by_all_rules_that_are_about_the_call() -> None:
    facts = a_call(PARIS, opt_outs=(an_opt_out(),))
    verdict = BOOK.decide(facts)
    assert [finding.rule.id for finding in verdict.findings] == ["x.all", "x.fr", "x.fr-us"]
    assert not verdict.allowed


FLORIDA = Scope(regions=frozenset({"US"}), subdivisions=frozenset({"US-FL"}))


@pytest.mark.parametrize(
    ("scope", "met", "other"),
    [
        (FLORIDA, a_call(MIAMI), a_call(MIAMI, subdivisions=("US-NY",))),
        (replace(FLORIDA, ends="either"), a_call(caller=MIAMI), a_call(caller=NEW_YORK)),
        (
            Scope(regions=frozenset({"FR"}), ends="either"),
            a_call(caller="anonymous", home_region="FR"),
            a_call(caller="anonymous", home_region="GB"),
        ),
        (
            Scope(regions=frozenset({"FR"}), ends="either"),
            a_call(caller=PARIS),
            a_call(caller=HERE),
        ),
        (Scope(regions=frozenset({"GB"})), a_call(), a_call(region="FR")),
        (Scope(purposes=frozenset({"survey"})), a_call(purpose="survey"), a_call()),
        (Scope(channels=frozenset({"sms"})), a_call(channel="sms"), a_call()),
        (Scope(), a_call(), a_call(direction="inbound")),
        (Scope(lines=frozenset({"fixed"})), a_call(), a_call("+447700900123")),
        (Scope(tenants=frozenset({"acme"})), a_call(), a_call(tenant="other")),
        (Scope(subjects=frozenset({"consumer"})), a_call(), a_call(subject_kind="business")),
        (Scope(diallers=frozenset({"machine"})), a_call(dialler="machine"), a_call()),
    ],
)
def test_one_call_does_not_decide_which_rules_the_next_one_meets(
    scope: Scope, met: CallFacts, other: CallFacts
) -> None:
    rule = a_rule("opt_out", scope=scope)
    for calls in ((met, other), (other, met)):
        book = Rulebook([rule])
        for facts in calls:
            assert bool(book.decide(facts).findings) is (facts is met)


def test_two_rules_of_one_name_are_refused() -> None:
    """One would hide the other from calls that meet both."""
    with pytest.raises(ValueError, match=r"two rules x\.all"):
        Rulebook([of(), of("GB"), of()])


def test_the_registries_that_rules_ask_are_known() -> None:
    book = Rulebook(
        [
            of(),
            a_rule("registry", "x.tps", {"registry": "tps"}),
            a_rule("registry_freshness", "x.age", {"registry": "dnc", "max_age_days": 31}),
        ]
    )
    assert book.registries == {"tps", "dnc"}
    assert Rulebook([]).registries == frozenset()


WEEK = timedelta(days=7)


@pytest.mark.parametrize(
    ("rules", "back"),
    [
        ([], None),
        ([a_rule("opt_out")], None),
        ([a_rule("cooling_off", settings={"after": "refusal", "rest": "60d"})], None),
        ([a_rule("attempts", settings={"limit": 3, "window": "7d"})], WEEK),
        ([a_rule("cooling_off", settings={"after": "conversation", "rest": "7d"})], WEEK),
        (
            [
                a_rule("attempts", "x.a", {"limit": 3, "window": "24h"}),
                a_rule("attempts", "x.b", {"limit": 3, "window": "7d"}),
                a_rule(
                    "attempts",
                    "x.elsewhere",
                    {"limit": 3, "window": "60d"},
                    scope=Scope(regions=frozenset({"FR"})),
                ),
                a_rule(
                    "attempts",
                    "x.machines",
                    {"limit": 3, "window": "60d"},
                    scope=Scope(diallers=frozenset({"machine"})),
                ),
            ],
            WEEK,
        ),
    ],
)
def test_attempts_are_looked_up_as_far_back_as_the_rules_about_the_call_look(
    rules: list[Rule], back: timedelta | None
) -> None:
    since = Rulebook(rules).looks_back_to(a_call())
    if back is None:
        assert since is None
    else:
        assert since is not None
        assert NOON - back - timedelta(hours=1) <= since <= NOON - back


def test_a_window_longer_than_the_calendar_looks_back_to_its_beginning() -> None:
    book = Rulebook([a_rule("attempts", settings={"limit": 3, "window": "99999mo"})])
    since = book.looks_back_to(a_call())
    assert since is not None
    assert since.year == 1


def test_a_call_that_rang_into_the_window_is_looked_up() -> None:
    """It was placed before the window, and its conversation began in it."""
    rule = a_rule("attempts", settings={"limit": 1, "window": "7d", "count": "conversations"})
    rest = a_rule("cooling_off", "x.rest", {"after": "conversation", "rest": "7d"})
    attempt = an_attempt(NOON - WEEK - timedelta(seconds=10), answered=True)
    for one in (rule, rest):
        book = Rulebook([one])
        since = book.looks_back_to(a_call())
        assert since is not None
        assert attempt.at > since
        assert not book.decide(a_call(attempts=(attempt,))).allowed


HOURS = a_rule(
    "calling_hours",
    "x.hours",
    {"hours": {"weekdays": ["08:00-21:00"], "sat": ["09:00-17:00"]}},
    scope=Scope(regions=frozenset({"GB", "FR", "US", "DE"}), subjects=frozenset({"consumer"})),
    exemption=Exemption.model_validate({"consent": "marketing", "valid": "12mo"}),
)


@pytest.mark.parametrize(
    "other",
    [
        replace(HOURS, id="x.other"),
        replace(HOURS, title="Otherwise"),
        replace(HOURS, citation="another act"),
        replace(HOURS, effective_from=date(2019, 1, 1)),
        replace(HOURS, effective_to=date(2030, 1, 1)),
        replace(HOURS, on_unknown="pass"),
        replace(HOURS, cause=50),
        replace(HOURS, prompt=""),
        replace(HOURS, scope=replace(HOURS.scope, regions=frozenset({"GB", "FR", "US"}))),
        replace(HOURS, scope=replace(HOURS.scope, ends="either")),
        replace(HOURS, exemption=None),
        replace(
            HOURS, exemption=Exemption.model_validate({"consent": "marketing", "valid": "13mo"})
        ),
        replace(
            HOURS,
            settings=KINDS["calling_hours"].settings.model_validate(
                {"hours": {"weekdays": ["08:00-20:59"], "sat": ["09:00-17:00"]}}
            ),
        ),
    ],
)
def test_a_digest_names_exactly_these_rules(other: Rule) -> None:
    book = Rulebook([of(), HOURS])
    assert Rulebook([HOURS, of()]).digest == book.digest
    assert Rulebook([of(), other]).digest != book.digest
    assert Rulebook([HOURS]).digest != book.digest


def test_settings_that_were_asked_before_have_the_same_digest() -> None:
    before = Rulebook([HOURS]).digest
    Rulebook([HOURS]).decide(a_call(PARIS))
    assert Rulebook([HOURS]).digest == before


def test_a_digest_is_the_same_in_every_process() -> None:
    """The order of sets of texts is another one in each."""
    program = (
        "from tests.policy.test_rulebook import BOOK, HOURS, Rulebook;"
        "print(Rulebook([*BOOK.rules, HOURS]).digest)"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert told == {Rulebook([*BOOK.rules, HOURS]).digest}


def old(days: int, registry: str = "tps") -> Rule:
    settings = {"registry": registry, "max_age_days": days}
    return a_rule("registry_freshness", f"x.{registry}.{days}", settings)


def test_a_list_may_be_as_old_as_the_strictest_rule_in_force_says() -> None:
    day = date(2026, 3, 2)
    over = replace(old(3), effective_to=day - timedelta(days=1))
    to_come = replace(old(2), effective_from=day + timedelta(days=1))
    rules = [old(28), old(31), over, to_come, old(15, "dnc"), of()]
    assert strictest_ages(rules, day) == {"tps": 28, "dnc": 15}
    assert strictest_ages(rules, day + timedelta(days=1)) == {"tps": 2, "dnc": 15}
    assert ids(*Rulebook(rules).about_age) == ids(*rules[:5])
