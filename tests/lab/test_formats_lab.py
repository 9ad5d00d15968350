"""Each way of coding a recording, of real calls: sealed while they went on, opened with stock age,
and compared with an unsealed recording of the same call."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from callguard.recording import age
from callguard.recording.formats import FORMATS as KNOWN
from callguard.recording.keys import MasterKey, open_tenant_identity
from callguard.storage.schema import tenant_keys
from tests.lab import stock_age, traced
from tests.lab.audio import Samples, Wav
from tests.lab.guarded import Row, eventually, new_number
from tests.lab.hurry import Hurry, loudness, speech
from tests.lab.service import CommandFailed
from tests.lab.switchboard import silences
from tests.lab.vault import AGENT, CHUNK, FORMATS, PARTY, Control, Vault, share_of

pytestmark = pytest.mark.lab

SPEED = 4.0
PAUSED_AT, RESUMED_AT, ENDED_AT = 9.0, 12.0, 15.0
"""Seconds of speech."""
LAW_STEP = 1100
"""The coarsest step of G.711, and a little: no sample is further off."""
STEREO = "pcm-8000-2"
FAULTS = 'callguard_faults_total{kind="recorded_in_mono"}'
ENDS_S = 4 * 0.02 * SPEED
"""How much one recording may be longer than another that begins and ends two frames apart."""
ALL_BUT_A_FRAME = 0.85
"""The share of half seconds that are the same in two recordings, on a busy machine."""


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
    assert one.wav.seconds == pytest.approx(one.control.seconds, abs=ENDS_S)


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


@pytest.mark.parametrize("name", FORMATS)
def test_it_is_byte_for_byte_what_asterisk_wrote(
    recorded: Mapping[str, Recorded], vault: Vault, name: str
) -> None:
    if not traced.able():
        pytest.skip("no process can be traced here")
    one = recorded[name]

    assert one.plain == KNOWN[name].wav.header() + vault.written(one.row)


def test_it_is_sample_for_sample_what_an_unsealed_recording_holds(
    recorded: Mapping[str, Recorded],
) -> None:
    one = recorded["pcm-8000-1"]
    (ours,) = one.until_pause()

    assert one.control.share_of(ours) > ALL_BUT_A_FRAME


def test_in_stereo_so_is_each_side(recorded: Mapping[str, Recorded]) -> None:
    one = recorded[STEREO]
    left, right = one.until_pause()

    assert share_of(left, one.control.read) > ALL_BUT_A_FRAME
    assert share_of(right, one.control.written) > ALL_BUT_A_FRAME


@pytest.mark.parametrize("name", ["ulaw-8000-1", "alaw-8000-1"])
def test_the_laws_keep_every_sample_as_well_as_they_can(
    recorded: Mapping[str, Recorded], name: str
) -> None:
    one = recorded[name]
    (ours,) = one.until_pause()

    assert one.control.share_of(ours, nearly=LAW_STEP) > ALL_BUT_A_FRAME


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


@pytest.mark.parametrize("wide", ["party", "agent"])
def test_in_a_wide_band_two_channels_are_recorded_as_one(vault: Vault, wide: str) -> None:
    """Where either speaks in it: this Asterisk makes noise of two channels then."""
    number = new_number()
    vault.world.wide = {number} if wide == "party" else set()
    vault.agent.calls_wide = wide == "agent"
    try:
        vault.connect((FORMATS.index(STEREO) + 1, number))
        time.sleep(1.5)
        vault.quiet()
    finally:
        vault.agent.calls_wide = False
    row = vault.closed(number)
    wav = vault.guarded.opened(row)

    assert (row["state"], row["encoding"], len(wav.samples)) == ("sealed", "pcm-8000-1", 1)
    assert all(loudness(wav.samples[0], voice) > 0.1 for voice in (AGENT, PARTY))
    assert vault.guarded.metric(FAULTS) > 0
    shown = vault.callguard.run("recording", "show", row["id"])
    assert "slin16" in next(e["reason"] for e in shown["events"] if e["event"] == "started")


def test_nobody_but_the_tenant_opens_it(recorded: Mapping[str, Recorded], vault: Vault) -> None:
    """Whose only recipient is the tenant's own: neither the operator, with callguard, its database
    and its master key, nor a key of any other tenant."""
    row = recorded[STEREO].row
    master = MasterKey.load(vault.callguard.data / "master.key")
    held = [
        open_tenant_identity(master, key["wrapped_identity"], key["tenant_id"], key["version"])
        for key in vault.guarded.rows(tenant_keys.select())
    ]

    assert held, "callguard holds keys of others"
    with pytest.raises(age.AgeError):
        age.unwrap(age.parse_header(row["header"]), held)
    assert row["wrapped_file_key"] is None
    with pytest.raises(CommandFailed) as refused:
        export(vault, row, "call.wav", "--wav")
    assert len(str(refused.value).splitlines()) == 1
    assert "only the tenant" in str(refused.value)
    assert not (vault.guarded.keys / "call.wav").exists()


def test_the_tenant_opens_what_is_exported(recorded: Mapping[str, Recorded], vault: Vault) -> None:
    one = recorded[STEREO]
    export(vault, one.row, "call.age")

    assert stock_age.decrypt(vault.guarded.keys, "call.age") == one.plain


def export(vault: Vault, row: Row, name: str, *options: str) -> None:
    """Export a recording into the tenant's folder."""
    out = str(vault.guarded.keys / name)
    vault.callguard.run("recording", "export", row["id"], out, "--reason", "a proof", *options)
