"""``callguard scrub``: a list in, three files and a summary out."""

import io
import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import CommandLine
from tests.optout.registry.shelves import put

ACME = ("--tenant", "acme")
AT = ("--at", "2026-03-10T12:00Z")
LIST = "id,phone\n1,020 7946 0001\n2,+442079460002\n3,nobody\n4,020 7946 0001\n"
SERVICE = ("--purpose", "service", "--caller", "+442079460999")


@pytest.fixture
def list_of(acme: CommandLine) -> Path:
    path = acme.folder / "list.csv"
    path.write_text(LIST)
    return path


def scrubbed(callguard: CommandLine, source: Path | str, *arguments: str) -> Mapping[str, Any]:
    out = str(callguard.folder / "out.csv")
    said = callguard("scrub", str(source), out, *ACME, *arguments, "--json").json()
    assert isinstance(said, dict)
    return said


def file(callguard: CommandLine, name: str) -> list[str]:
    return (callguard.folder / name).read_text().splitlines()


def test_a_list_is_split_into_three(acme: CommandLine, list_of: Path) -> None:
    acme("optout", "add", "+442079460002", *ACME)
    said = scrubbed(acme, list_of, *SERVICE)
    assert file(acme, "out.csv") == ["id,phone", "1,020 7946 0001", "4,020 7946 0001"]
    must_not = file(acme, "out.must-not.csv")
    assert must_not[0] == "id,phone,callguard_reason,callguard_rule"
    assert must_not[1].startswith("2,+442079460002,the subject opted out of tenant acme")
    assert must_not[1].endswith(",base.opt-out")
    assert file(acme, "out.cannot-tell.csv")[1].endswith(",scrub.number")
    assert said["rows"] == 4
    assert said["outcomes"] == {"may_call": 2, "must_not": 1, "cannot_tell": 1}
    assert said["by_rule"] == {"base.opt-out": 1, "scrub.number": 1}
    assert (said["repeats"], said["not_numbers"], said["column"]) == (1, 1, "phone")
    assert said["purpose"] == "service"
    assert set(said["files"]) == {"may_call", "must_not", "cannot_tell"}


def test_the_summary_for_people_says_the_same(acme: CommandLine, list_of: Path) -> None:
    put(acme.data / "registries", "gb-tps", ["+442079460002"], ("+44",))
    out = acme.folder / "out.csv"
    said = acme("scrub", str(list_of), str(out), *ACME, *AT)
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[0] == "4 rows of column phone, for marketing calls"
    assert f"cannot be told: 1 ({out.with_name('out.cannot-tell.csv')})" in lines
    assert any(line.startswith("  held back by gb.") for line in lines)
    assert "rows whose number stands in an earlier one: 1 (all kept)" in lines
    assert any(line.startswith("registry gb-tps: 1 numbers, list of 2026-03-01,") for line in lines)
    assert any("shows no number" in line or "show no number" in line for line in lines)
    assert any("what was entered since is not seen" in line for line in lines)


def test_the_registries_are_told_with_date_and_digest(acme: CommandLine, list_of: Path) -> None:
    made = put(acme.data / "registries", "gb-tps", ["+442079460002"], ("+44",))
    put(acme.data / "registries", "nobody-asks", ["+442079460002"], ("+44",))
    said = scrubbed(acme, list_of, *AT)
    assert said["registries"] == [
        {
            "name": "gb-tps",
            "list_date": "2026-03-01",
            "digest": made.digest,
            "count": 1,
            "fault": None,
        }
    ]


def test_another_moment_has_its_own_hours_and_wishes(acme: CommandLine, list_of: Path) -> None:
    acme("optout", "add", "+442079460002", *ACME)
    before = scrubbed(acme, list_of, *SERVICE, "--at", "2026-01-05T12:00Z")
    assert before["outcomes"]["must_not"] == 0
    assert before["at"] == "2026-01-05T12:00:00+00:00"
    after = scrubbed(acme, list_of, *SERVICE, "--at", "2099-01-05T12:00+01:00")
    assert after["outcomes"]["must_not"] == 1


