"""How recordings are coded: what Asterisk writes, and what a WAV header then says of it. Pure.

Asterisk chooses the coding by the file's extension. It interleaves two channels (MixMonitor's
option ``D``) only as linear samples of 8 kHz, in a file that ends in ``.raw``.
"""

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
