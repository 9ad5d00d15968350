"""What is said and heard before a recording, in every mode, as one state machine. Pure.

Whatever the table does not name ends ``INCOMPLETE``: there is no consent by an event that nobody
thought of.
"""

from dataclasses import dataclass, replace
from enum import Enum

from callguard.consent.modes import Mode
from callguard.consent.notice import Played, heard_whole
from callguard.consent.states import ConsentState
from callguard.tenants.tenant import TenantSettings

MOST_KEYS = 5
"""Keys that answer nothing, after which whoever presses them is not taken to have agreed."""

PROMPTS = {Mode.NOTICE: "notice", Mode.NOTICE_OR_REFUSE: "notice-refuse", Mode.ASK: "ask"}
"""What is said in each mode that says anything."""


class Phase(Enum):
    """Where the dialogue is."""

    START = "before anything"
    TELLING = "while the prompt plays"
    LISTENING = "after its end"


class Event(Enum):
    """What happens in it. ``OTHER`` is a digit that answers nothing; ``HELD`` means that the other
    side put us on hold, so that nothing was heard; ``CUT`` is any end that nobody asked for."""

    BEGUN = "begins"
    MACHINE = "a machine answered"
    MISSING = "prompt missing or broken"
    WHOLE = "heard whole"
    CUT = "cut short"
    ACCEPT = "the digit that accepts"
    REFUSE = "the digit that refuses"
    OPT_OUT = "the digit that opts out"
    OTHER = "another digit"
    SILENCE = "no digit in time"
    HUNG_UP = "hang-up"
    HELD = "on hold meanwhile"


class Outcome(Enum):
    """How a dialogue ends. ``OPTED_OUT`` is refused too; ``UNRECORDED`` was no dialogue at all."""

    GRANTED = "granted"
    REFUSED = "refused"
    OPTED_OUT = "opted out"
    INCOMPLETE = "incomplete"
    UNRECORDED = "unrecorded"

    @property
    def state(self) -> ConsentState | None:
        """What the ledger says of it; None where it says nothing."""
        match self:
            case Outcome.GRANTED:
                return ConsentState.GRANTED
            case Outcome.REFUSED | Outcome.OPTED_OUT:
                return ConsentState.REFUSED
            case Outcome.INCOMPLETE:
                return ConsentState.INCOMPLETE
            case Outcome.UNRECORDED:
                return None


class Move(Enum):
    """How a dialogue goes on."""

    TELL = "play the prompt"
    LISTEN = "listen"
    LISTEN_ON = "listen on"


@dataclass(frozen=True, slots=True)
class Again:
    """The prompt is played once more, or if that was done often enough, this is the end."""

    otherwise: Outcome


Then = Outcome | Move | Again
_Row = dict[Event, Then]

_NO: _Row = {Event.REFUSE: Outcome.REFUSED, Event.OPT_OUT: Outcome.OPTED_OUT}
_HELD: _Row = {Event.HELD: Again(Outcome.INCOMPLETE)}
_GONE: _Row = {Event.CUT: Outcome.INCOMPLETE, Event.HUNG_UP: Outcome.INCOMPLETE}
_UNTOLD: _Row = {**_HELD, **_GONE, Event.MISSING: Outcome.INCOMPLETE}
_SPEAKS: _Row = {Event.BEGUN: Move.TELL, Event.MACHINE: Outcome.INCOMPLETE}
_AT_ONCE: _Row = {Event.BEGUN: Outcome.GRANTED, Event.MACHINE: Outcome.INCOMPLETE}

TABLE: dict[tuple[Mode, Phase], _Row] = {
    (Mode.NONE, Phase.START): {
        Event.BEGUN: Outcome.UNRECORDED,
        Event.MACHINE: Outcome.UNRECORDED,
    },
    (Mode.SILENT, Phase.START): _AT_ONCE,
    (Mode.PRIOR, Phase.START): _AT_ONCE,
    (Mode.NOTICE, Phase.START): _SPEAKS,
    (Mode.NOTICE, Phase.TELLING): {
        Event.WHOLE: Move.LISTEN,
        Event.OPT_OUT: Outcome.OPTED_OUT,
        **_UNTOLD,
    },
    (Mode.NOTICE, Phase.LISTENING): {
        Event.SILENCE: Outcome.GRANTED,
        Event.OPT_OUT: Outcome.OPTED_OUT,
        Event.REFUSE: Outcome.REFUSED,
        # Nothing else was offered, and what was may still be pressed.
        Event.ACCEPT: Move.LISTEN_ON,
        Event.OTHER: Move.LISTEN_ON,
        **_HELD,
        **_GONE,
    },
    (Mode.NOTICE_OR_REFUSE, Phase.START): _SPEAKS,
    (Mode.NOTICE_OR_REFUSE, Phase.TELLING): {Event.WHOLE: Move.LISTEN, **_NO, **_UNTOLD},
    (Mode.NOTICE_OR_REFUSE, Phase.LISTENING): {
        Event.SILENCE: Outcome.GRANTED,
        Event.ACCEPT: Outcome.GRANTED,
        **_NO,
        # Whoever presses anything wants something, and it may be to refuse.
        Event.OTHER: Again(Outcome.INCOMPLETE),
        **_HELD,
        **_GONE,
    },
    (Mode.ASK, Phase.START): _SPEAKS,
    (Mode.ASK, Phase.TELLING): {
        Event.WHOLE: Move.LISTEN,
        Event.ACCEPT: Outcome.GRANTED,
        **_NO,
        **_UNTOLD,
    },
    (Mode.ASK, Phase.LISTENING): {
        Event.ACCEPT: Outcome.GRANTED,
        **_NO,
        Event.SILENCE: Again(Outcome.REFUSED),
        Event.OTHER: Again(Outcome.REFUSED),
        **_HELD,
        **_GONE,
    },
}