def test_it_says_what_explain_says(acme: CommandLine, list_of: Path) -> None:
    shown = ("--caller", "+442079460999")
    explained = acme("explain", "+442079460002", *ACME, *AT, *shown, "--json").json()
    assert isinstance(explained, dict)
    scrubbed(acme, list_of, *AT, *shown)
    row = file(acme, "out.cannot-tell.csv")[2]
    assert explained["verdict"] == "block"
    assert row.split(",")[2] == "; ".join(explained["reasons"])


def test_the_list_may_come_from_the_input(
    acme: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(LIST.encode())))
    assert scrubbed(acme, "-", *SERVICE)["rows"] == 4


def test_column_delimiter_and_heading_can_be_said(acme: CommandLine) -> None:
    path = acme.folder / "odd.csv"
    path.write_text("020 7946 0001;020 7946 0002\n")
    acme("optout", "add", "+442079460002", *ACME)
    options = ("--column", "2", "--delimiter", ";", "--no-header")
    said = scrubbed(acme, path, *SERVICE, *options)
    assert (said["rows"], said["outcomes"]["must_not"]) == (1, 1)
    assert scrubbed(acme, path, *SERVICE, "--column", "1", "--header")["rows"] == 0


def test_progress_is_told_line_by_line(acme: CommandLine, list_of: Path) -> None:
    out = str(acme.folder / "out.csv")
    said = acme("scrub", str(list_of), out, *ACME, "--progress", "--json")
    last = json.loads(said.err.splitlines()[-1])
    assert last == {"rows": 4, "bytes": len(LIST), "of": len(LIST)}
    assert json.loads(said.out)["rows"] == 4


def test_a_terminal_gets_a_bar(
    acme: CommandLine, list_of: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    said = acme("scrub", str(list_of), str(acme.folder / "out.csv"), *ACME)
    assert said.code == 0
    assert "4 rows" in said.out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--tenant", "nobody"), "there is no tenant nobody"),
        ((*ACME, "--purpose", "fun"), "'fun' is no purpose"),
        ((*ACME, "--channel", "fax"), "'fax' is no channel"),
        ((*ACME, "--at", "noon"), "'noon' is no time"),
        ((*ACME, "--at", "1800-01-01"), "is before 1900"),
        ((*ACME, "--at", "2200-01-01"), "is not between"),
        ((*ACME, "--column", "fax"), "there is no column 'fax'"),
        ((*ACME, "--delimiter", "::"), "'::' is no delimiter"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(
    acme: CommandLine, list_of: Path, arguments: tuple[str, ...], reason: str
) -> None:
    acme("scrub", str(list_of), str(acme.folder / "out.csv"), *arguments).refused(reason)
    assert not (acme.folder / "out.csv").exists()


def test_a_list_that_is_not_there_or_is_no_file_is_refused(
    acme: CommandLine, list_of: Path
) -> None:
    out = str(acme.folder / "out.csv")
    acme("scrub", str(acme.folder / "none.csv"), out, *ACME).refused("none.csv")
    acme("scrub", str(acme.folder), out, *ACME).refused("is a folder")
    acme("scrub", str(list_of), str(list_of), *ACME).refused("is the list itself")
    acme("scrub", str(list_of), str(acme.folder), *ACME).refused("is a folder")
    acme("scrub", str(list_of), str(acme.folder / "no" / "out.csv"), *ACME).refused("No such file")
    assert list_of.read_text() == LIST


def test_it_runs_as_a_program(acme: CommandLine, list_of: Path) -> None:
    out = acme.folder / "out.csv"
    command = ("scrub", str(list_of), str(out), *ACME, *SERVICE, "--json", "--progress")
    done = subprocess.run(
        [sys.executable, "-m", "callguard", *command, "--config", str(acme.config)],
        capture_output=True,
        check=True,
        timeout=120,
    )
    said = json.loads(done.stdout)
    assert said["rows"] == 4
    assert datetime.fromisoformat(said["known_up_to"]).tzinfo == UTC
    assert json.loads(done.stderr.splitlines()[-1])["rows"] == 4
