"""Outbound calls through callguard: who is dialled, what is recorded, who can open it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.lab import audio, stock_age
from tests.lab.audio import Wav
from tests.lab.guarded import NOTICE_S, GuardedPbx, Placed, eventually, new_number
from tests.lab.sipp import Digits, Talk

pytestmark = pytest.mark.lab

TENANT_9 = "tenant-9"
"""The tenant of the dialplan's `*59` prefix."""
NOTICE_MS = int(NOTICE_S * 1000)


def assert_is_the_talk_alone(wav: Wav, talked: float) -> None:
    """Both voices from the first moment to the last, nothing of the notice, and no more."""
    (samples,) = wav.samples
    assert wav.rate == audio.RATE
    assert wav.seconds == pytest.approx(talked, abs=0.2)
    for tone in (audio.AGENT_TONE, audio.PARTY_TONE):
        stretches = audio.heard(samples, wav.rate, tone)
        assert stretches[0][0] < 0.3, tone
        assert stretches[-1][1] > wav.seconds - 0.3, tone
    assert audio.heard(samples, wav.rate, audio.NOTICE_TONE) == []


def test_a_recorded_call_is_sealed_for_the_stock_age_tool(
    guarded: GuardedPbx, tmp_path: Path
) -> None:
    number = new_number()
    placed = guarded.outbound(number, talk_ms=1500)
    story = guarded.settled(number)

    assert placed.code == 200
    assert placed.dialled == 1
    (recording,) = story.recordings
    assert recording["state"] == "sealed"

    export = ("recording", "export", recording["id"])
    sealed, plain = guarded.keys / "export.age", tmp_path / "export.wav"
    guarded.callguard.run(*export, str(sealed), "--reason", "a test")
    opened = stock_age.decrypt(guarded.keys, "export.age")
    assert_is_the_talk_alone(audio.read_wav(opened), placed.agent.talks[0])
    guarded.callguard.run(*export, str(plain), "--reason", "a test", "--wav")
    assert plain.read_bytes()[44:] == opened[44:]  # the header, which now says how long it is


def test_the_party_speaks_during_the_notice_and_none_of_it_is_kept(guarded: GuardedPbx) -> None:
    """The party's voice sets in with its answer, a whole notice before the agent's."""
    number = new_number()
    placed = guarded.outbound(number, talk_ms=700)
    (recording,) = guarded.settled(number).recordings

    waited = placed.party.talks[0] - placed.agent.talks[0]
    assert NOTICE_S < waited < NOTICE_S + 0.5
    assert_is_the_talk_alone(guarded.opened(recording), placed.agent.talks[0])


def test_the_evidence_of_a_recorded_call_is_whole(guarded: GuardedPbx) -> None:
    number = new_number()
    guarded.outbound(number)
    story = guarded.settled(number)

    (call,), (consent,), (record,) = story.calls, story.consents, story.records
    assert (call["verdict"], call["tenant_id"], call["direction"]) == (
        "allow", "tenant-a", "outbound",
    )  # fmt: skip
    assert consent["state"] == "granted"
    assert consent["heard_ms"] >= consent["length_ms"] - 20
    assert consent["length_ms"] == NOTICE_S * 1000
    assert consent["prompt"].startswith("notice v1 en sha256:")
    assert (record["disposition"], record["call_id"]) == ("ANSWERED", call["id"])


def test_an_x25519_tenant_is_read_by_the_age_tool_of_the_stable_release(
    guarded: GuardedPbx, tmp_path: Path
) -> None:
    recipient = stock_age.new_x25519_key(tmp_path)
    key = ("--key", "x25519", "--recipient", recipient)
    guarded.callguard.run("tenant", "add", TENANT_9, "--purpose", "service", *key)
    number = new_number()
    placed = eventually(lambda: connected(guarded.outbound(f"*59{number}", talk_ms=500)))
    (recording,) = guarded.settled(number).recordings

    sealed = tmp_path / "export.age"
    guarded.callguard.run("recording", "export", recording["id"], str(sealed), "--reason", "test")
    opened = audio.read_wav(stock_age.decrypt_x25519(tmp_path, "export.age"))
    assert_is_the_talk_alone(opened, placed.agent.talks[0])


