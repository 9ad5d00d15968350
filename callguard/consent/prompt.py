"""What a prompt is: its words, the keys that they name, and the audio that says them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

RATE = 8_000
MANIFEST = "manifest.json"
TENANTS = "tenants"

Source = Literal["espeak-ng", "own"]
Stamp = tuple[int, ...]
"""A file as ``stat`` tells it; one that was written anew or cut has another. Empty where there is
none."""


class PromptError(RuntimeError):
    """A prompt that cannot be made or trusted; one line that says which and why."""


@dataclass(frozen=True, slots=True)
class Digits:
    """The keys that answer a notice or a question; "" where the words name none."""

    accept: str = ""
    refuse: str = ""
    opt_out: str = ""

    def suit(self, wanted: "Digits") -> bool:
        """Whether words that name these keys name none that is another one of ``wanted``."""
        return (
            self.accept in ("", wanted.accept)
            and self.refuse in ("", wanted.refuse)
            and self.opt_out in ("", wanted.opt_out)
        )

    def __str__(self) -> str:
        return ",".join(filter(None, (self.accept, self.refuse, self.opt_out)))


NO_DIGITS = Digits()
SHARED = Digits("1", "2", "9")
"""The keys that the prompts name which all tenants share."""

_NAMED = {
    "notice": ("opt_out",),
    "notice-refuse": ("refuse", "opt_out"),
    "ask": ("accept", "refuse", "opt_out"),
}


def named_in(name: str) -> tuple[str, ...]:
    """Which of the tenant's digits the words of that prompt must name."""
    return _NAMED.get(name, ())


def digits_of(name: str, digits: Digits) -> Digits:
    """Those of these digits that the words of that prompt name."""
    return Digits(**{field: getattr(digits, field) for field in named_in(name)})


@dataclass(frozen=True, slots=True)
class Prompt:
    """One playable prompt. ``samples`` is its length at 8 kHz, the unit in which Asterisk's
    ``STREAM FILE`` reports how much was played. ``digits`` are the keys that its words name,
    ``tenant`` whose it is ("" where all share it)."""

    name: str
    language: str
    version: int
    text: str
    sha256: str
    samples: int
    digits: Digits = NO_DIGITS
    tenant: str = ""
    source: Source = "espeak-ng"

    @property
    def file(self) -> str:
        """The file name, without the extension, as Asterisk wants it."""
        folder = f"{TENANTS}/{self.tenant}/" if self.tenant else ""
        return f"{folder}{self.language}/{self.name}-{self.version}"

    @property
    def evidence(self) -> str:
        """What a ledger row keeps of it."""
        whose = f" tenant:{self.tenant}" if self.tenant else ""
        return f"{self.name} v{self.version} {self.language}{whose} sha256:{self.sha256}"

    @property
    def length_ms(self) -> int:
        return self.samples * 1000 // RATE


@dataclass(frozen=True, slots=True)
class Kept:
    """A line of a manifest. ``stamp`` is how its file looked before it was read, ``fault`` why it
    is not the audio that the line describes; "" if it is."""

    prompt: Prompt
    path: Path
    stamp: Stamp
    fault: str = ""


@dataclass(frozen=True, slots=True)
class PromptFolder:
    """A manifest as it was read. ``faults`` are its lines that describe no prompt, or why it could
    not be read itself."""

    stamp: Stamp
    kept: tuple[Kept, ...] = ()
    faults: tuple[str, ...] = ()
