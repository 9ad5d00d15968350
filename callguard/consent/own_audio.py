"""A tenant's own recording of a prompt: converted to what Asterisk plays, and listened to.

What would not be understood on a telephone is refused, because a notice that nobody could hear
is none: silence, clipping, a whisper. Silence before and after the words is cut off, so that
"heard to the end" is about words.
"""

import io
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from callguard.consent.prompt import RATE, PromptError, named_in
from callguard.consent.tools import Samples, as_wav, narrowed, run

MOST_BYTES = 200 * 1024 * 1024
LONGEST_S = 60
SHORTEST_S = 0.2
SHORTEST_QUESTION_S = 1.0
"""For a prompt that names keys: nobody says that a call is recorded, and a key, in less."""

FRAME = RATE // 50
"""20 ms, in which a level is measured."""
AUDIBLE_DB = -50.0
"""The level of a frame that is not silence, against full scale."""
QUIETEST_DB = -36.0
"""The least level of what is said."""
MOST_SILENCE = 0.6
"""The share of frames that may be silent between the first word and the last."""
LONGEST_GAP_S = 3.0
FULL_SCALE = 32_700
CLIPPED_RUN = 4
"""So many samples at full scale one after the other were cut off."""
MOST_CLIPPED = 0.001
"""The share of samples in such runs that is not heard."""
KEPT_S = 0.1
"""The silence that stays before the first word and after the last."""

_PLAYLISTS = (".m3u", ".pls")
_INSTALL = {
    ".mp3": "install libsox-fmt-mp3, or convert it to WAV first",
}
_ELSEWHERE = "convert it to WAV or FLAC first"


@dataclass(frozen=True, slots=True)
class Sound:
    """A WAV file of 8 kHz, mono, 16 bit, and its length in samples."""

    data: bytes
    samples: int


def convert(file: Path, name: str) -> Sound:
    """Reads a recording in any format that sox can, for the prompt of that name.

    Raises PromptError, with one line that says what is wrong with the recording, and OSError.
    """
    size = file.stat().st_size
    if not file.is_file():
        raise PromptError(f"{file}: not a file")
    if size == 0 or size > MOST_BYTES:
        raise PromptError(f"{file}: {size} bytes are no recording of a prompt")
    if file.suffix.lower() in _PLAYLISTS:
        raise PromptError(f"{file}: a list of recordings is none")
    # An absolute path: sox takes a name that begins with "|" for a program, "-" for an option.
    cut = ["trim", "0", str(LONGEST_S + 10)]
    try:
        whole = run(["sox", str(file.absolute()), "-b", "16", "-t", "wav", "-", *cut])
    except PromptError as error:
        if "not installed" in str(error):
            raise
        raise PromptError(f"{file}: {_why(file, str(error))}") from error
    original, rate = _samples(file, whole)
    _check_length(file, len(original) / rate, name)
    if _clipped(original) > MOST_CLIPPED:
        raise PromptError(f"{file}: it is clipped: record it less loud")
    said = _trimmed(file, narrowed(whole))
    _check_length(file, len(said) / RATE, name)
    return Sound(as_wav(said), len(said))


def _why(file: Path, said: str) -> str:
    suffix = file.suffix.lower()
    if "no handler" in said:
        return f"sox cannot read {suffix or 'such'} files here: {_INSTALL.get(suffix, _ELSEWHERE)}"
    return "not audio that sox can read" if "sox failed" in said else said


def _check_length(file: Path, seconds: float, name: str) -> None:
    least = SHORTEST_QUESTION_S if named_in(name) else SHORTEST_S
    if seconds < least:
        raise PromptError(f"{file}: too short: {seconds:.2f} s of at least {least:g} s")
    if seconds > LONGEST_S:
        raise PromptError(f"{file}: too long: more than {LONGEST_S} s")


def _samples(file: Path, data: bytes) -> tuple[Samples, int]:
    """One column a channel, and how many a second; the header knows no length."""
    try:
        with wave.open(io.BytesIO(data)) as audio:
            channels, rate = audio.getnchannels(), int(audio.getframerate())
            frames = audio.readframes(audio.getnframes())
    except (wave.Error, EOFError) as error:
        raise PromptError(f"{file}: {error or 'cut short'}") from error
    whole = np.frombuffer(frames[: len(frames) // (2 * channels) * 2 * channels], dtype="<i2")
    return whole.reshape(-1, channels), rate


def _clipped(samples: Samples) -> float:
    """The largest share, over the channels, of samples in runs at full scale."""
    if not len(samples):
        return 0.0
    shares = []
    for channel in samples.T:
        loud = np.abs(channel.astype(np.int32)) >= FULL_SCALE
        edges = np.flatnonzero(np.diff(np.concatenate(([False], loud, [False])).astype(np.int8)))
        runs = edges[1::2] - edges[::2]
        shares.append(float(runs[runs >= CLIPPED_RUN].sum()) / len(channel))
    return max(shares)


def _trimmed(file: Path, samples: Samples) -> Samples:
    """What is said, without the silence around it; refuses what is not heard."""
    levels = _levels(samples)
    heard = np.flatnonzero(levels >= AUDIBLE_DB)
    if not len(heard):
        raise PromptError(f"{file}: nothing is heard in it")
    first, last = int(heard[0]), int(heard[-1]) + 1
    between = levels[first:last]
    gap_s = int(np.diff(heard).max(initial=1)) * FRAME / RATE
    if (between < AUDIBLE_DB).mean() > MOST_SILENCE or gap_s > LONGEST_GAP_S:
        raise PromptError(f"{file}: it is mostly silence, or pauses for {gap_s:.1f} s")
    loudness = _mean_db(between[between >= AUDIBLE_DB])
    if loudness < QUIETEST_DB:
        raise PromptError(
            f"{file}: too quiet: {loudness:.0f} dB of at least {QUIETEST_DB:g} dB of full scale"
        )
    kept = int(KEPT_S * RATE)
    return samples[max(0, first * FRAME - kept) : last * FRAME + kept]


def _levels(samples: Samples) -> NDArray[np.float64]:
    """The level of each frame in dB of full scale; the last one may be short."""
    padded = np.pad(samples.astype(np.float64), (0, -len(samples) % FRAME)) / 32_768
    power = (padded.reshape(-1, FRAME) ** 2).mean(axis=1)
    level: NDArray[np.float64] = 10 * np.log10(np.maximum(power, 1e-12))
    return level


def _mean_db(levels: NDArray[np.float64]) -> float:
    return float(10 * np.log10((10 ** (levels / 10)).mean()))
