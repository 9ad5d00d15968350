"""The words of the prompts: reviewed text files, one a language, each text with a version."""

import tomllib
from dataclasses import dataclass
from importlib import resources

PROMPTS = (
    "notice",
    "optout-done",
    "blocked",
    "blocked-hours",
    "blocked-limit",
    "blocked-consent",
)


class TextError(ValueError):
    """A text file that cannot be used; one line that says which and why."""


@dataclass(frozen=True, slots=True)
class PromptText:
    """What one prompt says in one language. ``voice`` is the espeak-ng voice that says it."""

    name: str
    language: str
    version: int
    text: str
    voice: str


def parse_texts(name: str, source: str) -> tuple[PromptText, ...]:
    """Reads one language's file. Raises TextError."""
    try:
        data = tomllib.loads(source)
        language, voice = str(data["language"]), str(data["voice"])
        found = tuple(
            PromptText(prompt, language, int(entry["version"]), str(entry["text"]), voice)
            for prompt, entry in data["prompt"].items()
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise TextError(f"prompt texts {name}: {error}") from error
    missing = set(PROMPTS) - {text.name for text in found}
    if missing:
        raise TextError(f"prompt texts {name}: {', '.join(sorted(missing))} missing")
    return found


def shipped_texts() -> tuple[PromptText, ...]:
    """All texts that come with callguard."""
    folder = resources.files("callguard.consent").joinpath("texts")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
    return tuple(text for f in files for text in parse_texts(f.name, f.read_text(encoding="utf-8")))
