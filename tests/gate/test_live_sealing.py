"""Recordings are sealed while their calls run: through the whole service, with a simulated PBX."""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from callguard.recording import age
from callguard.recording.store.folder import FolderStore
from callguard.storage.schema import recording_events, recordings
from tests.harness.recorder import tones
from tests.harness.virtual import virtual_time
from tests.house import NOTICE, PARTY, WAV_HEADER, house

BLOCK = 512


@virtual_time
async def test_what_is_said_is_sealed_and_leaves_the_spool_while_the_call_runs(
    tmp_path: Path,
) -> None:
    async with house(tmp_path) as home:
        call = home.pbx.outbound(PARTY, tenant="acme")
        await call.carrier_answers()
        await call.hears_all(NOTICE)
        seen = []
        for _ in range(12):
            await call.talk(seconds=5)
            (name,) = home.spooled()
            status = (tmp_path / "spool" / name).stat()
            seen.append((status.st_size, status.st_blocks * BLOCK))
        (row,) = home.rows(recordings)
        part = FolderStore(home.service.settings.object_folder).part(row["id"])
        sealed = (part.stat().st_size - age.NONCE_SIZE) // age.SEALED_CHUNK_SIZE
        written = [state for state in (row["state"], row["plain_bytes"]) if state is not None]
        await call.hangs_up("party")
        await call.ended()
        await home.settled()
        (done,) = home.rows(recordings)
        audio = home.audio(done)
        samples = call.recorders[0].samples
    assert written == ["recording"]
    assert seen[-1][0] > 900_000
    assert max(held for _, held in seen) <= 128 * 1024
    assert sealed == (WAV_HEADER + seen[-1][0] - 1) // age.CHUNK_SIZE
    assert (done["state"], done["missing_bytes"]) == ("sealed", None)
    assert len(audio) == 2 * samples


@virtual_time
async def test_what_asterisk_would_write_nowhere_is_stopped_at_once_and_said(
    tmp_path: Path,
) -> None:
    async with house(tmp_path) as home:
        call = home.pbx.outbound(PARTY, tenant="acme")
        await call.carrier_answers()
        await call.hears_all(NOTICE)
        await call.talk(seconds=12)
        (name,) = home.spooled()
        (tmp_path / "spool" / name).unlink()
        await call.talk(seconds=2)
        stopped = not call.recorders[0].running
        status = await home.service.overview.status()
        await home.settled()
        await call.talk(seconds=20)
        await call.hangs_up("party")
        await call.ended()
        done = home.one(recordings)
        lost = 2 * call.recorders[0].samples - len(home.audio(done))
        told = [(row["kind"], row["reason"]) for row in home.rows(recording_events)]
    assert stopped
    assert "1 recordings lost their spool entry while they ran: see the log" in status.alarms
    assert status.faults["spool_entry_gone"] == 1
    assert done["state"] == "sealed"
    assert lost <= done["missing_bytes"] <= lost + 2 * 32 * 1024
    assert ("stopped", "its spool entry is gone") in told
    (cut,) = (reason for kind, reason in told if kind == "cut")
    assert cut.startswith("at most ")


@virtual_time
async def test_another_recording_of_the_channel_is_never_stopped_in_its_stead(
    tmp_path: Path,
) -> None:
    """The process that was told the id of its MixMonitor is no more."""
    async with house(tmp_path) as home:
        call = home.pbx.outbound(PARTY, tenant="acme")
        await call.carrier_answers()
        await call.hears_all(NOTICE)
        await call.talk(seconds=5)
        gate, recorder = home.service.recordings, home.service.vault.recorder
        (known,) = recorder.in_progress()
        recorder._open[known.id] = replace(known, monitor=None)
        recorder._open["another"] = replace(known, id="another", spool_name="another.sln")
        (home.pbx.spool / known.spool_name).unlink()
        await call.talk(seconds=2)
        running = call.recorders[0].running
        del recorder._open["another"]
        gate.channel_gone(known.pbx, known.channel_uniqueid)
        await call.hangs_up("party")
        await call.ended()
        await home.settled()
        state, faults = home.one(recordings)["state"], recorder.faults
    assert running
    assert (state, faults["spool_entry_gone"]) == ("sealed", 1)


@pytest.mark.parametrize("name", ["pcm-8000-1", "pcm-8000-2", "ulaw-8000-1"])
@virtual_time
async def test_asterisk_is_told_how_to_code_a_recording(tmp_path: Path, name: str) -> None:
    async with house(tmp_path, recording_format=name) as home:
        call = home.pbx.outbound(PARTY, tenant="acme")
        await call.carrier_answers()
        await call.hears_all(NOTICE)
        await call.talk(seconds=10)
        await call.hangs_up("party")
        await call.ended()
        await home.settled()
        with home.service.database.reading() as connection:
            row = connection.execute(select(recordings)).one()
    assert (row.state, row.encoding) == ("sealed", name)


@virtual_time
async def test_two_channels_are_one_where_somebody_speaks_in_a_wide_band(tmp_path: Path) -> None:
    async with house(tmp_path, recording_format="pcm-8000-2") as home:
        call = home.pbx.outbound(PARTY, tenant="acme")
        await call.carrier_answers()
        call.side("party").codec = "g722"
        await call.hears_all(NOTICE)
        await call.talk(seconds=3)
        await call.hangs_up("party")
        await call.ended()
        await home.settled()
        (row,) = home.rows(recordings)
        begun, *_ = home.rows(recording_events)
        heard = tones(home.audio(row))
        faults = home.service.gate.counts.faults
    assert (row["state"], row["encoding"]) == ("sealed", "pcm-8000-1")
    assert row["spool_name"].endswith(".sln")
    assert heard == {"agent", "party"}
    assert begun["kind"] == "started"
    assert begun["reason"].startswith("in mono: ")
    assert begun["reason"].endswith(" where (g722) is spoken")
    assert faults == {"recorded_in_mono": 1}
