"""The dialogue before a recording: each mode through each answer, as the table has it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callguard.consent.dialogue import (
    TABLE,
    Action,
    Dialogue,
    Event,
    Listen,
    Outcome,
    Phase,
    Tell,
    answered,
    as_markdown,
    escapes,
    step,
    told,
)
from callguard.consent.modes import Mode
from callguard.consent.notice import Played
from callguard.consent.states import ConsentState
from callguard.tenants.tenant import TenantSettings

PAGE = Path(__file__).parents[2] / "docs" / "consent.md"
BEGIN, END = "<!-- table of states: begin -->\n", "<!-- table of states: end -->"
SPEAKING = (Mode.NOTICE, Mode.NOTICE_OR_REFUSE, Mode.ASK)
WHOLE = 16_000

BEGUN, MISSING, HEARD, CUT = Event.BEGUN, Event.MISSING, Event.WHOLE, Event.CUT
YES, NO, OPT_OUT, OTHER = Event.ACCEPT, Event.REFUSE, Event.OPT_OUT, Event.OTHER
SILENCE, HUNG_UP, HELD = Event.SILENCE, Event.HUNG_UP, Event.HELD


def settings(**chosen: object) -> TenantSettings:
    return TenantSettings.model_validate(chosen)


def goes(mode: Mode, *events: Event, repeats: int = 1) -> list[Action]:
    """What is done after each of these events."""
    dialogue = Dialogue(mode, settings(ask_repeats=repeats, answer_s=7))
    done: list[Action] = []
    for event in (BEGUN, *events):
        assert not done or not isinstance(done[-1], Outcome), "the dialogue had ended"
        dialogue, action = step(dialogue, event)
        done.append(action)
    return done


def test_the_table_in_the_documentation_is_this_one(capsys: pytest.CaptureFixture[str]) -> None:
    print(as_markdown())
    documented = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    assert documented == capsys.readouterr().out.removesuffix("\n")


def test_every_mode_that_speaks_knows_what_can_happen_in_each_phase() -> None:
    playing = {MISSING, HEARD, CUT, OPT_OUT, HUNG_UP, HELD}
    listening = {SILENCE, YES, NO, OPT_OUT, OTHER, HUNG_UP, HELD, CUT}
    for mode in SPEAKING:
        assert set(TABLE[mode, Phase.START]) == {BEGUN, Event.MACHINE}
        assert playing <= set(TABLE[mode, Phase.TELLING])
        assert set(TABLE[mode, Phase.LISTENING]) == listening


ENDS: dict[Mode, dict[tuple[Event, ...], Outcome]] = {
    Mode.NONE: {(): Outcome.UNRECORDED},
    Mode.SILENT: {(): Outcome.GRANTED},
    Mode.PRIOR: {(): Outcome.GRANTED},
    Mode.NOTICE: {
        (HEARD, SILENCE): Outcome.GRANTED,
        (HEARD, YES, SILENCE): Outcome.GRANTED,
        (HEARD, OTHER, OTHER, SILENCE): Outcome.GRANTED,
        (HEARD, OTHER, OPT_OUT): Outcome.OPTED_OUT,
        (HEARD, *[OTHER] * 6): Outcome.INCOMPLETE,
        (HEARD, NO): Outcome.REFUSED,
        (HEARD, OPT_OUT): Outcome.OPTED_OUT,
        (HEARD, HUNG_UP): Outcome.INCOMPLETE,
        (CUT,): Outcome.INCOMPLETE,
        (HUNG_UP,): Outcome.INCOMPLETE,
        (MISSING,): Outcome.INCOMPLETE,
        (OPT_OUT,): Outcome.OPTED_OUT,
        (HELD, HEARD, SILENCE): Outcome.GRANTED,
        (HELD, HELD): Outcome.INCOMPLETE,
        (HELD, OPT_OUT): Outcome.OPTED_OUT,
        (YES,): Outcome.INCOMPLETE,
    },
    Mode.NOTICE_OR_REFUSE: {
        (HEARD, SILENCE): Outcome.GRANTED,
        (HEARD, YES): Outcome.GRANTED,
        (HEARD, NO): Outcome.REFUSED,
        (HEARD, OPT_OUT): Outcome.OPTED_OUT,
        (HEARD, HUNG_UP): Outcome.INCOMPLETE,
        (HEARD, CUT): Outcome.INCOMPLETE,
        (HEARD, OTHER, HEARD, SILENCE): Outcome.GRANTED,
        (HEARD, OTHER, HEARD, NO): Outcome.REFUSED,
        (HEARD, OTHER, HEARD, OTHER): Outcome.INCOMPLETE,
        (HEARD, HELD, HEARD, SILENCE): Outcome.GRANTED,
        (HEARD, HELD, HELD): Outcome.INCOMPLETE,
        (NO,): Outcome.REFUSED,
        (OPT_OUT,): Outcome.OPTED_OUT,
        (CUT,): Outcome.INCOMPLETE,
        (HUNG_UP,): Outcome.INCOMPLETE,
        (MISSING,): Outcome.INCOMPLETE,
        (HELD, HELD): Outcome.INCOMPLETE,
    },
    Mode.ASK: {
        (HEARD, YES): Outcome.GRANTED,
        (HEARD, NO): Outcome.REFUSED,
        (HEARD, OPT_OUT): Outcome.OPTED_OUT,
        (HEARD, HUNG_UP): Outcome.INCOMPLETE,
        (HEARD, CUT): Outcome.INCOMPLETE,
        (HEARD, SILENCE, HEARD, YES): Outcome.GRANTED,
        (HEARD, SILENCE, HEARD, SILENCE): Outcome.REFUSED,
        (HEARD, OTHER, HEARD, OTHER): Outcome.REFUSED,
        (HEARD, OTHER, HEARD, SILENCE): Outcome.REFUSED,
        (HEARD, HELD, HEARD, YES): Outcome.GRANTED,
        (HEARD, SILENCE, HELD): Outcome.INCOMPLETE,
        (HEARD, SILENCE, MISSING): Outcome.INCOMPLETE,
        (YES,): Outcome.GRANTED,
        (NO,): Outcome.REFUSED,
        (OPT_OUT,): Outcome.OPTED_OUT,
        (CUT,): Outcome.INCOMPLETE,
        (HUNG_UP,): Outcome.INCOMPLETE,
        (MISSING,): Outcome.INCOMPLETE,
        (HELD, HEARD, YES): Outcome.GRANTED,
        (HELD, HELD): Outcome.INCOMPLETE,
        (OTHER,): Outcome.INCOMPLETE,
    },
}


@pytest.mark.parametrize(
    ("mode", "events", "outcome"),
    [(mode, events, end) for mode, ends in ENDS.items() for events, end in ends.items()],
)
def test_each_answer_has_its_end(mode: Mode, events: tuple[Event, ...], outcome: Outcome) -> None:
    assert goes(mode, *events)[-1] is outcome


@pytest.mark.parametrize("mode", SPEAKING)
def test_what_is_said_again_is_the_same_and_only_so_often(mode: Mode) -> None:
    for repeats in (0, 1, 5):
        *tellings, end = goes(mode, *[HELD] * (repeats + 1), repeats=repeats)
        assert end is Outcome.INCOMPLETE
        assert len(tellings) == repeats + 1
        assert len(set(tellings)) == 1
        assert isinstance(tellings[0], Tell)


def test_a_machine_is_asked_nothing_and_consents_to_nothing() -> None:
    for mode in Mode:
        _, action = step(Dialogue(mode, settings()), Event.MACHINE)
        none = mode is Mode.NONE
        assert action is (Outcome.UNRECORDED if none else Outcome.INCOMPLETE)


def test_a_question_is_listened_to_for_the_tenants_time_and_a_notice_shortly() -> None:
    assert goes(Mode.ASK, HEARD)[-1] == Listen(7)
    for mode in (Mode.NOTICE, Mode.NOTICE_OR_REFUSE):
        assert goes(mode, HEARD)[-1] == Listen(1.5)
        at_once = Dialogue(mode, settings(late_s=0), Phase.TELLING, told=1)
        assert step(at_once, HEARD)[1] is Outcome.GRANTED


@pytest.mark.parametrize(
    ("mode", "barge_in", "digits"),
    [
        (Mode.NONE, True, ""),
        (Mode.SILENT, True, ""),
        (Mode.PRIOR, True, ""),
        (Mode.NOTICE, True, "7"),
        (Mode.NOTICE_OR_REFUSE, True, "47"),
        (Mode.ASK, False, "47"),
        (Mode.ASK, True, "347"),
    ],
)
def test_a_no_ends_the_prompt_and_a_yes_only_where_the_tenant_lets_it(
    mode: Mode, barge_in: bool, digits: str
) -> None:
    own = settings(accept_digit="3", refuse_digit="4", opt_out_digit="7", barge_in=barge_in)
    assert escapes(mode, own) == digits
    _, action = step(Dialogue(mode, own), BEGUN)
    assert not isinstance(action, Tell) or action.digits == digits


@pytest.mark.parametrize(
    ("played", "held", "barge_in", "event"),
    [
        (Played(WHOLE, None, False), False, False, HEARD),
        (Played(WHOLE, None, False), True, False, HELD),
        (Played(WHOLE, None, True), False, False, HUNG_UP),
        (Played(WHOLE, None, True), True, False, HUNG_UP),
        (Played(WHOLE // 2, None, False), False, False, CUT),
        (Played(WHOLE // 2, None, False), True, False, HELD),
        (Played(1, "9", False), True, False, OPT_OUT),
        (Played(1, "9", True), False, False, OPT_OUT),
        (Played(1, "2", True), False, False, NO),
        (Played(1, "1", False), False, True, YES),
        (Played(1, "1", False), True, True, HELD),
        (Played(1, "1", False), False, False, OTHER),
        (Played(1, "1", True), False, True, HUNG_UP),
        (Played(1, "#", False), False, True, OTHER),
    ],
)
def test_what_the_playing_of_a_prompt_comes_to(
    played: Played, held: bool, barge_in: bool, event: Event
) -> None:
    assert told(settings(barge_in=barge_in), played, WHOLE, held=held) is event


@pytest.mark.parametrize(
    ("digit", "hung_up", "held", "event"),
    [
        (None, False, False, SILENCE),
        (None, False, True, HELD),
        (None, True, True, HUNG_UP),
        ("1", False, False, YES),
        ("1", True, False, HUNG_UP),
        ("2", True, False, NO),
        ("9", True, True, OPT_OUT),
        ("5", False, False, OTHER),
        ("*", False, False, OTHER),
    ],
)
def test_what_listening_comes_to(
    digit: str | None, hung_up: bool, held: bool, event: Event
) -> None:
    assert answered(settings(), digit, hung_up=hung_up, held=held) is event


def test_only_a_grant_is_one_in_the_ledger() -> None:
    granted = [o for o in Outcome if o.state is ConsentState.GRANTED]
    refused = [o for o in Outcome if o.state is ConsentState.REFUSED]
    assert granted == [Outcome.GRANTED]
    assert refused == [Outcome.REFUSED, Outcome.OPTED_OUT]
    assert Outcome.UNRECORDED.state is None


@given(
    st.sampled_from(SPEAKING),
    st.lists(st.sampled_from(Event), min_size=30, max_size=30),
    st.integers(0, 5),
)
def test_whatever_happens_it_ends_and_is_granted_only_by_what_the_mode_demands(
    mode: Mode, events: list[Event], repeats: int
) -> None:
    dialogue, action = step(Dialogue(mode, settings(ask_repeats=repeats)), BEGUN)
    happened: list[Event] = []
    tellings = 1
    for event in events:
        if isinstance(action, Outcome):
            break
        dialogue, action = step(dialogue, event)
        happened.append(event)
        tellings += isinstance(action, Tell)
    assert isinstance(action, Outcome)
    assert tellings <= repeats + 1
    assert not {CUT, HUNG_UP, MISSING} & set(happened[:-1])
    if action is Outcome.GRANTED:
        keys = {YES, OTHER} if mode is Mode.NOTICE else set()
        heard = HEARD in [one for one in happened if one not in keys][-2:]
        assert heard or (mode is Mode.ASK and happened[-1] is YES)
        assert mode is not Mode.ASK or happened[-1] is YES
        assert not {NO, OPT_OUT} & set(happened)
