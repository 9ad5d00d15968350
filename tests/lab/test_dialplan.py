"""The dialplan of `asterisk-conf/` on a real Asterisk, without callguard behind it.

A throw-away FastAGI answerer plays callguard; the carrier's own trace says what was dialled, and
the sound says what was recorded.
"""

from __future__ import annotations

import asyncio
from typing import Final

import pytest

from callguard.gate.request import MAX_TEXT
from tests.lab import audio
from tests.lab.calls import PARTY, Telephony
from tests.lab.peers import Answerer, Conversation, Script
from tests.lab.sipp import Digits, Talk

pytestmark = pytest.mark.lab

CALL: Final = "01993f5e-0000-7000-8000-000000000001"


def says(verdict: str, **variables: str) -> Script:
    """A gate that gives this verdict."""

    async def script(session: Conversation) -> None:
        for name, value in variables.items():
            await session.send(f'SET VARIABLE CALLGUARD_{name} "{value}"')
        await session.send(f'SET VARIABLE CALLGUARD_VERDICT "{verdict}"')

    return script


async def nothing(session: Conversation) -> None:
    """A session that ends before a word was said."""


def announces(telephony: Telephony, recording: str) -> Script:
    """Play the notice, and record if it was heard to its end."""

    async def script(session: Conversation) -> None:
        reply = await session.send(f'STREAM FILE {telephony.notice} "9"')
        if reply.startswith("200 result=0 "):
            await session.send(f'EXEC MixMonitor "{telephony.recording(recording)},b"')

    return script


async def test_an_allowed_call_hears_the_notice_and_only_the_talk_is_recorded(
    telephony: Telephony,
) -> None:
    telephony.renew_lease()
    scripts = {"outbound": says("allow", CALL=CALL), "answered": announces(telephony, "ok.sln")}
    async with Answerer(telephony.pbx.sites.agi, scripts) as gate:
        with telephony.party_answers() as party:
            agent = await telephony.agent_calls(steps=(Talk(1500),)).finished()
            reached = await party.finished()

    assert agent.connected
    assert len(reached.invites_received) == 1
    assert gate.paths() == ["outbound", "answered"]
    assert gate.conversations[1].query == {"pbx": "lab", "call": CALL}
    assert gate.conversations[1].replies[0] == "200 result=0 endpos=16000"
    samples = telephony.recorded("ok.sln")
    assert 1.2 < len(samples) / audio.RATE < 1.8
    for tone in (audio.AGENT_TONE, audio.PARTY_TONE):
        [(start, end)] = audio.heard(samples, audio.RATE, tone)
        assert end - start > 1.0
    assert audio.heard(samples, audio.RATE, audio.NOTICE_TONE) == []


async def test_the_gate_is_told_the_number_and_every_argument_undistorted(
    telephony: Telephony,
) -> None:
    telephony.renew_lease()
    async with Answerer(telephony.pbx.sites.agi, {"outbound": says("block")}) as gate:
        await telephony.agent_calls("*7+12025550143").finished()

    assert gate.conversations[0].query == {
        "pbx": "lab",
        "number": "+12025550143",
        "tenant": "tenant-b",
        "purpose": "marketing",
        "campaign": "may 2026",
        "agent": "agent7",
        "debt": "loan 12/7 & more",
        "dialler": "machine",
        "from": "",
    }


async def test_free_texts_of_any_length_hide_nothing_that_decides(telephony: Telephony) -> None:
    telephony.renew_lease()
    async with Answerer(telephony.pbx.sites.agi, {"outbound": says("block")}) as gate:
        await telephony.agent_calls("*312025550143").finished()

    asked = gate.conversations[0]
    assert len(asked.environment["agi_request"]) == 8191, "Asterisk has cut it"
    assert (asked.query["dialler"], asked.query["debt"]) == ("machine", "loan")
    assert len(asked.query["campaign"]) > MAX_TEXT


