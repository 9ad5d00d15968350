"""A tenant's own recordings: converted, listened to, refused in one line."""

import subprocess
import wave
from pathlib import Path

import numpy as np
import pytest

from callguard.consent.own_audio import convert
from callguard.consent.prompts import RATE, PromptError
from tests.consent.speech import write_speech

SILENCE = float("-inf")
SPEECH = -20.0


def test_what_is_recorded_in_a_studio_becomes_what_asterisk_plays(tmp_path: Path) -> None:
    file = write_speech(
        tmp_path / "notice.wav",
        (0.8, SILENCE),
        (2.0, SPEECH),
        (1.0, SILENCE),
        (1.0, SPEECH),
        (1.5, SILENCE),
        rate=44_100,
        channels=2,
    )
    sound = convert(file, "notice")
    played = tmp_path / "played.wav"
    played.write_bytes(sound.data)
    with wave.open(str(played)) as audio:
        assert (audio.getframerate(), audio.getnchannels(), audio.getsampwidth()) == (RATE, 1, 2)
        assert audio.getnframes() == sound.samples
        samples = np.frombuffer(audio.readframes(sound.samples), dtype="<i2")
    assert 4.0 <= sound.samples / RATE <= 4.3, "the silence around the words is gone"
    loud = np.abs(samples.astype(float)).reshape(-1, RATE // 50).mean(axis=1) > 100
    assert loud[10:100].all()
    assert not loud[110:150].any(), "the pause between them is not"
    assert loud[160:200].all()
    assert convert(file, "notice") == sound


@pytest.mark.parametrize("form", ["flac", "ogg", "aiff", "au", "gsm", "sln"])
def test_any_format_that_sox_reads_will_do(tmp_path: Path, form: str) -> None:
    file = write_speech(tmp_path / "notice.wav", (2.0, SPEECH))
    other = tmp_path / f"notice.{form}"
    subprocess.run(["sox", str(file), "-r", "8000", str(other)], check=True)
    assert 1.9 <= convert(other, "notice").samples / RATE <= 2.3


RECORDINGS = {
    "empty": ("notice", ((0.0, SPEECH),), "too short: 0.00 s of at least 1 s"),
    "too short for a notice": ("notice", ((0.9, SPEECH),), "too short: 0.90 s of at least 1 s"),
    "too short for a digit": ("digit-1", ((0.1, SPEECH),), "too short: 0.10 s of at least 0.2 s"),
    "short without its silence": (
        "ask",
        ((2.0, SILENCE), (0.5, SPEECH), (2.0, SILENCE)),
        "too short: 0.70 s",
    ),
    "too long": ("notice", ((61.0, SPEECH),), "too long: more than 60 s"),
    "much too long": ("notice", ((75.0, SPEECH),), "too long: more than 60 s"),
    "silent": ("notice", ((3.0, SILENCE),), "nothing is heard"),
    "hum": ("notice", ((3.0, -60.0),), "nothing is heard"),
    "quiet": ("notice", ((3.0, -42.0),), "too quiet: -42 dB of at least -36 dB"),
    "a word here and there": (
        "notice",
        ((0.3, SPEECH), (1.5, SILENCE), (0.3, SPEECH), (1.5, SILENCE), (0.3, SPEECH)),
        "mostly silence",
    ),
    "a long pause": (
        "notice",
        ((4.0, SPEECH), (3.5, SILENCE), (4.0, SPEECH)),
        "pauses for 3.5 s",
    ),
}


@pytest.mark.parametrize(("name", "parts", "reason"), RECORDINGS.values(), ids=RECORDINGS.keys())
def test_what_cannot_be_a_prompt_is_refused_in_one_line(
    tmp_path: Path, name: str, parts: tuple[tuple[float, float], ...], reason: str
) -> None:
    file = write_speech(tmp_path / "own.wav", *parts)
    with pytest.raises(PromptError, match=reason) as caught:
        convert(file, name)
    assert str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("rate", [8_000, 48_000])
def test_a_clipped_recording_is_refused_though_a_filter_would_hide_it(
    tmp_path: Path, rate: int
) -> None:
    parts = (2.0, SPEECH)
    file = write_speech(tmp_path / "own.wav", parts, rate=rate, channels=2, gain=30.0)
    with pytest.raises(PromptError, match="it is clipped"):
        convert(file, "notice")
    assert convert(write_speech(file, parts, rate=rate, channels=2), "notice").samples


def test_full_scale_that_is_not_cut_off_is_no_clipping(tmp_path: Path) -> None:
    file = tmp_path / "own.wav"
    tone = 32_760 * np.sin(2 * np.pi * 400 * np.arange(2 * RATE) / RATE)
    with wave.open(str(file), "wb") as audio:
        audio.setparams((1, 2, RATE, 0, "NONE", ""))
        audio.writeframes(tone.astype("<i2").tobytes())
    assert convert(file, "notice").samples


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("own.wav", b"", "0 bytes are no recording"),
        ("own.wav", b"words and words", "not audio that sox can read"),
        ("own.flac", b"fLaC and words", "not audio that sox can read"),
        ("own.docx", b"PK words", r"sox cannot read \.docx files here: convert it to WAV"),
        ("own.mp3", b"ID3 words", r"mp3|not audio"),
        ("own", b"words", "not audio that sox can read"),
        ("own.m3u", b"/etc/passwd\n", "a list of recordings is none"),
    ],
)
def test_what_is_no_audio_is_refused_in_one_line(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(PromptError, match=reason) as caught:
        convert(file, "notice")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_cut_short_is_what_is_left_of_it(tmp_path: Path) -> None:
    file = write_speech(tmp_path / "own.wav", (4.0, SPEECH))
    file.write_bytes(file.read_bytes()[: 44 + 2 * 2 * RATE])
    assert 1.9 <= convert(file, "notice").samples / RATE <= 2.3


def test_a_name_is_never_taken_for_a_program_or_an_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("|touch made.wav", "-n", "--help.wav"):
        write_speech(tmp_path / "own.wav", (2.0, SPEECH)).rename(tmp_path / name)
        assert convert(Path(name), "notice").samples
    assert not (tmp_path / "made.wav").exists()


def test_without_sox_it_is_said_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_speech(tmp_path / "own.wav", (2.0, SPEECH))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PromptError, match=r"^sox is not installed$"):
        convert(file, "notice")
    with pytest.raises(OSError, match="No such file"):
        convert(tmp_path / "absent.wav", "notice")
    with pytest.raises(PromptError, match="not a file"):
        convert(tmp_path, "notice")
