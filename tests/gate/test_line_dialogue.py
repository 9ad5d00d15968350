"""The dialogues of the opt-out line as a table: every stage, every event, what follows."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callguard.gate.line import PROMPTS
from callguard.gate.line_dialogue import (
    LONGEST,
    TIMES,
    TRIES,
    Action,
    Ask,
    Dialogue,
    End,
    Enter,
    Event,
    HungUp,
    Keys,
    Outcome,
    Part,
    Stage,
    Written,
    begin,
    begin_call_back,
    step,
)

CALLER = "+442079460123"
TYPED = "+442079460777"
KEYS = ("1", "2", "3", "9", "0", "*", "12", "")
EVENTS: tuple[Event, ...] = (
    *(Keys(digits) for digits in KEYS),
    Keys("02079460777"),
    HungUp(),
    *(Written(outcome) for outcome in Outcome),
)


def read(digits: str) -> str | None:
    """Takes one number, however it is typed."""
    return TYPED if digits.endswith("2079460777") else None


def at(stage: Stage, *, misses: int = 0, tries: int = 0) -> Dialogue:
    caller = "" if stage in (Stage.NUMBER, Stage.RIGHT_NUMBER) else CALLER
    known = TYPED if stage in (Stage.RIGHT_NUMBER, Stage.CALLED_BACK) else ""
    return Dialogue(stage, ("en", "he"), "en", caller, known, misses=misses, tries=tries)


def en(*prompts: str) -> tuple[Part, ...]:
    return tuple(Part(prompt, "en") for prompt in prompts)


def read_back(subject: str = TYPED) -> tuple[str, ...]:
    digits = (f"digit-{digit}" for digit in subject.removeprefix("+"))
    return ("line-read-back", *digits, "line-confirm")


ASKED: dict[Stage, tuple[Part, ...]] = {
    Stage.LANGUAGE: (
        Part("line-language", "en"), Part("digit-1", "en"),
        Part("line-language", "he"), Part("digit-2", "he"),
    ),
    Stage.OFFER: en("line-offer"),
    Stage.OPT_IN: en("line-in-ask"),
    Stage.NUMBER: en("line-type"),
    Stage.RIGHT_NUMBER: en(*read_back()),
    Stage.CALLED_BACK: en("callback-ask"),
}  # fmt: skip
HEBREW = Ask((Part("line-offer", "he"),))
UNCHANGED = End(Outcome.DECLINED, en("line-unchanged"))

ANSWERS: dict[tuple[Stage, str], Action] = {
    (Stage.LANGUAGE, "1"): Ask(en("line-offer")),
    (Stage.LANGUAGE, "2"): HEBREW,
    (Stage.OFFER, "1"): Enter(CALLER, standing=True, typed=False, asked=Part("line-offer", "en")),
    (Stage.OFFER, "2"): Ask(en("line-in-ask")),
    (Stage.OPT_IN, "1"): Enter(
        CALLER, standing=False, typed=False, asked=Part("line-in-ask", "en")
    ),
    (Stage.OPT_IN, "2"): UNCHANGED,
    (Stage.NUMBER, "02079460777"): Ask(en(*read_back())),
    (Stage.RIGHT_NUMBER, "1"): Enter(
        TYPED, standing=True, typed=True, asked=Part("line-confirm", "en")
    ),
    (Stage.RIGHT_NUMBER, "2"): Ask(en("line-type"), LONGEST),
    (Stage.CALLED_BACK, "1"): Enter(
        TYPED, standing=True, typed=False, asked=Part("callback-ask", "en")
    ),
    **{(Stage.CALLED_BACK, keys): UNCHANGED for keys in (*KEYS[1:-1], "02079460777")},
    **{
        (Stage.NUMBER, keys): Ask(en("line-bad-number", "line-type"), LONGEST)
        for keys in KEYS
        if keys
    },
}
"""What follows on keys that mean something at a stage; all others are a miss."""


def expected(stage: Stage, event: Event) -> Action:
    match event:
        case HungUp():
            return End(Outcome.HUNG_UP)
        case Written(outcome) if stage is Stage.ENTERING:
            said = {Outcome.ENTERED: "optout-done", Outcome.PROMISED: "line-callback"}
            return End(outcome, en(said.get(outcome, "optout-failed")))
        case Keys(digits) if stage in ASKED:
            most = LONGEST if stage is Stage.NUMBER else 1
            return ANSWERS.get((stage, digits), Ask(ASKED[stage], most))
        case _:
            return End(Outcome.FAILED)


@pytest.mark.parametrize(
    ("stage", "event"), list(itertools.product(Stage, EVENTS)), ids=lambda value: str(value)
)
def test_every_event_at_every_stage_is_followed_as_the_table_says(
    stage: Stage, event: Event
) -> None:
    _, action = step(at(stage), event, read)
    assert action == expected(stage, event)


MISSES = [(stage, keys) for stage in ASKED for keys in ("", "3") if (stage, keys) not in ANSWERS]


@pytest.mark.parametrize(("stage", "keys"), MISSES, ids=str)
def test_a_question_without_an_answer_is_asked_three_times_and_no_more(
    stage: Stage, keys: str
) -> None:
    dialogue, asked, action = at(stage), 1, step(at(stage), Keys(keys), read)[1]
    while isinstance(action, Ask):
        dialogue, action = step(dialogue, Keys(keys), read)
        asked += isinstance(action, Ask)
    farewell = "line-unchanged" if stage is Stage.OPT_IN else "line-goodbye"
    assert action == End(Outcome.SILENT, en(farewell))
    assert asked == TIMES


def test_a_miss_is_forgotten_at_the_next_question() -> None:
    dialogue, _ = begin(("en", "he"), CALLER)
    for _ in range(TIMES - 1):
        dialogue, _ = step(dialogue, Keys("7"), read)
    dialogue, action = step(dialogue, Keys("1"), read)
    for _ in range(TIMES - 1):
        dialogue, action = step(dialogue, Keys(""), read)
    assert action == Ask(en("line-offer"))


def test_a_single_language_is_not_asked_for() -> None:
    assert begin(("he",), CALLER)[1] == HEBREW
    assert begin(("he",), "")[1] == Ask((Part("line-type", "he"),), LONGEST)


def test_no_more_languages_are_offered_than_there_are_digits() -> None:
    languages = tuple(f"l{number}" for number in range(1, 13))
    dialogue, action = begin(languages, CALLER)
    assert isinstance(action, Ask)
    assert action.parts[-1] == Part("digit-9", "l9")
    assert step(dialogue, Keys("9"), read)[1] == Ask((Part("line-offer", "l9"),))


def test_a_wish_to_be_called_again_is_confirmed_as_such() -> None:
    dialogue, _ = step(at(Stage.OPT_IN), Keys("1"), read)
    _, action = step(dialogue, Written(Outcome.ENTERED), read)
    assert action == End(Outcome.ENTERED, en("line-in-done"))


def test_three_numbers_may_be_typed_in_a_call() -> None:
    """Refused ones and those that were not meant so count together."""
    dialogue, action = begin(("en",), "")
    for digits in ("112", "02079460777", "2", "1234"):
        assert isinstance(action, Ask)
        dialogue, action = step(dialogue, Keys(digits), read)
    assert action == End(Outcome.DECLINED, en("line-bad-number", "line-goodbye"))
    assert dialogue.tries == TRIES


def test_what_was_typed_last_is_what_is_entered() -> None:
    def taken(digits: str) -> str:
        return f"+{digits}"

    dialogue, _ = begin(("en",), "")
    dialogue, _ = step(dialogue, Keys("441"), taken)
    dialogue, _ = step(dialogue, Keys("2"), taken)
    dialogue, action = step(dialogue, Keys("442"), taken)
    assert action == Ask(en(*read_back("+442")))
    _, action = step(dialogue, Keys("1"), taken)
    assert action == Enter("+442", standing=True, typed=True, asked=Part("line-confirm", "en"))


def test_a_call_back_asks_in_the_language_of_the_claim() -> None:
    dialogue, action = begin_call_back("he", TYPED)
    assert action == Ask((Part("callback-ask", "he"),))
    dialogue, action = step(dialogue, Keys("1"), read)
    assert action == Enter(TYPED, standing=True, typed=False, asked=Part("callback-ask", "he"))
    _, action = step(dialogue, Written(Outcome.ENTERED), read)
    assert action == End(Outcome.ENTERED, (Part("optout-done", "he"),))


KEY = st.text("0123456789*ABCD", max_size=20).map(Keys)
ANY_EVENT = st.one_of(
    KEY, KEY, st.sampled_from(EVENTS), st.sampled_from(["1", "2", "02079460777"]).map(Keys)
)


@given(
    st.sampled_from(
        [begin(("en", "he"), CALLER), begin(("en",), ""), begin_call_back("he", TYPED)]
    ),
    st.lists(ANY_EVENT, min_size=40, max_size=40),
)
def test_whatever_comes_the_dialogue_ends_soon_and_enters_once_at_most(
    begun: tuple[Dialogue, Action], events: list[Event]
) -> None:
    dialogue, action = begun
    entered, confirmed = 0, False
    for event in events:
        if isinstance(action, End):
            break
        assert all(part.prompt in PROMPTS for part in getattr(action, "parts", ()))
        entered += isinstance(action, Enter)
        told = isinstance(action, Enter) and event == Written(Outcome.ENTERED)
        dialogue, action = step(dialogue, event, read)
        confirmed = confirmed or told
    assert isinstance(action, End)
    assert dialogue.stage is Stage.OVER
    assert entered <= 1
    said = {part.prompt for part in action.parts}
    assert (said & {"optout-done", "line-in-done"} != set()) is confirmed
    assert said <= set(PROMPTS)
