"""Running espeak-ng and sox. Sound comes and goes through pipes only: both tools end well though
the disk was full, with half of the words in the file."""

import io
import subprocess
import wave
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from callguard.consent.prompt import RATE, PromptError

Samples = NDArray[np.int16]

TOOL_S = 30.0
"""How long one run of a tool may take."""

_HEADROOM = 10 ** (-6 / 20)
"""What sox leaves for what its filter adds."""
_NARROW = ["gain", "-6", "remix", "-", "rate", str(RATE)]
_FLOATS = ["-t", "raw", "-e", "floating-point", "-b", "32", "-L", "-"]


def run(command: Sequence[str], sound: bytes = b"") -> bytes:
    """Gives a tool a sound and returns the one that it makes. Raises PromptError."""
    try:
        ended = subprocess.run(  # noqa: S603 - a fixed program with our own arguments, no shell
            command, check=True, capture_output=True, timeout=TOOL_S, input=sound
        )
    except FileNotFoundError as error:
        raise PromptError(f"{command[0]} is not installed") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()
        raise PromptError(f"{command[0]} failed: {said[-1] if said else error}") from error
    except subprocess.TimeoutExpired as error:
        raise PromptError(f"{command[0]} did not finish in {TOOL_S:g} s") from error
    for line in ended.stderr.decode(errors="replace").splitlines():
        if "FAIL" in line:
            raise PromptError(f"{command[0]} failed: {line}")
    return ended.stdout


def narrowed(sound: bytes, peak_db: float | None = None) -> Samples:
    """A WAV file as 8 kHz mono samples; its highest peak at ``peak_db`` of full scale, or as it is
    (below full scale) where left out. The same sound gives the same samples."""
    made = run(["sox", "-R", "-t", "wav", "-", *_FLOATS, *_NARROW], sound)
    samples = np.frombuffer(made[: len(made) // 4 * 4], dtype="<f4").astype(np.float64)
    peak = float(np.abs(samples).max(initial=0.0))
    if peak > 0 and (peak_db is not None or peak > _HEADROOM):
        samples = samples * (10 ** ((peak_db or 0.0) / 20) / peak)
    elif peak_db is None:
        samples = samples / _HEADROOM
    return np.clip(np.round(samples * 32_767), -32_768, 32_767).astype(np.int16)


def as_wav(samples: Samples) -> bytes:
    """The samples as the file that Asterisk plays."""
    file = io.BytesIO()
    with wave.open(file, "wb") as audio:
        audio.setparams((1, 2, RATE, 0, "NONE", ""))
        audio.writeframes(samples.astype("<i2").tobytes())
    return file.getvalue()
