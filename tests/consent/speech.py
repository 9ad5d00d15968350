"""Folders of prompts that are made without speaking, for tests that are not about the voice."""

import hashlib
import json
import wave
from dataclasses import asdict
from pathlib import Path

import numpy as np

from callguard.consent.prompts import MANIFEST, RATE, Digits, Prompt

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


def write_speech(
    path: Path,
    *parts: tuple[float, float],
    rate: int = RATE,
    channels: int = 1,
    gain: float = 1.0,
) -> Path:
    """Noise like speech in parts of (seconds, level in dB of full scale), silence as -inf dB; a
    ``gain`` cuts off what it lifts over full scale."""
    noise = np.random.default_rng(1)
    pieces = []
    for seconds, level in parts:
        samples = noise.standard_normal((int(seconds * rate), channels))
        pieces.append(samples * 10 ** (level / 20))
    whole = np.clip(np.concatenate(pieces) * gain * 32_768, -32_768, 32_767)
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as audio:
        audio.setparams((channels, 2, rate, 0, "NONE", ""))
        audio.writeframes(whole.astype("<i2").tobytes())
    return path


def write_prompts(folder: Path, *, languages: tuple[str, ...] = ("en", "he")) -> Entries:
    """A notice in each language, with its manifest; returns the manifest's entries."""
    entries = [write_prompt(folder, language=language) for language in languages]
    write_manifest(folder, entries)
    return entries


def write_prompt(
    folder: Path,
    name: str = "notice",
    language: str = "en",
    version: int = 1,
    *,
    digits: Digits = Digits(opt_out="9"),  # noqa: B008 - a frozen value
    tenant: str = "",
) -> dict[str, object]:
    """Silence for a prompt; returns the manifest's entry for it."""
    prompt = Prompt(name, language, version, "מוקלט", "", RATE, digits, tenant)
    sha256 = write_wav(folder / f"{prompt.file}.wav")
    return {**asdict(prompt), "sha256": sha256}


def write_manifest(folder: Path, entries: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).write_text(json.dumps(entries), encoding="utf-8")
