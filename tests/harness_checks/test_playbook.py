"""Whole calls through the real dialplan, with a tiny gate on the other side."""

import asyncio
import csv
from pathlib import Path

from tests.harness.playbook import Pbx
from tests.harness.recorder import BURST, tones
from tests.harness.virtual import START, virtual_time
from tests.harness_checks.gate import Conversation, gate

NOTICE = {"notice": 24000}


@virtual_time
async def test_an_allowed_call_hears_the_notice_and_only_the_conversation_is_recorded(
    tmp_path: Path,
) -> None:
    server = gate()
    async with Pbx(server.serve, folder=tmp_path, prompts=NOTICE, keeps_lease=True) as pbx:
        call = pbx.outbound("+4930123456", tenant="acme", purpose="service", agent="PJSIP/agent1")
        await call.expect_verdict("allow")
        await call.carrier_answers()
        await call.hears_all("notice")
        await call.talk(seconds=2)
        call.falls_silent("party")
        await call.talk(seconds=2)
        await call.hangs_up("party")
        outcome = await call.ended()
    outbound, answered = server.requests
    assert outbound.startswith("outbound?pbx=asterisk&number=%2B4930123456&tenant=acme&")
    assert outbound.endswith("&purpose=service&dialler=&from=&debt=&campaign=&agent=PJSIP%2Fagent1")
    assert answered == "answered?pbx=asterisk&call=0190-call"
    assert (outcome.carrier_invited, outcome.connected, outcome.hangup_cause) == (True, True, 16)
    assert outcome.recorded_samples == 4 * 8000
    pcm = outcome.recordings[0].read_bytes()
    assert len(pcm) == 2 * outcome.recorded_samples
    assert tones(pcm[: 2 * 16000]) == {"agent", "party"}
    assert tones(pcm[2 * 16000 :]) == {"agent"}
    assert outcome.cdr["userfield"] == "0190-call"
    assert outcome.cdr["dst"] == "+4930123456"
    assert outcome.cdr["disposition"] == "ANSWERED"
    start, answer, end = (float(outcome.cdr[name]) for name in ("start", "answer", "end"))
    assert (start, answer - start, end - start) == (START.timestamp(), 4.0, 8.0)
    assert float(outcome.cdr["billsec"]) == 4.0
    with pbx.cdr_file.open(newline="") as file:
        assert list(csv.reader(file)) == [list(outcome.cdr.values())]


@virtual_time
async def test_who_dials_and_about_which_debt_is_told_to_the_gate(tmp_path: Path) -> None:
    server = gate()
    async with Pbx(server.serve, folder=tmp_path, prompts=NOTICE, keeps_lease=True) as pbx:
        call = pbx.outbound("112233", campaign="may 2026", debt="loan 12/7", dialler="machine")
        await call.expect_verdict("allow")
        await call.hangs_up("agent")
        await call.ended()
    query = "dialler=machine&from=&debt=loan%2012%2F7&campaign=may%202026&agent=PJSIP%2Fagent1"
    assert server.requests[0].endswith(query)


@virtual_time
async def test_a_digit_ends_the_notice_and_its_length_is_told(tmp_path: Path) -> None:
    async with Pbx(gate().serve, folder=tmp_path, prompts=NOTICE, keeps_lease=True) as pbx:
        call = pbx.outbound("112233")
        await call.carrier_answers()
        await call.hears("notice", seconds=1.5)
        await call.presses("9")
        await call.talk(seconds=1)
        await call.hangs_up("agent")
        outcome = await call.ended()
    assert [(each.samples, each.of, each.result) for each in outcome.heard] == [(12000, 24000, 57)]
    assert outcome.connected
    assert outcome.recorded_samples == 0


@virtual_time
async def test_a_blocked_call_reaches_no_carrier_and_ends_with_its_cause(tmp_path: Path) -> None:
    async def block(agi: Conversation) -> None:
        await agi.ask("SET VARIABLE CALLGUARD_VERDICT block")
        await agi.ask("SET VARIABLE CALLGUARD_CAUSE 28")
        await agi.ask("SET VARIABLE CALLGUARD_PROMPT sorry")

    server = gate(outbound=block)
    async with Pbx(server.serve, folder=tmp_path, prompts={"sorry": 8000}, keeps_lease=True) as pbx:
        call = pbx.outbound("112233")
        await call.expect_verdict("block")
        await call.hears_all("sorry", side="agent")
        outcome = await call.ended()
    assert (outcome.carrier_invited, outcome.hangup_cause) == (False, 28)
    assert outcome.cdr["answer"] == ""


@virtual_time
async def test_an_emergency_number_needs_no_gate(tmp_path: Path) -> None:
    async with Pbx(gate().serve, folder=tmp_path) as pbx:
        pbx.network.stop()
        call = pbx.outbound("112")
        await call.carrier_answers()
        await call.talk(seconds=5)
        await call.hangs_up("party")
        outcome = await call.ended()
    assert outcome.connected
    assert outcome.cdr["userfield"] == "emergency"


@virtual_time
async def test_a_frozen_service_blocks_new_calls_within_four_seconds(tmp_path: Path) -> None:
    async with Pbx(gate().serve, folder=tmp_path, keeps_lease=True) as pbx:
        pbx.network.freeze()
        caught = pbx.outbound("112233")
        await asyncio.sleep(5)
        assert not caught.gone  # a stuck server holds the call
        outcome = await pbx.outbound("445566").ended(within=1)
        assert (outcome.carrier_invited, outcome.cdr["userfield"]) == (False, "unreachable")
        pbx.network.stop()
        freed = await caught.ended(within=1)
        assert (freed.carrier_invited, freed.cdr["userfield"]) == (False, "unreachable")


