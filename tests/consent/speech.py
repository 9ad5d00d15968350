"""A folder of prompts that is made without speaking, for tests that are not about the voice."""

import hashlib
import json
import wave
from dataclasses import asdict
from pathlib import Path

from callguard.consent.prompts import MANIFEST, RATE, Prompt

Entries = list[dict[str, object]]


def write_wav(path: Path, samples: int = RATE, rate: int = RATE) -> str:
    """Silence; returns its SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as audio:
        audio.setnchannels(1)
        audio.setsampwidth(2)
        audio.setframerate(rate)
        audio.writeframes(bytes(2 * samples))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_prompts(folder: Path, *, languages: tuple[str, ...] = ("en", "he")) -> Entries:
    """A notice in each language, with its manifest; returns the manifest's entries."""
    entries = []
    for language in languages:
        sha256 = write_wav(folder / language / "notice-1.wav")
        entries.append(asdict(Prompt("notice", language, 1, "מוקלט", sha256, RATE)))
    write_manifest(folder, entries)
    return entries


def write_manifest(folder: Path, entries: object) -> None:
    (folder / MANIFEST).write_text(json.dumps(entries), encoding="utf-8")
