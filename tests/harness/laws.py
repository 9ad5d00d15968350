"""G.711, one sample at a time (ITU-T G.711): how the simulated MixMonitor codes ``.ulaw`` and
``.alaw``."""

from collections.abc import Iterable

_MULAW_BIAS, _MULAW_MOST = 132, 32635


def to_mulaw(samples: Iterable[int]) -> bytes:
    """Signed 16-bit samples as µ-law."""
    return bytes(_mulaw(sample) for sample in samples)


def to_alaw(samples: Iterable[int]) -> bytes:
    """Signed 16-bit samples as A-law."""
    return bytes(_alaw(sample) for sample in samples)


def _mulaw(sample: int) -> int:
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), _MULAW_MOST) + _MULAW_BIAS
    segment = magnitude.bit_length() - 8
    return ~(sign | segment << 4 | magnitude >> segment + 3 & 0x0F) & 0xFF


def _alaw(sample: int) -> int:
    sign = 0 if sample < 0 else 0x80
    magnitude = (~sample if sample < 0 else sample) >> 4
    segment = max(0, magnitude.bit_length() - 4)
    step = magnitude & 0x0F if segment == 0 else magnitude >> segment - 1 & 0x0F
    return (sign | segment << 4 | step) ^ 0x55
