"""Each way of coding a recording, of real calls: sealed while they went on, opened with stock age,
and compared with an unsealed recording of the same call."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from callguard.recording.formats import FORMATS as KNOWN
from tests.lab import stock_age
from tests.lab.audio import Samples, Wav
from tests.lab.guarded import Row, eventually, new_number
from tests.lab.hurry import Hurry, loudness, speech
from tests.lab.switchboard import silences
from tests.lab.vault import AGENT, CHUNK, FORMATS, PARTY, Control, Vault, offset_in

pytestmark = pytest.mark.lab

SPEED = 4.0
PAUSED_AT, RESUMED_AT, ENDED_AT = 9.0, 12.0, 15.0
"""Seconds of speech."""
LAW_STEP = 1100
"""The coarsest step of G.711, and a little: no sample is further off."""
STEREO = "pcm-8000-2"


@dataclass(frozen=True, slots=True)
class Recorded:
    """One call: what the database says, the bytes that stock age made of it, the sound in them, and
    the unsealed recording."""

    row: Row
    plain: bytes
    wav: Wav
    control: Control
    folder: Path

    def until_pause(self) -> list[Samples]:
        """Each channel, before anything was paused."""
        return [side[: int((PAUSED_AT - 1) * self.wav.rate)] for side in self.wav.samples]


@pytest.fixture(scope="module")
def recorded(vault: Vault) -> Mapping[str, Recorded]:
    """A call of each way of coding, all at once, paused and resumed."""
    numbers = {name: new_number() for name in FORMATS}
    pairs = vault.connect(*enumerate(numbers.values(), 1))
    parts = []
    for seed, (agent, party) in enumerate(pairs):
        parts.append((agent, speech(2 * seed, AGENT, ENDED_AT)))
        parts.append((party, speech(2 * seed + 1, PARTY, ENDED_AT)))
    rows = {name: vault.row(number) for name, number in numbers.items()}
    with Hurry(parts, speed=SPEED) as talk:
        talk.until(PAUSED_AT)
        done = [vault.callguard.act(row["call_id"], "pause")["result"] for row in rows.values()]
        talk.until(max(RESUMED_AT, talk.seconds + 1))
        done += [vault.callguard.act(row["call_id"], "resume")["result"] for row in rows.values()]
        talk.until(ENDED_AT)
    assert set(done) == {"done"}
    vault.quiet()
    found = {}
    for name, number in numbers.items():
        row = vault.closed(number)
        wav = vault.guarded.opened(row)
        folder = vault.guarded.keys
        plain = stock_age.decrypt(folder, f"{row['id']}.age")
        (folder / f"{name}.wav").write_bytes(plain)
        found[name] = Recorded(row, plain, wav, vault.control(number), folder)
    eventually(lambda: vault.callguard.spooled() == [])
    return found


@pytest.mark.parametrize("name", FORMATS)
def test_it_opens_with_stock_age_and_is_what_it_says(
    recorded: Mapping[str, Recorded], name: str
) -> None:
    one = recorded[name]
    layout = KNOWN[name].wav

    assert (one.row["state"], one.row["encoding"], one.row["missing_bytes"]) == (
        "sealed",
        name,
        None,
    )
    assert one.plain[: len(layout.header())] == layout.header()
    assert len(one.plain) == one.row["plain_bytes"] > CHUNK
    assert one.wav.rate == layout.rate
    assert len(one.wav.samples) == layout.channels
    assert one.wav.seconds == pytest.approx(one.control.seconds, abs=0.1)


@pytest.mark.parametrize("name", FORMATS)
def test_another_program_reads_its_header_alike(
    recorded: Mapping[str, Recorded], name: str
) -> None:
    file = recorded[name].folder / f"{name}.wav"
    layout = KNOWN[name].wav
    said = {
        option: subprocess.run(
            ["sox", "--info", option, str(file)], capture_output=True, text=True, check=True
        ).stdout.strip()
        for option in ("-r", "-c", "-e")
    }
    encoding = {"pcm": "Signed Integer PCM", "ulaw": "u-law", "alaw": "A-law"}[layout.encoding]

    assert said == {"-r": str(layout.rate), "-c": str(layout.channels), "-e": encoding}


@pytest.mark.parametrize("name", FORMATS)
def test_both_are_heard_from_the_first_moment(recorded: Mapping[str, Recorded], name: str) -> None:
    one = recorded[name]
    sides = one.until_pause()
    heard = [
        tuple(loudness(side, voice, rate=one.wav.rate) > 0.1 for voice in (AGENT, PARTY))
        for side in sides
    ]

    assert heard == ([(False, True), (True, False)] if name == STEREO else [(True, True)])


def test_every_sample_is_that_of_an_unsealed_recording(
    recorded: Mapping[str, Recorded],
) -> None:
    one = recorded["pcm-8000-1"]
    (ours,) = one.until_pause()
    control = one.control.mix_with(ours)

    assert control is not None
    assert np.array_equal(ours, control)


def test_in_stereo_so_is_every_sample_of_each_side(recorded: Mapping[str, Recorded]) -> None:
    one = recorded[STEREO]
    left, right = one.until_pause()
    for ours, control in ((left, one.control.read), (right, one.control.written)):
        at = offset_in(ours, control)
        assert np.array_equal(ours, control[at : at + len(ours)])


@pytest.mark.parametrize("name", ["ulaw-8000-1", "alaw-8000-1"])
def test_the_laws_keep_every_sample_as_well_as_they_can(
    recorded: Mapping[str, Recorded], name: str
) -> None:
    one = recorded[name]
    (ours,) = one.until_pause()
    control = one.control.mix_with(ours, nearly=LAW_STEP)

    assert control is not None
    distance = np.abs(ours.astype(int) - control)
    assert distance.max() <= LAW_STEP
    assert np.mean(distance) < 100


def test_in_a_wide_band_there_is_nothing_that_the_call_did_not_have(
    recorded: Mapping[str, Recorded],
) -> None:
    """The call was of a narrow band: it is the same sound in twice as many samples."""
    (ours,) = recorded["pcm-16000-1"].until_pause()
    power = np.abs(np.fft.rfft(ours.astype(float))) ** 2
    hertz = np.fft.rfftfreq(len(ours), 1 / 16000)

    assert power[hertz > 4200].sum() < power.sum() / 1000


@pytest.mark.parametrize("name", FORMATS)
def test_a_pause_is_silent_on_every_side(recorded: Mapping[str, Recorded], name: str) -> None:
    wav = recorded[name].wav
    for side in wav.samples:
        ((begun, ended),) = silences(Wav(wav.rate, (side,), wav.encoding), longest=0.3)
        assert PAUSED_AT - 0.5 < begun < ended < ENDED_AT - 0.5
        quiet = side[int((begun + 0.1) * wav.rate) : int((ended - 0.1) * wav.rate)]
        assert set(np.unique(quiet)) <= {0, 8}, "A-law has no zero"
