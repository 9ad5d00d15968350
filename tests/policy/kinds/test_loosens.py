"""What ``loosens`` promises of every kind: settings that it does not call looser let no call
through that was held back, and drop no duty."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from callguard.policy.evaluate import evaluate
from callguard.policy.facts import CallFacts
from callguard.policy.kinds import KINDS
from callguard.policy.kinds.obligation import DEMANDS
from callguard.policy.rules import Obligation, OnUnknown, Verdict
from tests.policy.kinds import drawn_calls, drawn_rules
from tests.policy.kinds.asked import ANY_CALL, a_rule, loosens


def test_every_kind_is_drawn() -> None:
    assert set(drawn_rules.SETTINGS) == set(KINDS)


def verdict(
    kind: str, facts: CallFacts, on_unknown: OnUnknown, values: dict[str, object]
) -> Verdict:
    rule = a_rule(kind, settings=values, scope=ANY_CALL, on_unknown=on_unknown)
    return evaluate(facts, [rule])


def valid(kind: str, values: dict[str, object]) -> bool:
    """Whether a pack can have these values together."""
    try:
        KINDS[kind].settings.model_validate(values)
    except ValidationError:
        return False
    return True


def keeps(kind: str, before: Verdict, after: Verdict) -> bool:
    """Whether every duty stands; where nothing may be recorded, no notice of it is owed. That
    nothing need be said is no duty."""
    if kind == "recording_mode" and Obligation.DO_NOT_RECORD in after.obligations:
        return True
    return before.obligations & DEMANDS <= after.obligations


@pytest.mark.parametrize("kind", sorted(KINDS))
@settings(max_examples=200)
@given(data=st.data())
def test_settings_that_are_not_looser_hold_back_whatever_was_held_back(
    kind: str, data: st.DataObject
) -> None:
    some = drawn_rules.SETTINGS[kind]
    before, other = data.draw(some, "before"), data.draw(some, "other")
    # One or two values changed at a time is where a comparison goes wrong most easily.
    names = (*combinations(other, 1), *combinations(other, 2))
    changes = [{**before, **{name: other[name] for name in changed}} for changed in names]
    candidates = [after for after in (other, *changes) if valid(kind, after)]
    calls = drawn_calls.some_calls(data.draw(drawn_calls.seeds, "calls"), 16)
    on_unknown: OnUnknown = data.draw(st.sampled_from(("block", "pass")), "on_unknown")
    for after in candidates:
        if loosens(kind, before, after):
            continue
        for facts in calls:
            old = verdict(kind, facts, on_unknown, before)
            new = verdict(kind, facts, on_unknown, after)
            assert old.allowed or not new.allowed, (before, after, old.reasons)
            assert keeps(kind, old, new), (before, after)


@pytest.mark.parametrize("kind", sorted(KINDS))
@given(data=st.data())
def test_no_change_is_no_looser(kind: str, data: st.DataObject) -> None:
    values = data.draw(drawn_rules.SETTINGS[kind])
    assert not loosens(kind, values, dict(values))
