"""Emergency numbers pass before and above everything."""

import pytest

from callguard.policy.rules import Obligation, Outcome
from tests.policy.facts import a_call
from tests.policy.kinds.asked import ask, loosens


@pytest.mark.parametrize("number", ["112", "999"])
def test_an_emergency_call_overrides_and_is_not_recorded(number: str) -> None:
    found = ask("emergency", a_call(number))
    assert found.outcome is Outcome.PASS
    assert found.overrides
    assert found.obligations == {Obligation.DO_NOT_RECORD}
    assert found.reason == f"{number} is an emergency number in GB"


@pytest.mark.parametrize(
    "number", ["+442079460123", "999123", "+44999", "911 ", "0112", "alice", "", "118118"]
)
def test_any_other_call_overrides_nothing(number: str) -> None:
    found = ask("emergency", a_call(number))
    assert found.outcome is Outcome.PASS
    assert not found.overrides
    assert not found.obligations


def test_a_call_that_says_it_comes_from_an_emergency_number_is_none() -> None:
    """Anybody can show 999."""
    assert not ask("emergency", a_call("999", direction="inbound")).overrides


def test_there_is_nothing_to_loosen() -> None:
    assert not loosens("emergency", {}, {})
