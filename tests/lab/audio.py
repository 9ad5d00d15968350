"""Tones to speak with and spectra to hear them by: who is on a recording, and when."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE = 8000
WAV_HEADER = 44
AGENT_TONE = 440.0
PARTY_TONE = 1000.0
NOTICE_TONE = 700.0

Samples = NDArray[np.int16]


def tone(frequency: float, seconds: float, *, rate: int = RATE, level: float = 0.3) -> Samples:
    """A sine of `frequency` Hz at `level` of full scale."""
    at = np.arange(round(seconds * rate)) / rate
    return np.round(np.sin(2 * np.pi * frequency * at) * level * 32767).astype(np.int16)


def silence(seconds: float, *, rate: int = RATE) -> Samples:
    """Digital silence."""
    return np.zeros(round(seconds * rate), dtype=np.int16)


def to_mulaw(samples: Samples) -> bytes:
    """G.711 µ-law, one byte a sample (ITU-T G.711)."""
    value = samples.astype(np.int32)
    sign = np.where(value < 0, 0x80, 0)
    magnitude = np.minimum(np.abs(value), 32635) + 132
    exponent = np.floor(np.log2(magnitude)).astype(np.int32) - 7
    mantissa = (magnitude >> (exponent + 3)) & 0x0F
    code: NDArray[np.uint8] = (~(sign | (exponent << 4) | mantissa) & 0xFF).astype(np.uint8)
    return code.tobytes()


def from_mulaw(data: bytes) -> Samples:
    """The inverse of `to_mulaw`, to the precision of the law."""
    code = ~np.frombuffer(data, dtype=np.uint8)
    exponent = ((code >> 4) & 7).astype(np.int32)
    magnitude = ((((code & 0x0F).astype(np.int32) << 3) + 132) << exponent) - 132
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def from_alaw(data: bytes) -> Samples:
    """G.711 A-law to linear samples."""
    code = np.frombuffer(data, dtype=np.uint8) ^ 0x55
    exponent = ((code >> 4) & 7).astype(np.int32)
    low = ((code & 0x0F).astype(np.int32) << 4) + 8
    magnitude = np.where(exponent == 0, low, (low + 256) << np.maximum(exponent - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


def from_linear(data: bytes) -> Samples:
    """Signed 16-bit little-endian samples (Asterisk's `.sln`); a torn last byte is dropped."""
    return np.frombuffer(data[: len(data) // 2 * 2], dtype="<i2").astype(np.int16)


def write_mulaw(path: Path, samples: Samples) -> Path:
    """A raw file as SIPp plays it."""
    path.write_bytes(to_mulaw(samples))
    return path


def write_wav(path: Path, samples: Samples, *, rate: int = RATE) -> Path:
    """A mono 16-bit WAV as Asterisk plays it (8 kHz: `.wav`)."""
    data = samples.astype("<i2").tobytes()
    form = struct.pack("<HHIIHH", 1, 1, rate, rate * 2, 2, 16)
    chunks = b"WAVEfmt " + struct.pack("<I", len(form)) + form
    chunks += b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", len(chunks)) + chunks)
    return path


class NotAWavError(ValueError):
    """The bytes are no WAV that this module reads."""


@dataclass(frozen=True, slots=True)
class Wav:
    """Decoded audio: `samples[channel]`, and the rate in Hz."""

    rate: int
    samples: tuple[Samples, ...]
    encoding: int

    @property
    def seconds(self) -> float:
        return len(self.samples[0]) / self.rate


def read_wav(data: bytes) -> Wav:
    """PCM (1), A-law (6) and µ-law (7), mono or stereo; a size of 0xFFFFFFFF means to the end.

    Raises NotAWavError.
    """
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise NotAWavError("no RIFF WAVE header")
    at, form = 12, None
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        body = data[at + 8 : at + 8 + size]
        if name == b"fmt ":
            form = struct.unpack_from("<HHIIHH", body)
        elif name == b"data" and form is not None:
            encoding, channels, rate = form[0], form[1], form[2]
            return Wav(rate, _channels(body, encoding, channels), encoding)
        at += 8 + size + (size & 1)
    raise NotAWavError("no data chunk")


def _channels(body: bytes, encoding: int, channels: int) -> tuple[Samples, ...]:
    decode = {1: from_linear, 6: from_alaw, 7: from_mulaw}.get(encoding)
    if decode is None:
        raise NotAWavError(f"encoding {encoding}")
    samples = decode(body)
    whole = samples[: len(samples) // channels * channels]
    return tuple(whole[channel::channels] for channel in range(channels))


def tones_in(
    samples: Samples, rate: int, frequencies: Iterable[float], *, window: float = 0.1
) -> dict[float, list[float]]:
    """How loud each frequency is in each whole window: the sine's amplitude, 1.0 = full scale."""
    size = round(window * rate)
    count = len(samples) // size
    frames = samples[: count * size].reshape(count, size).astype(np.float64) / 32767
    # A Hann window keeps a loud neighbour tone from leaking into this one's bin.
    shape = np.hanning(size)
    at = np.arange(size) / rate
    found = {}
    for frequency in frequencies:
        probe = shape * np.exp(-2j * np.pi * frequency * at)
        found[frequency] = [float(x) for x in np.abs(frames @ probe) * 2 / shape.sum()]
    return found


def heard(
    samples: Samples, rate: int, frequency: float, *, window: float = 0.1, floor: float = 0.02
) -> list[tuple[float, float]]:
    """The stretches (from, to; seconds) in which the tone is louder than `floor`."""
    stretches: list[tuple[float, float]] = []
    for index, level in enumerate(tones_in(samples, rate, [frequency], window=window)[frequency]):
        if level < floor:
            continue
        start, end = index * window, (index + 1) * window
        if stretches and start - stretches[-1][1] < window / 2:
            stretches[-1] = (stretches[-1][0], end)
        else:
            stretches.append((start, end))
    return stretches
