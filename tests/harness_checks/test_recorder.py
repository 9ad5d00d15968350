"""What the simulated MixMonitor writes, as the real one was seen to write it
(tests/lab/test_formats_lab.py)."""

import asyncio
from array import array
from pathlib import Path

import pytest

from tests.harness.agi_client import NotSimulated
from tests.harness.playbook import Call, Pbx
from tests.harness.recorder import BURST, CODINGS, Recorder, sides, tones
from tests.harness.virtual import virtual_time
from tests.harness_checks.gate import gate
from tests.lab import audio

BOTH = {"agent", "party"}


def here(folder: Path) -> Pbx:
    return Pbx(gate().serve, folder=folder, prompts={"notice": 800}, keeps_lease=True)


async def connected(pbx: Pbx) -> Call:
    call = pbx.outbound("112233")
    await call.carrier_answers(after=0)
    await call.is_connected()
    return call


def record(pbx: Pbx, call: Call, extension: str) -> Recorder:
    """A recording on the called party's channel."""
    media = pbx.asterisk.media
    file = f"{next(iter(media.folders))}/x.{extension}"
    stereo = extension == "raw"
    media.start_recording(call.side("party"), file, bridged_only=True, stereo=stereo)
    return media.recorders[-1]


def linear(extension: str, data: bytes) -> bytes:
    if extension == "ulaw":
        return audio.from_mulaw(data).tobytes()
    return audio.from_alaw(data).tobytes() if extension == "alaw" else data


@pytest.mark.parametrize("extension", sorted(CODINGS))
@virtual_time
async def test_each_extension_has_its_coding_and_bursts(tmp_path: Path, extension: str) -> None:
    rate = {"sln": 16_000, "raw": 32_000, "sln16": 32_000, "ulaw": 8000, "alaw": 8000}[extension]
    async with here(tmp_path) as pbx:
        call = await connected(pbx)
        file = record(pbx, call, extension)
        sizes = set()
        for _ in range(100):
            await asyncio.sleep(0.1)
            sizes.add(file.path.stat().st_size)
        call.falls_silent("agent")
        await call.talk(seconds=1)
        await call.hangs_up("party")
        await call.ended()
    data = file.path.read_bytes()
    assert len(data) == pytest.approx(11 * rate, abs=rate // 10)
    assert sizes == {burst * BURST for burst in range(10 * rate // BURST + 1)}
    early, late = linear(extension, data[: 5 * rate]), linear(extension, data[-rate // 2 :])
    if extension == "raw":
        assert sides(early) == (frozenset({"party"}), frozenset({"agent"}))
        assert sides(late) == (frozenset({"party"}), frozenset())
    else:
        assert tones(early, CODINGS[extension].rate) == BOTH
        assert tones(late, CODINGS[extension].rate) == {"party"}


@pytest.mark.parametrize("extension", sorted(CODINGS))
@virtual_time
async def test_a_pause_is_silence_on_every_side(tmp_path: Path, extension: str) -> None:
    async with here(tmp_path) as pbx:
        call = await connected(pbx)
        file = record(pbx, call, extension)
        await call.talk(seconds=1)
        file.mute({"read", "write"}, muted=True)
        await call.talk(seconds=1)
        file.mute({"read", "write"}, muted=False)
        await call.hangs_up("party")
        await call.ended()
    second = CODINGS[extension].rate * CODINGS[extension].width * (2 if extension == "raw" else 1)
    silence = {"ulaw": 0xFF, "alaw": 0xD5}.get(extension, 0)
    assert set(file.path.read_bytes()[second + second // 10 : -second // 10]) == {silence}


@virtual_time
async def test_what_is_held_back_is_gone_with_the_power(tmp_path: Path) -> None:
    async with here(tmp_path) as pbx:
        call = await connected(pbx)
        file = record(pbx, call, "sln")
        await call.talk(seconds=3)
        file.cut()
        await call.hangs_up("party")
        await call.ended()
    assert file.path.stat().st_size == BURST < 2 * file.samples


@pytest.mark.parametrize(("extension", "stereo"), [("wav", False), ("sln", True), ("raw", False)])
@virtual_time
async def test_what_was_never_seen_is_not_simulated(
    tmp_path: Path, extension: str, stereo: bool
) -> None:
    async with here(tmp_path) as pbx:
        call = await connected(pbx)
        folder = next(iter(pbx.asterisk.media.folders))
        with pytest.raises(NotSimulated):
            pbx.asterisk.media.start_recording(
                call.side("party"), f"{folder}/x.{extension}", bridged_only=True, stereo=stereo
            )
        await call.hangs_up("party")
        await call.ended()


@pytest.mark.parametrize("extension", ["ulaw", "alaw"])
def test_the_laws_are_those_of_the_laboratory(extension: str) -> None:
    """Coding what was decoded changes nothing, but for the two zeros of µ-law."""
    decode = {"ulaw": audio.from_mulaw, "alaw": audio.from_alaw}[extension]
    codes = bytes(range(256))
    again = CODINGS[extension].encode(int(sample) for sample in decode(codes))
    assert [a for a, b in zip(codes, again, strict=True) if a != b] in ([], [0x7F])
    loud = CODINGS[extension].encode(array("h", range(-32768, 32768, 7)))
    assert abs(decode(loud).astype(int) - range(-32768, 32768, 7)).max() <= 644
