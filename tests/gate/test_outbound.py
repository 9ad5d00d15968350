"""Outbound calls, from the agent's dialling to the sealed recording."""

from pathlib import Path

import pytest

from callguard.storage.schema import call_records, calls, consents, opt_outs, recordings
from tests.harness.recorder import tones
from tests.harness.virtual import virtual_time
from tests.house import NOTICE, NOTICE_S, PARTY, PROMPTS, house

OPTOUT_DONE = f"{PROMPTS}/en/optout-done-1"


@virtual_time
async def test_an_allowed_call_is_announced_recorded_sealed_and_written_down(
    tmp_path: Path,
) -> None:
    async with house(tmp_path) as home:
        outcome = await home.whole_call(seconds=4)
        await home.settled()
        call, consent = home.one(calls), home.one(consents)
        recording, record = home.one(recordings), home.one(call_records)
        audio = home.audio(recording)
        spooled = home.spooled()
    assert outcome.connected
    assert (call["verdict"], call["subject"], call["tenant_id"]) == ("allow", PARTY, "acme")
    assert consent["state"] == "granted"
    assert (consent["heard_ms"], consent["length_ms"]) == (NOTICE_S * 1000, NOTICE_S * 1000)
    assert consent["prompt"].startswith("notice v1 en sha256:")
    assert recording["state"] == "sealed"
    assert recording["wrapped_file_key"] is None
    assert spooled == []
    assert len(audio) == 2 * outcome.recorded_samples == 2 * 8000 * 4
    assert tones(audio) == {"agent", "party"}
    assert record["call_id"] == call["id"] == consent["call_id"] == recording["call_id"]
    assert record["source"] == "file"
    assert record["tenant_id"] == "acme"


