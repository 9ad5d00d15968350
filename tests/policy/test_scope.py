"""Which calls a rule is about."""

from dataclasses import replace

import pytest

from callguard.policy.facts import CHANNELS, DIRECTIONS, PURPOSES, CallFacts
from callguard.policy.scope import Scope
from tests.policy.facts import (
    HERE,
    LONDON,
    MIAMI,
    NEW_YORK,
    PARIS,
    TOLL_FREE,
    a_call,
)

GB, FR, US = frozenset({"GB"}), frozenset({"FR"}), frozenset({"US"})
CALIFORNIA = Scope(regions=US, subdivisions=frozenset({"US-CA"}))
FLORIDA = Scope(regions=US, subdivisions=frozenset({"US-FL"}))


def test_a_rule_that_says_nothing_is_about_outbound_calls_by_voice() -> None:
    for direction in DIRECTIONS:
        for channel in CHANNELS:
            for purpose in PURPOSES:
                facts = a_call(direction=direction, channel=channel, purpose=purpose)
                about = direction == "outbound" and channel == "voice"
                assert Scope().covers(facts) is about


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_an_empty_condition_holds_always(direction, channel, purpose) -> None:  # type: ignore[no-untyped-def]  # the words of three types
    everything = Scope(directions=frozenset(), channels=frozenset(), purposes=frozenset())
    assert everything.covers(a_call(direction=direction, channel=channel, purpose=purpose))


@pytest.mark.parametrize(
    ("scope", "facts", "about"),
    [
        (Scope(purposes=frozenset({"survey"})), a_call(purpose="survey"), True),
        (Scope(purposes=frozenset({"survey"})), a_call(purpose="service"), False),
        (Scope(channels=frozenset({"sms"})), a_call(channel="sms"), True),
        (Scope(channels=frozenset({"sms"})), a_call(), False),
        (Scope(directions=frozenset({"inbound"})), a_call(direction="inbound"), True),
        (Scope(directions=frozenset({"inbound"})), a_call(), False),
        (Scope(subjects=frozenset({"consumer"})), a_call(subject_kind="consumer"), True),
        (Scope(subjects=frozenset({"consumer"})), a_call(subject_kind="unknown"), True),
        (Scope(subjects=frozenset({"consumer"})), a_call(subject_kind="business"), False),
        (Scope(subjects=frozenset({"business"})), a_call(subject_kind="business"), True),
        (Scope(subjects=frozenset({"business"})), a_call(subject_kind="unknown"), False),
        (Scope(lines=frozenset({"fixed"})), a_call(), True),
        (Scope(lines=frozenset({"premium"})), a_call(), False),
        (Scope(diallers=frozenset({"machine"})), a_call(dialler="machine"), True),
        (Scope(diallers=frozenset({"machine"})), a_call(dialler="agent"), False),
        (Scope(tenants=frozenset({"acme"})), a_call(), True),
        (Scope(tenants=frozenset({"other"})), a_call(), False),
    ],
)
def test_each_condition_holds_or_not(scope: Scope, facts: CallFacts, about: bool) -> None:
    assert scope.covers(facts) is about


def test_every_condition_must_hold() -> None:
    scope = Scope(
        regions=GB,
        purposes=frozenset({"marketing"}),
        subjects=frozenset({"consumer"}),
        lines=frozenset({"fixed"}),
        diallers=frozenset({"machine"}),
        tenants=frozenset({"acme"}),
    )
    fits = a_call(dialler="machine")
    assert scope.covers(fits)
    for other in (
        a_call(PARIS, dialler="machine"),
        a_call(dialler="machine", purpose="service"),
        a_call(dialler="machine", subject_kind="business"),
        a_call("+447700900123", dialler="machine"),
        a_call(),
        a_call(dialler="machine", tenant="other"),
        a_call(dialler="machine", direction="inbound"),
    ):
        assert not scope.covers(other)


