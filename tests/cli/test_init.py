"""``callguard init``: everything once, nothing twice, and one line for what stands in the way."""

import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from callguard.cli import init as init_module
from callguard.config import Settings
from callguard.consent.prompts import PromptLibrary
from callguard.consent.texts import PromptText, shipped_texts
from callguard.web.token import read_token
from tests.cli.conftest import CommandLine


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and ".db" not in p.name
    }


def test_everything_is_made_and_only_its_owner_reads_the_secrets(blank: CommandLine) -> None:
    answer = blank("init", "--data", str(blank.data), "--no-prompts", "--region", "IL", "--json")
    secret = blank.config.parent / "manager.secret"
    master, token = blank.data / "master.key", blank.data / "api.token"
    assert answer.json() == {
        "config": str(blank.config),
        "made": [str(blank.config), str(secret), str(master), str(token)],
    }
    settings = Settings.load(blank.config)
    assert (settings.home_region, settings.data) == ("IL", blank.data)
    assert len(settings.asterisk[0].secret()) == 48
    assert len(read_token(token) or "") == 43  # 32 bytes
    for path in (secret, master, token):
        assert path.stat().st_mode & 0o777 == 0o600
    assert blank.data.stat().st_mode & 0o777 == 0o700
    assert not list(blank.config.parent.glob("*.part"))


def test_a_second_time_changes_nothing(callguard: CommandLine) -> None:
    before = files(callguard.folder)
    answer = callguard("init", "--data", str(callguard.data), "--no-prompts", "--json").json()
    assert answer == {"config": str(callguard.config), "made": []}
    assert files(callguard.folder) == before


def test_a_folder_with_quotes_and_hebrew_in_its_name_is_a_folder(blank: CommandLine) -> None:
    data = blank.folder / 'נתונים "א" \\ב'
    assert blank("init", "--data", str(data), "--no-prompts").code == 0
    assert Settings.load(blank.config).data == data


def test_a_folder_with_a_line_break_in_its_name_is_refused(blank: CommandLine) -> None:
    blank("init", "--data", f"{blank.folder}/a\nb", "--no-prompts").refused("control character")
    assert not blank.config.exists()


def test_a_region_that_is_none_is_refused(blank: CommandLine) -> None:
    blank("init", "--region", "gb").refused("'gb' is not a region")
    assert not blank.config.exists()


def test_settings_are_there_whole_or_not_at_all(
    blank: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at either file; the next init makes what is missing, and no empty secret stays."""

    def killed(draft: Path, _: Path) -> None:
        raise OSError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        blank("init", "--data", str(blank.data), "--no-prompts").refused("killed")
    blank.init()
    assert len(Settings.load(blank.config).asterisk[0].secret()) == 48
    assert tomllib.loads(blank.config.read_text())["home_region"] == "GB"


def test_a_place_that_is_taken_is_one_line(blank: CommandLine) -> None:
    (blank.folder / "etc").write_text("a file")
    blank("init", "--no-prompts").refused("etc")


def test_a_config_that_is_a_folder_is_one_line(blank: CommandLine) -> None:
    blank.config.mkdir(parents=True)
    blank("init", "--no-prompts").refused(f"{blank.config}: Is a directory")


def test_a_master_key_that_others_may_read_is_refused(callguard: CommandLine) -> None:
    (callguard.data / "master.key").chmod(0o644)
    callguard("init", "--no-prompts").refused("has mode 0644")


def test_an_installation_without_an_api_token_gets_one_and_keeps_it(
    callguard: CommandLine,
) -> None:
    token = callguard.data / "api.token"
    before = read_token(token)
    token.unlink()
    answer = callguard("init", "--no-prompts", "--json").json()
    assert answer == {"config": str(callguard.config), "made": [str(token)]}
    assert token.stat().st_mode & 0o777 == 0o600
    made = read_token(token)
    assert made is not None
    assert made != before
    assert callguard("init", "--no-prompts").code == 0
    assert read_token(token) == made


@pytest.mark.parametrize("text", ["", "short\n", "two tokens of which neither is one that is good"])
def test_an_api_token_that_is_none_is_refused_and_left(callguard: CommandLine, text: str) -> None:
    token = callguard.data / "api.token"
    token.write_text(text)
    callguard("init", "--no-prompts").refused(f"the API token {token}: the file does not hold one")
    assert token.read_text() == text


def test_an_api_token_that_others_may_read_is_refused(callguard: CommandLine) -> None:
    (callguard.data / "api.token").chmod(0o644)
    callguard("init", "--no-prompts").refused("has mode 0644")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> tuple[PromptText, ...]:
    """Two prompts in two languages are all that come with callguard, since each takes its time."""
    names, languages = ("notice", "blocked"), ("en", "nl")
    few = tuple(t for t in shipped_texts() if t.name in names and t.language in languages)
    monkeypatch.setattr(init_module, "shipped_texts", lambda: few)
    return few


def test_without_espeak_all_but_the_prompts_is_made(
    blank: CommandLine, tools: Callable[[], None], few: tuple[PromptText, ...]
) -> None:
    said = blank("init", "--data", str(blank.data))
    said.refused("espeak-ng is not installed")
    assert (blank.data / "callguard.db").exists()
    tools()
    answer = blank("init", "--data", str(blank.data), "--json").json()
    assert answer == {"config": str(blank.config), "made": [str(blank.data / "prompts")]}


def prompts(callguard: CommandLine) -> tuple[int, tuple[str, ...]]:
    library, faults = PromptLibrary.load(callguard.data / "prompts")
    return len(library), faults


def test_a_prompt_folder_that_is_half_broken_is_made_whole(
    blank: CommandLine, tools: Callable[[], None], few: tuple[PromptText, ...]
) -> None:
    tools()
    blank("init", "--data", str(blank.data))
    whole = (len(few), ())
    assert prompts(blank) == whole
    broken = blank.data / "prompts" / "en" / "notice-1.wav"
    broken.write_bytes(broken.read_bytes()[:-100])
    (blank.data / "prompts" / "nl" / "blocked-1.wav").unlink()
    assert prompts(blank)[0] == whole[0] - 2
    assert blank("init").code == 0
    assert prompts(blank) == whole
    assert blank("init", "--json").json() == {"config": str(blank.config), "made": []}


def test_a_text_of_another_version_is_spoken_though_the_number_is_right(
    blank: CommandLine,
    tools: Callable[[], None],
    few: tuple[PromptText, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tools()
    blank("init", "--data", str(blank.data))
    newer = tuple(replace(text, version=text.version + 1) for text in few)
    monkeypatch.setattr(init_module, "shipped_texts", lambda: newer)
    assert blank("init", "--json").json() == {
        "config": str(blank.config),
        "made": [str(blank.data / "prompts")],
    }
    found = PromptLibrary.load(blank.data / "prompts")[0].find("notice", "en")
    assert found is not None
    assert found.version == 2


def test_a_database_that_is_none_is_one_line(callguard: CommandLine) -> None:
    for path in callguard.data.glob("callguard.db*"):
        path.unlink()
    (callguard.data / "callguard.db").write_bytes(b"x" * 5000)
    callguard("init", "--no-prompts").refused("file is not a database")
    assert (callguard.data / "callguard.db").stat().st_size == 5000
