"""Recordings are sealed while their calls run: through the whole service, with a simulated PBX."""

from pathlib import Path

import pytest
from sqlalchemy import select

from callguard.recording import age
from callguard.recording.store.folder import FolderStore
from callguard.storage.schema import recordings
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