@dataclass(frozen=True, slots=True)
class Tell:
    """Play this prompt; each of these digits ends it."""

    prompt: str
    digits: str


@dataclass(frozen=True, slots=True)
class Listen:
    """Wait for one digit, whichever it is."""

    seconds: float


Action = Tell | Listen | Outcome


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Where one dialogue is. ``told`` is how often its prompt was begun, ``pressed`` how many keys
    were that answer nothing."""

    mode: Mode
    settings: TenantSettings
    phase: Phase = Phase.START
    told: int = 0
    pressed: int = 0


def step(dialogue: Dialogue, event: Event) -> tuple[Dialogue, Action]:
    """What happens is followed by what is to be done."""
    then = TABLE[dialogue.mode, dialogue.phase].get(event, Outcome.INCOMPLETE)
    if isinstance(then, Again):
        often = dialogue.told > dialogue.settings.ask_repeats
        then = then.otherwise if often else Move.TELL
    match then:
        case Move.TELL:
            again = replace(dialogue, phase=Phase.TELLING, told=dialogue.told + 1)
            return again, Tell(PROMPTS[dialogue.mode], escapes(dialogue.mode, dialogue.settings))
        case Move.LISTEN:
            listening = replace(dialogue, phase=Phase.LISTENING)
            asked = dialogue.mode is Mode.ASK
            seconds = dialogue.settings.answer_s if asked else dialogue.settings.late_s
            return (listening, Listen(seconds)) if seconds else step(listening, Event.SILENCE)
        case Move.LISTEN_ON if dialogue.pressed >= MOST_KEYS:
            return dialogue, Outcome.INCOMPLETE
        case Move.LISTEN_ON:
            listening = replace(dialogue, pressed=dialogue.pressed + 1)
            return listening, Listen(dialogue.settings.late_s)
        case end:
            return dialogue, end


def escapes(mode: Mode, settings: TenantSettings) -> str:
    """The digits that end the prompt of a mode. Asterisk takes any other and tells nobody, so it
    neither counts nor cuts the prompt short."""
    match mode:
        case Mode.NOTICE:
            return settings.opt_out_digit
        case Mode.NOTICE_OR_REFUSE:
            return settings.refuse_digit + settings.opt_out_digit
        case Mode.ASK:
            early = settings.accept_digit if settings.barge_in else ""
            return early + settings.refuse_digit + settings.opt_out_digit
        case _:
            return ""


def told(settings: TenantSettings, played: Played, samples: int, *, held: bool) -> Event:
    """What the playing of a prompt of that length comes to. A no counts however it was said, a yes
    only from somebody who was not kept from hearing what it is to."""
    if played.digit is not None:
        event = _pressed(settings, played.digit, played.hung_up)
        if event is not Event.ACCEPT:
            return event
        if held:
            return Event.HELD
        return event if settings.barge_in else Event.OTHER
    if played.hung_up:
        return Event.HUNG_UP
    if held:
        return Event.HELD
    return Event.WHOLE if heard_whole(played, samples) else Event.CUT


def answered(settings: TenantSettings, digit: str | None, *, hung_up: bool, held: bool) -> Event:
    """What listening after the prompt comes to."""
    if digit is not None:
        return _pressed(settings, digit, hung_up)
    if hung_up:
        return Event.HUNG_UP
    return Event.HELD if held else Event.SILENCE


def _pressed(settings: TenantSettings, digit: str, hung_up: bool) -> Event:
    if digit == settings.opt_out_digit:
        return Event.OPT_OUT
    if digit == settings.refuse_digit:
        return Event.REFUSE
    if hung_up:
        return Event.HUNG_UP
    return Event.ACCEPT if digit == settings.accept_digit else Event.OTHER


def as_markdown() -> str:
    """The whole table, as it stands in the documentation."""
    rows = [
        f"| `{mode.value}` | {phase.value} | {event.value} | {_in_words(mode, then)} |"
        for (mode, phase), row in TABLE.items()
        for event, then in row.items()
    ]
    head = ["| Mode | Where | What happens | Then |", "|---|---|---|---|"]
    return "\n".join([*head, *rows, "| any | anywhere | anything else | incomplete |"]) + "\n"


def _in_words(mode: Mode, then: Then) -> str:
    match then:
        case Again(otherwise):
            return f"play it again; after the last time: {otherwise.value}"
        case Move.TELL:
            return f"play `{PROMPTS[mode]}`"
        case Move.LISTEN:
            return f"listen for `{'answer_s' if mode is Mode.ASK else 'late_s'}`"
        case Move.LISTEN_ON:
            return f"listen on; after {MOST_KEYS} such keys: incomplete"
        case outcome:
            return outcome.value
