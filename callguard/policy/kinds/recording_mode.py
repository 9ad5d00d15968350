"""What must come before a recording. Of several such rules the strictest wins, because the
obligations of all of them hold together."""

from functools import cached_property
from typing import Literal

from callguard.policy.exemption import stands
from callguard.policy.facts import CallFacts
from callguard.policy.rules import Found, KindSettings, Obligation, passed, required

Mode = Literal["silent", "notice", "ask", "never"]
_STRICTNESS: tuple[Mode, ...] = ("silent", "notice", "ask", "never")


class Settings(KindSettings):
    """``silent``: one party's consent suffices, and the tenant is one. ``notice``: the subject
    is told and stays on the line. ``ask``: the subject says yes. ``never``: no recording.
    ``beep`` is whether a tone must sound while it runs."""

    mode: Mode
    beep: bool = False

    @cached_property
    def found(self) -> Found:
        """What is found where no consent stands."""
        beep = [Obligation.BEEP] if self.beep else []
        match self.mode:
            case "silent":
                said = "one party's consent suffices for recording"
                return required(said, beep) if beep else passed(said)
            case "notice":
                return required("recording needs a notice", [Obligation.PLAY_NOTICE, *beep])
            case "ask":
                said = "recording needs the subject's yes"
                return required(said, [Obligation.PLAY_NOTICE, Obligation.ASK_CONSENT, *beep])
            case "never":
                return required("recording is not allowed", [Obligation.DO_NOT_RECORD])


def find(settings: Settings, facts: CallFacts) -> Found:
    if settings.mode == "ask" and any(
        given.purpose == "recording" and stands(given, facts) for given in facts.consents
    ):
        beep = [Obligation.BEEP] if settings.beep else []
        return required("the subject consented to recordings", [Obligation.PLAY_NOTICE, *beep])
    return settings.found


def loosens(before: Settings, after: Settings) -> bool:
    milder = _STRICTNESS.index(after.mode) < _STRICTNESS.index(before.mode)
    return milder or (before.beep and not after.beep)
