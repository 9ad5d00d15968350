"""Every mode through every answer, in both directions: what is played, kept and recorded."""

from pathlib import Path
from typing import Any

import pytest

from callguard.storage.schema import opt_outs
from tests.gate.asked import (
    RATE,
    WHOLE_MS,
    Play,
    Played,
    agi_dies,
    hangs_up,
    hears,
    holds,
    loses_ami,
    play,
    presses,
    unholds,
    waits,
)
from tests.harness.channels import Channel
from tests.harness.virtual import virtual_time
from tests.house import NOTICE_S, House, house

GRANTED, REFUSED, INCOMPLETE = "granted", "refused", "incomplete"
NOTICE: dict[str, Any] = {"recording_mode": "notice"}
OR_REFUSE: dict[str, Any] = {"recording_mode": "notice_or_refuse"}
ASK: dict[str, Any] = {"recording_mode": "ask"}
ENDS: dict[str, Any] = {"on_refusal": "end"}
EARLY: dict[str, Any] = {"barge_in": True}

POINTS = {
    "at the first sample": 0.0,
    "after one sample": 1 / RATE,
    "in the middle": NOTICE_S / 2,
    "in its last frame": NOTICE_S - 0.01,
    "one sample before its end": NOTICE_S - 1 / RATE,
}
"""Where a prompt of ``NOTICE_S`` seconds is left."""

PROMPT = {"notice": NOTICE, "notice-refuse": OR_REFUSE, "ask": ASK}

HUNG_UP = [
    Play(
        f"{prompt}: hang-up {where}",
        wish,
        (hears(prompt, at), hangs_up),
        INCOMPLETE,
        (f"en/{prompt}",),
        heard_ms=round(at * RATE) * 1000 // RATE,
        gone=True,
    )
    for prompt, wish in PROMPT.items()
    for where, at in POINTS.items()
]

LATE_S = 1.5
"""The tenant's ``late_s`` (tests/gate/asked.py)."""

OPTED_OUT = [
    Play(
        f"{prompt}: opt-out {where}",
        wish,
        (hears(prompt, at), presses("9"), hears("optout-done")),
        REFUSED,
        (f"en/{prompt}", "en/optout-done"),
        answer="9",
        heard_ms=round(at * RATE) * 1000 // RATE,
        ends=True,
    )
    for prompt, wish in PROMPT.items()
    for where, at in list(POINTS.items())[::2]
]

DIED = [
    Play(
        f"{prompt}: AGI dies {where}",
        wish,
        (hears(prompt, at), agi_dies),
        INCOMPLETE,
        (f"en/{prompt}",),
        heard_ms=0,
    )
    for prompt, wish in PROMPT.items()
    for where, at in [("at once", 0.0), ("in the middle", NOTICE_S / 2)]
]

HELD = [
    Play(
        f"{prompt}: on hold to its end, and told again",
        wish,
        (hears(prompt, 1), holds, waits(5), unholds, hears(prompt), *answer),
        GRANTED,
        (f"en/{prompt}", f"en/{prompt}", *(("en/granted",) if answer else ())),
        answer="1" if answer else None,
        asked=2,
    )
    for prompt, wish, answer in [
        ("notice", NOTICE, ()),
        ("notice-refuse", OR_REFUSE, ()),
        ("ask", ASK, (presses("1", after=1),)),
    ]
] + [
    Play(
        f"{prompt}: on hold for good",
        wish,
        (hears(prompt, 1), holds, waits(26), unholds),
        INCOMPLETE,
        (f"en/{prompt}",),
        heard_ms=0,
    )
    for prompt, wish in PROMPT.items()
]

