"""Nothing to record into, or nothing to announce with: the call is connected, unrecorded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab.guarded import GuardedPbx, Story, eventually, new_number

pytestmark = pytest.mark.lab


@contextmanager
def away(path: Path) -> Iterator[None]:
    """That file or folder is somewhere else for a while."""
    aside = path.with_name(f"{path.name}.aside")
    path.rename(aside)
    try:
        yield
    finally:
        aside.rename(path)


def told(guarded: GuardedPbx, number: str) -> Story:
    """What is kept of a connected call, once its record is there."""
    return eventually(lambda: s if (s := guarded.so_far(number)).records else None)


def test_without_the_spool_the_call_is_connected_unrecorded(guarded: GuardedPbx) -> None:
    number = new_number()
    with away(guarded.pbx.spool):
        placed = guarded.outbound(number)
        page = guarded.callguard.get("/")[1]
    story = told(guarded, number)

    assert (placed.code, placed.dialled) == (200, 1)
    assert [consent["state"] for consent in story.consents] == ["granted"]
    assert story.recordings == []
    assert "the spool is nearly full" in page
    assert guarded.metric('callguard_faults_total{kind="spool_full"}') == 1
    assert len(guarded.logged("not_recorded")) == 1
    assert "lease_file" in str(guarded.logged("lease_file_not_renewed"))


def test_once_the_spool_is_back_calls_are_recorded_again(guarded: GuardedPbx) -> None:
    number = new_number()
    guarded.outbound(number)

    assert [r["state"] for r in guarded.settled(number).recordings] == ["sealed"]
    eventually(lambda: "spool is nearly full" not in guarded.callguard.get("/")[1])


def test_a_prompt_that_asterisk_cannot_find_is_no_notice(guarded: GuardedPbx) -> None:
    number = new_number()
    with away(guarded.pbx.prompts / "en" / "notice-1.wav"):
        placed = guarded.outbound(number)
    story = told(guarded, number)

    assert (placed.code, placed.dialled) == (200, 1)
    (consent,) = story.consents
    assert (consent["state"], consent["heard_ms"]) == ("incomplete", 0)
    assert story.recordings == []
    assert guarded.metric('callguard_notices_total{outcome="incomplete"}') == 1


def test_a_prompt_that_callguard_cannot_find_is_an_alarm(guarded: GuardedPbx) -> None:
    number, caller = new_number(), new_number()
    guarded.callguard.stop()
    guarded.callguard.log.write_text("")
    with away(guarded.pbx.prompts / "en" / "notice-1.wav"):
        guarded.callguard.start()
        placed = guarded.outbound(number)
        inbound = guarded.inbound(caller)
        page = guarded.callguard.get("/")[1]
    stories = [told(guarded, number), told(guarded, caller)]

    assert (placed.code, inbound.code) == (200, 200)
    assert [c["state"] for story in stories for c in story.consents] == ["incomplete"] * 2
    assert [r for story in stories for r in story.recordings] == []
    assert "prompt: " in page
    assert "notice-1.wav" in page
    assert guarded.metric('callguard_faults_total{kind="prompt_missing"}') == 2
    assert len(guarded.logged("prompt_missing")) == 2, "one clear line a call"
    guarded.callguard.stop()
    guarded.callguard.start()


def test_a_spool_that_asterisk_cannot_write_is_told(guarded: GuardedPbx) -> None:
    """Asterisk is given a path under which it can make no file."""
    settings = guarded.callguard.config.read_text()
    spool = guarded.pbx.inside(guarded.pbx.spool)
    number = new_number()
    guarded.callguard.stop()
    guarded.callguard.log.write_text("")
    guarded.callguard.config.write_text(settings.replace(f'"{spool}"', '"/proc/nowhere"'))
    guarded.callguard.start()
    placed = guarded.outbound(number, talk_ms=500)
    story = guarded.settled(number)

    assert (placed.code, placed.dialled) == (200, 1)
    assert placed.agent.talks[0] > 0.4, "the talk went on"
    assert [r["state"] for r in story.recordings] == ["lost"]
    assert [r["wrapped_file_key"] for r in story.recordings] == [None]
    assert len(guarded.logged("recording_lost")) == 1
    assert guarded.metric('callguard_faults_total{kind="recording_lost"}') == 1
