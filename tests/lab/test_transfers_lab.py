"""Transfers on a real Asterisk: whoever is new and was not told is on no recording.

What is proved is proved from the sound, each party having a tone of its own. That the old
recording hears the new party again after it agreed is not: after a transfer Asterisk itself often
leaves the other side out of the recording of whoever was transferred (asterisk/asterisk#507). The
new party's own recording has both.
"""

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
    INSIDE,
    NEW,
    NOTICE,
    PAST,
    UNGUARDED,
    Played,
    Scene,
    Switchboard,
    heard_for,
    wait,
)

pytestmark = pytest.mark.lab

TALK_S = 1.0
FINE_S = 0.02
REACTION_S = 0.3
"""Longest that somebody who was not told may be on a recording of whoever they were put through
to: Asterisk connects the two before it tells anybody."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """What became of one. `first` is the recording of whoever was transferred, `new` those of the
    call with the new party, `met` for how many seconds the two heard each other."""

    first: Wav
    new: list[Wav]
    met: float
    events: list[Row]
    ledger: list[Row]
    notice: float

    @property
    def kinds(self) -> list[str]:
        return [row["kind"] for row in self.events]


def kept(
    board: Switchboard, first: str, new: str | None, met: float, notice: float = 0.0
) -> Transfer:
    """All of it; without `new`, no call but the first passed the gate."""
    return Transfer(
        board.recorded(first),
        [board.guarded.opened(row) for row in board.recordings_of(new)] if new else [],
        met,
        board.events_of(first),
        board.ledger_of(new) if new else [],
        notice,
    )


def blind_to_one_who_is_told(board: Switchboard) -> Transfer:
    agent, first = board.connect("12025550101")
    wait(TALK_S)
    board.world.tones["12025550102"] = NEW
    agent.transfer("12025550102")
    new = board.world.rung("12025550102")
    eventually(lambda: first.hears(NEW) > 0)
    wait(2 * TALK_S)
    first.hang_up()
    return kept(board, "12025550101", "12025550102", first.hears(NEW), new.hears(NOTICE))


def blind_to_one_who_refuses(board: Switchboard) -> Transfer:
    agent, first = board.connect("12025550103")
    wait(TALK_S)
    agent.transfer("12025550104")
    new = board.world.rung("12025550104")
    board.press_in_notice(new, "2")
    eventually(lambda: first.hears(NEW) > 0)
    wait(TALK_S)
    first.hang_up()
    return kept(board, "12025550103", "12025550104", first.hears(NEW), new.hears(NOTICE))


def blind_past_the_gate(board: Switchboard) -> Transfer:
    agent, first = board.connect("12025550105")
    wait(TALK_S)
    agent.transfer(f"{UNGUARDED}12025550106")
    eventually(lambda: first.hears(NEW) > 0)
    wait(TALK_S)
    first.hang_up()
    return kept(board, "12025550105", None, first.hears(NEW))


def blind_to_a_colleague(board: Switchboard) -> Transfer:
    agent, first = board.connect("12025550107")
    wait(TALK_S)
    agent.transfer(INSIDE)
    eventually(lambda: first.hears(COLLEAGUE) > 0)
    wait(TALK_S)
    first.hang_up()
    return kept(board, "12025550107", None, first.hears(COLLEAGUE))


def attended_to_one_who_is_told(board: Switchboard) -> Transfer:
    agent, first = board.connect("12025550108")
    wait(TALK_S)
    agent.hold()
    second, new = board.connect("12025550109", tone=NEW)
    wait(TALK_S)
    agent.transfer_to(second)
    eventually(lambda: first.hears(NEW) > 0)
    wait(TALK_S)
    first.hang_up()
    return kept(board, "12025550108", "12025550109", first.hears(NEW), new.hears(NOTICE))


def attended_past_the_gate(board: Switchboard) -> Transfer:
    """The one who was not told is put through to the recorded one."""
    agent, first = board.connect("12025550110")
    wait(TALK_S)
    agent.hold()
    second = board.consult_past_the_gate("12025550111")
    wait(TALK_S / 2)
    second.transfer_to(agent)
    eventually(lambda: first.hears(NEW) > 0)
    wait(TALK_S)
    first.hang_up()
    return kept(board, "12025550110", None, first.hears(NEW))


def attended_past_the_gate_the_other_way(board: Switchboard) -> Transfer:
    """The recorded one is put through to the one who was not told."""
    agent, first = board.connect("12025550112")
    wait(TALK_S)
    agent.hold()
    second = board.consult_past_the_gate("12025550113")
    wait(TALK_S / 2)
    agent.transfer_to(second)
    eventually(lambda: first.hears(NEW) > 0)
    wait(TALK_S)
    first.hang_up()
    return kept(board, "12025550112", None, first.hears(NEW))


def attended_by_code_past_the_gate(board: Switchboard) -> Transfer:
    """By Asterisk's own feature, which puts a Local channel between the two for a while."""
    agent, first = board.connect("12025550114")
    wait(TALK_S)
    agent.press("*3")
    wait(1.0)
    agent.press(PAST)
    eventually(lambda: agent.hears(NEW) > 0)
    agent.hang_up()
    eventually(lambda: first.hears(NEW) > 0)
    wait(TALK_S)
    first.hang_up()
    return kept(board, "12025550114", None, first.hears(NEW))


@dataclass(frozen=True, slots=True)
class OfRefused:
    """What became of the transfer of one who refused: every recording of both calls, for how many
    seconds the two heard each other, and how the refused one stands in the ledger."""

    wavs: list[Wav]
    met: float
    ledger: list[Row]


