"""How a call is recorded: what the law of both ends asks, and what the tenant wishes. Pure."""

from collections.abc import Collection
from enum import Enum

from callguard.policy.rules import Obligation


class Mode(Enum):
    """What comes before a recording, the mildest first.

    ``NONE``: there is no recording. ``SILENT``: nothing is said. ``PRIOR``: nothing is said,
    because a consent stands already. ``NOTICE``: it is said, and whoever stays agrees.
    ``NOTICE_OR_REFUSE``: the same, and a digit says no. ``ASK``: only a digit says yes.
    """

    NONE = "none"
    SILENT = "silent"
    PRIOR = "prior"
    NOTICE = "notice"
    NOTICE_OR_REFUSE = "notice_or_refuse"
    ASK = "ask"


_STRICTNESS = {mode: rank for rank, mode in enumerate(Mode)}

_LAW = (
    (Obligation.DO_NOT_RECORD, Mode.NONE),
    (Obligation.ASK_CONSENT, Mode.ASK),
    (Obligation.PLAY_NOTICE, Mode.NOTICE),
    (Obligation.PRIOR_CONSENT, Mode.PRIOR),
    (Obligation.ONE_PARTY, Mode.SILENT),
)
"""What each obligation comes to; of several the first here holds."""

ABOUT_RECORDING = frozenset(obligation for obligation, _ in _LAW)
"""A rule that lays one of these on a call has asked for the way in which it is recorded."""


def law_of(obligations: Collection[Obligation]) -> Mode:
    """What the rules of both ends ask together. Where none spoke of recordings, a notice."""
    return next((mode for told, mode in _LAW if told in obligations), Mode.NOTICE)


def choose(law: Mode, wish: Mode, *, record: bool) -> Mode:
    """The mode of a call: the stricter of law and wish.

    Who has consented already is not asked again, but is told where the tenant wants that at every
    call.
    """
    if not record or law is Mode.NONE:
        return Mode.NONE
    if law is Mode.PRIOR and wish in (Mode.SILENT, Mode.ASK):
        return Mode.PRIOR
    return max(law, wish, key=_STRICTNESS.__getitem__)