ONCE: dict[str, Any] = {"ask_repeats": 0}
THANKED = ("en/ask", "en/granted")
DECLINED = ("en/notice-refuse", "en/refused")
QUESTIONS: list[Play] = [
    Play("nothing to say", {"record": False}, (), None),
    Play("notice: heard", NOTICE, (hears("notice"),), GRANTED, ("en/notice",)),
    Play(
        "notice: a late opt-out",
        NOTICE,
        (hears("notice"), presses("9", after=LATE_S - 0.1), hears("optout-done")),
        REFUSED,
        ("en/notice", "en/optout-done"),
        answer="9",
        ends=True,
    ),
    Play(
        "notice: another digit does not cut it",
        NOTICE,
        (hears("notice", 1), presses("2"), presses("1"), waits(1.9)),
        GRANTED,
        ("en/notice",),
    ),
    Play(
        "notice: an opt-out, and connected all the same",
        NOTICE | {"on_opt_out": "connect"},
        (hears("notice", 1), presses("9"), hears("optout-done")),
        REFUSED,
        ("en/notice", "en/optout-done"),
        answer="9",
        heard_ms=1000,
    ),
    Play(
        "notice-refuse: silence",
        OR_REFUSE,
        (hears("notice-refuse"),),
        GRANTED,
        ("en/notice-refuse",),
    ),
    Play(
        "notice-refuse: refused in the middle",
        OR_REFUSE,
        (hears("notice-refuse", 1), presses("2"), hears("refused")),
        REFUSED,
        DECLINED,
        answer="2",
        heard_ms=1000,
    ),
    Play(
        "notice-refuse: refused late",
        OR_REFUSE,
        (hears("notice-refuse"), presses("2", after=LATE_S - 0.1), hears("refused")),
        REFUSED,
        DECLINED,
        answer="2",
    ),
    Play(
        "notice-refuse: refused, and the call ends",
        OR_REFUSE | ENDS,
        (hears("notice-refuse", 1), presses("2"), hears("refused-end")),
        REFUSED,
        ("en/notice-refuse", "en/refused-end"),
        answer="2",
        heard_ms=1000,
        ends=True,
    ),
    Play(
        "notice-refuse: opted out late",
        OR_REFUSE,
        (hears("notice-refuse"), presses("9", after=1), hears("optout-done")),
        REFUSED,
        ("en/notice-refuse", "en/optout-done"),
        answer="9",
        ends=True,
    ),
    Play(
        "notice-refuse: a yes that was not asked for",
        OR_REFUSE,
        (hears("notice-refuse"), presses("1", after=1), hears("granted")),
        GRANTED,
        ("en/notice-refuse", "en/granted"),
        answer="1",
    ),
    Play(
        "notice-refuse: a wrong digit, then the right one",
        OR_REFUSE,
        (hears("notice-refuse"), presses("3", after=1), hears("notice-refuse", 1), presses("2")),
        REFUSED,
        ("en/notice-refuse", *DECLINED),
        answer="2",
        asked=2,
        heard_ms=1100,
    ),
    Play(
        "notice-refuse: wrong digits only",
        OR_REFUSE,
        (
            hears("notice-refuse"),
            presses("3", after=1),
            hears("notice-refuse"),
            presses("*", after=1),
        ),
        INCOMPLETE,
        ("en/notice-refuse", "en/notice-refuse"),
        answer="*",
        asked=2,
    ),
    Play(
        "notice-refuse: hang-up while a no may come",
        OR_REFUSE,
        (hears("notice-refuse"), waits(1), hangs_up),
        INCOMPLETE,
        ("en/notice-refuse",),
        gone=True,
    ),
    Play(
        "notice-refuse: AGI dies while a no may come",
        OR_REFUSE,
        (hears("notice-refuse"), waits(1), agi_dies),
        INCOMPLETE,
        ("en/notice-refuse",),
    ),
    Play(
        "notice-refuse: on hold while a no may come",
        OR_REFUSE | ONCE,
        (hears("notice-refuse"), holds, waits(2), unholds),
        INCOMPLETE,
        ("en/notice-refuse",),
    ),
    Play("ask: yes", ASK, (hears("ask"), presses("1", after=2)), GRANTED, THANKED, answer="1"),
    Play(
        "ask: a yes at the last moment",
        ASK,
        (hears("ask"), presses("1", after=4.9)),
        GRANTED,
        THANKED,
        answer="1",
    ),
    Play(
        "ask: no",
        ASK,
        (hears("ask"), presses("2", after=2), hears("refused")),
        REFUSED,
        ("en/ask", "en/refused"),
        answer="2",
    ),
    Play(
        "ask: no, and the call ends",
        ASK | ENDS,
        (hears("ask", 1), presses("2"), hears("refused-end")),
        REFUSED,
        ("en/ask", "en/refused-end"),
        answer="2",
        heard_ms=1000,
        ends=True,
    ),
    Play(
        "ask: opted out after the question",
        ASK,
        (hears("ask"), presses("9", after=1), hears("optout-done")),
        REFUSED,
        ("en/ask", "en/optout-done"),
        answer="9",
        ends=True,
    ),
    Play(
        "ask: silence",
        ASK,
        (hears("ask"), hears("ask"), hears("refused", 0)),
        REFUSED,
        ("en/ask", "en/ask", "en/refused"),
        asked=2,
    ),
    Play(
        "ask: silence, and the call ends",
        ASK | ENDS | ONCE,
        (hears("ask"), hears("refused-end")),
        REFUSED,
        ("en/ask", "en/refused-end"),
        ends=True,
    ),
    Play(
        "ask: silence, then yes",
        ASK,
        (hears("ask"), hears("ask"), presses("1", after=1)),
        GRANTED,
        ("en/ask", *THANKED),
        answer="1",
        asked=2,
    ),
    Play(
        "ask: wrong digits",
        ASK,
        (hears("ask"), presses("3", after=1), hears("ask"), presses("#", after=1)),
        REFUSED,
        ("en/ask", "en/ask", "en/refused"),
        answer="#",
        asked=2,
    ),
    Play(
        "ask: a wrong digit, then silence",
        ASK,
        (hears("ask"), presses("3", after=1), hears("ask"), hears("refused", 0)),
        REFUSED,
        ("en/ask", "en/ask", "en/refused"),
        asked=2,
    ),
    Play(
        "ask: five repeats",
        ASK | {"ask_repeats": 5, "answer_s": 1},
        (*(hears("ask"),) * 6, presses("1", after=0.5)),
        GRANTED,
        (*("en/ask",) * 5, *THANKED),
        answer="1",
        asked=6,
    ),
    Play(
        "ask: an early yes is none",
        ASK | ONCE,
        (hears("ask", 1), presses("1"), hears("refused", 0)),
        REFUSED,
        ("en/ask", "en/refused"),
    ),
    Play(
        "ask: an early yes counts with barge-in",
        ASK | EARLY,
        (hears("ask", 1), presses("1"), hears("granted", 0)),
        GRANTED,
        THANKED,
        answer="1",
        heard_ms=1000,
    ),
    Play(
        "ask: barge-in, and a yes after the end",
        ASK | EARLY,
        (hears("ask"), presses("1", after=1)),
        GRANTED,
        THANKED,
        answer="1",
    ),
    Play(
        "ask: barge-in is for the digits that answer",
        ASK | EARLY | ONCE,
        (hears("ask", 1), presses("3"), hears("refused", 0)),
        REFUSED,
        ("en/ask", "en/refused"),
    ),
    Play(
        "ask: hang-up in the time for an answer",
        ASK,
        (hears("ask"), waits(2), hangs_up),
        INCOMPLETE,
        ("en/ask",),
        gone=True,
    ),
    Play(
        "ask: AGI dies in the time for an answer",
        ASK,
        (hears("ask"), waits(2), agi_dies),
        INCOMPLETE,
        ("en/ask",),
    ),
    Play(
        "notice: on hold for good, of which nobody could tell",
        NOTICE,
        (hears("notice", 1), loses_ami, holds, waits(26), unholds),
        INCOMPLETE,
        ("en/notice",),
        heard_ms=0,
    ),
    Play(
        "ask: a no while on hold",
        ASK,
        (hears("ask", 1), holds, waits(4.5), presses("2"), unholds),
        REFUSED,
        ("en/ask", "en/refused"),
        answer="2",
        heard_ms=0,
    ),
    Play(
        "ask: in words with other digits, which nobody made",
        ASK | {"accept_digit": "5"},
        (),
        INCOMPLETE,
        asked=0,
        heard_ms=0,
    ),
    Play(
        "notice: in a language of which there is no prompt",
        NOTICE | {"language": "eo"},
        (),
        INCOMPLETE,
        asked=0,
        heard_ms=0,
        more={"language": "eo", "prompt": "none"},
    ),
]