@virtual_time
async def test_a_service_that_dies_between_two_commands_gives_no_verdict(tmp_path: Path) -> None:
    async with Pbx(gate().serve, folder=tmp_path, keeps_lease=True) as pbx:
        pbx.asterisk.on_after_command.append(lambda *_: pbx.network.kill_agi())
        call = pbx.outbound("112233")
        outcome = await call.ended()
    assert not outcome.carrier_invited
    assert outcome.variables["AGISTATUS"] == "SUCCESS"
    assert outcome.variables["CALLGUARD_CALL"] == "0190-call"


@virtual_time
async def test_nobody_listening_fails_open_in_asterisk_and_closed_in_the_dialplan(
    tmp_path: Path,
) -> None:
    async with Pbx(gate().serve, folder=tmp_path, keeps_lease=True) as pbx:
        pbx.network.stop()
        outcome = await pbx.outbound("112233").ended()
    assert outcome.variables["AGISTATUS"] == "FAILURE"
    assert (outcome.carrier_invited, outcome.cdr["userfield"]) == (False, "unreachable")


@virtual_time
async def test_a_hangup_in_the_notice_records_nothing(tmp_path: Path) -> None:
    async with Pbx(gate().serve, folder=tmp_path, prompts=NOTICE, keeps_lease=True) as pbx:
        call = pbx.outbound("112233")
        await call.carrier_answers()
        await call.hears("notice", seconds=0.5)
        await call.hangs_up("party")
        outcome = await call.ended()
    assert (outcome.connected, outcome.recordings) == (False, ())
    assert [(each.samples, each.result) for each in outcome.heard] == [(4000, -1)]


@virtual_time
async def test_the_agent_leaving_in_the_notice_is_noticed_after_it(tmp_path: Path) -> None:
    async with Pbx(gate().serve, folder=tmp_path, prompts=NOTICE, keeps_lease=True) as pbx:
        call = pbx.outbound("112233")
        await call.carrier_answers()
        await call.hears("notice", seconds=0.5)
        await call.hangs_up("agent")
        outcome = await call.ended()
    assert not outcome.connected
    assert outcome.heard[0].whole
    assert outcome.recorded_samples == 0


@virtual_time
async def test_a_refusal_can_end_the_call_politely(tmp_path: Path) -> None:
    async def end(agi: Conversation) -> None:
        await agi.ask("SET VARIABLE CALLGUARD_AFTER end")

    async with Pbx(gate(answered=end).serve, folder=tmp_path, keeps_lease=True) as pbx:
        call = pbx.outbound("112233")
        await call.carrier_answers()
        outcome = await call.ended()
    assert (outcome.carrier_invited, outcome.connected) == (True, False)


@virtual_time
async def test_an_inbound_call_is_announced_to_the_caller_before_the_agent_rings(
    tmp_path: Path,
) -> None:
    async with Pbx(gate().serve, folder=tmp_path, prompts=NOTICE, keeps_lease=True) as pbx:
        call = pbx.inbound("+4930123456", did="08001234", tenant="acme")
        await call.hears_all("notice")
        await call.agent_answers()
        await call.talk(seconds=3)
        await call.hangs_up("party")
        outcome = await call.ended()
    assert outcome.recorded_samples == 3 * 8000
    assert tones(outcome.recordings[0].read_bytes()) == {"agent", "party"}
    assert not outcome.carrier_invited


@virtual_time
async def test_an_inbound_call_without_callguard_is_connected_unrecorded(tmp_path: Path) -> None:
    async with Pbx(gate().serve, folder=tmp_path) as pbx:
        call = pbx.inbound("+4930123456", did="08001234")
        await call.agent_answers()
        await call.talk(seconds=3)
        await call.hangs_up("agent")
        outcome = await call.ended()
    assert outcome.connected
    assert outcome.recordings == ()


@virtual_time
async def test_a_feature_code_reaches_the_gate_with_the_calls_id(tmp_path: Path) -> None:
    async def stop(agi: Conversation) -> None:
        await agi.ask("EXEC StopMixMonitor")

    server = gate(feature=stop)
    async with Pbx(server.serve, folder=tmp_path, prompts=NOTICE, keeps_lease=True) as pbx:
        call = pbx.outbound("112233")
        await call.carrier_answers()
        await call.talk(seconds=2)
        await call.presses("*91", by="party")
        await call.talk(seconds=5)
        await call.hangs_up("party")
        outcome = await call.ended()
    assert server.requests[-1] == "feature?pbx=asterisk&call=0190-call&action=stop"
    assert 2 * 8000 <= outcome.recorded_samples < 3 * 8000


@virtual_time
async def test_a_busy_number_is_no_conversation(tmp_path: Path) -> None:
    async with Pbx(gate().serve, folder=tmp_path, keeps_lease=True) as pbx:
        call = pbx.outbound("112233")
        await call.carrier_refuses("busy")
        outcome = await call.ended()
    assert (outcome.carrier_invited, outcome.connected) == (True, False)
    assert outcome.cdr["disposition"] == "BUSY"


@virtual_time
async def test_a_recording_grows_in_bursts_while_the_call_goes_on(tmp_path: Path) -> None:
    async with Pbx(gate().serve, folder=tmp_path, prompts=NOTICE, keeps_lease=True) as pbx:
        call = pbx.outbound("112233")
        await call.carrier_answers()
        await call.talk(seconds=1)
        recorder = call.recorders[0]
        assert recorder.path.stat().st_size == 0
        await asyncio.sleep(4)
        assert recorder.path.stat().st_size == 2 * BURST
        await call.hangs_up("agent")
        await call.ended()
    assert recorder.path.stat().st_size == 2 * recorder.samples > 2 * BURST
