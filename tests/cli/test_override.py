"""``callguard policy override``, ``restore`` and ``overrides``."""

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

import pytest

from callguard.storage.database import Database
from callguard.tenants.directory import TenantDirectory
from tests.cli.conftest import CommandLine

LIMIT = "us-fl.attempts"
REASON = "Rechtsanwältin Müller, בדואר"


def listed(callguard: CommandLine, tenant: str = "acme") -> list[dict[str, Any]]:
    rows = callguard("policy", "overrides", tenant, "--json").json()
    assert isinstance(rows, list)
    return rows


def change_of(callguard: CommandLine, rule: str) -> object:
    return next((row["change"] for row in listed(callguard) if row["rule"] == rule), None)


def logged(callguard: CommandLine) -> list[tuple[str, str]]:
    assert callguard("audit", "verify").code == 0
    connection = sqlite3.connect(callguard.data / "callguard.db")
    query = "SELECT action, target FROM audit WHERE action LIKE 'policy.%' ORDER BY seq"
    rows = connection.execute(query).fetchall()
    connection.close()
    return rows


def test_a_stricter_value_needs_no_reason(acme: CommandLine) -> None:
    said = acme("policy", "override", "acme", LIMIT, "limit=2")
    assert said.out == f"acme: {LIMIT}: limit = 2; no looser than its pack has it\n"
    [row] = listed(acme)
    assert row["change"] == {"settings": {"limit": 2}}
    assert (row["looser"], row["reason"]) == (False, "")
    assert row["by"].startswith("cli:")
    assert logged(acme) == [("policy.override", LIMIT)]


def test_a_looser_value_needs_a_reason_and_the_line_cites_the_law(acme: CommandLine) -> None:
    refused = acme("policy", "override", "acme", LIMIT, "limit=4")
    refused.refused("Fla. Stat. 501.616(6)(b)")
    refused.refused("say why, with a reason")
    acme("policy", "override", "acme", LIMIT, "limit=4", "--reason", "  ").refused("say why")
    assert listed(acme) == []
    answer = acme("policy", "override", "acme", LIMIT, "limit=4", "--reason", REASON, "--json")
    change = {"settings": {"limit": 4}}
    looser = {"tenant": "acme", "rule": LIMIT, "change": change, "looser": True}
    assert answer.json() == looser
    assert [(row["looser"], row["reason"]) for row in listed(acme)] == [(True, REASON)]


@pytest.mark.parametrize(
    ("rule", "text", "value"),
    [
        (LIMIT, "limit=2", {"limit": 2}),
        (LIMIT, " limit = 2 ", {"limit": 2}),
        (LIMIT, 'window="14d"', {"window": "14d"}),
        (LIMIT, "window=14d", {"window": "14d"}),
        (LIMIT, "per=subject", {"per": "subject"}),
        (LIMIT, 'purposes=["marketing", "survey"]', {"purposes": ["marketing", "survey"]}),
        (
            "us-fl.hours",
            'hours={weekdays=["09:00-17:00"], sat=[]}',
            {"hours": {"weekdays": ["09:00-17:00"], "sat": []}},
        ),
        ("fr.caller-id", "anonymous=false", {"anonymous": False}),
        ("gb.abandonment", "max_percent=2.5", {"max_percent": 2.5}),
    ],
)
def test_values_are_written_as_in_a_pack_and_a_bare_word_is_text(
    acme: CommandLine, rule: str, text: str, value: object
) -> None:
    assert acme("policy", "override", "acme", rule, text, "--reason", "asked").code == 0
    assert change_of(acme, rule) == {"settings": value}


def test_everything_of_a_rule_can_be_otherwise(acme: CommandLine) -> None:
    acme(
        *("policy", "override", "acme", LIMIT, "limit=1", "window=48h"),
        *("--on-unknown", "pass", "--cause", "17", "--prompt", "busy", "--reason", REASON),
    )
    assert change_of(acme, LIMIT) == {
        "settings": {"limit": 1, "window": "48h"},
        "on_unknown": "pass",
        "cause": 17,
        "prompt": "busy",
    }
    acme.patch.setenv("COLUMNS", "240")
    table = acme("policy", "overrides", "acme").out
    assert "limit = 1; window = 48h; on_unknown = pass; cause = 17; prompt = busy" in table
    assert REASON in table
    assert "yes" in table


def test_a_rule_can_be_taken_away_with_a_reason(acme: CommandLine) -> None:
    acme("policy", "override", "acme", LIMIT, "--disable").refused("501.616")
    said = acme("policy", "override", "acme", LIMIT, "--disable", "--reason", "not in Florida")
    assert said.out == f"acme: {LIMIT}: taken away; looser than its pack has it\n"
    assert change_of(acme, LIMIT) == {"disabled": True}


