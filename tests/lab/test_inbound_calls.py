"""Inbound calls through callguard: the notice on the caller's leg, opt-outs, odd callers."""

from __future__ import annotations

import pytest

from tests.lab import audio
from tests.lab.guarded import NOTICE_S, GuardedPbx, new_number
from tests.lab.sipp import Digits, Talk

pytestmark = pytest.mark.lab


def test_a_caller_who_hears_the_notice_is_recorded_from_the_agents_answer_on(
    guarded: GuardedPbx,
) -> None:
    caller = new_number()
    placed = guarded.inbound(caller, talk_ms=900)

    story = guarded.settled(caller)
    (recording,) = story.recordings
    wav = guarded.opened(recording)
    assert wav.seconds == pytest.approx(placed.party.talks[0], abs=0.2)
    for tone in (audio.AGENT_TONE, audio.PARTY_TONE):
        assert audio.heard(wav.samples[0], wav.rate, tone)[0][0] < 0.3
    assert audio.heard(wav.samples[0], wav.rate, audio.NOTICE_TONE) == []
    assert [consent["state"] for consent in story.consents] == ["granted"]
    assert len(story.records) == 1


def test_a_caller_who_hangs_up_in_the_notice_leaves_no_consent(guarded: GuardedPbx) -> None:
    caller = new_number()
    placed = guarded.inbound(caller, steps=(Talk(400),))

    assert placed.party.trace == (), "no phone rang"
    story = guarded.settled(caller)
    (consent,) = story.consents
    assert consent["state"] == "incomplete"
    assert 0 < consent["heard_ms"] < NOTICE_S * 1000
    assert story.recordings == []
    assert len(story.records) == 1


def test_a_caller_who_presses_nine_is_not_called_back(guarded: GuardedPbx) -> None:
    caller = new_number()
    with guarded.telephony.agent_answers() as phone:
        outside = guarded.telephony.outsider_calls(
            caller=caller, steps=(Talk(300), Digits("9")), hang_up=False
        ).finish()
        assert phone.outcome().trace == (), "no phone rang"
    back = guarded.outbound(caller)

    assert outside.hung_up_by_peer
    assert (back.code, back.dialled) == (403, 0)
    story = guarded.settled(caller)
    assert [(call["direction"], call["verdict"]) for call in story.calls] == [
        ("inbound", "allow"),
        ("outbound", "block"),
    ]
    assert [(c["state"], c["answer"]) for c in story.consents] == [("refused", "9")]


def test_a_caller_without_a_number_is_announced_and_recorded_too(guarded: GuardedPbx) -> None:
    placed = guarded.inbound("anonymous", name="Anonymous", talk_ms=600)

    assert placed.party.connected
    story = guarded.settled("")
    assert [consent["state"] for consent in story.consents] == ["granted"]
    assert [recording["state"] for recording in story.recordings] == ["sealed"]


@pytest.mark.parametrize("form", ["+{}", "{}"])
def test_a_caller_is_one_subject_with_the_plus_and_without(guarded: GuardedPbx, form: str) -> None:
    caller = new_number()
    guarded.inbound(form.format(caller), steps=(Talk(200),))

    story = guarded.settled(caller)
    assert [call["subject"] for call in story.calls] == [f"+{caller}"]


def test_a_callers_name_in_hebrew_is_no_obstacle(guarded: GuardedPbx) -> None:
    caller = new_number()
    name = "משה כהן"
    placed = guarded.inbound(caller, name=name, talk_ms=500)

    assert placed.party.connected
    story = guarded.settled(caller)
    assert [recording["state"] for recording in story.recordings] == ["sealed"]
    assert len(story.records) == 1
    assert name in guarded.pbx.cdr_file.read_text(), "Asterisk wrote the name and we read past it"
    assert guarded.metric('callguard_pbx_call_records_bad_total{pbx="lab"}') == 0
