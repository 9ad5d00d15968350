"""callguard is killed, or all power is cut, in the middle of calls that are being sealed."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from callguard.recording.formats import FORMATS as KNOWN
from tests.lab import audio, traced
from tests.lab.audio import Wav
from tests.lab.guarded import Row, eventually, new_number
from tests.lab.hurry import FRAME, Hurry, speech
from tests.lab.vault import AGENT, CHUNK, PARTY, Vault, offset_in

pytestmark = pytest.mark.lab

MONO, STEREO, ULAW = 1, 2, 4
"""Tenants, by how their recordings are coded."""
SPEED = 4.0
KILLS = 3
APART_S = 0.3
LATE_S = 4.0
"""By then on every recording there is nothing but the voice."""
SILENT = b"\xff" * FRAME


@pytest.fixture(scope="module")
def killed(vault: Vault) -> Mapping[int, Row]:
    """Two calls; callguard is killed again and again while they go on, and once as they end."""
    numbers = {tenant: new_number() for tenant in (MONO, STEREO)}
    pairs = vault.connect(*numbers.items())
    if not traced.able():
        pytest.skip("no process can be traced here")
    moments = random.Random(6)
    parts = []
    for seed, (agent, party) in enumerate(pairs):
        parts.append((agent, speech(10 + seed, AGENT, 240)))
        parts.append((party, speech(20 + seed, PARTY, 240)))
    with Hurry(parts, speed=SPEED) as talk:
        for _ in range(KILLS):
            time.sleep(moments.uniform(0.3, 1.3))
            vault.callguard.kill()
            vault.callguard.start(leased=False)
        time.sleep(moments.uniform(0.3, 1.3))
        vault.callguard.kill()
        talk.stop()
    vault.quiet()
    vault.callguard.start()
    return {tenant: vault.closed(number) for tenant, number in numbers.items()}


@pytest.mark.parametrize("tenant", [MONO, STEREO])
def test_a_recording_outlives_every_kill_whole_and_once(
    killed: Mapping[int, Row], vault: Vault, tenant: int
) -> None:
    """Byte for byte what Asterisk wrote, which was sealed by one process after the other."""
    row = killed[tenant]
    header = KNOWN[row["encoding"]].wav.header()
    plain = vault.guarded.plaintext(row)
    print(f"{len(plain)} B over {KILLS + 1} kills")

    assert (row["state"], row["missing_bytes"]) == ("sealed", None)
    assert len(plain) > 4 * CHUNK
    assert plain == header + vault.written(row)
    assert vault.callguard.spooled() == []
    assert list((vault.callguard.data / "objects" / "parts").iterdir()) == []


@dataclass(frozen=True, slots=True)
class Cut:
    """A recording that the power was cut under: how many seconds were said by then, and how many
    of these are on it."""

    row: Row
    wav: Wav
    said: float
    kept: float

    @property
    def lost(self) -> float:
        return self.said - self.kept

    @property
    def rate(self) -> int:
        """Bytes a second."""
        return KNOWN[self.row["encoding"]].wav.bytes_per_second


@pytest.fixture(scope="module")
def cut(vault: Vault) -> list[Cut]:
    """Calls whose talk began one after the other, so that each is at another place in its chunk.
    The party alone speaks then, and what is on a recording tells to the sample how far it goes."""
    voice = speech(31, PARTY, 60)
    heard = audio.from_mulaw(voice)
    tenants = (MONO, MONO, STEREO, ULAW)
    numbers = [new_number() for _ in tenants]
    talks = []
    for agent, party in vault.connect(*zip(tenants, numbers, strict=True)):
        parts = [(agent, SILENT * (len(voice) // FRAME)), (party, voice)]
        talks.append(Hurry(parts, speed=2.5))
        talks[-1].__enter__()
        time.sleep(APART_S)
    talks[-1].until(11.0)
    vault.callguard.kill()
    vault.pbx.kill()
    said = [talk.stop() for talk in talks]
    for path in vault.pbx.spool.iterdir():
        path.unlink()
    for phone in (vault.agent, vault.world):
        phone.forget()
    vault.pbx.start()
    vault.callguard.start()
    found = []
    for number, seconds in zip(numbers, said, strict=True):
        row = vault.closed(number)
        wav = vault.guarded.opened(row)
        samples = wav.samples[0]
        late = round(LATE_S * audio.RATE)
        at = offset_in(samples[late:], heard) - late
        found.append(Cut(row, wav, seconds, (at + len(samples)) / audio.RATE))
    return found


def test_after_a_power_cut_all_but_the_last_chunk_opens(cut: list[Cut]) -> None:
    """At most one chunk, with what Asterisk held back, and a second."""
    for one in cut:
        print(
            f"{one.row['encoding']}: {one.said:.2f} s said, {one.lost:.2f} s lost "
            f"({one.lost * one.rate / 1024:.1f} KiB), told {one.row['missing_bytes']} B"
        )
    for one in cut:
        assert one.row["state"] == "sealed"
        assert one.lost <= CHUNK / one.rate + 1.0


def test_it_says_how_much_is_missing_at_most(cut: list[Cut]) -> None:
    for one in cut:
        assert one.row["missing_bytes"] >= one.lost * one.rate - FRAME * one.rate / audio.RATE


def test_both_serve_again_after_the_power_cut(vault: Vault, cut: list[Cut]) -> None:
    number = new_number()
    ((agent, _),) = vault.connect((MONO, number))
    eventually(lambda: agent.hears(PARTY) > 0.5)
    vault.quiet()

    assert vault.closed(number)["state"] == "sealed"
    assert vault.callguard.spooled() == []
