"""What is said on the opt-out line, and on the call back that confirms a typed number. Pure.

``begin`` and ``begin_call_back`` give where the dialogue stands and the first thing to do;
``step`` takes what came of that and gives the next, until it is ``End``.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

from callguard.consent.texts import DIGITS

TIMES = 3
"""How often a question is asked before the dialogue is ended."""

TRIES = 3
"""How many numbers may be typed in one call."""

LONGEST = 18
"""Most digits of a typed number: E.164's fifteen and an international prefix."""

LANGUAGES = 9
"""Most languages that one digit can choose between."""


class Stage(Enum):
    """What the person is being asked, or that an answer is being entered."""

    LANGUAGE = "language"
    OFFER = "offer"
    OPT_IN = "opt_in"
    NUMBER = "number"
    RIGHT_NUMBER = "right_number"
    CALLED_BACK = "called_back"
    ENTERING = "entering"
    OVER = "over"


class Outcome(Enum):
    """How the dialogue ended: a wish was entered, is to be confirmed by a call back, or could not
    be entered; it was declined; nobody answered; the person hung up."""

    ENTERED = "entered"
    PROMISED = "promised"
    FAILED = "failed"
    DECLINED = "declined"
    SILENT = "silent"
    HUNG_UP = "hung_up"


@dataclass(frozen=True, slots=True)
class Part:
    """One prompt in one language."""

    prompt: str
    language: str


@dataclass(frozen=True, slots=True)
class Ask:
    """Play these, which any key may interrupt, and take up to ``most`` digits."""

    parts: tuple[Part, ...]
    most: int = 1


@dataclass(frozen=True, slots=True)
class Enter:
    """Enter a wish: not to be called (``standing``), or to be called again. ``asked`` is the
    question that was answered; ``typed`` is whether the number is only what somebody typed."""

    subject: str
    standing: bool
    typed: bool
    asked: Part


@dataclass(frozen=True, slots=True)
class End:
    """Play these and hang up."""

    outcome: Outcome
    parts: tuple[Part, ...] = ()


Action = Ask | Enter | End


@dataclass(frozen=True, slots=True)
class Keys:
    """What was pressed; nothing is silence. A closing ``#`` is not part of it."""

    digits: str


@dataclass(frozen=True, slots=True)
class HungUp:
    """The person is gone."""


@dataclass(frozen=True, slots=True)
class Written:
    """What became of the wish that was to be entered."""

    outcome: Outcome


Event = Keys | HungUp | Written

