"""``callguard prompt``."""

from collections.abc import Callable

from callguard.consent.texts import shipped_texts
from tests.cli.conftest import CommandLine


def test_prompts_are_built_and_listed(callguard: CommandLine, tools: Callable[[], None]) -> None:
    callguard("prompt", "build").refused("espeak-ng is not installed")
    tools()
    made = callguard("prompt", "build", "--json").json()
    assert isinstance(made, list)
    assert len(made) == len(shipped_texts())
    rows = callguard("prompt", "list", "--json").json()
    assert isinstance(rows, list)
    assert {(row["prompt"], row["language"], row["text"]) for row in rows} == {
        (text.name, text.language, text.text) for text in shipped_texts()
    }
    assert {row["ms"] for row in rows} == {1000}
    assert callguard("prompt", "build").out == f"{len(made)} prompts spoken\n"


def test_a_folder_that_is_not_whole_is_listed_and_fails(
    callguard: CommandLine, tools: Callable[[], None]
) -> None:
    tools()
    callguard("prompt", "build")
    broken = callguard.data / "prompts" / "en" / "notice-1.wav"
    broken.unlink()
    said = callguard("prompt", "list", "--json")
    assert said.code == 1
    assert said.err == f"callguard: {broken}: No such file or directory\n"
    assert said.out.count('"prompt": ') == len(shipped_texts()) - 1


def test_without_a_folder_nothing_can_be_played(callguard: CommandLine) -> None:
    said = callguard("prompt", "list", "--json")
    assert (said.code, said.out) == (1, "[]\n")
    assert said.err.count("\n") == 1
    assert "manifest.json" in said.err
