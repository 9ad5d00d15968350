"""Conferences, parking, hold, forwarding on a real Asterisk: who is on the recording meanwhile."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.lab import audio
from tests.lab.audio import Wav
from tests.lab.guarded import Row, eventually
from tests.lab.switchboard import (
    AGENT,
    COLLEAGUE,
    FIRST,
    FORWARDED,
    FORWARDED_PAST_TO,
    FORWARDED_TO,
    FORWARDED_UNGUARDED,
    MUSIC,
    NEW,
    NOTICE,
    OTHER_ROOM,
    PARK,
    PARKED,
    ROOM,
    Played,
    Switchboard,
    gap,
    heard_for,
    silences,
    wait,
)

pytestmark = pytest.mark.lab

TALK_S = 1.0
CLOSE_S = 0.3
"""How near a change on the recording is to what the parties heard."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recording, what happened to it, and for how many seconds its party heard whom it should
    not tell of."""

    wav: Wav
    events: list[Row]
    met: float

    @property
    def kinds(self) -> list[str]:
        return [row["kind"] for row in self.events]


def a_conference_of_three(board: Switchboard) -> Recorded:
    """The agent, one who agreed and, for a while, one who refused."""
    agent, first = board.connect("12025550121")
    wait(TALK_S)
    agent.transfer(ROOM)
    board.agent.call(ROOM).wait_up()
    eventually(lambda: first.hears(AGENT) > 2 * TALK_S)
    second, new = board.refuse("12025550122")
    second.transfer(ROOM)
    eventually(lambda: first.hears(NEW) > 0)
    wait(TALK_S)
    new.hang_up()
    wait(TALK_S)
    first.hang_up()
    return Recorded(board.recorded("12025550121"), board.events_of("12025550121"), first.hears(NEW))


def put_through_into_a_conference(board: Switchboard) -> Recorded:
    """One who agreed takes the agent's place in a conference with one who refused."""
    agent, first = board.connect("12025550127")
    wait(TALK_S)
    second, _ = board.refuse("12025550128")
    second.transfer(OTHER_ROOM)
    inside = board.agent.call(OTHER_ROOM)
    eventually(lambda: inside.hears(NEW) > 0)
    agent.transfer_to(inside)
    eventually(lambda: first.hears(NEW) > 0)
    wait(TALK_S)
    first.hang_up()
    return Recorded(board.recorded("12025550127"), board.events_of("12025550127"), first.hears(NEW))


def parked_and_fetched(board: Switchboard) -> Recorded:
    agent, first = board.connect("12025550123")
    wait(TALK_S)
    agent.transfer(PARK)
    eventually(lambda: first.hears(MUSIC) > TALK_S)
    agent.hang_up()
    board.colleague.call(PARKED).wait_up()
    eventually(lambda: first.hears(COLLEAGUE) > TALK_S)
    first.hang_up()
    return Recorded(
        board.recorded("12025550123"), board.events_of("12025550123"), first.hears(COLLEAGUE)
    )


def held_with_music(board: Switchboard) -> Recorded:
    agent, first = board.connect("12025550124")
    wait(TALK_S)
    agent.hold()
    wait(TALK_S)
    agent.take_back()
    wait(TALK_S)
    agent.hang_up()
    return Recorded(
        board.recorded("12025550124"), board.events_of("12025550124"), first.hears(MUSIC)
    )


def forwarded_to_one_who_is_told(board: Switchboard) -> tuple[Recorded, Wav]:
    caller = board.world.call(FORWARDED, user="12025550125", tone=FIRST)
    board.world.rung(FORWARDED_TO)
    eventually(lambda: caller.hears(NEW) > 0)
    wait(TALK_S)
    caller.hang_up()
    mine = Recorded(
        board.recorded("12025550125"), board.events_of("12025550125"), caller.hears(NEW)
    )
    return mine, board.recorded(FORWARDED_TO)


