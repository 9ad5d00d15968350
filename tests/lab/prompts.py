"""Short prompts for the laboratory: tones in place of a voice, with the manifest they need."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from callguard.consent.prompt import NO_DIGITS
from callguard.consent.prompts import MANIFEST, Prompt
from callguard.consent.texts import shipped_texts
from tests.lab import audio

TONES = {"optout-done": 550.0, "optout-failed": 850.0}
"""Those that a test tells from the others by ear; all others sound like the notice."""

NOTICES = ("notice", "notice-refuse", "ask")
"""Those that are told before a recording."""


def write_prompts(folder: Path, notice_s: float, *, other_s: float = 0.3) -> None:
    """Write every shipped prompt as a tone, so that a recording shows whether any of it was
    recorded; what consent hangs on is as long as ``notice_s``."""
    made = []
    for text in shipped_texts():
        pitch = TONES.get(text.name, audio.NOTICE_TONE)
        samples = audio.tone(pitch, notice_s if text.digits != NO_DIGITS else other_s)
        file = folder / text.language / f"{text.name}-{text.version}.wav"
        file.parent.mkdir(parents=True, exist_ok=True)
        audio.write_wav(file, samples)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        made.append(
            Prompt(
                text.name,
                text.language,
                text.version,
                text.text,
                digest,
                len(samples),
                text.digits,
            )
        )
    (folder / MANIFEST).write_text(json.dumps([asdict(prompt) for prompt in made]))
