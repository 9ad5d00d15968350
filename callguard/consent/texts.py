"""The words of the prompts: reviewed text files, one a language, each text with a version."""

import tomllib
from dataclasses import dataclass
from importlib import resources

DIGITS = tuple(f"digit-{digit}" for digit in range(10))
"""The prompts that say one digit each."""

PROMPTS = (
    "notice",
    "optout-done",
    "optout-failed",
    "blocked",
    "blocked-hours",
    "blocked-limit",
    "blocked-consent",
    "line-language",
    "line-offer",
    "line-type",
    "line-bad-number",
    "line-read-back",
    "line-confirm",
    "line-in-ask",
    "line-in-done",
    "line-callback",
    "callback-ask",
    "line-unchanged",
    "line-goodbye",
    *DIGITS,
)


class TextError(ValueError):
    """A text file that cannot be used; one line that says which and why."""


@dataclass(frozen=True, slots=True)
class PromptText:
    """What one prompt says in one language. ``voice`` is the espeak-ng voice that says it.

    ``phonemes`` is what the synthesiser is given in place of the text where it cannot read the
    script itself (unpointed Hebrew), in espeak-ng's ``[[…]]``. The evidence is the text. A new
    pronunciation is a new version, like new words.
    """

    name: str
    language: str
    version: int
    text: str
    voice: str
    phonemes: str = ""

    @property
    def spoken(self) -> str:
        """What the synthesiser is given."""
        return self.phonemes or self.text


def parse_texts(name: str, source: str) -> tuple[PromptText, ...]:
    """Reads one language's file. Raises TextError."""
    try:
        data = tomllib.loads(source)
        language, voice = str(data["language"]), str(data["voice"])
        found = tuple(
            PromptText(
                prompt,
                language,
                int(entry["version"]),
                str(entry["text"]),
                voice,
                str(entry.get("phonemes", "")),
            )
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
