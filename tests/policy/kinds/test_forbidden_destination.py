"""Numbers that are not to be dialled."""

import pytest

from callguard.policy.rules import Outcome
from tests.policy.facts import BERLIN, LONDON, NEW_YORK, PARIS, TOLL_FREE, a_call
from tests.policy.kinds.asked import ask, loosens, refused

PREMIUM = "+449098790123"
SATELLITE = "+870773111632"


@pytest.mark.parametrize(
    ("number", "line"),
    [
        (PREMIUM, "premium"),
        (SATELLITE, "satellite"),
        (TOLL_FREE, "toll_free"),
        (NEW_YORK, "fixed_or_mobile"),
        (LONDON, "fixed"),
        ("118118", "short"),
    ],
)
def test_a_kind_of_line_that_is_forbidden_is_not_called(number: str, line: str) -> None:
    facts = a_call(number)
    assert facts.called.line == line
    found = ask("forbidden_destination", facts, lines=[line])
    assert found.outcome is Outcome.BLOCK
    assert line in found.reason
    others = [other for other in ("premium", "satellite") if other != line]
    assert ask("forbidden_destination", facts, lines=others).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("number", "outcome"), [(PARIS, Outcome.BLOCK), (BERLIN, Outcome.PASS), (LONDON, Outcome.PASS)]
)
def test_a_forbidden_country_is_not_called(number: str, outcome: Outcome) -> None:
    assert ask("forbidden_destination", a_call(number), regions=["FR"]).outcome is outcome


@pytest.mark.parametrize(
    ("number", "outcome"),
    [
        (PARIS, Outcome.PASS),
        (LONDON, Outcome.PASS),
        (BERLIN, Outcome.BLOCK),
        (SATELLITE, Outcome.BLOCK),
    ],
)
def test_where_countries_are_named_only_those_are_called(number: str, outcome: Outcome) -> None:
    found = ask("forbidden_destination", a_call(number), only_regions=["GB", "FR"])
    assert found.outcome is outcome


def test_a_country_both_allowed_and_forbidden_is_forbidden() -> None:
    settings = {"only_regions": ["FR"], "regions": ["FR"]}
    assert ask("forbidden_destination", a_call(PARIS), **settings).outcome is Outcome.BLOCK


def test_the_number_counts_and_not_where_its_holder_lives() -> None:
    facts = a_call(PARIS, region="GB")
    assert ask("forbidden_destination", facts, regions=["FR"]).outcome is Outcome.BLOCK
    assert ask("forbidden_destination", facts, regions=["GB"]).outcome is Outcome.PASS


@pytest.mark.parametrize("dialled", ["alice", "", "+44", "79460123"])
def test_what_is_no_number_is_unknown(dialled: str) -> None:
    found = ask("forbidden_destination", a_call(dialled), lines=["premium"])
    assert found.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    "settings",
    [
        {"lines": ["landline"]},
        {"regions": ["fr"]},
        {"regions": ["UK"]},
        {"regions": ["FRANCE"]},
        {"only_regions": ["ZZ"]},
    ],
)
def test_what_no_number_could_be_is_refused(settings: dict[str, object]) -> None:
    """A rule that never applies would forbid nothing."""
    refused("forbidden_destination", "is no", **settings)


def test_the_numbers_of_no_country_can_be_forbidden() -> None:
    found = ask("forbidden_destination", a_call(SATELLITE), regions=["001"])
    assert found.outcome is Outcome.BLOCK


BOTH: dict[str, object] = {"lines": ["premium"], "regions": ["FR"]}


@pytest.mark.parametrize(
    ("before", "after", "loose"),
    [
        (BOTH, BOTH, False),
        (BOTH, {**BOTH, "lines": ["premium", "satellite"]}, False),
        (BOTH, {**BOTH, "lines": []}, True),
        (BOTH, {**BOTH, "lines": ["satellite"]}, True),
        (BOTH, {**BOTH, "regions": ["FR", "DE"]}, False),
        (BOTH, {**BOTH, "regions": ["DE"]}, True),
        (BOTH, {**BOTH, "only_regions": ["GB"]}, False),
        ({"only_regions": ["GB"]}, {}, True),
        ({"only_regions": ["GB"]}, {"only_regions": ["GB", "FR"]}, True),
        ({"only_regions": ["GB", "FR"]}, {"only_regions": ["GB"]}, False),
    ],
)
def test_destinations_are_looser_if_one_more_could_be_called(
    before: dict[str, object], after: dict[str, object], loose: bool
) -> None:
    assert loosens("forbidden_destination", before, after) is loose
