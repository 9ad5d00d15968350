"""``callguard prompt``."""

import json
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from callguard.cli import prompt as prompt_module
from callguard.consent.prompts import Digits, PromptLibrary
from callguard.consent.texts import shipped_texts
from tests.cli.conftest import CommandLine
from tests.consent.speech import write_prompts, write_speech, write_wav

SPEECH = (2.0, -20.0)


def choose(callguard: CommandLine, **settings: object) -> None:
    """Sets what the tenant acme chose."""
    with sqlite3.connect(callguard.data / "callguard.db") as connection:
        (text,) = connection.execute("SELECT settings FROM tenants").fetchone()
        changed = json.dumps({**json.loads(text), **settings})
        connection.execute("UPDATE tenants SET settings = ?", (changed,))


def listed(callguard: CommandLine, *arguments: str) -> list[dict[str, Any]]:
    rows = callguard("prompt", "list", *arguments, "--json").json()
    assert isinstance(rows, list)
    return rows


ENGLISH = [text for text in shipped_texts() if text.language == "en"]


def test_prompts_are_built_and_listed(callguard: CommandLine, tools: Callable[[], None]) -> None:
    build = ("prompt", "build", "--language", "en")
    callguard("prompt", "build").refused("espeak-ng is not installed")
    tools()
    made = callguard(*build, "--json").json()
    assert isinstance(made, list)
    assert len(made) == len(ENGLISH)
    rows = listed(callguard)
    assert {(row["prompt"], row["language"], row["text"]) for row in rows} == {
        (text.name, text.language, text.text) for text in ENGLISH
    }
    assert {(row["ms"], row["source"], row["tenant"]) for row in rows} == {(1000, "espeak-ng", "")}
    assert {row["digits"] for row in rows if row["prompt"] == "ask"} == {"1,2,9"}
    assert callguard(*build).out == f"0 prompts spoken, {len(made)} were there\n"


