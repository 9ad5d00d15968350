"""A subject who opted out is not called."""

from datetime import timedelta

import pytest

from callguard.policy.facts import OptOut
from callguard.policy.rules import Outcome
from tests.policy.facts import NOON, a_call, an_opt_out
from tests.policy.kinds.asked import ask


@pytest.mark.parametrize(
    ("wish", "purpose", "outcome"),
    [
        (an_opt_out(), "marketing", Outcome.BLOCK),
        (an_opt_out(), "transactional", Outcome.BLOCK),
        (an_opt_out(None), "service", Outcome.BLOCK),
        (an_opt_out("acme", "marketing"), "marketing", Outcome.BLOCK),
        (an_opt_out("acme", "marketing", "survey"), "survey", Outcome.BLOCK),
        (an_opt_out("acme", "marketing"), "survey", Outcome.PASS),
    ],
)
def test_a_wish_holds_for_its_purposes_and_without_any_for_all(
    wish: OptOut, purpose: str, outcome: Outcome
) -> None:
    facts = a_call(purpose=purpose, opt_outs=(wish,))  # type: ignore[arg-type]  # all are purposes
    assert ask("opt_out", facts).outcome is outcome


def test_the_oldest_wish_that_holds_is_the_one_told() -> None:
    first = OptOut(None, NOON - timedelta(days=9), "web", frozenset({"marketing"}))
    narrower = OptOut("acme", NOON - timedelta(days=99), "call", frozenset({"survey"}))
    found = ask("opt_out", a_call(opt_outs=(an_opt_out(), narrower, first)))
    assert found.reason == "the subject opted out of all tenants on 2026-11-11 12:00 UTC (web)"


@pytest.mark.parametrize("dialled", ["alice", "", "anonymous", "+44"])
def test_who_cannot_be_looked_up_may_have_opted_out(dialled: str) -> None:
    assert ask("opt_out", a_call(dialled)).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("caller", ["+442079460123", "anonymous", "alice"])
def test_who_calls_in_is_connected(caller: str) -> None:
    facts = a_call(caller, direction="inbound", opt_outs=(an_opt_out(),))
    assert ask("opt_out", facts).outcome is Outcome.PASS
