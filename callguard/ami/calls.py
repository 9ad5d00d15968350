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
    Dialled,
    Held,
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
    "Dialled",
    "Held",
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
#: Bridges in which nobody hears anybody: parking, waiting.
_HOLDING: Final = "holding_bridge"


@dataclass(frozen=True, slots=True)
class Channel:
    """One living channel. ``changed`` is the ``at`` of the last event that touched it.

    ``bridge`` is the bridge it is in, if any; ``recordings`` the MixMonitors known to run on
    it. What ran before callguard saw the channel is not known: no list tells it. ``dialled_by`` is
    the channel that called it, if any. ``held`` is whether its party has put the others on hold,
    ``unheld`` when, by the same clock as ``at``, it last took them back.
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
    dialled_by: str | None = None
    held: bool = False
    unheld: float | None = None

    @property
    def pair(self) -> str | None:
        """What the names of both halves of a Local channel begin with."""
        pair, semicolon, half = self.name.rpartition(";")
        local = semicolon and half in ("1", "2") and pair.startswith("Local/")
        return pair if local else None

    def was_held_since(self, moment: float) -> bool:
        """Whether its party had the others on hold at any time since."""
        return self.held or (self.unheld is not None and self.unheld >= moment)

    def place(self) -> tuple[str, str, str | None, str | None]:
        """What says with whom it is connected."""
        return self.name, self.linkedid, self.bridge, self.dialled_by


class LiveCalls:
    """The channels of one Asterisk by Uniqueid, at most ``limit`` of them.

    A channel over the limit is counted in ``untracked`` and not followed; recordings that
    start on it are still told.
    """

    def __init__(self, limit: int = 20_000) -> None:
        self._limit = limit
        self._channels: dict[str, Channel] = {}
        self._bridges: dict[str, set[str]] = {}
        self._holding: set[str] = set()
        self._linked: dict[str, set[str]] = {}
        self._dialled_by: dict[str, set[str]] = {}
        self._pairs: dict[str, set[str]] = {}
        self._touched: set[str] = set()
        self._gone: OrderedDict[str, float] = OrderedDict()
        self._place_taken = False
        self.untracked = 0

    @property
    def channels(self) -> Mapping[str, Channel]:
        """The living channels, by Uniqueid; a view."""
        return MappingProxyType(self._channels)

    def in_bridge(self, bridge: str) -> tuple[Channel, ...]:
        """The channels in ``bridge``, by Uniqueid."""
        return self._those(self._bridges.get(bridge, ()))

    def is_holding(self, bridge: str) -> bool:
        """Whether nobody in that bridge hears anybody else. Not known of one that was there before
        the channels were listed."""
        return bridge in self._holding

    def linked(self, linkedid: str) -> tuple[Channel, ...]:
        """The channels with that Linkedid, by Uniqueid."""
        return self._those(self._linked.get(linkedid, ()))

    def dialled_from(self, uniqueid: str) -> tuple[Channel, ...]:
        """The channels that this one called, by Uniqueid."""
        return self._those(self._dialled_by.get(uniqueid, ()))

    def other_half(self, channel: Channel) -> Channel | None:
        """The other end of a Local channel, if it is known."""
        ends = self._pairs.get(channel.pair or "", ())
        return next((self._channels[end] for end in ends if end != channel.uniqueid), None)

    def take_touched(self) -> frozenset[str]:
        """What looks different since this was last asked: Uniqueids and Linkedids, bridges, pairs
        of Local channels, and who dialled a channel."""
        touched = frozenset(self._touched)
        self._touched.clear()
        return touched

    def take_place_taken(self) -> bool:
        """Whether, since this was last asked, a channel hung up that was not said to have left its
        bridge. Another may have taken its place there, as after an attended transfer into a
        conference: of that no event tells, only the list of channels does."""
        taken, self._place_taken = self._place_taken, False
        return taken

    def _those(self, uniqueids: Iterable[str]) -> tuple[Channel, ...]:
        return tuple(self._channels[uniqueid] for uniqueid in sorted(uniqueids))

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
        channel = self._keep(replace(known, name=name or known.name, linkedid=linkedid, changed=at))
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
                self._holding.discard(channel.bridge)
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
            self._forget(channel)
            del self._channels[uniqueid]
        self._gone[uniqueid] = at
        if len(self._gone) > _REMEMBERED:
            self._gone.popitem(last=False)

    def _keep(self, channel: Channel) -> Channel:
        before = self._channels.get(channel.uniqueid)
        self._channels[channel.uniqueid] = channel
        if before is None or before.place() != channel.place():
            if before is not None:
                self._forget(before)
            self._touch(channel)
            for index, key in self._places(channel):
                index.setdefault(key, set()).add(channel.uniqueid)
        return channel

    def _forget(self, channel: Channel) -> None:
        self._touch(channel)
        for index, key in self._places(channel):
            members = index[key]
            members.discard(channel.uniqueid)
            if not members:
                del index[key]

    def _places(self, channel: Channel) -> Iterable[tuple[dict[str, set[str]], str]]:
        yield self._linked, channel.linkedid
        if channel.dialled_by is not None:
            yield self._dialled_by, channel.dialled_by
        if (pair := channel.pair) is not None:
            yield self._pairs, pair

    def _touch(self, channel: Channel) -> None:
        keys = (channel.linkedid, channel.bridge, channel.dialled_by, channel.pair)
        self._touched.add(channel.uniqueid)
        self._touched.update(key for key in keys if key is not None)

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
        if called and event.name == "DialBegin":
            by = event.get("Uniqueid") or None
            self._keep(replace(self._channels[called.uniqueid], dialled_by=by))
            changes.append(Dialled(called.uniqueid, by, event.get("DialString") or ""))
        if called and (event.get("DialStatus") or "") == "ANSWER":
            self._answer(called, changes)
        return changes

    def _entered(self, event: Message, at: float) -> list[Change]:
        changes: list[Change] = []
        channel = self._meet(event, "", at, changes)
        bridge = event.get("BridgeUniqueid") or None
        if channel:
            if bridge is not None and event.get("BridgeTechnology") == _HOLDING:
                self._holding.add(bridge)
            self._move(channel, bridge, at, changes)
        return changes

    def _left(self, event: Message, at: float) -> list[Change]:
        changes: list[Change] = []
        channel = self._meet(event, "", at, changes)
        # An attended transfer may have moved it on before it is said to have left.
        if channel and channel.bridge == event.get("BridgeUniqueid"):
            self._move(channel, None, at, changes)
        return changes

    def _held(self, event: Message, at: float) -> list[Change]:
        changes: list[Change] = []
        channel = self._meet(event, "", at, changes)
        if channel:
            on = event.name == "Hold"
            self._keep(replace(channel, held=on, unheld=channel.unheld if on else at))
            changes.append(Held(channel.uniqueid, on))
        return changes

    def _hung_up(self, event: Message, at: float) -> list[Change]:
        changes: list[Change] = []
        uniqueid = event.get("Uniqueid")
        if uniqueid:
            here = self._channels.get(uniqueid)
            self._place_taken |= here is not None and here.bridge is not None
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
        "Hold": _held,
        "Unhold": _held,
        "Hangup": _hung_up,
        "MixMonitorStart": _recording_started,
        "MixMonitorStop": _recording_stopped,
        "MixMonitorMute": _recording_muted,
    }
    #: The event kinds that are followed.
    kinds: ClassVar[frozenset[str]] = frozenset(_readers)


#: The event kinds that LiveCalls follows, for ``AmiSettings.wanted``.
EVENTS: Final = LiveCalls.kinds
