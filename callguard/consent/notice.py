"""Whether a notice was heard. Pure."""

from dataclasses import dataclass

from callguard.consent.states import ConsentState

OPT_OUT_DIGIT = "9"
"""What the notice says to press; it is in the words, so it is no setting."""

TAIL_SAMPLES = 160
"""20 ms at 8 kHz: Asterisk counts whole frames, so a full prompt may fall one frame short."""


@dataclass(frozen=True, slots=True)
class Played:
    """How the playing of a prompt ended. ``endpos`` is in samples at 8 kHz."""

    endpos: int
    digit: str | None
    hung_up: bool


def consent_by_notice(played: Played, samples: int) -> ConsentState:
    """Consent by notice stands only if the notice played to its end to a party who stayed.

    A prompt that is missing plays nothing, so it ends ``INCOMPLETE`` like one cut short.
    """
    if played.digit == OPT_OUT_DIGIT:
        return ConsentState.REFUSED
    whole = samples > 0 and played.endpos >= max(1, samples - TAIL_SAMPLES)
    if whole and not played.hung_up and played.digit is None:
        return ConsentState.GRANTED
    return ConsentState.INCOMPLETE
