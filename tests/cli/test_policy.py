"""``callguard policy``."""

import json
from pathlib import Path

import pytest

from callguard.cli import limit_in_words, rule_in_words
from callguard.cli.rule_in_words import UNVERIFIED
from callguard.policy.limits import RetentionLimit
from callguard.policy.packs import limits_of, shipped_packs
from callguard.policy.rules import Rule
from tests.cli.conftest import CommandLine, Said

PACK = """\
title = "Mine"
regions = ["GB"]

[[rule]]
id = "mine.hours"
kind = "calling_hours"
title = "Nobody [/b] is called at night :smile:"
citation = "House rules, 1"
effective_from = 2024-01-01
effective_to = 2025-12-31
series = "mine.hours"
settings = { hours = { weekdays = ["09:00-13:00", "14:00-20:00"] }, zone = "Europe/London" }
scope = { purposes = ["survey", "marketing"], lines = ["mobile"], tenants = ["acme"] }

[[rule]]
id = "mine.limit"
kind = "attempts"
title = "Three calls"
citation = "House rules, 2"
effective_from = 2026-01-01
status = "verified"
verified_on = 2026-11-21
source = "the house's own book"
on_unknown = "pass"
cause = 34
prompt = ""
settings = { limit = 3, window = "30d" }
scope = { regions = ["US"], subdivisions = ["US-FL", "US-CA"], ends = "either" }
unless = { consent = "marketing", valid = "12mo", proof = true, relationships = [
    { kind = "purchase", within = "18mo" }, { kind = "contract" } ] }
"""
LIMITS = limits_of(shipped_packs())
SHIPPED = [rule for pack in shipped_packs() for rule in pack.rules]


@pytest.fixture
def mine(blank: CommandLine) -> CommandLine:
    """An operator's pack and settings that name it; neither database nor key."""
    packs = blank.folder / "packs"
    packs.mkdir()
    (packs / "mine.toml").write_text(PACK, encoding="utf-8")
    configure(blank, f'packs = "{packs}"')
    return blank


def configure(line: CommandLine, section: str) -> None:
    line.config.parent.mkdir(exist_ok=True)
    line.config.write_text(f"[policy]\n{section}\n", encoding="utf-8")


def alone(line: CommandLine, *arguments: str, default: Path | None = None) -> Said:
    """As somebody calls it who names no settings, in variable or option."""
    line.patch.setattr("callguard.cli.policy.DEFAULT_CONFIG", default or line.folder / "absent")
    was = CommandLine.config
    line.patch.setattr(CommandLine, "config", "")  # an empty variable counts as none
    said = line(*arguments)
    line.patch.setattr(CommandLine, "config", was)
    return said


def rows(said: Said) -> list[dict[str, object]]:
    found = said.json()
    assert isinstance(found, list)
    return found


def ids(said: Said) -> list[object]:
    return [row["id"] for row in rows(said)]


@pytest.mark.parametrize(
    "command", [("list",), ("show", "base.opt-out"), ("check",)], ids=lambda c: c[0]
)
def test_without_any_settings_the_shipped_packs_are_shown(
    blank: CommandLine, command: tuple[str, ...]
) -> None:
    said = alone(blank, "policy", *command)
    assert (said.code, said.err) == (0, "")
    assert said.out


@pytest.mark.parametrize(
    "command", [("list",), ("show", "base.opt-out"), ("check",)], ids=lambda c: c[0]
)
def test_settings_that_are_named_must_be_there(
    blank: CommandLine, command: tuple[str, ...]
) -> None:
    absent = str(blank.folder / "no.toml")
    alone(blank, "policy", *command, "--config", absent).refused(f"{absent}: No such file")
    blank("policy", *command).refused(f"{blank.config}: No such file")


def test_settings_at_the_usual_place_count(mine: CommandLine) -> None:
    said = alone(mine, "policy", "list", "--pack", "mine", "--json", default=mine.config)
    assert ids(said) == ["mine.hours", "mine.limit"]