def test_languages_are_built_and_listed(
    callguard: CommandLine, tools: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    tools()
    few = [text for text in shipped_texts() if text.name in ("notice", "ask")]
    monkeypatch.setattr(prompt_module, "shipped_texts", lambda: few)
    callguard("prompt", "build", "--language", "it").refused("there are no texts in it")
    for languages in (["nl"], ["he", "nl"]):
        arguments = [word for language in languages for word in ("--language", language)]
        assert callguard("prompt", "build", *arguments).code == 0
        assert {row["language"] for row in listed(callguard)} == set(languages)
    assert {row["language"] for row in listed(callguard, "--language", "he")} == {"he"}
    assert callguard("prompt", "build").out == "10 prompts spoken, 4 were there\n"


def test_a_tenants_own_keys_are_spoken(acme: CommandLine, tools: Callable[[], None]) -> None:
    tools()
    acme("prompt", "build", "--tenant", "beta").refused("there is no tenant beta")
    acme("prompt", "build", "--tenant", "../beta").refused("is no tenant id")
    said = acme("prompt", "build", "--tenant", "acme")
    assert said.out == "the shared prompts name acme's digits: there is nothing to speak\n"
    choose(acme, opt_out_digit="8", languages=["he-IL"])
    assert acme("prompt", "build", "--tenant", "acme").out == "6 prompts spoken, 0 were there\n"
    write_prompts(acme.data / "prompts")
    rows = listed(acme, "--tenant", "acme")
    assert {(row["tenant"], row["prompt"], row["language"], row["digits"]) for row in rows} == {
        ("acme", name, language, digits)
        for language in ("en", "he")
        for name, digits in (("notice", "8"), ("notice-refuse", "2,8"), ("ask", "1,2,8"))
    }
    assert acme("prompt", "build", "--tenant", "acme").out == "0 prompts spoken, 6 were there\n"


def test_a_folder_that_is_not_whole_is_listed_and_fails(
    callguard: CommandLine, tools: Callable[[], None]
) -> None:
    tools()
    callguard("prompt", "build", "--language", "en")
    broken = callguard.data / "prompts" / "en" / "notice-1.wav"
    broken.unlink()
    said = callguard("prompt", "list", "--json")
    assert said.code == 1
    assert said.err == f"callguard: {broken}: No such file or directory\n"
    assert said.out.count('"prompt": ') == len(ENGLISH) - 1


def test_without_a_folder_nothing_can_be_played(callguard: CommandLine) -> None:
    said = callguard("prompt", "list", "--json")
    assert (said.code, said.out) == (1, "[]\n")
    assert said.err.count("\n") == 1
    assert "manifest.json" in said.err


@pytest.fixture
def recording(acme: CommandLine) -> str:
    return str(write_speech(acme.folder / "studio" / "notice.wav", SPEECH, rate=16_000))


def added(acme: CommandLine, *arguments: str) -> dict[str, Any]:
    whose = ("--tenant", "acme", "--language", "en")
    row = acme("prompt", "add", *arguments, *whose, "--json").json()
    assert isinstance(row, dict)
    return row


def test_a_tenants_own_recording_takes_the_place_of_the_shared_one(
    acme: CommandLine, recording: str
) -> None:
    row = added(acme, "notice", recording, "--text", "We record this. Press 9.")
    assert (row["version"], row["digits"], row["source"]) == (1, "9", "own")
    assert added(acme, "notice", recording, "--as-written")["version"] == 2
    library, _ = PromptLibrary.load(acme.data / "prompts")
    prompt = library.find("notice", "en", "acme")
    assert prompt is not None
    shipped = {(text.name, text.language): text.text for text in shipped_texts()}
    assert (prompt.version, prompt.text) == (2, shipped["notice", "en"])
    assert library.find("notice", "en") is None
    said = acme("prompt", "list", "--tenant", "acme", "--json")
    assert [row["version"] for row in json.loads(said.out)] == [1, 2]
    with sqlite3.connect(acme.data / "callguard.db") as connection:
        query = "SELECT tenant, target, details FROM audit WHERE action = 'prompt.add'"
        noted = connection.execute(query).fetchall()
    assert [(tenant, target) for tenant, target, _ in noted] == [
        ("acme", "en/notice-1"),
        ("acme", "en/notice-2"),
    ]
    assert json.loads(noted[1][2]) == {
        "digits": "9",
        "ms": row["ms"],
        "sha256": prompt.sha256,
        "text": prompt.text,
    }
    assert acme("audit", "verify").code == 0


def test_the_keys_of_a_recording_are_the_tenants_unless_told(
    acme: CommandLine, recording: str
) -> None:
    choose(acme, accept_digit="3", refuse_digit="4", opt_out_digit="8")
    assert added(acme, "ask", recording, "--as-written")["digits"] == "3,4,8"
    arguments = ("notice", recording, "--tenant", "acme", "--language", "en")
    acme("prompt", "add", *arguments, "--text", "Press 9.").refused("do not name 8 (opt out)")
    said = acme("prompt", "add", *arguments, "--text", "Press nine.", "--digits", "9")
    assert said.out == (
        "notice in en is now acme's own, version 1; it is not played while its keys (9) are not"
        " the tenant's\n"
    )
    library, _ = PromptLibrary.load(acme.data / "prompts")
    assert library.find("notice", "en", "acme", Digits("3", "4", "8")) is None


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("notice",), "either --text WORDS or --as-written"),
        (("notice", "--text", "Press 9.", "--as-written"), "either --text WORDS or --as-written"),
        (("nothing", "--as-written"), "there is no prompt 'nothing'"),
        (("notice", "--as-written", "--digits", "1,9"), "are not the digits that notice names"),
        (("notice", "--as-written", "--language", "../en"), "is no language"),
        (("notice", "--as-written", "--language", "it"), "no shipped words for notice in it"),
        (("notice", "--as-written", "--tenant", "beta"), "there is no tenant beta"),
        (("notice", "--as-written", "--tenant", "../acme"), "is no tenant id"),
    ],
)
def test_what_cannot_be_added_is_refused_in_one_line(
    acme: CommandLine, recording: str, arguments: tuple[str, ...], reason: str
) -> None:
    whose = ("--tenant", "acme", "--language", "en")
    acme("prompt", "add", *whose, *arguments, recording).refused(reason)
    assert not (acme.data / "prompts").exists()


def test_a_recording_that_cannot_be_heard_is_refused(acme: CommandLine) -> None:
    write_wav(acme.folder / "silence.wav")
    whose = ("--tenant", "acme", "--language", "en", "--as-written")
    for name, reason in (("silence.wav", "nothing is heard"), ("absent.wav", "No such file")):
        acme("prompt", "add", "notice", str(acme.folder / name), *whose).refused(reason)
    assert not (acme.data / "prompts").exists()


def test_what_the_audit_log_cannot_take_is_not_played(
    acme: CommandLine, recording: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    whose = ("--tenant", "acme", "--language", "en", "--as-written")
    with monkeypatch.context() as patch:
        patch.setattr(prompt_module, "append", full)
        acme("prompt", "add", "notice", recording, *whose).refused("No space left")
    assert PromptLibrary.load(acme.data / "prompts")[0].find("notice", "en", "acme") is None
    assert added(acme, "notice", recording, "--as-written")["version"] == 1