PLAYS = [*QUESTIONS, *HELD, *HUNG_UP, *OPTED_OUT, *DIED]


def watch_order(home: House) -> list[bool]:
    """For each MixMonitor that is begun: whether it was known by then that the party agrees."""
    order: list[bool] = []

    def before(channel: Channel, _: int, line: str) -> None:
        if line.startswith('EXEC "MixMonitor"'):
            known = home.service.gate.told.of("asterisk", channel.uniqueid)
            order.append(known is not None and known.may_be_recorded)

    home.pbx.asterisk.on_before_command.append(before)
    return order


def check(case: Play, came: Played, *, outbound: bool) -> None:
    outcome, name = came.outcome, case.name
    granted = case.state == GRANTED
    assert came.heard == case.heard, name
    assert (outcome.recorded_samples > 0) is granted, name
    assert bool(outcome.recordings) is granted, name
    assert came.told is granted, name
    assert outcome.connected is (not case.ends and not case.gone), name
    # The dialplan is told to end the call, and nothing else.
    assert came.after == ("end" if case.ends else ""), name
    if outcome.heard:
        here = [note.kind for note in outcome.notes if note.channel == outcome.heard[0].channel]
        assert outbound or here.index("answered") < here.index("prompt"), name
    if case.state is None:
        assert came.rows == [], name
        return
    (row,) = came.rows
    wish = {"recording_mode": "notice", **case.wish}["recording_mode"]
    want = {
        "state": case.state,
        "mode": wish,
        "answer": case.answer,
        "asked": case.asked,
        "heard_ms": case.heard_ms,
        "length_ms": WHOLE_MS if case.asked else 0,
        "pbx": "asterisk",
        "language": "en",
        "purpose": "recording",
        "proof": None,
        **case.more,
    }
    assert {key: row[key] for key in want} == want, name
    assert row["channel_uniqueid"], name
    assert any(rule.startswith("base.recording-notice: ") for rule in row["rules"]), name
    assert ("tenant acme: recording_mode" in " ".join(row["rules"])) is (wish != "notice"), name


@pytest.mark.parametrize("outbound", [True, False], ids=["outbound", "inbound"])
def test_every_mode_through_every_answer(tmp_path: Path, outbound: bool) -> None:
    @virtual_time
    async def all_of_them() -> None:
        async with house(tmp_path) as home:
            order = watch_order(home)
            for index, case in enumerate(PLAYS):
                number = f"+4420794605{index:02d}" if index < 100 else f"+44207946{index + 500}"
                came = await play(home, case, number, outbound=outbound)
                check(case, came, outbound=outbound)
            asked = [row["subject"] for row in home.rows(opt_outs)]
        assert order == [True] * sum(case.state == GRANTED for case in PLAYS)
        assert len(asked) == sum(case.answer == "9" for case in PLAYS)

    all_of_them()


def test_no_play_has_the_name_of_another() -> None:
    assert len({case.name for case in PLAYS}) == len(PLAYS)
