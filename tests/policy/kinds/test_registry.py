"""Who stands in a public do-not-call registry is not called."""

import pytest

from callguard.policy.rules import Outcome
from tests.policy.facts import a_call, an_answer
from tests.policy.kinds.asked import ask, loosens, refused


@pytest.mark.parametrize(
    ("listed", "outcome"), [(True, Outcome.BLOCK), (False, Outcome.PASS), (None, Outcome.UNKNOWN)]
)
def test_the_answer_of_the_registry_counts(listed: bool | None, outcome: Outcome) -> None:
    facts = a_call(registries=(an_answer("tps", listed),))
    found = ask("registry", facts, registry="tps")
    assert found.outcome is outcome
    assert "registry tps of 2026-11-20" in found.reason


def test_a_number_outside_the_subscription_is_unknown_with_its_reason() -> None:
    answer = an_answer("dnc", None, reason="area code 212 is not in the subscription")
    found = ask("registry", a_call(registries=(answer,)), registry="dnc")
    assert found.outcome is Outcome.UNKNOWN
    assert found.reason.endswith("cannot tell: area code 212 is not in the subscription")
    silent = an_answer("dnc", None)
    found = ask("registry", a_call(registries=(silent,)), registry="dnc")
    assert found.reason.endswith("cannot tell: the number is outside its coverage")


def test_a_registry_that_is_missing_is_unknown() -> None:
    assert ask("registry", a_call(), registry="tps").outcome is Outcome.UNKNOWN


def test_another_registrys_answer_says_nothing() -> None:
    facts = a_call(registries=(an_answer("ctps", listed=False), an_answer("tps", listed=True)))
    assert ask("registry", facts, registry="ctps").outcome is Outcome.PASS
    assert ask("registry", facts, registry="tps").outcome is Outcome.BLOCK
    assert ask("registry", facts, registry="dnc").outcome is Outcome.UNKNOWN


def test_a_list_without_a_date_still_tells_who_is_on_it() -> None:
    facts = a_call(registries=(an_answer("tps", listed=True, list_date=None),))
    assert ask("registry", facts, registry="tps").reason == "the number is in registry tps"


def test_a_registry_has_a_name() -> None:
    refused("registry", "registry", registry="")


def test_another_registry_is_looser() -> None:
    assert loosens("registry", {"registry": "tps"}, {"registry": "ctps"})
    assert not loosens("registry", {"registry": "tps"}, {"registry": "tps"})
