"""What must be done in every call of a kind."""

import pytest

from callguard.policy.rules import Obligation, Outcome
from tests.policy.facts import a_call
from tests.policy.kinds.asked import ask, loosens, refused


@pytest.mark.parametrize("direction", ["outbound", "inbound"])
def test_the_duties_are_required_and_named(direction: str) -> None:
    facts = a_call(direction=direction)  # type: ignore[arg-type]  # both are directions
    found = ask("obligation", facts, must=["state_purpose", "identify"])
    assert found.outcome is Outcome.REQUIRE
    assert found.obligations == {Obligation.STATE_PURPOSE, Obligation.IDENTIFY}
    assert found.reason == "the call must: identify, state purpose"


@pytest.mark.parametrize("must", [[], ["smile"], ["identify", "prior_consent"], ["one_party"]])
def test_a_rule_of_no_duty_or_a_strange_one_is_refused(must: list[str]) -> None:
    refused("obligation", "must", must=must)


@pytest.mark.parametrize(
    ("before", "after", "loose"),
    [
        (["identify"], ["identify"], False),
        (["identify"], ["identify", "beep"], False),
        (["identify", "beep"], ["identify"], True),
        (["identify"], ["beep"], True),
    ],
)
def test_fewer_duties_are_looser(before: list[str], after: list[str], loose: bool) -> None:
    assert loosens("obligation", {"must": before}, {"must": after}) is loose