def blind_of_one_who_refused(board: Switchboard) -> OfRefused:
    """Whoever is transferred passes the gate as a caller of ours; that makes them none."""
    agent, first = board.refuse("12025550115", tone=FIRST)
    wait(TALK_S / 2)
    agent.transfer("12025550116")
    eventually(lambda: first.hears(NEW) > 0)
    wait(TALK_S)
    first.hang_up()
    rows = [*board.recordings_of("12025550115"), *board.recordings_of("12025550116")]
    wavs = [board.guarded.opened(row) for row in rows]
    return OfRefused(wavs, first.hears(NEW), board.ledger_of("12025550115"))


@pytest.fixture(scope="module")
def played(board: Switchboard) -> Played:
    return Played(
        board,
        [
            blind_to_one_who_is_told,
            blind_to_one_who_refuses,
            blind_past_the_gate,
            blind_to_a_colleague,
            attended_to_one_who_is_told,
            attended_past_the_gate,
            attended_past_the_gate_the_other_way,
            attended_by_code_past_the_gate,
            blind_of_one_who_refused,
        ],
    )


def assert_first_talk_alone(transfer: Transfer) -> None:
    """The recording has the talk with the agent, and neither voice of what came after it."""
    wav = transfer.first
    assert heard_for(wav, AGENT) > TALK_S - 0.3
    silent_from = audio.heard(wav.samples[0], wav.rate, FIRST)[-1][1]
    assert silent_from < TALK_S + 0.6
    assert wav.seconds > silent_from + 0.5 * TALK_S, "it ran on, silent"


def test_a_blind_transfer_to_one_who_is_told(played: Played) -> None:
    """The new party hears the notice, and is on record from its end, by its own recording."""
    transfer: Transfer = played.of(blind_to_one_who_is_told)

    assert transfer.notice > 0.8
    assert [row["state"] for row in transfer.ledger] == ["granted"]
    (new,) = transfer.new
    assert heard_for(new, NEW) == pytest.approx(transfer.met, abs=0.4)
    assert heard_for(new, FIRST) > TALK_S
    assert heard_for(transfer.first, NEW) <= transfer.met + 0.2, "nothing from before the end"
    assert heard_for(transfer.first, FIRST) > 2.5 * TALK_S, "heard again once all were told"
    assert heard_for(transfer.first, NOTICE) == heard_for(new, NOTICE) == 0


def test_a_blind_transfer_to_one_who_refuses(played: Played) -> None:
    transfer: Transfer = played.of(blind_to_one_who_refuses)

    assert transfer.met > TALK_S - 0.2
    assert [row["state"] for row in transfer.ledger] == ["refused"]
    assert transfer.new == []
    assert heard_for(transfer.first, NEW) == 0
    assert_first_talk_alone(transfer)


def test_a_blind_transfer_past_the_gate_is_never_heard(played: Played) -> None:
    transfer: Transfer = played.of(blind_past_the_gate)

    assert transfer.met > TALK_S - 0.2
    assert transfer.new == []
    assert heard_for(transfer.first, NEW) == 0
    assert_first_talk_alone(transfer)
    assert "silenced" in transfer.kinds


def test_a_blind_transfer_to_a_colleague_goes_on(played: Played) -> None:
    transfer: Transfer = played.of(blind_to_a_colleague)

    assert transfer.met > TALK_S - 0.2
    assert "silenced" not in transfer.kinds
    assert heard_for(transfer.first, FIRST) > transfer.first.seconds - 0.3


def test_a_blind_transfer_of_one_who_refused(played: Played) -> None:
    """The new party agrees, and is on record only while nobody is there who does not."""
    refused: OfRefused = played.of(blind_of_one_who_refused)

    assert refused.met > TALK_S - 0.2
    assert [row["state"] for row in refused.ledger] == ["refused"]
    for wav in refused.wavs:
        assert heard_for(wav, FIRST) == heard_for(wav, NEW) == 0


def test_an_attended_transfer_to_one_who_is_told(played: Played) -> None:
    """Both were told: both recordings go on."""
    transfer: Transfer = played.of(attended_to_one_who_is_told)

    assert transfer.notice > 0.8
    assert "silenced" not in transfer.kinds
    assert heard_for(transfer.first, FIRST) > transfer.first.seconds - 0.3
    (new,) = transfer.new
    assert heard_for(new, NEW) > new.seconds - 0.3
    assert heard_for(new, NOTICE) == 0


@pytest.mark.parametrize(
    "scene",
    [
        attended_past_the_gate,
        attended_past_the_gate_the_other_way,
        attended_by_code_past_the_gate,
    ],
)
def test_an_attended_transfer_past_the_gate_is_heard_no_longer_than_the_reaction(
    played: Played, scene: Scene
) -> None:
    transfer: Transfer = played.of(scene)

    assert transfer.met > TALK_S - 0.2
    heard = heard_for(transfer.first, NEW, window=FINE_S)
    print(f"{scene.__name__}: on record before it was silent: {heard * 1000:.0f} ms")
    assert heard <= REACTION_S
    assert heard_for(transfer.first, AGENT) > TALK_S - 0.3
    assert audio.heard(transfer.first.samples[0], transfer.first.rate, FIRST)[-1][1] < (
        transfer.first.seconds - 0.5 * TALK_S
    )
    assert "silenced" in transfer.kinds