async def test_the_arguments_of_the_operators_own_subroutine_are_none_of_the_gates(
    telephony: Telephony,
) -> None:
    telephony.renew_lease()
    async with Answerer(telephony.pbx.sites.agi, {"outbound": says("block")}) as gate:
        await telephony.agent_calls("*412025550143").finished()

    assert gate.conversations[0].query == {
        "pbx": "lab",
        "number": "12025550143",
        "tenant": "tenant-a",
        **dict.fromkeys(("purpose", "campaign", "agent", "debt", "dialler", "from"), ""),
    }


async def test_a_blocked_call_never_reaches_the_carrier(telephony: Telephony) -> None:
    telephony.renew_lease()
    with telephony.party_answers() as party:
        async with Answerer(telephony.pbx.sites.agi, {"outbound": says("block", CALL=CALL)}):
            agent = await telephony.agent_calls().finished()

        assert agent.final_code == 403  # cause 21, call rejected
        assert party.outcome().trace == ()


async def test_the_reason_is_played_unanswered_and_the_cause_is_the_findings(
    telephony: Telephony,
) -> None:
    telephony.renew_lease()
    block = says("block", PROMPT=telephony.notice, CAUSE="17")
    async with Answerer(telephony.pbx.sites.agi, {"outbound": block}):
        agent = await telephony.agent_calls().finished()

    assert 183 in agent.provisional_codes
    assert agent.final_code == 486  # cause 17, busy
    assert agent.trace[-1].at - agent.trace[0].at > 1.9  # the prompt's length, but for a frame


@pytest.mark.parametrize("verdict", ["", "ALLOW", "allowed"])
async def test_nothing_but_the_word_allow_places_a_call(telephony: Telephony, verdict: str) -> None:
    telephony.renew_lease()
    with telephony.party_answers() as party:
        async with Answerer(telephony.pbx.sites.agi, {"outbound": says(verdict)}):
            agent = await telephony.agent_calls().finished()

        assert agent.final_code == 503  # cause 42, try again later
        assert party.outcome().trace == ()


async def test_a_session_cut_short_blocks_the_call(telephony: Telephony) -> None:
    telephony.renew_lease()
    with telephony.party_answers() as party:
        async with Answerer(telephony.pbx.sites.agi, {"outbound": nothing}):
            agent = await telephony.agent_calls().finished()

        assert agent.final_code == 503
        assert party.outcome().trace == ()


async def test_without_a_server_an_outbound_call_is_blocked(telephony: Telephony) -> None:
    telephony.renew_lease()
    with telephony.party_answers() as party:
        agent = await telephony.agent_calls().finished()

        assert agent.final_code == 503
        assert party.outcome().trace == ()


@pytest.mark.parametrize("age", [5, 3600, -5])
async def test_a_stale_lease_blocks_without_asking(telephony: Telephony, age: int) -> None:
    telephony.renew_lease(age=age)
    with telephony.party_answers() as party:
        async with Answerer(telephony.pbx.sites.agi, {"outbound": says("allow")}) as gate:
            agent = await telephony.agent_calls().finished()

        assert agent.final_code == 503
        assert gate.paths() == []
        assert party.outcome().trace == ()


async def test_an_emergency_number_passes_whatever_is_broken(telephony: Telephony) -> None:
    with telephony.party_answers() as party:
        agent = await telephony.agent_calls("112", steps=(Talk(200),)).finished()
        reached = await party.finished()

    assert agent.connected
    assert len(reached.invites_received) == 1
    assert list(telephony.pbx.spool.glob("*112*")) == []


async def test_a_verdict_of_before_does_not_answer_for_the_next_call(
    telephony: Telephony,
) -> None:
    # One channel passes the gate twice: its first verdict must not survive.
    telephony.renew_lease()
    with telephony.party_answers() as party:
        async with Answerer(telephony.pbx.sites.agi, {"outbound": says("allow")}) as gate:
            agent = telephony.agent_calls("*8" + PARTY)
            await gate.ended("outbound")
            telephony.renew_lease(age=60)
            outcome = await agent.finished()

        assert outcome.final_code == 503
        assert party.outcome().trace == ()


