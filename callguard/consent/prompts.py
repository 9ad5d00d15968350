"""Prompts as they are played: audio made from the texts, with a manifest that proves which.

Files are 8 kHz mono WAV, which every Asterisk plays in every codec. The manifest keeps, for
each, the words, the version and the SHA-256, so that a call's evidence can name the exact one.
"""

import hashlib
import json
import subprocess
import wave
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from callguard.consent.texts import PromptText

RATE = 8_000
MANIFEST = "manifest.json"
SYNTHESIS_S = 30.0


class PromptError(RuntimeError):
    """A prompt that cannot be made or trusted; one line that says which and why."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One playable prompt. ``samples`` is its length at 8 kHz, the unit in which Asterisk's
    ``STREAM FILE`` reports how much was played."""

    name: str
    language: str
    version: int
    text: str
    sha256: str
    samples: int

    @property
    def file(self) -> str:
        """The file name, without the extension, as Asterisk wants it."""
        return f"{self.language}/{self.name}-{self.version}"

    @property
    def evidence(self) -> str:
        """What a ledger row keeps of it."""
        return f"{self.name} v{self.version} {self.language} sha256:{self.sha256}"

    @property
    def length_ms(self) -> int:
        return self.samples * 1000 // RATE


_ENTRY = {
    "name": str,
    "language": str,
    "version": int,
    "text": str,
    "sha256": str,
    "samples": int,
}
"""What the manifest says of each prompt."""


class PromptLibrary:
    """The prompts of one folder, checked when loaded."""

    def __init__(self, prompts: Iterable[Prompt] = ()) -> None:
        self._prompts = {(p.name, p.language): p for p in prompts}

    def find(self, name: str, language: str) -> Prompt | None:
        """The prompt in that language ("he" for "he-IL" too), or None: no other language is put
        in its place, because a notice that was not understood is none."""
        exact = self._prompts.get((name, language))
        return exact or self._prompts.get((name, language.split("-")[0]))

    def __len__(self) -> int:
        return len(self._prompts)

    def all(self) -> tuple[Prompt, ...]:
        """Every prompt, by name and language."""
        return tuple(prompt for _, prompt in sorted(self._prompts.items()))

    @classmethod
    def load(cls, folder: Path) -> tuple["PromptLibrary", tuple[str, ...]]:
        """Loads what is whole; returns with it one line for each prompt that is not."""
        try:
            entries = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            return cls(), (f"{folder / MANIFEST}: {error}",)
        if not isinstance(entries, list):
            return cls(), (f"{folder / MANIFEST}: not a list of prompts",)
        whole, faults = [], []
        for entry in entries:
            try:
                whole.append(_checked(folder, entry))
            except PromptError as error:
                faults.append(str(error))
        return cls(whole), tuple(faults)


def _checked(folder: Path, entry: object) -> Prompt:
    """The prompt of a line of the manifest, if its audio is the one that was made for it."""
    if not isinstance(entry, dict) or {k: type(v) for k, v in entry.items()} != _ENTRY:
        raise PromptError(f"{folder / MANIFEST}: {str(entry)[:60]!r} describes no prompt")
    prompt = Prompt(**entry)
    path = folder / f"{prompt.file}.wav"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PromptError(f"{path}: {error.strerror}") from error
    if hashlib.sha256(data).hexdigest() != prompt.sha256 or _samples(path) != prompt.samples:
        raise PromptError(f"{path}: the audio is not the one in the manifest")
    return prompt


def _samples(path: Path) -> int:
    """How long an audio file is, in samples. Raises PromptError where it is none at 8 kHz."""
    try:
        with wave.open(str(path)) as audio:
            rate, samples = audio.getframerate(), int(audio.getnframes())
    except (wave.Error, EOFError) as error:
        raise PromptError(f"{path}: {error or 'cut short'}") from error
    if rate != RATE:
        raise PromptError(f"{path}: {rate} samples a second in place of {RATE}")
    return samples


def build(folder: Path, texts: Iterable[PromptText]) -> tuple[Prompt, ...]:
    """Speaks every text with espeak-ng and writes the folder with its manifest.

    Raises PromptError when a tool is missing or a result is not plausible speech.
    """
    made = tuple(_make(folder, text) for text in texts)
    manifest = folder / MANIFEST
    draft = manifest.with_suffix(".part")
    text = json.dumps([asdict(p) for p in made], indent=1, ensure_ascii=False)
    draft.write_text(text + "\n", encoding="utf-8")
    draft.replace(manifest)
    return made


def _make(folder: Path, text: PromptText) -> Prompt:
    target = folder / text.language / f"{text.name}-{text.version}.wav"
    target.parent.mkdir(parents=True, exist_ok=True)
    spoken = target.with_suffix(".speech")
    draft = target.with_suffix(".part")
    _run(["espeak-ng", "-v", text.voice, "-w", str(spoken), "--", text.spoken])
    convert = ["-r", str(RATE), "-c", "1", "-b", "16", "-t", "wav", str(draft)]
    # -R dithers alike each time, so that the same words make the same file.
    _run(["sox", "-R", "-t", "wav", str(spoken), *convert, "gain", "-n", "-3"])
    spoken.unlink()
    samples = _samples(draft)
    if not RATE // 2 <= samples <= 60 * RATE:
        raise PromptError(f"{target}: {samples / RATE:.1f} s is no plausible length for a prompt")
    sha256 = hashlib.sha256(draft.read_bytes()).hexdigest()
    draft.replace(target)
    return Prompt(text.name, text.language, text.version, text.text, sha256, samples)


def _run(command: list[str]) -> None:
    try:
        subprocess.run(  # noqa: S603 - a fixed program with our own arguments, no shell
            command, check=True, capture_output=True, timeout=SYNTHESIS_S
        )
    except FileNotFoundError as error:
        raise PromptError(f"{command[0]} is not installed") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()
        raise PromptError(f"{command[0]} failed: {said[-1] if said else error}") from error
    except subprocess.TimeoutExpired as error:
        raise PromptError(f"{command[0]} did not finish in {SYNTHESIS_S:g} s") from error
