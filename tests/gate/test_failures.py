"""The failure table, row by row, on the simulated PBX."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from callguard.service import Service, ServiceError
from callguard.storage.schema import call_records, calls, consents, opt_outs, recordings
from tests.harness.playbook import SPOOL
from tests.harness.recorder import tones
from tests.harness.virtual import current_clock, virtual_time
from tests.house import DID, NOTICE, PARTY, PROMPTS, furnish, house, serving, simulated_pbx

NO_GATE = 42
"""Q.850 cause 42, which Asterisk turns into SIP 503."""


@virtual_time
async def test_a_stopped_service_blocks_outbound_and_connects_inbound(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        home.pbx.network.stop()
        out = await home.pbx.outbound(PARTY, tenant="acme").ended()
        call = home.pbx.inbound(PARTY, did=DID)
        await call.agent_answers()
        await call.is_connected()
        await call.talk(seconds=1)
        await call.hangs_up("party")
        into = await call.ended()
        home.pbx.network.start()
    assert not out.carrier_invited
    assert out.hangup_cause == NO_GATE
    assert into.connected
    assert into.recorded_samples == 0


@virtual_time
async def test_a_frozen_service_is_not_asked_once_its_lease_is_stale(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        home.pbx.network.freeze()
        held = home.pbx.outbound(PARTY, tenant="acme")
        await asyncio.sleep(4)
        refused = await home.pbx.outbound("+442079460777", tenant="acme").ended(within=1)
        assert not held.gone
        home.pbx.network.kill_agi()
        outcome = await held.ended()
        home.pbx.network.thaw()
    assert (refused.carrier_invited, refused.hangup_cause) == (False, NO_GATE)
    assert (outcome.carrier_invited, outcome.hangup_cause) == (False, NO_GATE)


@virtual_time
async def test_a_verdict_that_cannot_be_kept_blocks_outbound_and_connects_inbound(
    tmp_path: Path,
) -> None:
    async with house(tmp_path) as home:
        locker = sqlite3.connect(tmp_path / "callguard.db", isolation_level=None)
        locker.execute("BEGIN IMMEDIATE")
        out = await home.pbx.outbound(PARTY, tenant="acme").ended()
        call = home.pbx.inbound(PARTY, did=DID)
        await call.agent_answers()
        await call.is_connected()
        await call.hangs_up("party")
        into = await call.ended()
        status = await home.service.overview.status()
        locker.execute("ROLLBACK")
        locker.close()
        again = await home.whole_call()
        healed = await home.service.overview.status()
        kept = [row["verdict"] for row in home.rows(calls)]
    assert not out.carrier_invited
    assert out.hangup_cause == NO_GATE
    assert into.connected
    assert into.recorded_samples == 0
    assert status.not_ready
    assert "locked" in status.not_ready[0]
    assert status.not_durable_total == 2
    assert again.connected
    assert healed.ready
    assert kept == ["allow"]


@virtual_time
async def test_an_emergency_call_does_not_wait_for_the_database(tmp_path: Path) -> None:
    async with house(tmp_path, home_region="BR") as home:
        locker = sqlite3.connect(tmp_path / "callguard.db", isolation_level=None)
        locker.execute("BEGIN IMMEDIATE")
        call = home.pbx.outbound("190", tenant="acme")
        await call.expect_verdict("emergency")
        await call.hangs_up("agent")
        outcome = await call.ended()
        locker.execute("ROLLBACK")
        locker.close()
    assert outcome.carrier_invited


@virtual_time
async def test_an_opt_out_that_is_not_durable_is_not_confirmed(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        call = home.pbx.outbound(PARTY, tenant="acme")
        await call.carrier_answers()
        await call.hears(NOTICE, seconds=1)
        locker = sqlite3.connect(tmp_path / "callguard.db", isolation_level=None)
        locker.execute("BEGIN IMMEDIATE")
        await call.presses("9")
        await call.hears_all(f"{PROMPTS}/en/optout-failed-1")
        await call.is_connected()
        await call.hangs_up("party")
        outcome = await call.ended()
        locker.execute("ROLLBACK")
        locker.close()
        wishes = home.rows(opt_outs)
    failed = f"{PROMPTS}/en/optout-failed-1"
    assert [heard.prompt for heard in outcome.heard] == [NOTICE, failed]
    assert outcome.recorded_samples == 0
    assert wishes == []


@virtual_time
async def test_a_missing_prompt_means_no_consent_and_an_alarm(tmp_path: Path) -> None:
    settings, _ = furnish(tmp_path)
    (tmp_path / "prompts" / "en" / "notice-1.wav").unlink()
    pbx = simulated_pbx(tmp_path)
    async with pbx, serving(settings, pbx) as service:
        call = pbx.outbound(PARTY, tenant="acme")
        await call.carrier_answers()
        await call.is_connected()
        await call.hangs_up("party")
        outcome = await call.ended()
        status = await service.overview.status()
        with service.database.reading() as connection:
            states = list(connection.execute(consents.select().with_only_columns(consents.c.state)))
    assert outcome.connected
    assert outcome.recorded_samples == 0
    assert states == [("incomplete",)]
    assert any("notice-1.wav" in alarm for alarm in status.alarms)
    assert status.faults["prompt_missing"] == 1


@virtual_time
async def test_a_prompt_that_asterisk_cannot_play_is_no_consent(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        (tmp_path / "prompts" / "en" / "notice-1.wav").unlink()
        call = home.pbx.outbound(PARTY, tenant="acme")
        await call.carrier_answers()
        await call.is_connected()
        await call.hangs_up("party")
        outcome = await call.ended()
        consent = home.one(consents)
    assert outcome.recorded_samples == 0
    assert (consent["state"], consent["heard_ms"]) == ("incomplete", 0)


@virtual_time
async def test_a_full_spool_connects_unrecorded_and_is_told(tmp_path: Path) -> None:
    settings, _ = furnish(tmp_path)
    full = settings.model_copy(
        update={"spool": settings.spool.model_copy(update={"reserve_bytes": 1 << 60})}
    )
    pbx = simulated_pbx(tmp_path)
    async with pbx, serving(full, pbx) as service:
        call = pbx.outbound(PARTY, tenant="acme")
        await call.carrier_answers()
        await call.hears_all(NOTICE)
        await call.talk(seconds=1)
        await call.hangs_up("party")
        outcome = await call.ended()
        status = await service.overview.status()
    assert outcome.connected
    assert outcome.recorded_samples == 0
    assert status.faults["spool_full"] == 1
    assert not status.spool_has_room


@virtual_time
async def test_agi_that_dies_in_the_notice_connects_without_consent(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        call = home.pbx.outbound(PARTY, tenant="acme")
        await call.carrier_answers()
        await call.hears(NOTICE, seconds=1)
        home.pbx.network.kill_agi()
        await call.is_connected()
        await call.talk(seconds=1)
        await call.hangs_up("party")
        outcome = await call.ended()
        await home.settled()
        states = [row["state"] for row in home.rows(consents)]
        started = home.rows(recordings)
    assert outcome.connected
    assert outcome.recorded_samples == 0
    assert states == ["incomplete"]
    assert started == []


@virtual_time
async def test_a_lost_manager_connection_loses_no_recording_and_no_record(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        call = home.pbx.outbound(PARTY, tenant="acme")
        await call.carrier_answers()
        await call.hears_all(NOTICE)
        await call.talk(seconds=1)
        home.pbx.network.drop_ami()
        await call.hangs_up("party")
        outcome = await call.ended()
        await home.settled()
        recording, record = home.one(recordings), home.one(call_records)
        audio = home.audio(recording)
        forgotten = home.service.gate.calls.all()
    assert len(audio) == 2 * outcome.recorded_samples > 0
    assert tones(audio) == {"agent", "party"}
    assert record["source"] == "file"
    assert forgotten == ()


@virtual_time
async def test_without_the_manager_connection_the_lease_file_keeps_the_gate_asked(
    tmp_path: Path,
) -> None:
    async with house(tmp_path) as home:
        home.pbx.asterisk.globals["CALLGUARD_LEASE_FILE"] = f"{SPOOL}/alive"
        home.pbx.manager.refuse_logins = True
        home.pbx.network.drop_ami()
        await asyncio.sleep(30)
        outcome = await home.whole_call()
        status = await home.service.overview.status()
    assert outcome.connected
    assert outcome.recorded_samples > 0
    assert status.ready
    assert any("manager connection is down" in alarm for alarm in status.alarms)


@virtual_time
async def test_without_either_lease_nothing_is_asked(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        home.pbx.asterisk.globals["CALLGUARD_LEASE_FILE"] = f"{SPOOL}/nowhere"
        home.pbx.manager.refuse_logins = True
        home.pbx.network.drop_ami()
        await asyncio.sleep(4)
        outcome = await home.pbx.outbound(PARTY, tenant="acme").ended(within=1)
        asked = home.rows(calls)
    assert outcome.hangup_cause == NO_GATE
    assert asked == []


@virtual_time
async def test_an_agent_who_gives_up_in_the_notice_leaves_an_empty_recording_and_no_audio(
    tmp_path: Path,
) -> None:
    async with house(tmp_path) as home:
        call = home.pbx.outbound(PARTY, tenant="acme")
        await call.carrier_answers()
        await call.hears(NOTICE, seconds=1)
        await call.hangs_up("agent")
        outcome = await call.ended()
        await home.settled()
        recording, spooled = home.one(recordings), home.spooled()
    assert not outcome.connected
    assert (recording["state"], recording["header"]) == ("empty", None)
    assert spooled == []


@virtual_time
async def test_a_service_that_died_in_a_call_is_followed_by_one_that_finishes_its_work(
    tmp_path: Path,
) -> None:
    settings, _ = furnish(tmp_path)
    pbx = simulated_pbx(tmp_path)
    async with pbx:
        async with serving(settings, pbx):
            call = pbx.outbound(PARTY, tenant="acme")
            await call.carrier_answers()
            await call.hears_all(NOTICE)
            await call.talk(seconds=2)
        await call.talk(seconds=2)
        await call.hangs_up("party")
        outcome = await call.ended()
        async with serving(settings, pbx) as service:
            while service.vault.recorder.in_progress():
                await asyncio.sleep(0.1)
            await asyncio.sleep(2)
            with service.database.reading() as connection:
                states = [row.state for row in connection.execute(recordings.select())]
                sizes = [row.plain_bytes for row in connection.execute(recordings.select())]
                records = connection.execute(call_records.select()).all()
    assert states == ["sealed"]
    assert sizes == [44 + 2 * outcome.recorded_samples]
    assert outcome.recorded_samples == 4 * 8000
    assert len(records) == 1


@virtual_time
async def test_a_call_answered_after_a_restart_is_still_announced(tmp_path: Path) -> None:
    settings, _ = furnish(tmp_path)
    pbx = simulated_pbx(tmp_path)
    async with pbx:
        async with serving(settings, pbx):
            call = pbx.outbound(PARTY, tenant="acme")
            await call.expect_verdict("allow")
            await call.is_dialled()
        async with serving(settings, pbx):
            await call.carrier_answers()
            await call.hears_all(NOTICE)
            await call.talk(seconds=1)
            await call.hangs_up("party")
            outcome = await call.ended()
    assert outcome.recorded_samples == 8000


@virtual_time
async def test_an_opt_out_entered_by_another_process_is_obeyed_within_a_second(
    tmp_path: Path,
) -> None:
    async with house(tmp_path) as home:
        with sqlite3.connect(tmp_path / "callguard.db") as other:
            other.execute(
                "INSERT INTO opt_outs (tenant_id, subject, standing, purposes, way, actor, at)"
                " VALUES ('acme', ?, 1, '[]', 'cli', 'x', 0)",
                (PARTY,),
            )
        other.close()
        await asyncio.sleep(1.0)
        outcome = await home.pbx.outbound(PARTY, tenant="acme").ended()
    assert not outcome.carrier_invited


@pytest.mark.parametrize("missing", ["master.key", "manager.secret", "callguard.db"])
def test_what_is_missing_at_the_start_is_named_in_one_line(tmp_path: Path, missing: str) -> None:
    @virtual_time
    async def play() -> None:
        settings, _ = furnish(tmp_path)
        (tmp_path / missing).unlink()
        with pytest.raises(ServiceError) as caught:
            Service(settings, current_clock())
        assert "\n" not in str(caught.value)
        assert missing.split(".")[0] in str(caught.value) or "init" in str(caught.value)

    play()
