"""What goes past the gate on a real Asterisk: recordings that somebody else begins, and calls on
the trunk that nobody judged."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.lab import audio
from tests.lab.audio import RATE, Samples, Wav
from tests.lab.guarded import eventually
from tests.lab.phone import Leg
from tests.lab.proxy import Proxy
from tests.lab.switchboard import (
    AGENT,
    EMERGENCY,
    FIRST,
    NEW,
    NOTICE,
    RECORDED,
    TAP,
    TAPPED,
    UNGUARDED,
    Played,
    Switchboard,
    heard_for,
    wait,
)

pytestmark = pytest.mark.lab

TALK_S = 1.0
STOPPED_S = 1.0
"""Longest that a recording without consent runs."""
CARRIER = 'trunks = ["PJSIP/carrier*"]'


@dataclass(frozen=True, slots=True)
class Tapped:
    """`tap` is what somebody's own recording holds, `ours` what callguard's does, if there is one;
    `talked` for how many seconds the agent heard the party."""

    tap: Samples
    ours: Wav | None
    talked: float

    def tapped(self, tone: float) -> float:
        """For how many seconds that tone is on it."""
        return sum(b - a for a, b in audio.heard(self.tap, RATE, tone))


def a_tap_on_a_call_past_the_gate(board: Switchboard) -> Tapped:
    board.world.tones["12025550151"] = FIRST
    agent = board.agent.call(f"{RECORDED}12025550151").wait_up()
    eventually(lambda: agent.hears(FIRST) > 2 * TALK_S)
    agent.hang_up()
    return Tapped(board.rogue("12025550151"), None, agent.hears(FIRST))


def a_tap_from_before_the_notice(board: Switchboard) -> Tapped:
    """It runs when callguard's own begins, on the same channel."""
    board.world.tones["12025550152"] = FIRST
    agent = board.agent.call(f"{TAPPED}12025550152").wait_up()
    eventually(lambda: agent.hears(FIRST) > TALK_S)
    agent.hang_up()
    return Tapped(board.rogue("12025550152"), board.recorded("12025550152"), agent.hears(FIRST))


def a_tap_beside_our_own(board: Switchboard) -> Tapped:
    """All agreed, until one joins who did not."""
    agent, first = board.connect("12025550153")
    agent.press(TAP)
    wait(1.0 + TALK_S)
    agent.transfer(f"{UNGUARDED}12025550154")
    eventually(lambda: first.hears(NEW) > 2 * TALK_S)
    first.hang_up()
    return Tapped(board.rogue("12025550153"), board.recorded("12025550153"), first.hears(NEW))


@pytest.fixture(scope="module")
def played(board: Switchboard) -> Played:
    scenes = [a_tap_on_a_call_past_the_gate, a_tap_from_before_the_notice, a_tap_beside_our_own]
    return Played(board, scenes)


def test_a_recording_past_the_gate_is_stopped_within_a_second(
    played: Played, board: Switchboard
) -> None:
    tapped: Tapped = played.of(a_tap_on_a_call_past_the_gate)

    assert tapped.talked > 2 * TALK_S
    print(f"ran for {tapped.tapped(FIRST) * 1000:.0f} ms")
    assert tapped.tapped(FIRST) < STOPPED_S
    assert board.guarded.logged("foreign_recording")
    assert board.guarded.logged("foreign_recording_stopped")


def test_a_call_past_the_gate_is_reported_and_goes_on(played: Played, board: Switchboard) -> None:
    tapped: Tapped = played.of(a_tap_on_a_call_past_the_gate)

    assert tapped.talked > 2 * TALK_S
    assert all('"hung_up": false' in line for line in board.guarded.logged("ungated_call"))
    assert board.guarded.logged("ungated_call")


def test_a_recording_from_before_the_notice_has_nothing_of_it_and_ours_is_whole(
    played: Played,
) -> None:
    tapped: Tapped = played.of(a_tap_from_before_the_notice)

    assert tapped.tapped(FIRST) < STOPPED_S
    assert tapped.tapped(NOTICE) < STOPPED_S
    assert tapped.tapped(AGENT) == 0
    assert tapped.ours is not None
    assert heard_for(tapped.ours, FIRST) == pytest.approx(tapped.talked, abs=0.3)


def test_a_recording_beside_ours_is_stopped_when_one_joins_who_was_not_told(
    played: Played,
) -> None:
    """While all agreed it was only reported."""
    tapped: Tapped = played.of(a_tap_beside_our_own)

    assert tapped.tapped(AGENT) > TALK_S - 0.3
    assert tapped.tapped(NEW) == 0
    assert len(tapped.tap) / RATE < tapped.talked + TALK_S, "it did not go on to the end"
    assert tapped.ours is not None
    assert heard_for(tapped.ours, NEW) == 0
    assert tapped.ours.seconds > 3 * TALK_S, "ours went on, silent"


@dataclass(frozen=True, slots=True)
class Strict:
    """Where calls without a verdict are hung up, and the way to Asterisk's AMI can be cut."""

    board: Switchboard
    network: Proxy


@pytest.fixture(scope="module")
def strict(board: Switchboard) -> Iterator[Strict]:
    port = f"port = {board.pbx.ami.port}\n"
    with Proxy(board.pbx.ami.port) as network:
        changes = {CARRIER: f'{CARRIER}\nungated = "hangup"', port: f"port = {network.port}\n"}
        board.guarded.callguard.stop()
        for old, new in changes.items():
            board.configure(old, new)
        board.guarded.callguard.start()
        yield Strict(board, network)
        board.guarded.callguard.stop()
        for old, new in changes.items():
            board.configure(new, old)
        board.guarded.callguard.start()


def test_a_recording_that_began_while_ami_was_lost_is_found_after_it(strict: Strict) -> None:
    """Of one who refused."""
    board = strict.board
    agent, party = board.refuse("12025550155", tone=FIRST)
    stops = len(board.guarded.logged("foreign_recording_stopped"))
    strict.network.cut()
    try:
        agent.press(TAP)
        wait(1.0 + TALK_S)
    finally:
        strict.network.mend()
    eventually(lambda: len(board.guarded.logged("foreign_recording_stopped")) > stops, timeout=15)
    party.say(NEW)
    wait(TALK_S)
    agent.hang_up()
    board.quiet()
    rogue = board.rogue("12025550155")
    assert sum(b - a for a, b in audio.heard(rogue, RATE, FIRST)) > TALK_S - 0.3, "it had run"
    assert audio.heard(rogue, RATE, NEW) == []


def test_only_a_call_without_a_verdict_is_hung_up_and_never_one_for_help(strict: Strict) -> None:
    board = strict.board
    ungated = board.agent.call(f"{UNGUARDED}12025550156")
    begun = time.monotonic()
    placed: list[Leg] = [
        board.agent.call(EMERGENCY),
        board.agent.call(f"{UNGUARDED}{EMERGENCY}"),
        board.agent.call("12025550157"),
    ]
    ungated.wait_over()
    print(f"hung up after {(time.monotonic() - begun) * 1000:.0f} ms")
    assert time.monotonic() - begun < STOPPED_S
    for leg in placed:
        leg.wait_up()
    wait(TALK_S)
    assert [leg.over for leg in placed] == [False, False, False]
    board.quiet()