def test_a_tenant_that_nobody_knows_cannot_call(guarded: GuardedPbx) -> None:
    number = new_number()
    placed = guarded.outbound(f"*6{number}")

    assert placed.code == 403
    assert placed.dialled == 0
    (call,) = guarded.settled(number).calls
    assert call["verdict"] == "block"
    assert "nobody" in call["reasons"][0]


def test_who_opted_out_is_not_dialled(guarded: GuardedPbx) -> None:
    number = new_number()
    guarded.callguard.run("optout", "add", number, "--tenant", "tenant-a")
    eventually(lambda: f"callguard_opt_outs {1:.1f}" in guarded.callguard.get("/metrics")[1])
    placed = guarded.outbound(number)

    assert placed.code == 403
    assert placed.dialled == 0
    story = guarded.settled(number)
    assert (story.calls[0]["verdict"], story.consents, story.recordings) == ("block", [], [])


def test_a_press_of_nine_in_the_notice_is_obeyed_at_the_very_next_call(
    guarded: GuardedPbx,
) -> None:
    number = new_number()
    with guarded.telephony.party_answers(steps=(Talk(200), Digits("9"))) as party:
        first = guarded.telephony.agent_calls(number).finish()
        assert party.finish().hung_up_by_peer
    second = guarded.outbound(number)

    assert not first.connected
    assert second.code == 403
    assert second.dialled == 0
    story = guarded.settled(number)
    assert [call["verdict"] for call in story.calls] == ["allow", "block"]
    assert [(c["state"], c["answer"]) for c in story.consents] == [("refused", "9")]
    assert story.recordings == []


def test_a_party_that_hangs_up_in_the_notice_is_not_recorded(guarded: GuardedPbx) -> None:
    number = new_number()
    with guarded.telephony.party_answers(steps=(Talk(300),), hang_up=True) as party:
        agent = guarded.telephony.agent_calls(number).finish()
        party.finish()

    assert not agent.connected
    story = guarded.settled(number)
    assert [consent["state"] for consent in story.consents] == ["incomplete"]
    assert story.consents[0]["heard_ms"] < NOTICE_S * 1000
    assert story.recordings == []


def test_a_number_is_one_subject_however_it_is_dialled(guarded: GuardedPbx) -> None:
    """National, international and with the plus: an opt-out holds for all."""
    number = new_number()
    guarded.callguard.run("optout", "add", f"+{number}", "--tenant", "tenant-a")
    for dialled in (number, number[1:], f"011{number}"):
        placed = eventually(lambda d=dialled: refused(guarded.outbound(d)))  # type: ignore[misc]
        assert placed.dialled == 0


def test_the_page_shows_the_call_while_it_lasts_and_no_number(guarded: GuardedPbx) -> None:
    number = new_number()
    masked = f"+12*******{number[-2:]}"
    allowed = 'callguard_verdicts_total{decision="allow",direction="outbound"}'
    before = guarded.metric(allowed)
    with guarded.telephony.party_answers() as party:
        agent = guarded.telephony.agent_calls(number, steps=(Talk(NOTICE_MS + 1500),))
        page = eventually(lambda: recorded_on(guarded.callguard.get("/")[1], masked))
        live = guarded.metric('callguard_live_calls{direction="outbound",recording="recorded"}')
        agent.finish()
        party.finish()
    guarded.settled(number)

    assert live == 1
    assert guarded.metric(allowed) == before + 1
    assert number[1:] not in page
    assert masked in guarded.callguard.get("/")[1], "among the last verdicts"
    assert "No call is under way" in guarded.callguard.get("/")[1]


def connected(placed: Placed) -> Placed | None:
    return placed if placed.code == 200 else None


def refused(placed: Placed) -> Placed | None:
    return placed if placed.code == 403 else None


def recorded_on(page: str, masked: str) -> str:
    """The page, once its live calls show that number as being recorded."""
    live = re.search(r'<section id="calls".*?</section>', page, re.S)
    shows = live is not None and masked in live.group() and "Being recorded" in live.group()
    return page if shows else ""