ReadNumber = Callable[[str], str | None]
"""The subject that a typed number means, None for one that is not taken."""


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Where a dialogue stands. ``misses`` are the answers to the present question that were none;
    ``tries`` the numbers typed so far; ``subject`` whose wish it is, as far as known."""

    stage: Stage
    languages: tuple[str, ...]
    language: str
    caller: str
    subject: str = ""
    standing: bool = True
    misses: int = 0
    tries: int = 0

    def part(self, prompt: str) -> Part:
        return Part(prompt, self.language)


def begin(languages: tuple[str, ...], caller: str) -> tuple[Dialogue, Action]:
    """A call to the opt-out line, in one of these languages. ``caller`` is the key of the number
    it comes from; "" where there is none that a wish can be entered for."""
    offered = languages[:LANGUAGES]
    dialogue = Dialogue(Stage.LANGUAGE, offered, offered[0], caller)
    return _ask(dialogue) if len(offered) > 1 else _first_question(dialogue)


def begin_call_back(language: str, subject: str) -> tuple[Dialogue, Action]:
    """A call to the number that was typed."""
    return _ask(Dialogue(Stage.CALLED_BACK, (language,), language, "", subject))


def step(dialogue: Dialogue, event: Event, read: ReadNumber) -> tuple[Dialogue, Action]:
    """What follows on an event. One that cannot come at this stage ends the dialogue."""
    match event:
        case HungUp():
            return _end(dialogue, Outcome.HUNG_UP)
        case Written(outcome):
            if dialogue.stage is not Stage.ENTERING:
                return _end(dialogue, Outcome.FAILED)
            return _end(dialogue, outcome, _said_of(outcome, standing=dialogue.standing))
        case Keys(digits):
            return _answered(dialogue, digits, read)


def _answered(dialogue: Dialogue, digits: str, read: ReadNumber) -> tuple[Dialogue, Action]:
    match dialogue.stage, digits:
        case Stage.LANGUAGE, _ if digits in _choices(dialogue):
            chosen = dialogue.languages[int(digits) - 1]
            return _first_question(replace(dialogue, language=chosen))
        case Stage.OFFER, "1":
            return _enter(replace(dialogue, subject=dialogue.caller), "line-offer")
        case Stage.OFFER, "2":
            return _question(dialogue, Stage.OPT_IN)
        case Stage.OPT_IN, "1":
            lifted = replace(dialogue, subject=dialogue.caller, standing=False)
            return _enter(lifted, "line-in-ask")
        case Stage.OPT_IN | Stage.CALLED_BACK, "2":
            return _end(dialogue, Outcome.DECLINED, "line-unchanged")
        case Stage.NUMBER, _ if digits:
            return _typed(replace(dialogue, tries=dialogue.tries + 1), digits, read)
        case Stage.RIGHT_NUMBER, "1":
            return _enter(dialogue, "line-confirm")
        case Stage.RIGHT_NUMBER, "2":
            return _again(dialogue)
        case Stage.CALLED_BACK, "1":
            return _enter(dialogue, "callback-ask")
        case Stage.CALLED_BACK, _ if digits:
            return _end(dialogue, Outcome.DECLINED, "line-unchanged")
        case ((Stage.ENTERING | Stage.OVER), _):
            return _end(dialogue, Outcome.FAILED)
        case _:
            return _missed(dialogue)


def _first_question(dialogue: Dialogue) -> tuple[Dialogue, Action]:
    return _question(dialogue, Stage.OFFER if dialogue.caller else Stage.NUMBER)


def _question(dialogue: Dialogue, stage: Stage) -> tuple[Dialogue, Action]:
    return _ask(replace(dialogue, stage=stage, misses=0))


def _ask(dialogue: Dialogue, *, first: tuple[Part, ...] = ()) -> tuple[Dialogue, Action]:
    most = LONGEST if dialogue.stage is Stage.NUMBER else 1
    return dialogue, Ask((*first, *_asked(dialogue)), most)


def _asked(dialogue: Dialogue) -> tuple[Part, ...]:
    """The present question."""
    match dialogue.stage:
        case Stage.LANGUAGE:
            return tuple(
                Part(prompt, language)
                for digit, language in enumerate(dialogue.languages, start=1)
                for prompt in ("line-language", DIGITS[digit])
            )
        case Stage.OFFER:
            return (dialogue.part("line-offer"),)
        case Stage.OPT_IN:
            return (dialogue.part("line-in-ask"),)
        case Stage.NUMBER:
            return (dialogue.part("line-type"),)
        case Stage.CALLED_BACK:
            return (dialogue.part("callback-ask"),)
        case _:
            digits = tuple(dialogue.part(DIGITS[int(d)]) for d in dialogue.subject if d.isdigit())
            return (dialogue.part("line-read-back"), *digits, dialogue.part("line-confirm"))


def _choices(dialogue: Dialogue) -> frozenset[str]:
    return frozenset(str(digit) for digit in range(1, len(dialogue.languages) + 1))


def _missed(dialogue: Dialogue) -> tuple[Dialogue, Action]:
    """No answer, or none of those asked for: the question again, so many times."""
    dialogue = replace(dialogue, misses=dialogue.misses + 1)
    if dialogue.misses < TIMES:
        return _ask(dialogue)
    prompt = "line-unchanged" if dialogue.stage is Stage.OPT_IN else "line-goodbye"
    return _end(dialogue, Outcome.SILENT, prompt)


def _typed(dialogue: Dialogue, digits: str, read: ReadNumber) -> tuple[Dialogue, Action]:
    subject = read(digits)
    if subject is not None:
        return _question(replace(dialogue, subject=subject), Stage.RIGHT_NUMBER)
    return _again(dialogue, first=(dialogue.part("line-bad-number"),))


def _again(dialogue: Dialogue, *, first: tuple[Part, ...] = ()) -> tuple[Dialogue, Action]:
    """Lets another number be typed, if this call may."""
    if dialogue.tries >= TRIES:
        closing = (*first, dialogue.part("line-goodbye"))
        return replace(dialogue, stage=Stage.OVER), End(Outcome.DECLINED, closing)
    return _ask(replace(dialogue, stage=Stage.NUMBER, subject="", misses=0), first=first)


def _enter(dialogue: Dialogue, asked: str) -> tuple[Dialogue, Action]:
    typed = dialogue.stage is Stage.RIGHT_NUMBER
    wish = Enter(dialogue.subject, dialogue.standing, typed, dialogue.part(asked))
    return replace(dialogue, stage=Stage.ENTERING), wish


def _said_of(outcome: Outcome, *, standing: bool) -> str:
    match outcome:
        case Outcome.ENTERED:
            return "optout-done" if standing else "line-in-done"
        case Outcome.PROMISED:
            return "line-callback"
        case _:
            return "optout-failed"


def _end(dialogue: Dialogue, outcome: Outcome, *prompts: str) -> tuple[Dialogue, Action]:
    parts = tuple(dialogue.part(prompt) for prompt in prompts)
    return replace(dialogue, stage=Stage.OVER), End(outcome, parts)
