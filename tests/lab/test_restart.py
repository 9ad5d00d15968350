"""callguard or Asterisk is killed in the middle of calls: nothing is lost that was written, and
nothing is told twice."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

import pytest

from callguard.storage.schema import call_records
from tests.lab import audio
from tests.lab.guarded import GuardedPbx, Story, eventually, new_number
from tests.lab.sipp import Party, Talk

pytestmark = pytest.mark.lab

BUFFERED_S = 2.1
"""What MixMonitor holds back before it writes: 32 KiB of .sln."""


@pytest.fixture(autouse=True)
def mended(guarded: GuardedPbx) -> Iterator[None]:
    """Each test finds both serving, whatever the one before did to them."""
    yield
    guarded.mend()


def bridged_s(story: Story, call_id: str) -> float:
    """How long the two were connected, by Asterisk's own record."""
    (record,) = [r for r in story.records if r["call_id"] == call_id]
    return float((record["ended_at"] - record["answered_at"]).total_seconds())


def assert_told_once(guarded: GuardedPbx) -> None:
    """Every line that Asterisk wrote is one row, and no row came from elsewhere."""
    rows = eventually(
        lambda: [
            r
            for r in [guarded.rows(call_records.select())]
            if len(r) == guarded.cdr_lines() and all(x["source"] == "file" for x in r)
        ]
    )[0]
    keys = Counter((row["uniqueid"], row["sequence"]) for row in rows)
    assert set(keys.values()) <= {1}


def recorded_call(guarded: GuardedPbx, number: str, talk_ms: int) -> tuple[Party, Party]:
    """A call that is being recorded: the agent's side, the party's side."""
    party = guarded.telephony.party_answers()
    agent = guarded.telephony.agent_calls(number, steps=(Talk(talk_ms),))
    eventually(lambda: agent.outcome().connected)
    return agent, party


def test_a_call_that_ends_while_callguard_is_dead_is_sealed_after_its_return(
    guarded: GuardedPbx,
) -> None:
    number = new_number()
    agent, party = recorded_call(guarded, number, 900)
    time.sleep(0.2)  # somewhere in the talk
    guarded.callguard.kill()
    talked = agent.finish().talks[0]
    party.finish()
    assert guarded.so_far(number).recordings[0]["state"] == "recording"
    assert guarded.callguard.spooled() != []
    guarded.callguard.start()

    story = guarded.settled(number)
    (recording,) = story.recordings
    wav = guarded.opened(recording)
    assert wav.seconds == pytest.approx(talked, abs=0.2)
    assert audio.heard(wav.samples[0], wav.rate, audio.AGENT_TONE)[-1][1] > wav.seconds - 0.3
    assert [consent["state"] for consent in story.consents] == ["granted"]
    assert len(story.records) == 1
    assert guarded.callguard.spooled() == []
    assert_told_once(guarded)


def test_a_call_that_outlives_the_restart_is_sealed_when_it_ends(guarded: GuardedPbx) -> None:
    number = new_number()
    agent, party = recorded_call(guarded, number, 9000)
    time.sleep(0.2)  # somewhere in the talk
    guarded.callguard.kill()
    guarded.callguard.start()
    assert agent.outcome().exit_code is None, "the talk goes on"
    assert guarded.so_far(number).recordings[0]["state"] == "recording"
    talked = agent.finish().talks[0]
    party.finish()

    story = guarded.settled(number)
    (recording,) = story.recordings
    assert guarded.opened(recording).seconds == pytest.approx(talked, abs=0.2)
    assert [consent["state"] for consent in story.consents] == ["granted"]
    assert_told_once(guarded)


@pytest.mark.parametrize("after_s", [0.7, 1.7, 2.7])
def test_a_kill_finds_calls_in_every_phase(guarded: GuardedPbx, after_s: float) -> None:
    """Ten calls set in one after the other, so that one kill meets the verdict, the notice, the
    start of a recording, the talk, the hang-up and the sealing. What was recorded is whole; who
    was not recorded was connected or never dialled."""
    number = new_number()
    with guarded.telephony.party_answers(calls=10) as party:
        agents = guarded.telephony.agent_calls(number, calls=10, rate=7, steps=(Talk(800),))
        time.sleep(after_s)  # the moment of the kill is what is tested
        guarded.callguard.kill()
        outcome = agents.finish()
        guarded.callguard.start()
        party.close()
    story = guarded.settled(number, timeout=20)

    assert len(outcome.talks) == len(story.records) - refusals(story)
    consented = {c["call_id"] for c in story.consents if c["state"] == "granted"}
    per_call = Counter(recording["call_id"] for recording in story.recordings)
    assert set(per_call.values()) <= {1}
    assert set(per_call) <= consented
    sealed = [r for r in story.recordings if r["state"] == "sealed"]
    for recording in sealed:
        talked = bridged_s(story, recording["call_id"])
        assert guarded.seconds(recording) == pytest.approx(talked, abs=0.2)
    # Killed between the recording's row and MixMonitor: at most one call was just there.
    assert len(story.recordings) - len(sealed) <= 1
    assert {r["state"] for r in story.recordings} <= {"sealed", "empty", "lost"}
    assert guarded.callguard.spooled() == []
    assert_told_once(guarded)


def refusals(story: Story) -> int:
    return sum(record["answered_at"] is None for record in story.records)


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_what_asterisk_wrote_before_it_ended_is_sealed(guarded: GuardedPbx, how: str) -> None:
    """And callguard follows the Asterisk that comes back as it did the one before."""
    number = new_number()
    agent, party = recorded_call(guarded, number, 20_000)
    time.sleep(BUFFERED_S + 0.5)  # until MixMonitor has written
    assert any((guarded.pbx.spool / name).stat().st_size for name in guarded.callguard.spooled())
    talked = time.time() - next(m.at for m in agent.outcome().trace if m.status == 200)
    if how == "kill":
        guarded.pbx.kill()
    else:
        guarded.pbx.stop()
    agent.hang_up()
    party.hang_up()
    guarded.pbx.start()
    sealed = eventually(
        lambda: [r for r in guarded.so_far(number).recordings if r["state"] != "recording"],
        timeout=25,
    )

    assert [recording["state"] for recording in sealed] == ["sealed"]
    wav = guarded.opened(sealed[0])
    assert BUFFERED_S - 0.1 < wav.seconds < talked + 0.2
    if how == "stop":
        assert wav.seconds == pytest.approx(talked, abs=0.3)
    assert audio.heard(wav.samples[0], wav.rate, audio.PARTY_TONE)
    assert guarded.callguard.spooled() == []

    following = new_number()
    eventually(lambda: guarded.outbound(following, talk_ms=300).code == 200)
    story = guarded.settled(following)
    assert [r["state"] for r in story.recordings] == ["sealed"]
    assert_told_once(guarded)
