"""What may come between a notice and whoever shall hear it, and the tone while it is recorded."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab import audio
from tests.lab.asterisk import Asterisk
from tests.lab.audio import AGENT_TONE, PARTY_TONE
from tests.lab.guarded import GuardedPbx, eventually
from tests.lab.in_dialog import Hold, Unhold
from tests.lab.phone import Leg, Phone
from tests.lab.proxy import Proxy
from tests.lab.sipp import Digits, Talk
from tests.lab.told import (
    Scene,
    Stage,
    Told,
    add_tenants,
    let_record_silently,
    number_of,
    recording_rule,
)

pytestmark = pytest.mark.lab

SILENT, NOTICE, ASK, BEEP = range(4)
TENANTS: dict[int, dict[str, object]] = {
    SILENT: {"recording_mode": "silent"},
    NOTICE: {"recording_mode": "notice"},
    ASK: {"recording_mode": "ask", "answer_s": 1.5},
    BEEP: {"recording_mode": "silent", "beep_s": 5},
}
BEEP_TONE = 700.0
"""Asterisk's own sound, by chance as high as the notice; where it sounds there is none."""

BEEP_AT, LOST_AT = 20, 25
"""Where the calls with the tone stand among all, and that without AMI."""

LISTENED_S = 5.6

IN_IT = Talk(500)
"""In the middle of what is told."""

SCENES: Mapping[str, Scene] = {
    "on hold for a moment": Scene(NOTICE, (IN_IT, Hold(), Talk(300), Unhold())),
    "on hold beyond its end": Scene(NOTICE, (IN_IT, Hold("inactive"), Talk(1500), Unhold())),
    "on hold each time": Scene(
        NOTICE,
        (IN_IT, Hold(), Talk(200), Unhold(), Talk(900), Hold("inactive"), Talk(200), Unhold()),
    ),
    "on hold to the end": Scene(NOTICE, (IN_IT, Hold(), Talk(2500)), leaves=True),
    "on hold after the question": Scene(
        ASK, (Talk(1500), Hold(), Talk(300), Unhold(), Talk(2300), Digits("1"))
    ),
    "a no on hold": Scene(ASK, (IN_IT, Hold("inactive"), Talk(100), Digits("2"))),
    "caller, on hold for a moment": Scene(
        NOTICE, (IN_IT, Hold(), Talk(300), Unhold(), Talk(3100)), inbound=True
    ),
    "early media": Scene(NOTICE, early_ms=1000),
    "a machine": Scene(NOTICE, detects=True),
    "a machine, nothing said": Scene(SILENT, detects=True),
    "a human": Scene(NOTICE, detects=True, as_human=True),
}


@pytest.fixture(scope="module")
def pbx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asterisk]:
    with Asterisk(tmp_path_factory.mktemp("pbx")) as running:
        yield running


