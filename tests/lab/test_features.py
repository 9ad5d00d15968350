"""Feature codes in the middle of a call, and what is gone after its time."""

from __future__ import annotations

import pytest

from callguard.storage.schema import erasures, recordings
from tests.lab.guarded import GuardedPbx, eventually, new_number
from tests.lab.service import TENANT
from tests.lab.sipp import Digits, Talk

pytestmark = pytest.mark.lab


def test_the_agent_opts_the_other_party_out_in_the_talk(guarded: GuardedPbx) -> None:
    number = new_number()
    first = guarded.outbound(number, steps=(Talk(500), Digits("*92"), Talk(1500)))
    second = guarded.outbound(number)

    assert first.code == 200
    assert (second.code, second.dialled) == (403, 0)
    (wish,) = guarded.callguard.run("optout", "list", "--tenant", TENANT)
    assert (wish["subject"], wish["way"]) == (f"+{number}", "feature_code")
    story = guarded.settled(number)
    assert [recording["state"] for recording in story.recordings] == ["sealed"]


def test_the_agent_ends_the_recording_and_the_talk_goes_on(guarded: GuardedPbx) -> None:
    number = new_number()
    placed = guarded.outbound(number, steps=(Talk(1000), Digits("*91"), Talk(2000)))

    assert placed.agent.talks[0] > 3.0
    (recording,) = guarded.settled(number).recordings
    assert recording["state"] == "sealed"
    assert 0.9 < guarded.seconds(recording) < placed.agent.talks[0] - 1.0
    assert guarded.opened(recording).seconds == guarded.seconds(recording)


def test_a_recording_kept_for_no_day_is_hidden_at_once_and_gone_after_the_purge(
    guarded: GuardedPbx,
) -> None:
    command = guarded.callguard.run
    command("tenant", "policy", TENANT, "recording", "0d")
    number = new_number()

    def expired() -> bool:
        """The service has seen the policy by the time it seals."""
        guarded.outbound(number)
        last = guarded.settled(number).recordings[-1]
        return bool(last["expires_at"] == last["ended_at"])

    eventually(expired)
    last = guarded.settled(number).recordings[-1]
    payloads = guarded.callguard.data / "objects"
    held = [p for p in payloads.rglob("*") if p.is_file() and last["id"] in p.name]
    assert held
    assert last["id"] not in str(command("recording", "list"))
    (due,) = [row for row in command("purge", "--dry-run") if row["class"] == "recording"]
    assert (due["tenant"], due["count"], due["bytes"]) == (TENANT, 1, last["sealed_bytes"])
    assert held[0].exists(), "a dry run takes nothing"

    certificate = command("purge")
    assert certificate["counts"]["recording"] == 1
    assert last["id"] not in str(command("recording", "list"))
    assert not held[0].exists()
    assert guarded.rows(recordings.select().where(recordings.c.id == last["id"])) == []
    (tombstone,) = guarded.rows(erasures.select())
    assert tombstone["object_id"] == last["id"]
    assert tombstone["done_at"] is not None
    others = [r for r in guarded.rows(recordings.select()) if r["state"] == "sealed"]
    assert others, "what has not expired stays"
