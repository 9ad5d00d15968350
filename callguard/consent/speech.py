"""Speaking the prompts, offline, with espeak-ng and sox.

The same words make the same file, byte for byte, so speaking again what is there changes nothing.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from callguard.consent.manifest import draft_manifest, folder_of, locked, put
from callguard.consent.prompt import MANIFEST, RATE, Prompt, PromptError, PromptFolder
from callguard.consent.prompts import PromptLibrary
from callguard.consent.texts import DIGITS, PromptText
from callguard.consent.tools import as_wav, narrowed, run

PEAK_DB = -3.0
"""How loud a prompt is at its loudest, in dB of full scale."""

SHORTEST_S = 0.5
SHORTEST_DIGIT_S = 0.2
LONGEST_S = 60.0
"""What is shorter, or longer, was not spoken right."""

AT_ONCE = min(4, os.cpu_count() or 1)
"""How many prompts are spoken at the same time."""

Told = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Built:
    """The prompt of each text, and how many of them were spoken anew."""

    prompts: tuple[Prompt, ...]
    spoken: int


def build(
    folder: Path, texts: Iterable[PromptText], tenant: str = "", told: Told | None = None
) -> Built:
    """Speaks each text whose prompt is not there, whole and of the same words, and writes the
    manifest; what it said of other prompts and of older versions stays.

    A tenant's versions are counted by what it has; the shared prompts have those of the texts.
    ``told`` is called with how many are spoken, and how many there are to speak.
    Raises PromptError when a tool is missing or a result is not plausible speech; the manifest
    is then as it was.
    """
    home = folder_of(folder, tenant)
    with locked(folder):
        library, _ = PromptLibrary.load(folder)
        known = library.folders.get(tenant, PromptFolder(()))
        if tenant and known.faults:
            raise PromptError(known.faults[0])
        manifest = [kept.prompt for kept in known.kept]
        whole = [kept.prompt for kept in known.kept if not kept.fault]
        due: list[tuple[PromptText, Prompt]] = []
        there = []
        for text in texts:
            wished = _wished(text, tenant, manifest)
            same = next((p for p in whole if _serves(p, wished)), None)
            if same is not None:
                there.append(same)
            else:
                due.append((text, wished))
        made = _speak_all(folder, due, told)
        if made or known.faults or not (tenant or (home / MANIFEST).exists()):
            files = {prompt.file for prompt in made}
            lines = [*(p for p in manifest if p.file not in files), *made]
            put(draft_manifest(home, lines), home / MANIFEST)
    return Built((*there, *made), len(made))


def _wished(text: PromptText, tenant: str, manifest: Sequence[Prompt]) -> Prompt:
    """The prompt of that text, before it has a sound."""
    wished = Prompt(text.name, text.language, text.version, text.text, "", 0, text.digits, tenant)
    if not tenant:
        return wished
    own = [p for p in manifest if (p.name, p.language) == (text.name, text.language)]
    spoken = (p.version for p in own if (p.text, p.source) == (text.text, "espeak-ng"))
    newest = max((p.version for p in own), default=0)
    return replace(wished, version=next(spoken, newest + 1))


def _serves(prompt: Prompt, wished: Prompt) -> bool:
    """Whether nothing need be spoken: it is there, or the tenant recorded words of its own that
    name the same keys."""
    if (prompt.name, prompt.language, prompt.digits) != (
        wished.name,
        wished.language,
        wished.digits,
    ):
        return False
    return prompt.source == "own" or (prompt.version, prompt.text) == (wished.version, wished.text)


def _speak_all(
    folder: Path, due: Sequence[tuple[PromptText, Prompt]], told: Told | None
) -> list[Prompt]:
    made = []
    with ThreadPoolExecutor(AT_ONCE, "prompt") as pool:
        speaking = [pool.submit(_speak, folder, text, wished) for text, wished in due]
        try:
            for future in speaking:
                made.append(future.result())
                if told is not None:
                    told(len(made), len(due))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return made


def _speak(folder: Path, text: PromptText, wished: Prompt) -> Prompt:
    target = folder / f"{wished.file}.wav"
    target.parent.mkdir(parents=True, exist_ok=True)
    spoken = run(["espeak-ng", "-v", text.voice, "--stdout", "--", text.spoken])
    samples = narrowed(spoken, PEAK_DB)
    least = SHORTEST_DIGIT_S if wished.name in DIGITS else SHORTEST_S
    if not least * RATE <= len(samples) <= LONGEST_S * RATE:
        long = f"{len(samples) / RATE:.1f} s"
        raise PromptError(f"{target}: {long} is no plausible length for a prompt")
    data = as_wav(samples)
    draft = target.with_suffix(".part")
    try:
        draft.write_bytes(data)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    return replace(wished, sha256=hashlib.sha256(data).hexdigest(), samples=len(samples))