@pytest.fixture(scope="module")
def manager(pbx: Asterisk) -> Iterator[Proxy]:
    """The way to the AMI."""
    with Proxy(pbx.ami.port) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def guarded(
    pbx: Asterisk,
    manager: Proxy,
    furnished: GuardedPbx,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[GuardedPbx]:
    packs = tmp_path_factory.mktemp("packs")
    rule = recording_rule(BEEP, 'mode = "silent", beep = true')
    (packs / "lab.toml").write_text(f'title = "The laboratory"\n{rule}')
    folder = tmp_path_factory.mktemp("guarded")
    beside = GuardedPbx(pbx, folder, packs=packs, ami_port=manager.port).lay_out(furnished)
    add_tenants(beside, TENANTS)
    let_record_silently(beside, SILENT, BEEP)
    try:
        beside.callguard.start()
        yield beside
    finally:
        beside.close()


@dataclass(frozen=True, slots=True)
class Sounded:
    """What each end heard of a call under the rule, and of one beside it."""

    ours: Leg
    theirs: Leg
    beside: Leg


@dataclass(frozen=True, slots=True)
class Played:
    """All that was played at once."""

    scenes: Mapping[str, Told]
    sounded: Sounded


@pytest.fixture(scope="module")
def played(guarded: GuardedPbx, tmp_path_factory: pytest.TempPathFactory) -> Played:
    stage = Stage(guarded, tmp_path_factory.mktemp("stage"))
    with ThreadPoolExecutor(1) as beside:
        sounded = beside.submit(sound, guarded)
        return Played(stage.play(SCENES), sounded.result())


@pytest.fixture
def told(played: Played) -> Mapping[str, Told]:
    return played.scenes


def sound(guarded: GuardedPbx) -> Sounded:
    """Two calls of `LISTENED_S` between phones with ears."""
    sites = guarded.pbx.sites
    port = sites.parties + BEEP_AT
    agent = Phone(sites.agent, sites.sip, user="agent1", side="agent", tone=AGENT_TONE)
    carrier = Phone(port, sites.sip, user="carrier", side="carrier", tone=PARTY_TONE)
    try:
        ours = agent.call(f"*2{BEEP_AT}{BEEP}{number_of(BEEP_AT)}").wait_up()
        beside = agent.call(f"*2{BEEP_AT}{SILENT}{number_of(BEEP_AT + 1)}").wait_up()
        theirs = carrier.rung(number_of(BEEP_AT))
        time.sleep(LISTENED_S)
        for leg in (ours, beside):
            leg.hang_up()
        return Sounded(ours, theirs, beside)
    finally:
        agent.close()
        carrier.close()


@pytest.mark.parametrize(
    ("name", "asked"),
    {
        "on hold for a moment": 2,
        "on hold beyond its end": 2,
        "on hold after the question": 2,
        "caller, on hold for a moment": 2,
    }.items(),
)
def test_what_was_told_to_somebody_on_hold_is_told_again(
    told: Mapping[str, Told], name: str, asked: int
) -> None:
    told[name].assert_recorded()
    assert told[name].consent["state"] == "granted"
    assert told[name].consent["asked"] == asked


def test_who_never_heard_the_whole_of_it_is_not_recorded(told: Mapping[str, Told]) -> None:
    told["on hold each time"].assert_connected_unrecorded()
    assert told["on hold each time"].answered == ("notice", "incomplete", None)
    told["on hold to the end"].assert_ended()
    assert told["on hold to the end"].answered == ("notice", "incomplete", None)


def test_on_hold_nothing_is_heard_also_where_the_manager_connection_is_lost(
    played: Played, guarded: GuardedPbx, manager: Proxy, tmp_path: Path
) -> None:
    assert played, "no call of the others is under way"
    held = {"held": Scene(NOTICE, (IN_IT, Hold("inactive"), Talk(2500)), leaves=True)}
    manager.cut()
    try:
        eventually(lambda: guarded.logged("ami_down"))
        told = Stage(guarded, tmp_path).play(held, first=LOST_AT)["held"]
    finally:
        manager.mend()

    told.assert_ended()
    assert told.answered == ("notice", "incomplete", None)


def test_a_no_counts_on_hold_too(told: Mapping[str, Told]) -> None:
    told["a no on hold"].assert_connected_unrecorded()
    assert told["a no on hold"].answered == ("ask", "refused", "2")


def test_what_the_network_plays_before_the_answer_is_not_recorded(
    told: Mapping[str, Told],
) -> None:
    assert 183 in told["early media"].agent.provisional_codes
    told["early media"].assert_recorded()


def test_a_machine_consents_to_nothing(told: Mapping[str, Told]) -> None:
    for name, mode in (("a machine", "notice"), ("a machine, nothing said", "silent")):
        told[name].assert_connected_unrecorded()
        assert told[name].answered == (mode, "incomplete", None)
        assert not told[name].consent["asked"]
    told["a human"].assert_recorded()


def test_a_tone_sounds_for_both_where_a_rule_demands_it_and_is_not_recorded(
    played: Played, guarded: GuardedPbx
) -> None:
    """At once and then every `beep_s` seconds."""
    for leg in (played.sounded.ours, played.sounded.theirs):
        first, second = beeps(leg)
        assert second - first == pytest.approx(5, abs=0.25)
    assert beeps(played.sounded.beside) == []
    (recording,) = guarded.settled(number_of(BEEP_AT)).recordings
    wav = guarded.opened(recording)
    assert wav.seconds == pytest.approx(LISTENED_S, abs=0.4)
    assert audio.heard(wav.samples[0], wav.rate, BEEP_TONE) == []
    assert len(audio.heard(wav.samples[0], wav.rate, PARTY_TONE)) == 1


def beeps(leg: Leg) -> list[float]:
    """When it heard the tone begin, in seconds from its first sound."""
    begun = [begins for begins, _ in audio.heard(leg.heard(), audio.RATE, BEEP_TONE)]
    return [at for before, at in zip([-5.0, *begun], begun, strict=False) if at - before > 1]