@virtual_time
async def test_the_line_tells_whose_call_it_is_where_the_dialplan_does_not(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        call = home.pbx.outbound(PARTY)
        await call.expect_verdict("allow")
        await call.hangs_up("agent")
        await call.ended()
        row = home.one(calls)
    assert (row["tenant_id"], row["purpose"]) == ("acme", "service")


@virtual_time
async def test_who_pressed_9_hears_that_it_is_done_and_is_not_called_again(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        call = home.pbx.outbound(PARTY, tenant="acme")
        await call.carrier_answers()
        await call.hears(NOTICE, seconds=1)
        await call.presses("9")
        await call.hears_all(OPTOUT_DONE)
        first = await call.ended()
        second = await home.pbx.outbound("020 7946 0123".replace(" ", ""), tenant="acme").ended()
        consent, wish = home.one(consents), home.one(opt_outs)
        verdicts = [row["verdict"] for row in home.rows(calls)]
        started = home.rows(recordings)
    assert not first.connected
    assert (consent["state"], consent["answer"]) == ("refused", "9")
    assert (wish["subject"], wish["tenant_id"], wish["way"]) == (PARTY, "acme", "call")
    assert wish["prompt"].startswith("notice v1 en")
    assert not second.carrier_invited
    assert second.hangup_cause == 21
    assert verdicts == ["allow", "block"]
    assert started == []


@virtual_time
async def test_a_tenant_may_connect_whoever_pressed_9_unrecorded(tmp_path: Path) -> None:
    async with house(tmp_path, on_opt_out="connect") as home:
        call = home.pbx.outbound(PARTY, tenant="acme")
        await call.carrier_answers()
        await call.hears(NOTICE, seconds=1)
        await call.presses("9")
        await call.is_connected()
        await call.talk(seconds=2)
        await call.hangs_up("agent")
        outcome = await call.ended()
    assert outcome.connected
    assert outcome.recorded_samples == 0


@virtual_time
async def test_any_other_digit_does_not_cut_the_notice_short(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        call = home.pbx.outbound(PARTY, tenant="acme")
        await call.carrier_answers()
        await call.hears(NOTICE, seconds=1)
        await call.presses("5")
        await call.hears_all(NOTICE)
        await call.talk(seconds=1)
        await call.hangs_up("party")
        await call.ended()
        state = home.one(consents)["state"]
    assert state == "granted"


@virtual_time
async def test_who_hangs_up_in_the_notice_consented_to_nothing(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        call = home.pbx.outbound(PARTY, tenant="acme")
        await call.carrier_answers()
        await call.hears(NOTICE, seconds=1.5)
        await call.hangs_up("party")
        outcome = await call.ended()
        consent = home.one(consents)
        started = home.rows(recordings)
    assert not outcome.connected
    assert (consent["state"], consent["heard_ms"]) == ("incomplete", 1500)
    assert started == []


@virtual_time
async def test_a_tenant_that_does_not_record_plays_no_notice(tmp_path: Path) -> None:
    async with house(tmp_path, record=False) as home:
        call = home.pbx.outbound(PARTY, tenant="acme")
        await call.carrier_answers()
        await call.is_connected()
        await call.talk(seconds=1)
        await call.hangs_up("agent")
        outcome = await call.ended()
        ledger = home.rows(consents)
    assert outcome.connected
    assert outcome.heard == ()
    assert outcome.recorded_samples == 0
    assert ledger == []


@virtual_time
async def test_a_call_nobody_answers_leaves_a_record_and_no_recording(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        call = home.pbx.outbound(PARTY, tenant="acme")
        await call.carrier_refuses("busy")
        await call.ended()
        await home.settled()
        record = home.one(call_records)
        started = home.rows(recordings)
    assert record["disposition"] == "BUSY"
    assert started == []


@pytest.mark.parametrize("number", ["112", "999"])
def test_an_emergency_call_passes_the_dialplan_without_asking_anyone(
    tmp_path: Path, number: str
) -> None:
    @virtual_time
    async def play() -> None:
        async with house(tmp_path) as home:
            home.pbx.network.stop()
            call = home.pbx.outbound(number, tenant="acme")
            await call.carrier_answers()
            await call.is_connected()
            await call.hangs_up("agent")
            outcome = await call.ended()
            asked = home.rows(calls)
            home.pbx.network.start()
        assert outcome.connected
        assert outcome.cdr["userfield"] == "emergency"
        assert asked == []

    play()


@virtual_time
async def test_an_emergency_number_of_the_region_that_reaches_the_gate_passes_unrecorded(
    tmp_path: Path,
) -> None:
    async with house(tmp_path, home_region="BR") as home:
        call = home.pbx.outbound("190", tenant="acme")
        await call.carrier_answers()
        await call.is_connected()
        await call.talk(seconds=1)
        await call.hangs_up("agent")
        outcome = await call.ended()
        row = home.one(calls)
    assert outcome.connected
    assert outcome.heard == ()
    assert outcome.recorded_samples == 0
    assert row["verdict"] == "allow"
    assert row["obligations"] == ["do_not_record"]


@pytest.mark.parametrize(
    ("number", "tenant", "purpose", "reason"),
    [
        (PARTY, "nobody", "", "no tenant 'nobody' is known"),
        (PARTY, "acme", "gossip", "'gossip' is not a purpose"),
        ("7", "acme", "", "the called number is none that can be looked up"),
    ],
)
def test_what_cannot_be_decided_is_blocked_with_its_reason(
    tmp_path: Path, number: str, tenant: str, purpose: str, reason: str
) -> None:
    @virtual_time
    async def play() -> None:
        async with house(tmp_path) as home:
            outcome = await home.pbx.outbound(number, tenant=tenant, purpose=purpose).ended()
            row = home.one(calls)
        assert not outcome.carrier_invited
        assert outcome.hangup_cause == 21
        assert row["verdict"] == "block"
        assert row["reasons"] == [reason]

    play()


@virtual_time
async def test_the_reason_is_said_to_the_agent_where_the_tenant_wants_it(tmp_path: Path) -> None:
    async with house(tmp_path, blocked_prompt=True) as home:
        call = home.pbx.outbound("7", tenant="acme")
        await call.hears_all(f"{PROMPTS}/en/blocked-1", side="agent")
        outcome = await call.ended()
    assert outcome.cdr["answer"] == ""