@pytest.mark.parametrize(
    "dialled", ["12025550143&PJSIP%2Fagent1", "12025550143%2C60", "1%7C2", "12025550143%20"]
)
async def test_what_is_no_number_is_not_dialled(telephony: Telephony, dialled: str) -> None:
    telephony.renew_lease()
    with telephony.party_answers() as party:
        async with Answerer(telephony.pbx.sites.agi, {"outbound": says("allow")}) as gate:
            agent = await telephony.agent_calls(dialled).finished()

        assert agent.final_code >= 400
        assert gate.paths() == []
        assert party.outcome().trace == ()


async def test_a_refusal_that_is_to_end_the_call_is_not_bridged(telephony: Telephony) -> None:
    async def end(session: Conversation) -> None:
        await session.send('SET VARIABLE CALLGUARD_AFTER "end"')

    telephony.renew_lease()
    scripts = {"outbound": says("allow", CALL=CALL), "answered": end}
    async with Answerer(telephony.pbx.sites.agi, scripts):
        with telephony.party_answers() as party:
            agent = await telephony.agent_calls(hang_up=False).finished()
            reached = await party.finished()

    assert not agent.connected
    assert reached.hung_up_by_peer


async def test_a_lease_gone_stale_before_the_answer_connects_unrecorded(
    telephony: Telephony,
) -> None:
    async def allow_and_freeze(session: Conversation) -> None:
        await says("allow", CALL=CALL)(session)
        telephony.renew_lease(age=60)

    telephony.renew_lease()
    async with Answerer(telephony.pbx.sites.agi, {"outbound": allow_and_freeze}) as gate:
        with telephony.party_answers() as party:
            agent = await telephony.agent_calls(steps=(Talk(200),)).finished()
            await party.finished()

    assert agent.connected
    assert gate.paths() == ["outbound"]


async def test_a_digit_in_the_notice_reaches_the_gate(telephony: Telephony) -> None:
    telephony.renew_lease()
    scripts = {"outbound": says("allow", CALL=CALL), "answered": announces(telephony, "no.sln")}
    async with Answerer(telephony.pbx.sites.agi, scripts) as gate:
        with telephony.party_answers(steps=(Talk(300), Digits("9"))) as party:
            agent = await telephony.agent_calls(steps=(Talk(300),)).finished()
            await party.finished()

    assert agent.connected
    assert gate.conversations[1].replies[0].startswith("200 result=57 endpos=")
    assert not (telephony.pbx.spool / "no.sln").exists()


async def test_a_hang_up_in_the_notice_leaves_no_recording(telephony: Telephony) -> None:
    telephony.renew_lease()
    scripts = {"outbound": says("allow", CALL=CALL), "answered": announces(telephony, "gone.sln")}
    async with Answerer(telephony.pbx.sites.agi, scripts) as gate:
        with telephony.party_answers(steps=(Talk(500),), hang_up=True) as party:
            agent = await telephony.agent_calls().finished()
            await party.finished()
            session = await gate.ended("answered")

    assert not agent.connected
    assert session.replies[0].startswith("200 result=-1 endpos=")
    assert not (telephony.pbx.spool / "gone.sln").exists()


async def test_a_feature_code_reaches_the_gate_from_the_called_side(telephony: Telephony) -> None:
    telephony.renew_lease()
    heard = asyncio.Event()

    async def feature(session: Conversation) -> None:
        heard.set()

    scripts = {"outbound": says("allow", CALL=CALL), "answered": nothing, "feature": feature}
    async with Answerer(telephony.pbx.sites.agi, scripts) as gate:
        with telephony.party_answers(steps=(Talk(500), Digits("*92"))) as party:
            agent = telephony.agent_calls(steps=(Talk(3000),))
            await asyncio.wait_for(heard.wait(), 10)
            await agent.finished()
            await party.finished()

    assert gate.conversations[2].query == {"pbx": "lab", "call": CALL, "action": "optout"}