def test_values_stand_in_place_of_those_before(acme: CommandLine) -> None:
    acme("policy", "override", "acme", LIMIT, "limit=1")
    acme("policy", "override", "acme", LIMIT, "window=48h")
    assert change_of(acme, LIMIT) == {"settings": {"window": "48h"}}


def test_what_is_restored_is_as_the_pack_has_it(acme: CommandLine) -> None:
    restore = ("policy", "restore", "acme", LIMIT)
    acme(*restore).refused(f"tenant acme has no values of its own for {LIMIT}")
    acme("policy", "override", "acme", LIMIT, "limit=1")
    assert acme(*restore).out == f"acme: {LIMIT} is as its pack has it\n"
    assert listed(acme) == []
    assert logged(acme) == [("policy.override", LIMIT), ("policy.restore", LIMIT)]
    acme(*restore).refused("has no values of its own")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((LIMIT,), "say what is to be otherwise"),
        ((LIMIT, "--reason", "x"), "say what is to be otherwise"),
        ((LIMIT, "limit"), "'limit' is not KEY=VALUE"),
        ((LIMIT, "=2"), "'=2' is not KEY=VALUE"),
        ((LIMIT, "limit=1", "limit=2"), "limit is given twice"),
        ((LIMIT, "limit=2\nwindow='1h'"), "limit"),
        ((LIMIT, "limit=many"), "limit"),
        ((LIMIT, "limit=-1"), "limit"),
        ((LIMIT, f"limit={'9' * 5000}"), "limit"),
        ((LIMIT, f"limit={'[' * 3000}"), "limit"),
        ((LIMIT, "window=2026-11-22"), "window"),
        ((LIMIT, "colour=red"), "colour: there is no such key"),
        ((LIMIT, "--on-unknown", "maybe"), "--on-unknown is pass or block, not 'maybe'"),
        ((LIMIT, "--cause", "0"), "cause"),
        ((LIMIT, "--prompt", "Not A Name"), "prompt"),
        ((LIMIT, "limit=2", "--disable", "--reason", "x"), "no values go with it"),
        (("us-fl.nothing", "limit=2"), "there is no rule us-fl.nothing"),
        (("base.opt-out", "--disable", "--reason", "x"), "is not for a tenant to change"),
        (("base.emergency", "--cause", "17"), "is not for a tenant to change"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_what_is_refused_is_one_line_and_changes_nothing(
    acme: CommandLine, arguments: Sequence[str], reason: str
) -> None:
    acme("policy", "override", "acme", *arguments).refused(reason)
    assert listed(acme) == []
    assert logged(acme) == []


def test_a_tenant_nobody_added_is_refused_everywhere(acme: CommandLine) -> None:
    for command in (
        ("override", "nobody", LIMIT, "limit=2"),
        ("restore", "nobody", LIMIT),
        ("overrides", "nobody"),
    ):
        acme("policy", *command).refused("there is no tenant nobody")


def test_what_one_tenant_sets_holds_for_no_other(acme: CommandLine) -> None:
    acme("tenant", "add", "two", "--key", "x25519")
    acme("policy", "override", "acme", LIMIT, "limit=1")
    assert listed(acme, "two") == []


def test_a_running_service_sees_each_change_at_its_next_look(acme: CommandLine) -> None:
    database, directory = Database(f"sqlite:///{acme.data / 'callguard.db'}"), TenantDirectory()

    def seen() -> list[str]:
        with database.reading() as connection:
            directory.refresh(connection)
        tenant = directory.get("acme")
        assert tenant is not None
        return [override.rule for override in tenant.overrides]

    assert seen() == []
    acme("policy", "override", "acme", LIMIT, "limit=1")
    assert seen() == [LIMIT]
    acme("policy", "restore", "acme", LIMIT)
    assert seen() == []
    database.close()


def test_values_that_fit_no_rule_any_more_are_said_to_change_nothing(acme: CommandLine) -> None:
    acme("policy", "override", "acme", LIMIT, "limit=1")
    acme("policy", "override", "acme", "us-fl.hours", "--cause", "17")
    with sqlite3.connect(acme.data / "callguard.db") as connection:
        change = json.dumps({"settings": {"most": 1}})
        query = "UPDATE tenant_rules SET change = ? WHERE rule = ?"
        connection.execute(query, (change, LIMIT))
        connection.execute("UPDATE tenant_rules SET rule = 'us-fl.old' WHERE rule = 'us-fl.hours'")
    connection.close()
    found = {row["rule"]: str(row["looser"]) for row in listed(acme)}
    assert found["us-fl.old"] == "not applied: there is no such rule"
    assert found[LIMIT].startswith("not applied: rule us-fl.attempts: most")
    assert "not" in acme("policy", "overrides", "acme").out


def test_the_other_commands_of_policy_are_still_there(acme: CommandLine) -> None:
    assert acme("policy", "show", LIMIT).code == 0
