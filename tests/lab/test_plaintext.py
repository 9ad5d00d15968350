"""After a recorded call: no audio in the clear, no key and no number where none belongs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from callguard.recording import age
from callguard.recording.keys import MasterKey, open_tenant_identity
from callguard.storage.schema import tenant_keys
from tests.lab import audio
from tests.lab.audio import Samples
from tests.lab.guarded import GuardedPbx, Row, new_number

pytestmark = pytest.mark.lab

WINDOW = 64
"""Bytes of audio whose presence anywhere would be a leak."""


@pytest.fixture(scope="module")
def recorded(guarded: GuardedPbx) -> tuple[str, Row]:
    """A number that was called, and the recording of that call, longer than one age chunk."""
    number = new_number()
    guarded.outbound(number, talk_ms=4200)
    (recording,) = guarded.settled(number).recordings
    assert recording["plain_bytes"] > 64 * 1024
    return number, recording


def windows(samples: Samples) -> set[bytes]:
    """Stretches from the loud middle, as linear samples and as µ-law."""
    found = set()
    for part in (0.25, 0.4, 0.5, 0.6, 0.75):
        at = int(len(samples) * part)
        loud = samples[at : at + WINDOW]
        assert np.abs(loud).max() > 3000, "silence would be found everywhere"
        found |= {loud[: WINDOW // 2].astype("<i2").tobytes(), audio.to_mulaw(loud)}
    return found


def written(guarded: GuardedPbx) -> Iterator[Path]:
    """Every file that Asterisk or callguard wrote, but for the prompts."""
    for folder in (guarded.pbx.folder, guarded.callguard.folder):
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_relative_to(guarded.pbx.prompts):
                yield path


def holders(paths: Iterator[Path], *needles: bytes) -> list[Path]:
    """The files with any of these in them."""
    return [path for path in paths if any(n in path.read_bytes() for n in needles)]


def test_the_search_finds_audio_where_it_is(
    guarded: GuardedPbx, recorded: tuple[str, Row], tmp_path: Path
) -> None:
    (samples,) = guarded.opened(recorded[1]).samples
    linear, law = tmp_path / "a.sln", tmp_path / "a.ul"
    linear.write_bytes(b"before" + samples.astype("<i2").tobytes())
    law.write_bytes(audio.to_mulaw(samples))
    for needle in windows(samples):
        assert holders(iter([linear, law]), needle)


def test_no_file_holds_any_of_the_audio(guarded: GuardedPbx, recorded: tuple[str, Row]) -> None:
    (samples,) = guarded.opened(recorded[1]).samples
    assert len(list(written(guarded))) > 20
    assert holders(written(guarded), *windows(samples)) == []
    assert guarded.callguard.spooled() == []


def test_no_file_holds_one_side_of_the_talk(guarded: GuardedPbx) -> None:
    """As the sound of one leg would lie there: each voice alone, as it came over the wire."""
    needles = set()
    for frequency in (audio.AGENT_TONE, audio.PARTY_TONE):
        law = audio.to_mulaw(audio.tone(frequency, 2.0))
        needles |= windows(audio.from_mulaw(law))
    assert holders(written(guarded), *needles) == []


def test_no_file_holds_a_key_that_opens_the_recording(
    guarded: GuardedPbx, recorded: tuple[str, Row]
) -> None:
    master = MasterKey.load(guarded.callguard.data / "master.key")
    (key,) = guarded.rows(tenant_keys.select())
    identity = open_tenant_identity(master, key["wrapped_identity"], key["tenant_id"], 1)
    file_key = age.unwrap(age.parse_header(recorded[1]["header"]), [identity])
    outside = (guarded.keys / "key.txt").read_text().split()[-1]
    assert outside.startswith("AGE-SECRET-KEY-PQ-1")

    needles = (file_key, file_key.hex().encode(), outside.encode(), b"AGE-SECRET-KEY-")
    assert holders(written(guarded), *needles) == []
    assert recorded[1]["wrapped_file_key"] is None


def test_callguards_log_names_nobody(guarded: GuardedPbx, recorded: tuple[str, Row]) -> None:
    log = guarded.callguard.log.read_text()
    assert '"event": "verdict"' in log
    assert recorded[0][1:] not in log
    assert f"+12*******{recorded[0][-2:]}" in log
