"""The operators' page about policy says what is there, and its example works."""

import re
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from callguard.policy.exemption import Exemption, Tie
from callguard.policy.facts import CHANNELS, PURPOSES, RELATION_KINDS
from callguard.policy.kinds import KINDS
from callguard.policy.kinds.obligation import DEMANDS
from callguard.policy.packs import Pack, parse_pack
from callguard.policy.review import review
from callguard.policy.rulebook import Rulebook
from callguard.policy.rules import Outcome
from callguard.policy.scope import Scope
from tests.policy.facts import LONDON, a_call, a_relationship, an_attempt

PAGE = (Path(__file__).parents[3] / "docs" / "policy.md").read_text(encoding="utf-8")
MONDAY = datetime(2026, 11, 23, 11, 0, tzinfo=UTC)


def table(heading: str) -> list[list[str]]:
    """The cells of the tables under a heading, a kind's name carried down to all its rows."""
    _, _, section = PAGE.partition(f"\n## {heading}\n")
    section = section.split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    for above, row in pairwise(rows):
        row[0] = row[0] or above[0]
    return rows


def example() -> Pack:
    (text,) = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return parse_pack("house", text, shipped=False)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_is_there_with_its_settings_and_no_others(kind: str) -> None:
    documented = {row[1].strip("`") for row in table("The kinds of rule") if row[0] == f"`{kind}`"}
    assert documented == (set(KINDS[kind].settings.model_fields) or {"none"})


def test_no_kind_is_there_that_does_not_exist() -> None:
    documented = {row[0].strip("`") for row in table("The kinds of rule")[1:]}
    assert documented == set(KINDS)


def test_every_condition_of_a_scope_and_an_exemption_is_there() -> None:
    documented = {row[0] for row in table("Which rules apply to which calls")}
    scope = {field.name for field in fields(Scope) if field.init}
    assert {f"`{name}`" for name in scope | set(Exemption.model_fields)} <= documented
    assert f"`{{ {', '.join(Tie.model_fields)} }}`" in PAGE


@pytest.mark.parametrize(
    "word",
    [
        *PURPOSES,
        *CHANNELS,
        *RELATION_KINDS,
        *(duty.value for duty in DEMANDS),
        *(outcome.value for outcome in Outcome),
    ],
)
def test_every_word_that_a_pack_may_use_is_there(word: str) -> None:
    assert f"`{word}`" in PAGE


def test_the_example_is_a_sound_pack_of_its_own() -> None:
    pack = example()
    assert [rule.id for rule in pack.rules] == [
        "house.hours",
        "house.attempts",
        "house.destinations",
    ]
    assert review(pack.rules).sound
    assert [sorted(rule.scope.regions) for rule in pack.rules] == [["GB", "IE"]] * 2 + [[]]


def test_the_example_does_what_it_says() -> None:
    book = Rulebook(example().rules)
    assert book.decide(a_call(LONDON, at=MONDAY)).allowed
    lunch = book.decide(a_call(LONDON, at=MONDAY + timedelta(hours=1, minutes=30)))
    assert lunch.prompt == "blocked-hours"
    often = tuple(an_attempt(MONDAY - timedelta(days=n)) for n in (1, 2, 3))
    assert book.decide(a_call(LONDON, at=MONDAY, attempts=often)).prompt == "blocked-limit"
    asked = (a_relationship("callback"),)
    wanted = a_call(LONDON, at=MONDAY, attempts=often, relationships=asked)
    assert book.decide(wanted).allowed
    premium = book.decide(a_call("+449098790123", at=MONDAY, purpose="service"))
    assert premium.blocking is not None
    assert premium.blocking.rule.id == "house.destinations"
