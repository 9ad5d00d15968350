"""The words of the prompts: reviewed text files, one a language, each text with a version.

Where words name a key that each tenant chooses, the file has ``{accept}``, ``{refuse}`` or
``{opt_out}``; they are filled with the tenant's digits when the texts are read.
"""

import re
import tomllib
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib import resources

from callguard.consent.prompt import NO_DIGITS, SHARED, Digits, digits_of, named_in

DIGITS = tuple(f"digit-{digit}" for digit in range(10))
"""The prompts that say one digit each."""

PROMPTS = (
    "notice",
    "notice-refuse",
    "ask",
    "refused",
    "refused-end",
    "granted",
    "recording-paused",
    "recording-resumed",
    "recording-stopped",
    "recording-erased",
    "recording-unchanged",
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
    script itself (unpointed Hebrew), in espeak-ng's ``[[…]]``, or its figures. The evidence is the
    text. A new pronunciation is a new version, like new words. ``digits`` are the keys that the
    words name.
    """

    name: str
    language: str
    version: int
    text: str
    voice: str
    phonemes: str = ""
    digits: Digits = NO_DIGITS

    @property
    def spoken(self) -> str:
        """What the synthesiser is given."""
        return self.phonemes or self.text


def parse_texts(name: str, source: str, digits: Digits = SHARED) -> tuple[PromptText, ...]:
    """Reads one language's file, with these digits in its words. Raises TextError."""
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
    sounds = {text.name: _PHONEMES.sub("", text.phonemes) for text in found}
    filled = tuple(_filled(name, text, digits, sounds) for text in found)
    if data.get("figures_as_words") is True:
        words = {text.name: text.text for text in found}
        return tuple(_spelled(text, words) for text in filled)
    return filled


_PHONEMES = re.compile(r"\[\[|\]\]")
_PLACE = re.compile(r"\{([^}]*)\}")


def _filled(name: str, text: PromptText, digits: Digits, sounds: dict[str, str]) -> PromptText:
    """The text with the digits in its words; within phonemes a digit is said as its own prompt."""
    named = digits_of(text.name, digits)
    for words in filter(None, (text.text, text.phonemes)):
        if sorted(_PLACE.findall(words)) != sorted(named_in(text.name)):
            wanted = ", ".join(f"{{{field}}}" for field in named_in(text.name)) or "no digit"
            raise TextError(f"prompt texts {name}: {text.name} must name {wanted}, each once")
    words, phonemes = text.text, text.phonemes
    for field in fields(Digits):
        digit = getattr(named, field.name)
        words = words.replace(f"{{{field.name}}}", digit)
        if phonemes and digit:
            sound = sounds[f"digit-{digit}"]
            if not sound:
                raise TextError(f"prompt texts {name}: digit-{digit} has no phonemes")
            phonemes = phonemes.replace(f"{{{field.name}}}", sound)
    return replace(text, text=words, phonemes=phonemes, digits=named)


def _spelled(text: PromptText, words: dict[str, str]) -> PromptText:
    """The text with the words of the digits' own prompts for the synthesiser."""
    spoken = re.sub("[0-9]", lambda figure: words[f"digit-{figure[0]}"], text.text)
    return text if spoken == text.text else replace(text, phonemes=spoken)


@cache
def shipped_texts(digits: Digits = SHARED) -> tuple[PromptText, ...]:
    """All texts that come with callguard, with these digits in their words."""
    folder = resources.files("callguard.consent").joinpath("texts")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
    return tuple(
        text for f in files for text in parse_texts(f.name, f.read_text(encoding="utf-8"), digits)
    )