@pytest.mark.parametrize(
    ("facts", "about"),
    [
        (a_call(LONDON), True),
        (a_call(PARIS), False),
        (a_call(PARIS, region="GB"), True),
        (a_call(LONDON, region="FR"), False),
        (a_call(LONDON, region=""), False),
        (a_call(PARIS, caller=HERE), False),
        (a_call(PARIS, home_region="GB"), False),
    ],
)
def test_a_rule_of_a_country_is_about_subjects_who_are_there(facts: CallFacts, about: bool) -> None:
    assert Scope(regions=GB).covers(facts) is about


@pytest.mark.parametrize(
    ("facts", "about"),
    [
        (a_call(MIAMI), True),
        (a_call(NEW_YORK), False),
        (a_call(TOLL_FREE), True),
        (a_call(NEW_YORK, subdivisions=()), True),
        (a_call(NEW_YORK, subdivisions=("US-NY", "US-FL")), True),
        (a_call(LONDON, subdivisions=()), False),
    ],
)
def test_a_subject_who_may_be_in_a_state_is_taken_to_be_in_it(
    facts: CallFacts, about: bool
) -> None:
    assert FLORIDA.covers(facts) is about


EITHER = replace(Scope(regions=GB), ends="either", directions=frozenset(DIRECTIONS))


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(
    ("subject", "own", "home", "about"),
    [
        (LONDON, PARIS, "FR", True),
        (PARIS, LONDON, "FR", True),
        (PARIS, PARIS, "FR", False),
        (PARIS, "anonymous", "GB", True),
        (PARIS, "anonymous", "FR", False),
        (PARIS, "anonymous", None, False),
        (PARIS, "1001", "GB", True),
    ],
)
def test_a_rule_of_either_end_is_about_calls_from_and_to_its_country(  # type: ignore[no-untyped-def]  # a direction and texts
    direction, subject, own, home, about
) -> None:
    facts = a_call(subject, caller=own, home_region=home, direction=direction)
    assert EITHER.covers(facts) is about


@pytest.mark.parametrize(
    ("own", "home", "about"),
    [
        (MIAMI, "GB", True),
        (NEW_YORK, "US", False),
        (TOLL_FREE, "GB", True),
        # Nothing tells in which state of their home they are: it may be this one.
        ("anonymous", "US", True),
        ("anonymous", "GB", False),
    ],
)
def test_the_other_end_may_be_in_any_state_that_it_is_not_known_not_to_be_in(
    own: str, home: str, about: bool
) -> None:
    scope = replace(FLORIDA, ends="either")
    assert scope.covers(a_call(NEW_YORK, caller=own, home_region=home)) is about


@pytest.mark.parametrize("code", ["gb", "UK", "EU", "GBR", "France", "", "ZZ", "US-FL"])
def test_a_country_that_no_number_is_of_is_refused(code: str) -> None:
    """A rule about it would never apply, and say nothing."""
    with pytest.raises(ValueError, match="is no ISO 3166 code"):
        Scope(regions=frozenset({code}))


@pytest.mark.parametrize("code", ["FL", "us-fl", "US-fl", "US_FL", "US-", "US-FLORIDA"])
def test_a_subdivision_that_is_none_is_refused(code: str) -> None:
    with pytest.raises(ValueError, match="is no ISO 3166 code"):
        Scope(regions=US, subdivisions=frozenset({code}))


@pytest.mark.parametrize("regions", [frozenset[str](), GB, GB | US])
def test_subdivisions_of_other_countries_than_the_rules_are_refused(
    regions: frozenset[str],
) -> None:
    """Without its country a state's rule would be about everywhere."""
    with pytest.raises(ValueError, match="subdivisions"):
        Scope(regions=regions, subdivisions=frozenset({"US-FL"}))


def test_a_kind_of_line_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="is no kind of line"):
        Scope(lines=frozenset({"landline"}))


def test_states_of_two_countries_may_stand_together() -> None:
    scope = Scope(regions=US | frozenset({"CA"}), subdivisions=frozenset({"US-FL", "CA-ON"}))
    assert scope.covers(a_call(MIAMI))
    assert not scope.covers(a_call(NEW_YORK))
