"""The number shown to the subject."""

import pytest

from callguard.policy.rules import Outcome
from tests.policy.facts import HERE, LONDON, PARIS, a_call
from tests.policy.kinds.asked import ask, loosens, refused

WITHHELD = ["", "anonymous", "Restricted", "sip:anonymous@anonymous.invalid"]


@pytest.mark.parametrize("shown", WITHHELD)
def test_a_withheld_number_is_blocked_unless_it_may_be(shown: str) -> None:
    facts = a_call(caller=shown)
    assert ask("caller_id", facts).outcome is Outcome.BLOCK
    assert ask("caller_id", facts, anonymous=True).outcome is Outcome.PASS


@pytest.mark.parametrize("shown", ["alice", "1234", "7946 0123", "+44"])
def test_what_is_no_full_number_is_unknown_also_where_none_need_be_shown(shown: str) -> None:
    for anonymous in (False, True):
        found = ask("caller_id", a_call(caller=shown), anonymous=anonymous)
        assert found.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("shown", "called", "outcome"),
    [
        (HERE, LONDON, Outcome.PASS),
        (HERE, PARIS, Outcome.BLOCK),
        (PARIS, PARIS, Outcome.PASS),
        (PARIS, LONDON, Outcome.BLOCK),
    ],
)
def test_a_foreign_number_is_one_of_another_country_than_the_subjects(
    shown: str, called: str, outcome: Outcome
) -> None:
    facts = a_call(called, caller=shown)
    assert ask("caller_id", facts, foreign=False).outcome is outcome
    assert ask("caller_id", facts).outcome is Outcome.PASS


def test_where_the_subject_is_counts_and_not_their_number() -> None:
    facts = a_call(LONDON, caller=PARIS, region="FR")
    assert ask("caller_id", facts, foreign=False).outcome is Outcome.PASS


def test_a_subject_of_no_known_country_cannot_tell_what_is_foreign() -> None:
    facts = a_call(region="")
    assert ask("caller_id", facts, foreign=False).outcome is Outcome.UNKNOWN
    assert ask("caller_id", facts).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("prefixes", "outcome"),
    [
        (["+4420"], Outcome.PASS),
        (["+44113", "+4420"], Outcome.PASS),
        (["+44113"], Outcome.BLOCK),
        ([HERE], Outcome.PASS),
        ([HERE + "1"], Outcome.BLOCK),
        ([], Outcome.PASS),
    ],
)
def test_only_the_prefixes_named_may_be_shown(prefixes: list[str], outcome: Outcome) -> None:
    assert ask("caller_id", a_call(), prefixes=prefixes).outcome is outcome


def test_a_wrong_prefix_blocks_though_the_subjects_country_is_unknown() -> None:
    """What is known to be wrong goes before what cannot be told."""
    facts = a_call(region="")
    found = ask("caller_id", facts, prefixes=["+33"], foreign=False)
    assert found.outcome is Outcome.BLOCK


@pytest.mark.parametrize("prefix", ["", "0207", "44", "+", "+0", "+44 20", "+44*", "+٤٤"])
def test_a_prefix_that_no_number_could_have_or_that_any_has_is_refused(prefix: str) -> None:
    refused("caller_id", "prefixes", prefixes=[prefix])


@pytest.mark.parametrize(
    ("before", "after", "loose"),
    [
        ({}, {}, False),
        ({}, {"anonymous": True}, True),
        ({"anonymous": True}, {}, False),
        ({}, {"foreign": False}, False),
        ({"foreign": False}, {}, True),
        ({}, {"prefixes": ["+34400"]}, False),
        ({"prefixes": ["+34400"]}, {}, True),
        ({"prefixes": ["+34400"]}, {"prefixes": ["+344001"]}, False),
        ({"prefixes": ["+34400"]}, {"prefixes": ["+3440"]}, True),
        ({"prefixes": ["+34400"]}, {"prefixes": ["+34400", "+34900"]}, True),
        ({"prefixes": ["+34400", "+34900"]}, {"prefixes": ["+34400"]}, False),
    ],
)
def test_caller_numbers_are_looser_if_one_more_could_be_shown(
    before: dict[str, object], after: dict[str, object], loose: bool
) -> None:
    assert loosens("caller_id", before, after) is loose
