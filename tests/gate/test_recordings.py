"""A recording lasts exactly as long as it may: nobody cuts it, prolongs it or starts one more."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from callguard.gate.callbook import NOT_GIVEN
from callguard.gate.policy import Policy
from callguard.policy.packs import parse_pack
from callguard.recording import age
from callguard.recording.keys import MasterKey, wrap_file_key
from callguard.recording.recorder import OpenRecording
from callguard.recording.store.folder import FolderStore
from callguard.storage.database import Database
from callguard.storage.journal import Journal, NotDurableError, Row
from callguard.storage.schema import calls, consents, recording_events, recordings
from tests.gate.forged import ask
from tests.harness.playbook import SPOOL, Call
from tests.harness.recorder import RATE, Heard, Recorder
from tests.harness.virtual import current_clock, virtual_time
from tests.house import (
    DID,
    NOTICE,
    PARTY,
    WAV_HEADER,
    House,
    furnish,
    house,
    serving,
    simulated_pbx,
)

BURST = 32 * 1024
"""MixMonitor's buffer: what it writes at once, two seconds of audio. While a call is held nothing
is written for much longer, as with a larger buffer."""

(SILENCE,) = parse_pack(
    "test",
    """
title = "Test"
[[rule]]
id = "test.silence"
kind = "recording_mode"
title = "Silence"
citation = "none"
effective_from = 2020-01-01
settings = { mode = "never" }
scope = { directions = ["inbound"] }
""",
).rules


async def conversing(home: House) -> Call:
    call = home.pbx.outbound(PARTY, tenant="acme")
    await call.carrier_answers()
    await call.hears_all(NOTICE)
    await call.talk(seconds=2)
    return call


async def sealed_bytes(home: House) -> int:
    await home.settled()
    row = home.one(recordings)
    assert row["state"] == "sealed"
    assert home.spooled() == []
    return int(row["plain_bytes"]) - WAV_HEADER


@virtual_time
async def test_a_recording_of_somebody_else_that_stops_does_not_end_ours(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        call = await conversing(home)
        media, channel = home.pbx.asterisk.media, call.side("party")
        theirs = media.start_recording(channel, f"{SPOOL}/operator.sln", bridged_only=True)
        await call.talk(seconds=3)
        assert media.stop_recording(channel, theirs)
        (tmp_path / "spool" / "operator.sln").unlink()
        await asyncio.sleep(1)
        assert home.service.vault.sealer.backlog == 0
        await call.talk(seconds=30)
        await call.hangs_up("party")
        await call.ended()
        ours = call.recorders[0].samples
        sealed = await sealed_bytes(home)
    assert ours > 30 * RATE
    assert sealed == 2 * ours


def write_in_bursts(monkeypatch: pytest.MonkeyPatch, burst: int) -> None:
    """Lets MixMonitor keep back what does not fill its buffer, until it stops."""
    write, stop = Recorder._write, Recorder.stop
    heard: dict[Recorder, Heard] = {}

    def held(self: Recorder, state: Heard) -> None:
        heard[self] = state
        owed = round(self._due * RATE) - self.samples
        if 2 * owed >= burst:
            write(self, state)

    def stop_and_flush(self: Recorder) -> None:
        if self.running:
            self.update()
            write(self, heard[self])
        stop(self)

    monkeypatch.setattr(Recorder, "_write", held)
    monkeypatch.setattr(Recorder, "stop", stop_and_flush)


@pytest.mark.parametrize("burst", [BURST, 4 * BURST])
@virtual_time
async def test_a_pause_between_two_bursts_is_no_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, burst: int
) -> None:
    """Even where AMI says that the recording stopped, for as long as its file is held open."""
    write_in_bursts(monkeypatch, burst)
    async with house(tmp_path) as home:
        call = await conversing(home)
        channel = call.side("party")
        names = [("Channel", channel.name), ("Uniqueid", channel.uniqueid)]
        home.pbx.manager.emit("MixMonitorStop", "call,all", names)
        await call.talk(seconds=30)
        early = [row["state"] for row in home.rows(recordings)]
        await call.hangs_up("party")
        outcome = await call.ended()
        sealed = await sealed_bytes(home)
    assert early == ["recording"]
    assert outcome.recorded_samples > 30 * RATE
    assert sealed == 2 * outcome.recorded_samples


@virtual_time
async def test_a_forged_answer_of_a_call_that_ended_starts_nothing(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        await home.whole_call()
        await home.settled()
        call_id = home.one(calls)["id"]
        said = await ask(home.pbx, f"answered?pbx=asterisk&call={call_id}")
        noted, started = home.rows(consents), home.rows(recordings)
        faults = home.service.gate.counts.faults
    assert said == []
    assert (len(noted), len(started)) == (1, 1)
    assert faults == {"answered_without_verdict": 1}


@pytest.mark.parametrize("pbx", ["other", ""])
@virtual_time
async def test_a_forged_answer_from_another_pbx_starts_nothing(tmp_path: Path, pbx: str) -> None:
    async with house(tmp_path) as home:
        call = home.pbx.outbound(PARTY, tenant="acme")
        await call.is_dialled()
        said = await ask(home.pbx, f"answered?pbx={pbx}&call={home.one(calls)['id']}")
        noted, started = home.rows(consents), home.rows(recordings)
        await call.hangs_up("agent")
        await call.ended()
    assert (said, noted, started) == ([], [], [])


@pytest.mark.parametrize("other", [{"direction": "inbound"}, {"allowed": False}])
@virtual_time
async def test_a_forged_answer_of_a_call_that_was_not_let_out_starts_nothing(
    tmp_path: Path, other: dict[str, Any]
) -> None:
    async with house(tmp_path) as home:
        call = home.pbx.outbound(PARTY, tenant="acme")
        await call.is_dialled()
        (known,) = home.service.gate.calls.all()
        home.service.gate.calls.add(replace(known, **other))
        said = await ask(home.pbx, f"answered?pbx=asterisk&call={known.id}")
        noted, started = home.rows(consents), home.rows(recordings)
        await call.hangs_up("agent")
        await call.ended()
    assert (said, noted, started) == ([], [], [])


@virtual_time
async def test_a_second_answer_of_the_same_call_starts_nothing_more(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        call = await conversing(home)
        said = await ask(home.pbx, f"answered?pbx=asterisk&call={home.one(calls)['id']}")
        await call.hangs_up("party")
        await call.ended()
        noted, started = home.rows(consents), home.rows(recordings)
    assert said == []
    assert (len(noted), len(started)) == (1, 1)


@virtual_time
async def test_a_caller_who_must_not_be_recorded_is_not(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        gate = home.service.gate
        gate.policy = Policy([*gate.policy.common.rules, SILENCE])
        call = home.pbx.inbound(PARTY, did=DID)
        await call.agent_answers()
        await call.talk(seconds=2)
        await call.hangs_up("party")
        outcome = await call.ended()
        row, started = home.one(calls), home.rows(recordings)
    assert outcome.connected
    assert outcome.heard == ()
    assert outcome.recorded_samples == 0
    assert (row["verdict"], row["obligations"], started) == (
        "allow",
        ["do_not_record", "play_notice"],
        [],
    )


@virtual_time
async def test_a_call_for_nobody_known_is_kept_as_let_through_unrecorded(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        call = home.pbx.inbound(PARTY, did="+442079460888")
        await call.agent_answers()
        await call.talk(seconds=1)
        await call.hangs_up("party")
        outcome = await call.ended()
        row, counted = home.one(calls), home.service.gate.counts.verdicts
    assert outcome.connected
    assert outcome.recorded_samples == 0
    assert (row["verdict"], row["obligations"]) == ("allow", ["do_not_record"])
    assert counted == {("inbound", "allow"): 1}


@virtual_time
async def test_what_a_pbx_recorded_that_is_no_longer_configured_is_sealed(tmp_path: Path) -> None:
    settings, identity = furnish(tmp_path)
    file_key = age.new_file_key()
    master = MasterKey.load(settings.master_key)
    left = {
        "id": "017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
        "tenant_id": "acme",
        "call_id": "017f22e2-79b0-7cc3-98c4-dc0c0c073990",
        "pbx": "renamed",
        "channel_uniqueid": "1.1",
        "state": "recording",
        "spool_name": "aa.sln",
        "encoding": "pcm-8000-1",
        "header": age.build_header(file_key, [identity.recipient]),
        "wrapped_file_key": wrap_file_key(master, file_key, "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"),
        "started_at": current_clock().now(),
    }
    database = Database(settings.database_url)
    with database.writing() as connection:
        connection.execute(insert(recordings).values(left))
    database.close()
    (tmp_path / "spool" / "aa.sln").write_bytes(b"\1" * 1000)
    pbx = simulated_pbx(tmp_path)
    async with pbx, serving(settings, pbx) as service:
        home = House(service, pbx, tmp_path, identity)
        await home.settled()
        row, spooled = home.one(recordings), home.spooled()
        audio = home.audio(row)
    assert (row["state"], spooled) == ("sealed", [])
    assert audio == b"\1" * 1000


def commit_too_late(monkeypatch: pytest.MonkeyPatch, table: object) -> None:
    """Lets the rows of a table be committed just after whoever waited for them gave up."""
    punctual = Journal.insert

    async def late(self: Journal, *rows: Row, timeout: float = 2.0) -> None:
        await punctual(self, *rows, timeout=timeout)
        if rows[0].table is table:
            raise NotDurableError("not durable within 2 s")

    monkeypatch.setattr(Journal, "insert", late)


@virtual_time
async def test_a_recording_whose_row_came_too_late_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(tmp_path) as home:
        commit_too_late(monkeypatch, recordings)
        outcome = await home.whole_call()
        await home.service.journal.write(lambda _: None)
        rows, open_ones = home.rows(recordings), home.service.vault.recorder.in_progress()
    assert outcome.connected
    assert outcome.recorded_samples == 0
    assert (rows, open_ones) == ([], ())


@virtual_time
async def test_a_verdict_whose_row_came_too_late_says_that_it_was_not_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(tmp_path) as home:
        commit_too_late(monkeypatch, calls)
        outcome = await home.pbx.outbound(PARTY, tenant="acme").ended()
        await home.service.journal.write(lambda _: None)
        row = home.one(calls)
    assert not outcome.carrier_invited
    assert (row["verdict"], row["reasons"]) == ("block", [NOT_GIVEN])


async def its_recording(home: House, call: Call) -> OpenRecording:
    (known,) = home.service.gate.calls.all()
    uniqueid = call.side("party").uniqueid
    (recording,) = home.service.recordings.in_progress(known, uniqueid)
    return recording


def running_recorders(call: Call) -> int:
    return sum(recorder.running for recorder in call.recorders)


def assert_erased(home: House) -> None:
    row = home.one(recordings)
    assert (row["state"], row["header"], row["wrapped_file_key"]) == ("erasing", None, None)
    assert home.spooled() == []
    assert list(FolderStore(home.service.settings.object_folder).names()) == []


@virtual_time
async def test_what_is_erased_in_the_call_stops_and_is_never_sealed(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        call = await conversing(home)
        recording = await its_recording(home, call)
        asked = current_clock().monotonic()
        assert await home.service.recordings.erase(recording, by="subject")
        assert current_clock().monotonic() - asked < 1
        assert not call.recorders[0].running
        assert_erased(home)
        assert await home.service.recordings.erase(recording, by="subject")
        await call.talk(seconds=5)
        await call.hangs_up("party")
        await call.ended()
        await home.settled()
        assert_erased(home)
        kinds = {(row["kind"], row["by"]) for row in home.rows(recording_events)}
    assert kinds == {("started", "callguard"), ("stopped", "subject"), ("erased", "subject")}


@virtual_time
async def test_what_was_sealed_a_second_ago_is_erased_by_the_same_call(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        call = await conversing(home)
        recording = await its_recording(home, call)
        await home.service.recordings.stop(recording)
        await home.settled()
        assert home.one(recordings)["state"] == "sealed"
        (found,) = await home.service.recordings.of_call_all(recording.call_id)
        assert await home.service.recordings.erase(found, by="page")
        assert_erased(home)
        assert await home.service.recordings.of_call_all(recording.call_id) == ()
        await call.hangs_up("party")
        await call.ended()


@virtual_time
async def test_what_is_erased_without_the_manager_is_stopped_once_it_is_back(
    tmp_path: Path,
) -> None:
    """What Asterisk goes on writing meanwhile is a file without a name."""
    async with house(tmp_path) as home:
        call = await conversing(home)
        recording = await its_recording(home, call)
        home.pbx.manager.refuse_logins = True
        home.pbx.network.drop_ami()
        await asyncio.sleep(1)
        assert await home.service.recordings.erase(recording, by="subject")
        assert running_recorders(call) == 1
        assert_erased(home)
        home.pbx.manager.refuse_logins = False
        while home.service.pbxs["asterisk"].session.state != "up":
            await asyncio.sleep(0.1)
        assert running_recorders(call) == 0
        await call.hangs_up("party")
        await call.ended()
        await home.settled()
        assert_erased(home)


@virtual_time
async def test_that_it_shall_stop_outlives_the_service(tmp_path: Path) -> None:
    settings, identity = furnish(tmp_path)
    pbx = simulated_pbx(tmp_path)
    async with pbx:
        async with serving(settings, pbx) as service:
            home = House(service, pbx, tmp_path, identity)
            call = await conversing(home)
            recording = await its_recording(home, call)
            pbx.manager.refuse_logins = True
            pbx.network.drop_ami()
            await asyncio.sleep(1)
            assert not await service.recordings.stop(recording, by="agent")
        pbx.manager.refuse_logins = False
        async with serving(settings, pbx) as service:
            home = House(service, pbx, tmp_path, identity)
            assert not call.recorders[0].running
            await call.hangs_up("party")
            await call.ended()
            await home.settled()
            assert home.one(recordings)["state"] == "sealed"


@virtual_time
async def test_a_recording_that_begins_after_the_gate_was_cut_off_is_stopped(
    tmp_path: Path,
) -> None:
    """Nobody would know of it when somebody joins who was not told."""
    async with house(tmp_path) as home:
        call = home.pbx.outbound(PARTY, tenant="acme")
        begun = home.pbx.asterisk.on_after_command
        begun.append(
            lambda _, __, line: home.pbx.network.kill_agi() if "MixMonitor" in line else None
        )
        await call.carrier_answers()
        await call.hears_all(NOTICE)
        await call.talk(seconds=1)
        assert [recorder.running for recorder in call.recorders] == [False]
        await call.hangs_up("party")
        await call.ended()
        await home.settled()
        kinds = [row["kind"] for row in home.rows(recording_events)]
    assert kinds == ["lost"]


@virtual_time
async def test_a_pause_while_another_recording_is_made_ready_holds_for_it_too(
    tmp_path: Path,
) -> None:
    async with house(tmp_path) as home:
        call = await conversing(home)
        recording = await its_recording(home, call)
        (known,) = home.service.gate.calls.all()
        tenant = home.service.tenants.get("acme")
        assert tenant is not None
        party = call.side("party")
        file = await home.service.recordings.begin(tenant, known, party.uniqueid)
        assert file is not None
        assert await home.service.recordings.pause(recording, by="agent")
        monitor = home.pbx.asterisk.media.start_recording(party, file, bridged_only=True)
        home.service.recordings.running(file, monitor)
        await asyncio.sleep(0.001)
        assert [recorder.muted for recorder in call.recorders] == [{"read", "write"}] * 2
        await call.hangs_up("party")
        await call.ended()
