"""Who may do what in the middle of a call, and what is then to be done. Pure.

The one rule that no setting changes: an outside party never switches a recording on, and once the
one who is recorded has ended it nobody does.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal, get_args

from callguard.tenants.tenant import TenantSettings

Action = Literal["pause", "resume", "stop", "withdraw", "optout"]
Who = Literal["agent", "subject", "page", "api"]

ACTIONS: Final[tuple[Action, ...]] = get_args(Action)
ENDING: Final[tuple[Action, ...]] = ("pause", "stop", "withdraw")
"""Those after which nothing is heard."""


class Step(Enum):
    """What an action comes to: it is carried out, it was already, there is nothing that it could
    be done to, or it is not for this one to do."""

    DO = "do"
    ALREADY = "already"
    NOTHING = "nothing"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a call stands. ``recorded``: a recording of it is in progress, paused or not.
    ``paused``: one of those is. ``ended``: somebody ended its recording. ``withdrawn``: whoever
    acts, or the one for whom they act, no longer agrees. ``erased``: nothing of it is left."""

    recorded: bool = False
    paused: bool = False
    ended: bool = False
    withdrawn: bool = False
    erased: bool = False


def may(action: Action, who: Who, settings: TenantSettings) -> bool:
    """Whether it is for this one to do: by code what the tenant lets each of them press; the page
    and the API are the operator's own."""
    if who == "agent":
        return action in settings.agent_codes
    if who == "subject":
        return action != "resume" and action in settings.subject_codes
    return True


def step(action: Action, who: Who, standing: Standing, settings: TenantSettings) -> Step:
    """What is to be done. What silences a recording is done again where it was done before: that
    costs nothing, and it may have had no effect."""
    if not may(action, who, settings):
        return Step.REFUSED
    match action:
        case "optout":
            return Step.DO
        case "pause":
            return Step.DO if standing.recorded else Step.NOTHING
        case "resume":
            return _resume(standing)
        case "stop":
            return _stop(who, standing)
        case "withdraw":
            over = standing.erased and standing.withdrawn and not standing.recorded
            return Step.ALREADY if over else Step.DO


def _resume(standing: Standing) -> Step:
    if standing.withdrawn:
        return Step.REFUSED
    if not standing.recorded:
        return Step.NOTHING
    return Step.DO if standing.paused else Step.ALREADY


def _stop(who: Who, standing: Standing) -> Step:
    """Where the one who is recorded says so, they no longer agree either, recorded or not."""
    if standing.recorded or (who == "subject" and not standing.withdrawn):
        return Step.DO
    return Step.ALREADY if standing.ended or standing.withdrawn else Step.NOTHING
