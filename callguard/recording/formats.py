"""How recordings are coded: what Asterisk writes, and what a WAV header then says of it. Pure.

Asterisk chooses the coding by the file's extension. It interleaves two channels (MixMonitor's
option ``D``) only as linear samples of 8 kHz, in a file that ends in ``.raw``; versions before
20.21, 22.11 and 23.5 write half of the samples, at half the pitch, once either side speaks in a
wide band (Asterisk issue 1779).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from callguard.recording.wav import WavFormat


@dataclass(frozen=True, slots=True)
class RecordingFormat:
    """One way of coding. ``options`` are those MixMonitor needs for it."""

    name: str
    extension: str
    wav: WavFormat
    options: str = ""


def _named(*formats: RecordingFormat) -> Mapping[str, RecordingFormat]:
    return {one.name: one for one in formats}


FORMATS = _named(
    RecordingFormat("pcm-8000-1", "sln", WavFormat()),
    RecordingFormat("pcm-8000-2", "raw", WavFormat(channels=2), "D"),
    RecordingFormat("pcm-16000-1", "sln16", WavFormat(rate=16000)),
    RecordingFormat("ulaw-8000-1", "ulaw", WavFormat("ulaw")),
    RecordingFormat("alaw-8000-1", "alaw", WavFormat("alaw")),
)
"""By the names that ``recordings.encoding`` and the tenants' settings use."""

MONO = "pcm-8000-1"
"""What is sure to come out right, whatever is spoken."""

_NARROW = frozenset(
    {
        "adpcm",
        "alaw",
        "g723",
        "g726",
        "g726aal2",
        "g729",
        "gsm",
        "ilbc",
        "lpc10",
        "slin",
        "speex",
        "ulaw",
    }
)
"""Asterisk's names of what has 8,000 samples a second; every other is taken for a wider one."""

_MIXES_RATES = {20: 21, 22: 11, 23: 5}
"""The first minor version, by major version; later major versions all do."""


def are_narrow(spoken: str) -> bool:
    """Whether formats as Asterisk names them, ``ulaw`` or ``(ulaw|alaw)``, are all of 8 kHz; none
    is not known to be."""
    return set(spoken.strip("()").split("|")) <= _NARROW


def mixes_rates(version: str) -> bool:
    """Whether that Asterisk interleaves two channels also where one speaks in a wide band; not of a
    version that it does not know, or certified, or built from a branch."""
    found = re.match(r"(\d+)\.(\d+)", version)
    if found is None:
        return False
    major, minor = int(found[1]), int(found[2])
    return major > max(_MIXES_RATES) or minor >= _MIXES_RATES.get(major, minor + 1)
