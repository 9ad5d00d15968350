"""The channels alive on one Asterisk, told from its manager events. Pure.

Events say what changed; ``resync`` says what is true after a gap, from a CoreShowChannels list.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import ClassVar, Final

from callguard.ami.changes import (
    Bridged,
    Change,
    ChannelAnswered,
    ChannelGone,
    ChannelUp,
    RecordingMuted,
    RecordingStarted,
    RecordingStopped,
    Unbridged,
)
from callguard.ami.wire import Message

__all__ = [
    "EVENTS",
    "Bridged",
    "Change",
    "Channel",
    "ChannelAnswered",
    "ChannelGone",
    "ChannelUp",
    "LiveCalls",
    "RecordingMuted",
    "RecordingStarted",
    "RecordingStopped",
    "Unbridged",
]

#: ``AST_STATE_UP``: the channel was answered.
_STATE_UP: Final = 6
#: Uniqueids remembered after they hung up, so that what comes late does not revive them.
_REMEMBERED: Final = 4096


@dataclass(frozen=True, slots=True)
class Channel:
    """One living channel. ``changed`` is the ``at`` of the last event that touched it.

    ``bridge`` is the bridge it is in, if any; ``recordings`` the MixMonitors known to run on
    it. What ran before callguard saw the channel is not known: no list tells it.
    """

    uniqueid: str
    name: str
    linkedid: str
    since: float
    changed: float
    answered: bool = False
    bridge: str | None = None
    recordings: int = 0
    muted: bool = False


class LiveCalls:
    """The channels of one Asterisk by Uniqueid, at most ``limit`` of them.

    A channel over the limit is counted in ``untracked`` and not followed; recordings that
    start on it are still told.
    """

    def __init__(self, limit: int = 20_000) -> None:
        self._limit = limit
        self._channels: dict[str, Channel] = {}
        self._bridges: dict[str, set[str]] = {}
        self._gone: OrderedDict[str, float] = OrderedDict()
        self.untracked = 0

    @property
    def channels(self) -> Mapping[str, Channel]:
        """The living channels, by Uniqueid; a view."""
        return MappingProxyType(self._channels)

    def in_bridge(self, bridge: str) -> tuple[Channel, ...]:
        """The channels in ``bridge``, by Uniqueid."""
        members = sorted(self._bridges.get(bridge, ()))
        return tuple(self._channels[uniqueid] for uniqueid in members)

    def apply(self, event: Message, at: float) -> list[Change]:
        """What ``event``, received at ``at``, changed; nothing for kinds not followed here."""
        reader = self._readers.get(event.name)
        return reader(self, event, at) if reader else []

    def resync(self, channels: Iterable[Message], at: float) -> list[Change]:
        """Takes a CoreShowChannels list for the truth as of ``at``, the instant it was asked for.

        Channels believed alive but absent are gone, with no cause; unknown ones are up. What an
        event said after ``at`` is newer than the list and stands.
        """
        changes: list[Change] = []
        listed = set()
        for entry in channels:
            uniqueid = entry.get("Uniqueid") or ""
            listed.add(uniqueid)
            known = self._channels.get(uniqueid)
            if known and known.changed > at:
                continue
            if self._gone.get(uniqueid, at) < at:
                del self._gone[uniqueid]
            channel = self._meet(entry, "", at, changes)
            if channel:
                bridge = entry.get("BridgeId") or entry.get("BridgeID")
                self._move(channel, bridge or None, at, changes)
        for uniqueid in list(self._channels):
            if uniqueid not in listed and self._channels[uniqueid].changed <= at:
                self._lose(uniqueid, None, at, changes)
        return changes

    def _meet(
        self, event: Message, prefix: str, at: float, changes: list[Change]
    ) -> Channel | None:
        """The channel that ``event`` shows under ``prefix``, met or brought up to date."""
        uniqueid = event.get(f"{prefix}Uniqueid")
        name = event.get(f"{prefix}Channel") or ""
        linkedid = event.get(f"{prefix}Linkedid") or uniqueid or ""
        if not uniqueid or uniqueid in self._gone:
            return None
        known = self._channels.get(uniqueid)
        if known is None:
            if len(self._channels) >= self._limit:
                self.untracked += 1
                return None
            known = Channel(uniqueid, name, linkedid, at, at)
            changes.append(ChannelUp(uniqueid, name, linkedid))
        channel = replace(known, name=name or known.name, linkedid=linkedid, changed=at)
        self._channels[uniqueid] = channel
        if event.get(f"{prefix}ChannelState") == str(_STATE_UP):
            channel = self._answer(channel, changes)
        return channel

    def _answer(self, channel: Channel, changes: list[Change]) -> Channel:
        if channel.answered:
            return channel
        changes.append(ChannelAnswered(channel.uniqueid, channel.name))
        return self._keep(replace(channel, answered=True))

    def _move(
        self, channel: Channel, bridge: str | None, at: float, changes: list[Change]
    ) -> Channel:
        if channel.bridge == bridge:
            return channel
        if channel.bridge is not None:
            members = self._bridges[channel.bridge]
            members.discard(channel.uniqueid)
            if not members:
                del self._bridges[channel.bridge]
            changes.append(Unbridged(channel.uniqueid, channel.bridge))
        if bridge is not None:
            self._bridges.setdefault(bridge, set()).add(channel.uniqueid)
            changes.append(Bridged(channel.uniqueid, bridge))
        return self._keep(replace(channel, bridge=bridge, changed=at))

    def _lose(self, uniqueid: str, cause: int | None, at: float, changes: list[Change]) -> None:
        channel = self._channels.get(uniqueid)
        if channel is not None:
            # Asterisk tells neither of these when the channel ends under them.
            channel = self._move(channel, None, at, changes)
            stopped = RecordingStopped(uniqueid, channel.name)
            changes.extend([stopped] * channel.recordings)
            changes.append(ChannelGone(uniqueid, cause))
            del self._channels[uniqueid]
        self._gone[uniqueid] = at
        if len(self._gone) > _REMEMBERED:
            self._gone.popitem(last=False)

    def _keep(self, channel: Channel) -> Channel:
        self._channels[channel.uniqueid] = channel
        return channel

    def _shown(self, event: Message, at: float) -> list[Change]:
        changes: list[Change] = []
        self._meet(event, "", at, changes)
        return changes

    def _renamed(self, event: Message, at: float) -> list[Change]:
        known = self._channels.get(event.get("Uniqueid") or "")
        name = event.get("Newname")
        if known and name:
            self._keep(replace(known, name=name, changed=at))
        return []

    def _dialled(self, event: Message, at: float) -> list[Change]:
        changes: list[Change] = []
        self._meet(event, "", at, changes)
        called = self._meet(event, "Dest", at, changes)
        if called and (event.get("DialStatus") or "") == "ANSWER":
            self._answer(called, changes)
        return changes

    def _entered(self, event: Message, at: float) -> list[Change]:
        changes: list[Change] = []
        channel = self._meet(event, "", at, changes)
        if channel:
            self._move(channel, event.get("BridgeUniqueid") or None, at, changes)
        return changes

    def _left(self, event: Message, at: float) -> list[Change]:
        changes: list[Change] = []
        channel = self._meet(event, "", at, changes)
        # An attended transfer may have moved it on before it is said to have left.
        if channel and channel.bridge == event.get("BridgeUniqueid"):
            self._move(channel, None, at, changes)
        return changes

    def _hung_up(self, event: Message, at: float) -> list[Change]:
        changes: list[Change] = []
        uniqueid = event.get("Uniqueid")
        if uniqueid:
            cause = event.get("Cause") or ""
            known = cause.isascii() and cause.isdigit()
            self._lose(uniqueid, int(cause) if known else None, at, changes)
        return changes

    def _recording_started(self, event: Message, at: float) -> list[Change]:
        changes: list[Change] = []
        channel = self._meet(event, "", at, changes)
        if channel:
            self._keep(replace(channel, recordings=channel.recordings + 1))
        # Told of channels that are not followed too: somebody may have to stop it.
        uniqueid, name = event.get("Uniqueid") or "", event.get("Channel") or ""
        changes.append(RecordingStarted(uniqueid, name))
        return changes

    def _recording_stopped(self, event: Message, at: float) -> list[Change]:
        changes: list[Change] = []
        channel = self._meet(event, "", at, changes)
        if channel and channel.recordings:
            self._keep(replace(channel, recordings=channel.recordings - 1))
        if channel:
            changes.append(RecordingStopped(channel.uniqueid, channel.name))
        return changes

    def _recording_muted(self, event: Message, at: float) -> list[Change]:
        changes: list[Change] = []
        channel = self._meet(event, "", at, changes)
        if channel:
            muted = event.get("State") == "1"
            self._keep(replace(channel, muted=muted))
            direction = event.get("Direction") or ""
            changes.append(RecordingMuted(channel.uniqueid, channel.name, muted, direction))
        return changes

    _readers: ClassVar[Mapping[str, Callable[["LiveCalls", Message, float], list[Change]]]] = {
        "Newchannel": _shown,
        "Newstate": _shown,
        "Rename": _renamed,
        "DialBegin": _dialled,
        "DialEnd": _dialled,
        "BridgeEnter": _entered,
        "BridgeLeave": _left,
        "Hangup": _hung_up,
        "MixMonitorStart": _recording_started,
        "MixMonitorStop": _recording_stopped,
        "MixMonitorMute": _recording_muted,
    }
    #: The event kinds that are followed.
    kinds: ClassVar[frozenset[str]] = frozenset(_readers)


#: The event kinds that LiveCalls follows, for ``AmiSettings.wanted``.
EVENTS: Final = LiveCalls.kinds
