"""In the middle of a call on a real Asterisk: pause, resume, stop and withdraw, by whom and how
soon. What is not to be on the recording is spoken in a tone of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.lab import audio
from tests.lab.audio import Wav
from tests.lab.guarded import Row, eventually
from tests.lab.phone import Leg
from tests.lab.switchboard import (
    AGENT,
    CARD,
    FIRST,
    NEW,
    NOTICE,
    Played,
    Switchboard,
    gap,
    heard_for,
    wait,
)

pytestmark = pytest.mark.lab

TALK_S = 1.0
CARD_S = 1.5
EXACT_S = 0.2
"""How near to the card number the silence on the recording begins and ends."""
IN_FLIGHT_S = 0.1
"""Until nothing of what was said is on its way any more."""
CODE_S = 1.0
"""For how long a phone sends the three digits of a code, and no voice."""


@dataclass(frozen=True, slots=True)
class Acted:
    """What became of a call in which somebody acted. `wavs` are its recordings that can be opened,
    `talked` for how many seconds the agent heard the other party, `answers` what the API said."""

    rows: list[Row]
    wavs: list[Wav]
    events: list[Row]
    ledger: list[Row]
    talked: float
    answers: list[dict[str, Any]] = field(default_factory=list)

    @property
    def wav(self) -> Wav:
        (only,) = self.wavs
        return only

    @property
    def told(self) -> list[tuple[str, str]]:
        """What happened, and by whom."""
        return [(row["kind"], row["by"]) for row in self.events]


def kept(
    board: Switchboard, number: str, agent: Leg, *, answers: list[dict[str, Any]] | None = None
) -> Acted:
    """All of it, once the agent has hung up."""
    agent.hang_up()
    rows = board.recordings_of(number)
    opened = [board.guarded.opened(row) for row in rows if row["state"] == "sealed"]
    events, ledger = board.events_of(number), board.ledger_of(number)
    return Acted(rows, opened, events, ledger, agent.hears(FIRST), answers or [])


def happened(board: Switchboard, number: str, kind: str) -> Callable[[], bool]:
    return lambda: any(row["kind"] == kind for row in board.events_of(number))


def speak_card(agent: Leg, first: Leg) -> None:
    """Both speak at a pitch that the recording must not have: the number, and its repetition."""
    first.say(CARD)
    agent.say(CARD)
    wait(CARD_S)
    first.say(FIRST)
    agent.say(AGENT)
    wait(IN_FLIGHT_S)


def paused_by_api(board: Switchboard) -> Acted:
    agent, first = board.connect("12025550131")
    wait(TALK_S)
    answers = [board.act("12025550131", "pause")]
    speak_card(agent, first)
    answers.append(board.act("12025550131", "resume"))
    wait(TALK_S)
    return kept(board, "12025550131", agent, answers=answers)


def paused_by_code(board: Switchboard) -> Acted:
    agent, first = board.connect("12025550132")
    wait(TALK_S)
    agent.press("*93")
    eventually(happened(board, "12025550132", "paused"))
    speak_card(agent, first)
    agent.press("*94")
    eventually(happened(board, "12025550132", "resumed"))
    wait(TALK_S)
    return kept(board, "12025550132", agent)


def withdrawn_by_code(board: Switchboard) -> Acted:
    agent, first = board.connect("12025550133")
    wait(TALK_S)
    first.press("*95")
    eventually(happened(board, "12025550133", "erased"))
    before = agent.hears(FIRST)
    eventually(lambda: agent.hears(FIRST) > before + TALK_S)
    return kept(board, "12025550133", agent)


def stopped_by_the_subject(board: Switchboard) -> Acted:
    """Whoever was recorded ends it; after that nobody resumes it."""
    agent, first = board.connect("12025550134")
    wait(TALK_S)
    first.press("*91")
    eventually(happened(board, "12025550134", "stopped"))
    first.say(CARD)
    first.press("*94")
    wait(CODE_S)
    agent.press("*94")
    wait(CODE_S)
    answers = [board.act("12025550134", "resume")]
    wait(TALK_S / 2)
    return kept(board, "12025550134", agent, answers=answers)


def resumed_by_the_subject(board: Switchboard) -> Acted:
    """Paused by the agent; the other party presses the code that resumes."""
    agent, first = board.connect("12025550135")
    wait(TALK_S)
    board.act("12025550135", "pause")
    first.say(CARD)
    first.press("*94")
    wait(CODE_S + TALK_S)
    return kept(board, "12025550135", agent)


def resumed_by_one_who_was_transferred(board: Switchboard) -> tuple[Acted, list[Wav]]:
    """Whoever was transferred called the new party through the gate, as agents do, and is none."""
    agent, first = board.connect("12025550136")
    wait(TALK_S / 2)
    agent.transfer("12025550137")
    eventually(lambda: first.hears(NEW) > 0)
    wait(TALK_S)
    board.act("12025550137", "pause")
    first.say(CARD)
    first.press("*94")
    wait(CODE_S + TALK_S)
    first.hang_up()
    rows = board.recordings_of("12025550137")
    wavs = [board.guarded.opened(row) for row in rows]
    return kept(board, "12025550136", agent), wavs


def paused_while_one_who_was_not_told_joins(board: Switchboard) -> Acted:
    """A resume does not undo what else makes a recording silent."""
    agent, first = board.connect("12025550138")
    wait(TALK_S)
    answers = [board.act("12025550138", "pause")]
    agent.hold()
    second = board.consult_past_the_gate("12025550139")
    second.transfer_to(agent)
    eventually(lambda: first.hears(NEW) > 0)
    answers.append(board.act("12025550138", "resume"))
    wait(TALK_S)
    first.hang_up()
    return kept(board, "12025550138", agent, answers=answers)


@pytest.fixture(scope="module")
def played(board: Switchboard) -> Played:
    return Played(
        board,
        [
            paused_by_api,
            paused_by_code,
            withdrawn_by_code,
            stopped_by_the_subject,
            resumed_by_the_subject,
            resumed_by_one_who_was_transferred,
            paused_while_one_who_was_not_told_joins,
        ],
    )


@pytest.mark.parametrize(("scene", "by", "pressing"), [
    (paused_by_api, "api", 0.0), (paused_by_code, "agent", CODE_S),
])  # fmt: skip
def test_a_card_number_is_silence_on_the_recording(
    played: Played, scene: Callable[[Switchboard], Acted], by: str, pressing: float
) -> None:
    """Both ways, from its beginning to its end, and no longer. A code is prompted for, and takes a
    while to press and to confirm."""
    acted: Acted = played.of(scene)

    assert heard_for(acted.wav, CARD) == 0
    silent, again = gap(acted.wav, FIRST)
    assert silent > TALK_S - EXACT_S
    assert again - silent >= CARD_S - EXACT_S
    assert again - silent <= CARD_S + 2 * EXACT_S + (2.0 if pressing else 0)
    assert acted.wav.seconds - again > TALK_S - EXACT_S
    assert heard_for(acted.wav, AGENT) > 2 * TALK_S - 2 * EXACT_S - 2 * pressing
    assert ("paused", by) in acted.told
    assert ("resumed", by) in acted.told
    assert acted.talked > 2 * TALK_S - EXACT_S, "the call itself went on"


def test_what_the_subject_withdraws_can_never_be_opened(played: Played, board: Switchboard) -> None:
    """The keys are gone, and so is every byte of it; the row goes with the next purge."""
    acted: Acted = played.of(withdrawn_by_code)

    (row,) = acted.rows
    assert row["state"] == "erasing"
    assert row["header"] is None
    assert row["wrapped_file_key"] is None
    left = [*(board.guarded.callguard.data / "objects").rglob("*"), *board.pbx.spool.iterdir()]
    assert not any(row["id"] in file.name or row["spool_name"] in file.name for file in left)
    assert ("erased", "subject") in acted.told
    assert [row["state"] for row in acted.ledger] == ["granted", "withdrawn"]
    assert acted.talked > 2 * TALK_S, "the call went on"


def test_a_subject_ends_the_recording_and_nobody_resumes_it(played: Played) -> None:
    acted: Acted = played.of(stopped_by_the_subject)

    assert heard_for(acted.wav, FIRST) > TALK_S - EXACT_S
    assert heard_for(acted.wav, CARD) == 0
    assert acted.wav.seconds < TALK_S + CODE_S + 1.0
    assert "resumed" not in [kind for kind, _ in acted.told]
    assert [row["state"] for row in acted.ledger] == ["granted", "withdrawn"]
    assert [row["state"] for row in acted.rows] == ["sealed"], "what was said before is kept"


def test_a_subject_cannot_resume(played: Played) -> None:
    acted: Acted = played.of(resumed_by_the_subject)

    assert heard_for(acted.wav, CARD) == 0
    assert "resumed" not in [kind for kind, _ in acted.told]


def test_one_who_was_transferred_cannot_resume(played: Played) -> None:
    acted, further = played.of(resumed_by_one_who_was_transferred)

    for wav in (*acted.wavs, *further):
        assert heard_for(wav, CARD) == 0
        assert heard_for(wav, NOTICE) == 0
    assert further
    assert all(heard_for(wav, NEW) > TALK_S - EXACT_S for wav in further)


def test_resuming_does_not_undo_what_else_silences(played: Played) -> None:
    acted: Acted = played.of(paused_while_one_who_was_not_told_joins)

    assert heard_for(acted.wav, NEW) == 0, [
        (str(e["at"]), e["kind"], e["reason"]) for e in acted.events
    ]
    assert audio.heard(acted.wav.samples[0], acted.wav.rate, FIRST)[-1][1] < TALK_S + 0.5
