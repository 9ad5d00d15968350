"""Inbound calls on a real Asterisk: notice on the caller's leg, and never a caller shut out."""

from __future__ import annotations

from typing import Final

import pytest

from tests.lab import audio
from tests.lab.calls import LINE, QUEUE, Telephony
from tests.lab.peers import Answerer, Conversation
from tests.lab.sipp import Digits, Talk

pytestmark = pytest.mark.lab

CALL: Final = "01993f5e-0000-7000-8000-000000000002"


async def test_a_caller_hears_the_notice_and_the_talk_is_recorded(telephony: Telephony) -> None:
    async def script(session: Conversation) -> None:
        await session.send(f'SET VARIABLE CALLGUARD_CALL "{CALL}"')
        await session.send('SET VARIABLE CALLGUARD_VERDICT "allow"')
        await session.send("ANSWER")
        await session.send(f'STREAM FILE {telephony.notice} "9"')
        await session.send(f'EXEC MixMonitor "{telephony.recording("in.sln")},b"')

    telephony.renew_lease()
    async with Answerer(telephony.pbx.sites.agi, {"inbound": script}) as gate:
        with telephony.agent_answers() as agent:
            caller = await telephony.outsider_calls(steps=(Talk(3800),)).finished()
            reached = await agent.finished()

    asked = {"pbx": "lab", "number": LINE, "tenant": "tenant-a", "from": ""}
    assert gate.conversations[0].query == asked
    assert gate.conversations[0].replies[3] == "200 result=0 endpos=16000"
    assert caller.connected
    assert reached.connected
    samples = telephony.recorded("in.sln")
    assert 1.0 < len(samples) / audio.RATE < 2.0
    assert audio.heard(samples, audio.RATE, audio.AGENT_TONE)
    assert audio.heard(samples, audio.RATE, audio.PARTY_TONE)
    assert audio.heard(samples, audio.RATE, audio.NOTICE_TONE) == []


async def test_a_stale_lease_connects_the_caller_without_asking(telephony: Telephony) -> None:
    telephony.renew_lease(age=60)
    async with Answerer(telephony.pbx.sites.agi, {}) as gate:
        with telephony.agent_answers() as agent:
            caller = await telephony.outsider_calls(steps=(Talk(200),)).finished()
            await agent.finished()

    assert caller.connected
    assert gate.paths() == []


async def test_without_a_server_the_caller_is_connected(telephony: Telephony) -> None:
    telephony.renew_lease()
    with telephony.agent_answers() as agent:
        caller = await telephony.outsider_calls(steps=(Talk(200),)).finished()
        await agent.finished()

    assert caller.connected


async def test_a_blocked_caller_hears_the_reason_and_no_phone_rings(telephony: Telephony) -> None:
    async def block(session: Conversation) -> None:
        await session.send(f'SET VARIABLE CALLGUARD_PROMPT "{telephony.notice}"')
        await session.send('SET VARIABLE CALLGUARD_VERDICT "block"')

    telephony.renew_lease()
    with telephony.agent_answers() as agent:
        async with Answerer(telephony.pbx.sites.agi, {"inbound": block}):
            caller = await telephony.outsider_calls().finished()

        assert caller.final_code == 403
        assert 183 in caller.provisional_codes
        assert agent.outcome().trace == ()


async def test_a_dialogue_that_ends_the_call_is_the_whole_call(telephony: Telephony) -> None:
    """An opt-out line: answered, one digit, done."""

    async def opt_out(session: Conversation) -> None:
        await session.send("ANSWER")
        await session.send(f'STREAM FILE {telephony.notice} "1"')
        await session.send(f'SET VARIABLE CALLGUARD_CALL "{CALL}"')
        await session.send('SET VARIABLE CALLGUARD_VERDICT "allow"')
        await session.send('SET VARIABLE CALLGUARD_AFTER "end"')

    telephony.renew_lease()
    with telephony.agent_answers() as agent:
        async with Answerer(telephony.pbx.sites.agi, {"inbound": opt_out}) as gate:
            caller = telephony.outsider_calls(steps=(Talk(300), Digits("1")), hang_up=False)
            outcome = await caller.finished()

        assert gate.conversations[0].replies[1].startswith("200 result=49 ")
        assert outcome.connected
        assert outcome.hung_up_by_peer
        assert agent.outcome().trace == ()


async def test_a_hang_up_in_the_notice_does_not_run_the_gate_again(telephony: Telephony) -> None:
    async def script(session: Conversation) -> None:
        await session.send("ANSWER")
        await session.send(f'STREAM FILE {telephony.notice} "9"')

    telephony.renew_lease()
    with telephony.agent_answers() as agent:
        async with Answerer(telephony.pbx.sites.agi, {"inbound": script}) as gate:
            await telephony.outsider_calls(steps=(Talk(400),)).finished()
            session = await gate.ended("inbound")
            await telephony.all_quiet()

        assert session.replies[1].startswith("200 result=-1 ")
        assert gate.paths() == ["inbound"]
        assert agent.outcome().trace == ()


async def test_a_queue_behind_the_gate_rings_the_agent(telephony: Telephony) -> None:
    async def allow(session: Conversation) -> None:
        await session.send('SET VARIABLE CALLGUARD_VERDICT "allow"')

    telephony.renew_lease()
    async with Answerer(telephony.pbx.sites.agi, {"inbound": allow}):
        with telephony.agent_answers() as agent:
            caller = await telephony.outsider_calls(QUEUE, steps=(Talk(1500),)).finished()
            reached = await agent.finished()

    assert caller.connected
    assert reached.connected
