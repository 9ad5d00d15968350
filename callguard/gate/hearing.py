"""Whom a recording hears, and why it must be silent. Pure.

MixMonitor writes what its channel says and what is said to it: the parties reached through bridges
and pairs of Local channels. Whoever may join at any moment (dialled in the same call, and in no
conversation yet) counts as heard already where they were not told, so that nobody is recorded
between the moment they are connected and the moment that is told.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase

from callguard.ami.calls import Channel, LiveCalls
from callguard.consent.states import ConsentState
from callguard.gate.told import Told

PAUSED = "paused"
STOPPED = "stopped"
"""Somebody ended it, and Asterisk is not known to have done so."""
LOST = "its channel is not known"

ORIGINATED = "callguard-"
"""What the Uniqueid of a channel begins with on which callguard itself calls somebody."""

_TECHNICAL = ("CBAnn/", "CBRec/", "Announcer/", "Recorder/", "Snoop/", "Message/")
_MOVED = "AsyncGoto/"
"""Before the name of a channel while Asterisk takes it elsewhere."""


class Kind(Enum):
    """Who speaks on a channel."""

    INSIDE = "inside"
    """A tenant's own people, who are told by policy."""

    OUTSIDE = "outside"
    TECHNICAL = "technical"
    """Nobody: Asterisk itself, or half of a Local channel."""


@dataclass(frozen=True, slots=True)
class Trunks:
    """The endpoints behind which the world is, as patterns (``PJSIP/carrier``, ``DAHDI/*``)."""

    patterns: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.patterns)

    def has(self, channel_name: str) -> bool:
        """Whether the channel of that name leads there."""
        endpoint = endpoint_of(channel_name).casefold()
        return any(fnmatchcase(endpoint, pattern.casefold()) for pattern in self.patterns)


def endpoint_of(channel_name: str) -> str:
    """``PJSIP/carrier`` of ``PJSIP/carrier-0000002a``."""
    name = channel_name.removeprefix(_MOVED)
    return name.rpartition("-")[0] or name


def is_technical(channel_name: str) -> bool:
    """Whether nobody speaks on a channel of that name."""
    return channel_name.startswith(_TECHNICAL)


@dataclass(frozen=True, slots=True)
class Hearing:
    """Who is connected with a channel, and who may be at any moment. ``torn`` are Local channels
    whose other half is not known; ``watched`` is what the answer depends on, in the words of
    ``LiveCalls.take_touched``."""

    reached: tuple[Channel, ...]
    coming: tuple[Channel, ...]
    torn: tuple[str, ...]
    watched: frozenset[str]


def hearing(live: LiveCalls, uniqueid: str, joining: Collection[str] = ()) -> Hearing:
    """What a recording on that channel hears. ``joining`` are channels that are known to be about
    to join, whatever they are linked with."""
    watched = {uniqueid, *joining}
    torn: list[str] = []
    found: dict[str, Channel] = {}
    todo = [uniqueid]
    while todo:
        channel = live.channels.get(todo.pop())
        if channel is None or channel.uniqueid in found:
            continue
        found[channel.uniqueid] = channel
        watched |= {channel.uniqueid, channel.linkedid}
        if channel.bridge is not None:
            watched.add(channel.bridge)
            if not live.is_holding(channel.bridge):
                todo += [other.uniqueid for other in live.in_bridge(channel.bridge)]
        if channel.pair is not None:
            watched.add(channel.pair)
            half = live.other_half(channel)
            if half is not None:
                todo.append(half.uniqueid)
            else:
                torn.append(channel.uniqueid)
    coming = []
    for near in _near(live, found.values(), joining):
        if near.uniqueid in found:
            continue
        watched |= {near.uniqueid, near.linkedid, near.bridge or near.uniqueid}
        if not in_company(live, near):
            coming.append(near)
    return Hearing(tuple(found.values()), tuple(coming), tuple(torn), frozenset(watched))


def _near(
    live: LiveCalls, reached: Iterable[Channel], joining: Collection[str]
) -> Iterable[Channel]:
    """The channels of the same calls, once each."""
    near: dict[str, Channel] = {}
    for channel in reached:
        for other in (*live.linked(channel.linkedid), *live.dialled_from(channel.uniqueid)):
            near[other.uniqueid] = other
    for uniqueid in joining:
        if (one := live.channels.get(uniqueid)) is not None:
            near[uniqueid] = one
    return near.values()


def in_company(live: LiveCalls, channel: Channel) -> bool:
    """Whether a channel is in a conversation. Alone in a bridge it is not: whoever is connected
    enters it first, and the others after."""
    if channel.bridge is None or live.is_holding(channel.bridge):
        return False
    return any(
        other.uniqueid != channel.uniqueid and not is_technical(other.name)
        for other in live.in_bridge(channel.bridge)
    )


def reasons_for_silence(
    heard: Hearing,
    kind: Callable[[Channel], Kind],
    told: Callable[[str], Told | None],
    tenant: str | None,
) -> frozenset[str]:
    """Why a recording of that tenant must be silent: nothing where everybody whom it hears is
    inside, or was told and agreed to be recorded by this tenant. Without a tenant, somebody
    else's recording is meant: then everybody agreed to the same."""
    if not heard.reached:
        return frozenset({LOST})
    reasons = {f"not told: other end of {uniqueid}" for uniqueid in heard.torn}
    tenants = set()
    for channel in (*heard.reached, *heard.coming):
        if kind(channel) is not Kind.OUTSIDE:
            continue
        said = told(channel.uniqueid)
        reason = _against(said, tenant)
        if reason is not None:
            reasons.add(f"{reason}: {channel.uniqueid}")
        elif said is not None:
            tenants.add(said.tenant)
    if len(tenants) > 1:
        reasons.add("told by several tenants")
    return frozenset(reasons)


def _against(told: Told | None, tenant: str | None) -> str | None:
    """Why somebody outside must not be heard."""
    if told is None or (tenant is not None and told.tenant != tenant):
        return "not told"
    match told.state:
        case ConsentState.GRANTED:
            return None
        case ConsentState.WITHDRAWN | ConsentState.REFUSED | ConsentState.EXPIRED:
            return told.state.value
        case _:
            return "not told"