def test_settings_at_the_usual_place_that_are_wrong_are_one_line(blank: CommandLine) -> None:
    configure(blank, "colour = 1")
    said = alone(blank, "policy", "list", default=blank.config)
    said.refused(f"{blank.config}: policy.colour: ")


def test_every_rule_is_listed_with_its_pack(mine: CommandLine) -> None:
    listed = rows(mine("policy", "list", "--json"))
    assert len(listed) == len(SHIPPED) + 2 + len(LIMITS)
    found = [row for row in listed if row["pack"] == "mine"]
    assert found == [
        {
            "id": "mine.hours",
            "pack": "mine",
            "kind": "calling_hours",
            "title": "Nobody [/b] is called at night :smile:",
            "where": ["GB"],
            "since": "2024-01-01",
            "until": "2025-12-31",
            "status": "unverified",
        },
        {
            "id": "mine.limit",
            "pack": "mine",
            "kind": "attempts",
            "title": "Three calls",
            "where": ["US-CA", "US-FL"],
            "since": "2026-01-01",
            "until": None,
            "status": "verified",
        },
    ]


def test_the_table_has_the_words_as_they_are(
    mine: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    table = mine("policy", "list")
    assert (table.code, table.err) == (0, "")
    for word in ("[/b]", ":smile:", "US-CA, US-FL", "everywhere", "2025-12-31", "base.opt-out"):
        assert word in table.out


@pytest.mark.parametrize(
    ("options", "listed"),
    [
        (("--pack", "mine"), {"mine.hours": True, "mine.limit": True, "base.opt-out": False}),
        (("--region", "GB"), {"mine.hours": True, "mine.limit": False, "base.opt-out": True}),
        (("--region", "US"), {"mine.hours": False, "mine.limit": True, "base.opt-out": True}),
        (("--region", "US-FL"), {"mine.hours": False, "mine.limit": True, "base.opt-out": True}),
        (("--region", "US-TX"), {"mine.hours": False, "mine.limit": False, "base.opt-out": True}),
        (("--at", "2025-12-31"), {"mine.hours": True, "mine.limit": False}),
        (("--at", "2026-01-01"), {"mine.hours": False, "mine.limit": True}),
        (("--at", "1970-01-01"), {"mine.hours": False, "base.opt-out": False}),
        (("--pack", "mine", "--region", "GB", "--at", "2026-01-01"), {"mine.hours": False}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_the_list_is_narrowed(
    mine: CommandLine, options: tuple[str, ...], listed: dict[str, bool]
) -> None:
    found = ids(mine("policy", "list", *options, "--json"))
    assert {rule: rule in found for rule in listed} == listed


def test_what_cannot_narrow_the_list_is_refused(mine: CommandLine) -> None:
    mine("policy", "list", "--pack", "atlantis").refused("there is no pack 'atlantis'; known: ")
    mine("policy", "list", "--region", "UK").refused("'UK' is no ISO 3166 code")
    mine("policy", "list", "--region", "gb").refused("'gb' is no ISO 3166 code")
    assert mine("policy", "list", "--at", "yesterday").code == 2
    assert mine("policy", "list", "--at", "2026-02-30").code == 2


def test_a_rule_is_shown_in_words(mine: CommandLine) -> None:
    said = mine("policy", "show", "mine.hours")
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines() == [
        "mine.hours: Nobody [/b] is called at night :smile:",
        "kind: calling_hours",
        "in force: since 2024-01-01, until 2025-12-31",
        "series: mine.hours",
        "where: GB",
        "directions: outbound",
        "channels: voice",
        "purposes: marketing, survey",
        "lines: mobile",
        "tenants: acme",
        "hours: weekdays 09:00-13:00, 14:00-20:00",
        "zone: Europe/London",
        "holidays: not set",
        "on_holiday: none",
        "exempt: nobody",
        "where facts are missing: blocks",
        "a call it blocks: cause 21, prompt blocked",
        "citation: House rules, 1",
        "source: none",
        "status: unverified: nobody has checked this value against its source",
        f"pack: mine ({mine.folder}/packs/mine.toml:5)",
    ]


def test_a_verified_rule_says_when_and_where(mine: CommandLine) -> None:
    said = mine("policy", "show", "mine.limit").out.splitlines()
    assert UNVERIFIED not in "\n".join(said)
    assert said[2] == "in force: since 2026-01-01, without end"
    for line in (
        "where: US-CA, US-FL, at either end of the call",
        "purposes: all",
        "limit: 3",
        "window: 30 days",
        (
            "exempt: consent to marketing of the last 12 months, with proof; or a purchase that is "
            "not over, or one that ended within 18 months; or a contract that is not over"
        ),
        "where facts are missing: passes",
        "a call it blocks: cause 34, prompt none",
        "source: the house's own book",
        "status: verified: its value was seen in the source on 2026-11-21",
    ):
        assert line in said


def test_a_rule_is_shown_as_json(mine: CommandLine) -> None:
    found = mine("policy", "show", "mine.limit", "--json").json()
    assert isinstance(found, dict)
    assert found["settings"] == {
        "limit": 3,
        "window": "30d",
        "per": "tenant",
        "count": "calls",
        "purposes": [],
    }
    assert found["scope"]["subdivisions"] == ["US-CA", "US-FL"]
    assert found["scope"]["ends"] == "either"
    assert found["unless"]["valid"] == "12mo"
    assert found["unless"]["relationships"][0] == {
        "kind": "purchase",
        "within": "18mo",
        "ever": False,
    }
    assert (found["verified_on"], found["effective_to"]) == ("2026-11-21", None)
    assert found["file"] == f"{mine.folder}/packs/mine.toml:16"


@pytest.mark.parametrize("rule", SHIPPED, ids=lambda rule: rule.id)
def test_every_shipped_rule_can_be_shown(rule: Rule) -> None:
    said = rule_in_words.lines(rule)
    assert all(line.isprintable() and not line.endswith(": ") for line in said)
    assert (f"status: {UNVERIFIED}" in said) == (rule.status == "unverified")
    assert json.loads(json.dumps(rule_in_words.as_json(rule)))["id"] == rule.id


def test_a_rule_that_does_not_exist_is_not_shown(mine: CommandLine) -> None:
    mine("policy", "show", "mine.nothing").refused("there is no rule 'mine.nothing'")


def test_sound_packs_are_one_line_of_figures(mine: CommandLine) -> None:
    said = mine("policy", "check")
    verified = sum(rule.status == "verified" for rule in SHIPPED) + 1
    unverified = len(SHIPPED) + 2 - verified
    packs = len(shipped_packs()) + 1
    open_ = sum(limit.status == "unverified" for limit in LIMITS)
    assert (said.code, said.err) == (0, "")
    assert said.out == (
        f"{len(SHIPPED) + 2} rules in {packs} packs, {verified} verified, {unverified} unverified; "
        f"{len(LIMITS)} limits, {len(LIMITS) - open_} verified, {open_} unverified\n"
    )
    assert mine("policy", "check", "--json").json() == {
        "rules": len(SHIPPED) + 2,
        "packs": packs,
        "verified": verified,
        "unverified": unverified,
        "limits": len(LIMITS),
        "limits_unverified": open_,
        "overlaps": [],
        "gaps": [],
    }


def test_every_fault_is_a_line_that_an_editor_finds(mine: CommandLine) -> None:
    packs = mine.folder / "packs"
    (packs / "mine.toml").write_text(PACK.replace("cause = 34", "cause = 0"), encoding="utf-8")
    (packs / "other.toml").write_text("= = =")
    said = mine("policy", "check")
    assert (said.code, said.err) == (1, "")
    first, second = said.out.splitlines()
    assert first.startswith(f"{packs}/mine.toml:25: cause: ")
    assert second.startswith(f"{packs}/other.toml:1: Invalid statement")
    as_json = mine("policy", "check", "--json")
    assert as_json.code == 1
    assert json.loads(as_json.out) == {"faults": [first, second]}
    mine("policy", "list").refused(first)
    mine("policy", "show", "base.opt-out").refused(first)


def test_a_folder_that_is_named_goes_before_the_settings(mine: CommandLine) -> None:
    other = mine.folder / "other"
    other.mkdir()
    (other / "x.toml").write_text("= = =")
    assert mine("policy", "check", str(other)).out.startswith(f"{other}/x.toml:1: ")
    (mine.folder / "packs" / "mine.toml").write_text("= = =")
    (other / "x.toml").write_text(PACK, encoding="utf-8")
    assert mine("policy", "check", str(other)).code == 0
    assert alone(mine, "policy", "check", str(other)).code == 0
    absent = mine("policy", "check", str(mine.folder / "no"))
    assert (absent.code, absent.err) == (1, "")
    assert "there is no such folder of packs" in absent.out


@pytest.mark.parametrize(
    ("since", "told"),
    [
        (
            "2025-12-31",
            "series mine.hours: mine.hours and mine.later overlap from 2025-12-31 until 2025-12-31",
        ),
        (
            "2026-01-02",
            (
                "series mine.hours: nothing is in force between mine.hours and mine.later, "
                "from 2026-01-01 until 2026-01-01"
            ),
        ),
        ("2026-01-01", None),
    ],
)
def test_overlaps_and_gaps_of_a_series_are_told(
    mine: CommandLine, since: str, told: str | None
) -> None:
    later = PACK[PACK.index("[[rule]]") : PACK.index('[[rule]]\nid = "mine.limit"')]
    later = later.replace("mine.hours", "mine.later", 1).replace("2024-01-01", since)
    later = later.replace("effective_to = 2025-12-31\n", "")
    (mine.folder / "packs" / "mine.toml").write_text(PACK + later, encoding="utf-8")
    said = mine("policy", "check")
    assert said.err == ""
    assert said.code == (1 if told else 0)
    assert said.out.splitlines()[1:] == ([told] if told else [])


def test_a_pack_that_is_left_out_is_not_listed(mine: CommandLine) -> None:
    name = next(pack.name for pack in shipped_packs() if pack.name != "base")
    configure(mine, f'leave_out = ["{name}"]')
    assert {row["pack"] for row in rows(mine("policy", "list", "--json"))} == {
        pack.name for pack in shipped_packs() if pack.name != name
    }
    configure(mine, 'leave_out = ["base"]')
    mine("policy", "list").refused("pack base cannot be left out")
    configure(mine, 'leave_out = ["atlantis"]')
    said = mine("policy", "check")
    assert (said.code, said.err) == (1, "")
    assert said.out.startswith("there is no pack 'atlantis'; known: ")


def test_limits_are_listed_after_the_rules(mine: CommandLine) -> None:
    found = rows(mine("policy", "list", "--pack", "fr", "--json"))
    (row,) = [row for row in found if row["id"] == "fr.recordings"]
    assert (row["kind"], row["status"]) == ("ceiling", "verified")
    assert "fr.traffic-data.floor" not in ids(mine("policy", "list", "--region", "GB", "--json"))
    early = mine("policy", "list", "--pack", "fr", "--at", "2018-05-24", "--json")
    assert "fr.recordings" not in ids(early)


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.id)
def test_every_shipped_limit_can_be_shown(limit: RetentionLimit) -> None:
    said = limit_in_words.lines(limit)
    assert all(line.isprintable() and not line.endswith(": ") for line in said)
    assert (f"status: {UNVERIFIED}" in said) == (limit.status == "unverified")
    assert json.loads(json.dumps(limit_in_words.as_json(limit)))["id"] == limit.id


def test_a_limit_is_shown_with_a_clear_word_where_nobody_checked_it(mine: CommandLine) -> None:
    said = mine("policy", "show", "il.access-logs").out
    assert f"status: {UNVERIFIED}" in said
    assert "kept: at least 2y" in said
    shown = mine("policy", "show", "us.tsr.call-records", "--json").json()
    assert isinstance(shown, dict)
    assert (shown["span"], shown["class"], shown["status"]) == ("5y", "call_record", "verified")
