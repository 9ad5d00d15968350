"""Where processing is restricted, the subject is not called, and not recorded when they call."""

from datetime import timedelta

import pytest

from callguard.policy.facts import Direction
from callguard.policy.rules import Obligation, Outcome
from tests.policy.facts import NOON, a_call
from tests.policy.kinds.asked import ask

TICK = timedelta(microseconds=1)


@pytest.mark.parametrize("ago", [timedelta(0), TICK, timedelta(days=900)])
def test_a_restricted_subject_is_not_called(ago: timedelta) -> None:
    found = ask("restriction", a_call(restricted_since=NOON - ago))
    assert found.outcome is Outcome.BLOCK
    assert "restricted since" in found.reason


def test_a_restricted_subject_who_calls_is_connected_and_not_recorded() -> None:
    found = ask("restriction", a_call(direction="inbound", restricted_since=NOON))
    assert found.outcome is Outcome.REQUIRE
    assert found.obligations == {Obligation.DO_NOT_RECORD}


@pytest.mark.parametrize("direction", ["outbound", "inbound"])
def test_without_a_restriction_or_before_it_begins_nothing_is_asked(direction: Direction) -> None:
    for since in (None, NOON + TICK):
        found = ask("restriction", a_call(direction=direction, restricted_since=since))
        assert found.outcome is Outcome.PASS
        assert not found.obligations
