"""What becomes of a recording is written down, whoever tells of it first."""

import asyncio
from pathlib import Path

from callguard.recording.events import Kind
from tests.gate.conversations import events, recorded_call, trunk_house
from tests.gate.line_calls import locked
from tests.harness.virtual import virtual_time


@virtual_time
async def test_a_stop_is_written_down_though_ami_told_of_the_end_before(tmp_path: Path) -> None:
    async with trunk_house(tmp_path) as home:
        call = await recorded_call(home)
        kept = home.service.recordings
        (recording,) = home.service.vault.recorder.in_progress()
        kept.channel_gone(recording.pbx, recording.channel_uniqueid)
        kept.stopped(recording, by="subject")
        told = await events(home)
        await call.hangs_up("party")
        await call.ended()
    assert [(kind, by) for kind, by, _ in told] == [
        ("started", "callguard"),
        ("stopped", "subject"),
    ]


@virtual_time
async def test_what_cannot_be_written_down_now_is_later_in_the_order_of_events(
    tmp_path: Path,
) -> None:
    async with trunk_house(tmp_path) as home:
        call = await recorded_call(home)
        (recording,) = home.service.vault.recorder.in_progress()
        with locked(tmp_path):
            kinds: tuple[Kind, ...] = ("silenced", "heard")
            for kind in kinds:
                home.service.recordings._log.note(recording, kind, "callguard")
                await asyncio.sleep(0.01)
            while not home.service.recordings.alarms:
                await asyncio.sleep(1)
            await asyncio.sleep(10)
            alarms = home.service.overview._alarms()
        while home.service.recordings.alarms:
            await asyncio.sleep(1)
        told = await events(home)
        await call.hangs_up("party")
        await call.ended()
    assert "changes of recordings that could not be written down yet: 2" in alarms
    assert [kind for kind, *_ in told] == ["started", "silenced", "heard"]
