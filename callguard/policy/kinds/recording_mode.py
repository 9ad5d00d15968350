"""What must come before a recording. Of several such rules the strictest wins, because the
obligations of all of them hold together."""

from functools import cached_property
from typing import Literal

from callguard.policy.exemption import stands
from callguard.policy.facts import CallFacts
from callguard.policy.rules import Found, KindSettings, Obligation, Outcome, required

Mode = Literal["silent", "notice", "ask", "never"]
_STRICTNESS: tuple[Mode, ...] = ("silent", "notice", "ask", "never")


class Settings(KindSettings):
    """``silent``: one party's consent suffices, and the tenant is one. ``notice``: the subject
    is told and stays on the line. ``ask``: the subject says yes. ``never``: no recording. A
    consent to recordings that stands is as good as a notice or a yes. ``beep`` is whether a tone
    must sound while it runs."""

    mode: Mode
    beep: bool = False

    @cached_property
    def found(self) -> Found:
        """What is found where no consent stands."""
        match self.mode:
            case "silent":
                outcome = Outcome.REQUIRE if self.beep else Outcome.PASS
                said = "one party's consent suffices for recording"
                return Found(outcome, said, self._with_tone(Obligation.ONE_PARTY))
            case "notice":
                return required("recording needs a notice", self._with_tone(Obligation.PLAY_NOTICE))
            case "ask":
                duties = self._with_tone(Obligation.PLAY_NOTICE, Obligation.ASK_CONSENT)
                return required("recording needs the subject's yes", duties)
            case "never":
                return required("recording is not allowed", [Obligation.DO_NOT_RECORD])

    @cached_property
    def consented(self) -> Found:
        """What is found where the subject's consent to recordings stands."""
        if self.mode not in ("notice", "ask"):
            return self.found
        said = "the subject consented to recordings"
        return required(said, self._with_tone(Obligation.PRIOR_CONSENT))

    def _with_tone(self, *duties: Obligation) -> frozenset[Obligation]:
        return frozenset(duties) | ({Obligation.BEEP} if self.beep else set())


def find(settings: Settings, facts: CallFacts) -> Found:
    if any(given.purpose == "recording" and stands(given, facts) for given in facts.consents):
        return settings.consented
    return settings.found


def loosens(before: Settings, after: Settings) -> bool:
    milder = _STRICTNESS.index(after.mode) < _STRICTNESS.index(before.mode)
    return milder or (before.beep and not after.beep)
