"""``callguard consent``."""

import hashlib
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from callguard.consent.given import About, withdraw
from callguard.retention.schedule import for_days
from callguard.storage.database import Database
from tests.cli.conftest import CommandLine

ANN = "+442079460000"
MINE = ("--tenant", "acme", "--purpose", "marketing")


def ledger(callguard: CommandLine, number: str = ANN) -> dict[str, Any]:
    said = callguard("consent", "show", number, "--tenant", "acme", "--json").json()
    assert isinstance(said, dict)
    return said


def shown(callguard: CommandLine, number: str = ANN) -> list[tuple[str, str, str]]:
    rows = ledger(callguard, number)["rows"]
    return [(row["purpose"], row["state"], row["evidence"]) for row in rows]


def now(callguard: CommandLine) -> list[tuple[str, str]]:
    """What stands, as it is told."""
    return [(one["purpose"], one["state"]) for one in ledger(callguard)["now"]]


def verdict_of(callguard: CommandLine, rule: str, *arguments: str) -> str:
    """The outcome of one rule for a sales call to Ann."""
    said = callguard("explain", ANN, "--tenant", "acme", *arguments, "--json").json()
    assert isinstance(said, dict)
    return next(str(found["outcome"]) for found in said["findings"] if found["rule"] == rule)


def test_a_consent_is_entered_shown_and_withdrawn(acme: CommandLine) -> None:
    said = acme("consent", "record", "020 7946 0000", *MINE, "--proof", "טופס 7, סניף חיפה")
    assert (said.code, said.out) == (0, f"{ANN} consented to marketing: טופס 7, סניף חיפה\n")
    assert shown(acme) == [("marketing", "granted", "טופס 7, סניף חיפה")]
    assert "טופס" in acme("consent", "show", ANN, "--tenant", "acme").out
    said = acme("consent", "withdraw", ANN, *MINE, "--reason", "במכתב")
    assert (said.code, said.out) == (0, f"{ANN} no longer consents to marketing\n")
    assert shown(acme)[1:] == [("marketing", "withdrawn", "במכתב")]
    assert now(acme) == [("marketing", "withdrawn")]
    assert acme("audit", "verify").code == 0


def test_the_gate_heeds_both_from_the_next_call_on(acme: CommandLine) -> None:
    assert verdict_of(acme, "gb.tps") == "unknown"
    acme("consent", "record", ANN, *MINE, "--proof", "form 7", "--granted", "2026-01-02")
    assert verdict_of(acme, "gb.tps") == "pass"
    acme("consent", "withdraw", ANN, *MINE, "--reason", "by letter")
    assert verdict_of(acme, "gb.tps") == "unknown"
    assert verdict_of(acme, "gb.tps", "--at", "2026-01-03T12:00Z") == "pass"
    assert verdict_of(acme, "gb.tps", "--at", "2026-01-01T12:00Z") == "unknown"


def test_what_stands_is_told_for_each_purpose(acme: CommandLine) -> None:
    proof = ("--tenant", "acme", "--proof", "form 7", "--granted", "2026-01-02")
    acme("consent", "record", ANN, *proof, "--purpose", "marketing")
    acme("consent", "record", ANN, *proof, "--purpose", "survey", "--until", "2026-01-05")
    acme("consent", "record", ANN, *proof, "--purpose", "recording", "--until", "2199-01-05")
    assert now(acme) == [("marketing", "granted"), ("recording", "granted"), ("survey", "expired")]
    assert [one["until"] and one["until"][:10] for one in ledger(acme)["now"]] == [
        None,
        "2199-01-05",
        "2026-01-05",
    ]
    acme.patch.setenv("COLUMNS", "200")
    said = acme("consent", "show", ANN, "--tenant", "acme").out
    assert said.index("what stands now") < said.index("expired") < said.index("Consents of")


def test_a_file_is_kept_by_its_name_digest_size_and_type(acme: CommandLine) -> None:
    form = acme.folder / "טופס חתום.pdf"
    form.write_bytes(b"\x00signed\xff" * 100_000)
    acme("consent", "record", ANN, *MINE, "--proof", f"@{form}")
    digest = hashlib.sha256(form.read_bytes()).hexdigest()
    kept = f"טופס חתום.pdf sha256:{digest} 800000 bytes application/pdf"
    assert shown(acme) == [("marketing", "granted", kept)]
    form.write_bytes(b"")
    acme("consent", "record", ANN, *MINE, "--proof", f"@{form}").refused("proves nothing")


