"""Inbound calls: connected whatever happens, recorded only after the notice."""

from pathlib import Path

from callguard.storage.schema import call_records, calls, consents, opt_outs, recordings
from tests.harness.recorder import tones
from tests.harness.virtual import virtual_time
from tests.house import DID, NOTICE, PARTY, PROMPTS, house


@virtual_time
async def test_a_caller_hears_the_notice_and_is_recorded_after_it(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        call = home.pbx.inbound(PARTY, did=DID)
        await call.hears_all(NOTICE)
        await call.agent_answers()
        await call.is_connected()
        await call.talk(seconds=3)
        await call.hangs_up("party")
        outcome = await call.ended()
        await home.settled()
        row, consent, recording = home.one(calls), home.one(consents), home.one(recordings)
        record = home.one(call_records)
        audio = home.audio(recording)
    assert (row["direction"], row["tenant_id"], row["subject"]) == ("inbound", "acme", PARTY)
    assert consent["state"] == "granted"
    assert len(audio) == 2 * outcome.recorded_samples == 2 * 8000 * 3
    assert tones(audio) == {"agent", "party"}
    assert record["call_id"] == row["id"]


@virtual_time
async def test_a_caller_who_hangs_up_in_the_notice_leaves_no_recording(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        call = home.pbx.inbound(PARTY, did=DID)
        await call.hears(NOTICE, seconds=1)
        await call.hangs_up("party")
        outcome = await call.ended()
        consent, started = home.one(consents), home.rows(recordings)
    assert not outcome.connected
    assert consent["state"] == "incomplete"
    assert started == []


@virtual_time
async def test_a_withheld_number_hears_the_notice_too_but_cannot_opt_out(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        call = home.pbx.inbound("anonymous", did=DID)
        await call.hears(NOTICE, seconds=1)
        await call.presses("9")
        await call.agent_answers()
        await call.is_connected()
        await call.hangs_up("agent")
        outcome = await call.ended()
        consent, wishes = home.one(consents), home.rows(opt_outs)
    assert outcome.connected
    assert outcome.recorded_samples == 0
    assert consent["state"] == "refused"
    assert wishes == []
    assert [heard.prompt for heard in outcome.heard] == [NOTICE]


@virtual_time
async def test_a_caller_who_presses_9_is_told_that_it_is_done(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        call = home.pbx.inbound(PARTY, did=DID)
        await call.hears(NOTICE, seconds=1)
        await call.presses("9")
        await call.hears_all(f"{PROMPTS}/en/optout-done-1")
        outcome = await call.ended()
        wish = home.one(opt_outs)
    assert not outcome.connected
    assert wish["subject"] == PARTY


@virtual_time
async def test_a_number_that_belongs_to_nobody_is_connected_unrecorded(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        call = home.pbx.inbound(PARTY, did="+442079469998")
        await call.agent_answers()
        await call.is_connected()
        await call.hangs_up("agent")
        outcome = await call.ended()
        row = home.one(calls)
    assert outcome.connected
    assert outcome.heard == ()
    assert row["reasons"] == ["no tenant of this line or number is known"]


@virtual_time
async def test_a_tenant_that_does_not_record_answers_nothing_itself(tmp_path: Path) -> None:
    async with house(tmp_path, record=False) as home:
        call = home.pbx.inbound(PARTY, did=DID)
        await call.agent_answers()
        await call.is_connected()
        await call.hangs_up("agent")
        outcome = await call.ended()
    assert outcome.connected
    assert outcome.heard == ()
