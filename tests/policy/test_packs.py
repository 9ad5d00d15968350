"""Packs are checked when they are read."""

import pytest

from callguard.policy.packs import PackError, parse_pack, shipped_packs

GOOD = """
[[rule]]
id = "a"
kind = "opt_out"
title = "t"
citation = "c"
effective_from = 2024-01-01
"""


def test_every_shipped_rule_has_a_citation_and_a_kind() -> None:
    rules = [rule for pack in shipped_packs() for rule in pack.rules]
    assert {rule.kind for rule in rules} == {"emergency", "opt_out"}
    assert all(rule.citation for rule in rules)


def test_a_rule_without_proof_is_unverified() -> None:
    assert parse_pack("x", GOOD).rules[0].status == "unverified"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("nonsense = 1", "unknown key 'nonsense'"),
        ('kind = "astrology"', "Cannot overwrite a value"),
        ("effective_to = 2023-01-01", "effective_to is before effective_from"),
        ('effective_to = "soon"', "are dates"),
        ('status = "verified"', "says when"),
        ('status = "sure"', "status is verified or unverified"),
        ('verified_on = "today"', "verified_on is a date"),
        ('on_unknown = "maybe"', "on_unknown is pass or block"),
        ("cause = 0", "Q.850"),
        ('cause = "21"', "Q.850"),
        ("settings = 1", "settings is a table"),
        (GOOD, "two rules have the id a"),
        ('[[rule]]\nid = "b"', "kind is missing"),
        (GOOD.replace('"a"', '"b"').replace("opt_out", "astrology"), "'astrology'"),
        (GOOD.replace('"a"', '"b"').replace("2024-01-01", '"x"'), "are dates"),
        ("= = =", "Invalid"),
    ],
)
def test_a_pack_with_one_fault_is_refused_in_one_line(change: str, complaint: str) -> None:
    with pytest.raises(PackError, match=complaint.replace("(", r"\(")) as caught:
        parse_pack("mine", GOOD + change)
    assert "pack mine" in str(caught.value)
    assert "\n" not in str(caught.value)
