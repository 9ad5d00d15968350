"""What every command does alike: settings, database, locks, streams and exit codes."""

import os
import pwd
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import structlog

from callguard import __version__
from callguard.cli.surroundings import actor, log_to_stderr
from tests.cli.conftest import CommandLine

EVERY = [
    ("tenant", "list"),
    ("tenant", "show", "acme"),
    ("tenant", "add", "acme"),
    ("tenant", "policy", "acme", "consent", "3d"),
    ("optout", "list"),
    ("optout", "add", "+442079460000"),
    ("optout", "remove", "+442079460000", "--reason", "asked"),
    ("recording", "list"),
    ("recording", "export", "x", "x.age", "--reason", "asked"),
    ("purge",),
    ("purge", "--dry-run"),
    ("prompt", "list"),
    ("prompt", "build"),
]
STORED = [command for command in EVERY if command[0] != "prompt"]
WRITING = [
    ("tenant", "add", "two", "--key", "x25519"),
    ("tenant", "policy", "acme", "consent", "3d"),
    ("optout", "add", "+442079460000"),
    ("purge",),
]


@pytest.mark.parametrize("command", EVERY, ids=" ".join)
def test_without_settings_the_file_is_named(blank: CommandLine, command: tuple[str, ...]) -> None:
    blank(*command).refused(f"{blank.config}: No such file or directory")


@pytest.mark.parametrize("command", EVERY, ids=" ".join)
def test_a_wrong_setting_is_named_with_its_file(
    blank: CommandLine, command: tuple[str, ...]
) -> None:
    blank.config.parent.mkdir()
    blank.config.write_text("[agi]\nport = 99999\n")
    blank(*command).refused(f"{blank.config}: agi.port: ")


@pytest.mark.parametrize("command", STORED, ids=" ".join)
def test_without_a_database_it_is_said_what_to_run(
    blank: CommandLine, command: tuple[str, ...]
) -> None:
    blank.config.parent.mkdir()
    blank.data.mkdir()
    blank.config.write_text(f'data = "{blank.data}"\n')
    blank(*command).refused("run callguard init")


def test_a_data_folder_that_is_not_there_is_one_line(blank: CommandLine) -> None:
    blank.config.parent.mkdir()
    blank.config.write_text(f'data = "{blank.data}"\n')
    blank("tenant", "list").refused("unable to open database file")


def test_a_database_address_that_is_unknown_is_one_line(blank: CommandLine) -> None:
    blank.config.parent.mkdir()
    blank.config.write_text('database = "mysql://x"\n')
    blank("tenant", "list").refused("mysql is not a database callguard knows")


@pytest.mark.parametrize("command", WRITING, ids=" ".join)
def test_a_database_that_another_process_holds_is_one_line_without_its_statement(
    acme: CommandLine, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callguard.storage.pragmas.BUSY_MS", 20)
    locker = sqlite3.connect(acme.data / "callguard.db", isolation_level=None)
    locker.execute("BEGIN IMMEDIATE")
    said = acme(*command)
    locker.execute("ROLLBACK")
    locker.close()
    said.refused("callguard: database is locked\n")
    assert acme(*command).code == 0


@pytest.mark.parametrize(
    "command",
    [
        ("tenant",),
        ("tenant", "add"),
        ("optout", "remove", "+442079460000"),
        ("recording", "export", "x", "y"),
        ("recording", "list", "--limit", "0"),
        ("recording", "list", "--limit", "-1"),
        ("purge", "--colour"),
        ("fly",),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_2(callguard: CommandLine, command: tuple[str, ...]) -> None:
    said = callguard(*command)
    assert said.code == 2
    assert "Traceback" not in said.err


def test_the_version_is_told(blank: CommandLine) -> None:
    said = blank("version")
    assert (said.code, said.out) == (0, f"{__version__}\n")


def test_an_argument_that_is_no_text_is_one_line(acme: CommandLine) -> None:
    acme("optout", "add", "+442079460000", "--reason", "\udcff").refused("surrogates not allowed")
    acme("tenant", "add", "two", "--name", "\udcff", "--key", "x25519").refused("surrogates")
    assert acme("optout", "list", "--json").json() == []


def test_a_real_process_answers_json_alone_and_fails_in_one_line(acme: CommandLine) -> None:
    environment = {**os.environ, "CALLGUARD_CONFIG": str(acme.config)}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "callguard", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    done = run("purge", "--json")
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)
    failed = run("tenant", "show", "nobody")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr == "callguard: there is no tenant nobody\n"


def test_who_acts_is_told_by_the_system_not_by_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody-else")
    assert actor() == f"cli:{pwd.getpwuid(os.getuid()).pw_name}"
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 9)
    assert actor() == f"cli:{2**31 - 9}"


def test_logs_are_json_lines_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr("warning", cache=False)
    structlog.get_logger("x").info("quiet")
    structlog.get_logger("x").warning("loud", path=str(Path("/x")))
    out, err = capsys.readouterr()
    assert out == ""
    assert '"event": "loud"' in err
    assert "quiet" not in err
