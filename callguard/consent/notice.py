"""Whether a prompt was heard. Pure."""

from dataclasses import dataclass

TAIL_SAMPLES = 160
"""20 ms at 8 kHz: Asterisk counts whole frames, so a full prompt may fall one frame short."""


@dataclass(frozen=True, slots=True)
class Played:
    """How the playing of a prompt ended. ``endpos`` is in samples at 8 kHz."""

    endpos: int
    digit: str | None
    hung_up: bool


NOT_PLAYED = Played(0, None, hung_up=False)


def heard_whole(played: Played, samples: int) -> bool:
    """Whether a prompt of that length played to its end, to somebody who stayed and pressed
    nothing. One that is missing plays nothing, and was not heard; what goes on for longer than the
    prompt is something else."""
    least, most = max(1, samples - TAIL_SAMPLES), samples + TAIL_SAMPLES
    whole = samples > 0 and least <= played.endpos <= most
    return whole and not played.hung_up and played.digit is None