@pytest.mark.parametrize("name", ["nothing.pdf", "", "."])
def test_a_file_that_is_not_there_is_one_line(acme: CommandLine, name: str) -> None:
    proof = f"@{acme.folder / name}" if name == "nothing.pdf" else f"@{name}"
    acme("consent", "record", ANN, *MINE, "--proof", proof).refused("there is no file")
    assert shown(acme) == []


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((*MINE, "--proof", " "), "only with its proof"),
        ((*MINE, "--proof", "x", "--granted", "2199-01-01"), "lies in the future"),
        ((*MINE, "--proof", "x", "--granted", "soon"), "'soon' is no time such as"),
        ((*MINE, "--proof", "x", "--granted", "0001-01-01T00:00+14:00"), "is no time such as"),
        ((*MINE, "--proof", "x", "--granted", "2026-01-02", "--until", "2026-01-01"), "before"),
        (("--tenant", "acme", "--purpose", "fun", "--proof", "x"), "asks for consent to 'fun'"),
        (("--tenant", "nobody", "--purpose", "survey", "--proof", "x"), "no tenant nobody"),
    ],
    ids=lambda value: " ".join(value)[-60:] if isinstance(value, tuple) else "",
)
def test_what_is_refused_is_one_line_and_enters_nothing(
    acme: CommandLine, arguments: Sequence[str], reason: str
) -> None:
    acme("consent", "record", ANN, *arguments).refused(reason)
    assert shown(acme) == []


def test_what_is_no_number_is_refused_by_each(acme: CommandLine) -> None:
    for command in (
        ("record", "abc", *MINE, "--proof", "x"),
        ("withdraw", "abc", *MINE, "--reason", "x"),
        ("show", "abc", "--tenant", "acme"),
    ):
        acme("consent", *command).refused("'abc' is no telephone number")


def test_an_address_has_consents_too(acme: CommandLine) -> None:
    acme("consent", "record", "Ann@Example.org", *MINE, "--proof", "web form")
    assert shown(acme, "ann@example.org") == [("marketing", "granted", "web form")]


def test_what_only_a_rule_names_can_be_consented_to(acme: CommandLine) -> None:
    purpose = ("--tenant", "acme", "--purpose", "marketing-hours")
    assert acme("consent", "record", ANN, *purpose, "--proof", "x").code == 0
    assert shown(acme) == [("marketing-hours", "granted", "x")]


def test_what_was_never_given_is_not_withdrawn(acme: CommandLine) -> None:
    never = acme("consent", "withdraw", ANN, *MINE, "--reason", "x")
    never.refused("no consent to marketing was given")
    acme("consent", "record", ANN, *MINE, "--proof", "x")
    acme("consent", "withdraw", ANN, *MINE, "--reason", " ").refused("only with a reason")
    assert acme("consent", "withdraw", ANN, *MINE, "--reason", "x").code == 0
    acme("consent", "withdraw", ANN, *MINE, "--reason", "x").refused("ended on")


def test_a_day_is_its_midnight_in_utc(acme: CommandLine) -> None:
    acme(
        *("consent", "record", ANN, *MINE, "--proof", "x"),
        *("--granted", "2026-01-02", "--until", "2027-01-02T10:00+02:00"),
    )
    rows = ledger(acme)["rows"]
    assert rows[0]["at"] == "2026-01-02T00:00:00+00:00"
    assert rows[0]["until"] == "2027-01-02T08:00:00+00:00"
    assert rows[0]["expires"] == "2028-01-02T08:00:00+00:00"


def test_what_has_expired_is_hidden(acme: CommandLine) -> None:
    acme("consent", "record", ANN, *MINE, "--proof", "x")
    with sqlite3.connect(acme.data / "callguard.db") as connection:
        connection.execute("UPDATE consents SET expires_at = 1")
    connection.close()
    assert shown(acme) == []


def test_the_table_shows_no_control_characters(acme: CommandLine) -> None:
    acme("consent", "record", ANN, *MINE, "--proof", "form\x1b[2J7")
    assert "\x1b" not in acme("consent", "show", ANN, "--tenant", "acme").out


def test_what_was_withdrawn_before_the_clock_was_set_back_is_withdrawn(acme: CommandLine) -> None:
    acme("consent", "record", ANN, *MINE, "--proof", "form 7", "--granted", "2026-01-02")
    database = Database(f"sqlite:///{acme.data / 'callguard.db'}")
    later = datetime.now(UTC) + timedelta(days=1)
    with database.writing() as connection:
        about = About("acme", ANN, "marketing")
        withdraw(connection, about, reason="a letter", at=later, actor="cli:ann", keep=for_days(9))
    database.close()
    assert now(acme) == [("marketing", "withdrawn")]


@pytest.mark.parametrize(
    "told",
    [
        ("show", ANN, "--tenant", "\x1b[31mx"),
        ("withdraw", ANN, "--tenant", "acme", "--purpose", "\x1b[31mx", "--reason", "x"),
    ],
)
def test_what_is_refused_moves_no_cursor(acme: CommandLine, told: Sequence[str]) -> None:
    said = acme("consent", *told)
    assert said.code == 1
    assert "\\x1b[31mx" in said.err
    assert "\x1b" not in said.err