def forwarded_past_the_gate(board: Switchboard) -> Recorded:
    caller = board.world.call(FORWARDED_UNGUARDED, user="12025550126", tone=FIRST)
    board.world.rung(FORWARDED_PAST_TO)
    eventually(lambda: caller.hears(NEW) > 0)
    wait(TALK_S)
    caller.hang_up()
    return Recorded(
        board.recorded("12025550126"), board.events_of("12025550126"), caller.hears(NEW)
    )


@pytest.fixture(scope="module")
def played(board: Switchboard) -> Played:
    return Played(
        board,
        [
            a_conference_of_three,
            put_through_into_a_conference,
            parked_and_fetched,
            held_with_music,
            forwarded_to_one_who_is_told,
            forwarded_past_the_gate,
        ],
    )


def test_a_conference_is_silent_while_one_who_refused_is_in_it(played: Played) -> None:
    """Whoever agreed is heard before and after, and neither of them meanwhile."""
    recorded: Recorded = played.of(a_conference_of_three)

    wav = recorded.wav
    assert recorded.met > TALK_S - 0.2
    assert heard_for(wav, NEW) <= CLOSE_S
    silent, again = gap(wav, FIRST)
    assert again - silent == pytest.approx(recorded.met, abs=CLOSE_S)
    assert wav.seconds - again == pytest.approx(TALK_S, abs=CLOSE_S)
    assert heard_for(wav, AGENT) > 2 * TALK_S
    assert recorded.kinds[-2:] == ["silenced", "heard"]


def test_whoever_is_put_through_into_a_conference_is_there(played: Played) -> None:
    """Asterisk tells of no channel that enters it: the agent's place is taken."""
    recorded: Recorded = played.of(put_through_into_a_conference)

    assert recorded.met > TALK_S - 0.2
    print(f"on record before it was silent: {heard_for(recorded.wav, NEW) * 1000:.0f} ms")
    wav = recorded.wav
    assert heard_for(wav, NEW) <= CLOSE_S
    ended = audio.heard(wav.samples[0], wav.rate, FIRST)[-1][1]
    assert ended <= wav.seconds - recorded.met + CLOSE_S, recorded.kinds


def test_a_parked_call_goes_on(played: Played) -> None:
    """With the music that the parked one hears, and on after a colleague has fetched it."""
    recorded: Recorded = played.of(parked_and_fetched)

    assert recorded.met > TALK_S - 0.2
    assert heard_for(recorded.wav, MUSIC) > TALK_S - 0.2
    assert heard_for(recorded.wav, FIRST) > recorded.wav.seconds - CLOSE_S
    assert "silenced" not in recorded.kinds


def test_a_hold_goes_on_with_its_music(played: Played) -> None:
    recorded: Recorded = played.of(held_with_music)

    assert recorded.met == pytest.approx(TALK_S, abs=CLOSE_S)
    assert heard_for(recorded.wav, MUSIC) == pytest.approx(TALK_S, abs=CLOSE_S)
    assert heard_for(recorded.wav, FIRST) > 3 * TALK_S - CLOSE_S
    assert heard_for(recorded.wav, AGENT) == pytest.approx(2 * TALK_S, abs=CLOSE_S)
    assert silences(recorded.wav, longest=0.2) == []


def test_a_call_forwarded_by_a_local_channel_to_one_who_is_told(played: Played) -> None:
    """Both ends are outside, and both were told: each is on the other's recording."""
    caller, forwarded = played.of(forwarded_to_one_who_is_told)

    for wav in (caller.wav, forwarded):
        for tone in (FIRST, NEW):
            assert heard_for(wav, tone) == pytest.approx(caller.met, abs=CLOSE_S)
        assert heard_for(wav, NOTICE) == 0


def test_a_call_forwarded_past_the_gate_is_never_heard(played: Played) -> None:
    recorded: Recorded = played.of(forwarded_past_the_gate)

    assert recorded.met > TALK_S - 0.2
    assert heard_for(recorded.wav, NEW) == 0
    assert heard_for(recorded.wav, FIRST) <= CLOSE_S
