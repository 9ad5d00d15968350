"""Headers of streaming WAV files: sizes unknown, samples follow until the end of the stream. Pure.

Sources: Multimedia Programming Interface and Data Specifications 1.0 (RIFF, `fmt `, `data`);
RFC 2361 for the format tags of G.711. A size of 0xFFFFFFFF is what players take for "unknown".
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

Encoding = Literal["pcm", "ulaw", "alaw"]

RATES = (8000, 16000)
"""Samples a second that are recorded."""

_UNKNOWN_SIZE = 0xFFFFFFFF
_FORMAT_TAG: dict[Encoding, int] = {"pcm": 1, "alaw": 6, "ulaw": 7}
_SAMPLE_BYTES: dict[Encoding, int] = {"pcm": 2, "alaw": 1, "ulaw": 1}


@dataclass(frozen=True, slots=True)
class WavFormat:
    """How the samples of a recording are coded; `pcm` is signed 16 bit, little-endian."""

    encoding: Encoding = "pcm"
    rate: int = 8000
    channels: int = 1

    def __post_init__(self) -> None:
        if self.encoding not in _FORMAT_TAG:
            raise ValueError(f"no WAV encoding {self.encoding!r}: pcm, ulaw or alaw")
        if self.rate not in RATES:
            raise ValueError(f"no sample rate {self.rate}: 8000 or 16000")
        if self.channels not in (1, 2):
            raise ValueError(f"no recording of {self.channels} channels: 1 or 2")

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of every channel."""
        return _SAMPLE_BYTES[self.encoding] * self.channels

    @property
    def bytes_per_second(self) -> int:
        """Bytes of one second of audio."""
        return self.frame_bytes * self.rate

    def duration(self, audio_bytes: int) -> float:
        """Seconds that so many bytes of audio last; a torn last frame does not count."""
        return audio_bytes // self.frame_bytes / self.rate

    def header(self) -> bytes:
        """The header that precedes the samples: 44 bytes for PCM, 58 for G.711."""
        layout = struct.pack(
            "<HHIIHH",
            _FORMAT_TAG[self.encoding],
            self.channels,
            self.rate,
            self.bytes_per_second,
            self.frame_bytes,
            _SAMPLE_BYTES[self.encoding] * 8,
        )
        fact = b""
        if self.encoding != "pcm":  # other codings carry an extension size and a frame count
            layout += struct.pack("<H", 0)
            fact = b"fact" + struct.pack("<II", 4, _UNKNOWN_SIZE)
        return b"".join(
            (
                b"RIFF" + struct.pack("<I", _UNKNOWN_SIZE) + b"WAVE",
                b"fmt " + struct.pack("<I", len(layout)) + layout,
                fact,
                b"data" + struct.pack("<I", _UNKNOWN_SIZE),
            )
        )
