"""Bridges: who enters, stays, leaves, is moved; what a channel does after its last bridge."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.harness import events
from tests.harness.channels import Bridge, Channel, ChannelEnded

if TYPE_CHECKING:
    from tests.harness.asterisk import SimulatedAsterisk


class Bridging:
    """The bridges of one simulated Asterisk."""

    def __init__(self, pbx: "SimulatedAsterisk") -> None:
        self._pbx = pbx
        self._busy: set[Channel] = set()
        self.at_end: dict[Channel, Callable[[], None]] = {}
        """What a channel's leaving sets off instead of the end of its bridge."""

    def new(
        self,
        kind: str = "basic",
        technology: str = "simple_bridge",
        *,
        creator: str = "",
        name: str = "",
    ) -> Bridge:
        """A bridge without channels."""
        identity = f"00000000-0000-4000-8000-{self._pbx.unique('bridge'):012x}"
        return Bridge(identity, kind, technology, creator, name)

    def enter(
        self, bridge: Bridge, channel: Channel, *, answer: bool = True, swapped: str = ""
    ) -> None:
        """Connect a channel; whoever was not answered yet is now."""
        if answer:
            self._pbx.answer(channel)
        bridge.channels.append(channel)
        channel.bridge, channel.kicked = bridge, False
        self._linked(bridge)
        self._tell("BridgeEnter", bridge, channel, [("SwapUniqueid", swapped)] if swapped else [])
        self._pbx.note("bridged", channel)

    def leave(self, channel: Channel) -> None:
        """Take a channel out of its bridge; the last of a basic bridge has nobody to stay for."""
        bridge = channel.bridge
        if bridge is None:
            return
        self._out(bridge, channel)
        self._pbx.note("unbridged", channel)
        at_end = self.at_end.pop(channel, None)
        if at_end is not None:
            at_end()
        elif bridge.kind == "basic" and len(bridge.channels) == 1:
            self.kick(bridge.channels[0])

    def kick(self, channel: Channel) -> None:
        """Have a channel leave, after the feature code that runs on it if one does."""
        if channel in self._busy:
            channel.kicked = True
        else:
            self.leave(channel)
        channel.stir.set()

    def move(
        self,
        channel: Channel,
        bridge: Bridge,
        *,
        instead_of: Channel | None = None,
        between: Callable[[], None] = lambda: None,
    ) -> None:
        """Put a channel that stays in one bridge into another, where it may take the place of a
        channel that leaves; the bridge it was in is left as it is."""
        if channel.bridge is not None:
            self._out(channel.bridge, channel)
        if instead_of is not None:
            self._out(bridge, instead_of)
        between()
        swapped = instead_of.uniqueid if instead_of is not None else ""
        self.enter(bridge, channel, answer=False, swapped=swapped)

    def _out(self, bridge: Bridge, channel: Channel) -> None:
        bridge.channels.remove(channel)
        channel.bridge, channel.kicked = None, False
        self._tell("BridgeLeave", bridge, channel)

    def _linked(self, bridge: Bridge) -> None:
        """Whoever shares a bridge takes the oldest linked id; no event says so."""
        if bridge.kind == "basic":
            oldest = min((c.linkedid for c in bridge.channels), key=_age)
            for each in bridge.channels:
                each.linkedid = oldest

    def _tell(
        self, kind: str, bridge: Bridge, channel: Channel, rest: Sequence[tuple[str, str]] = ()
    ) -> None:
        headers = [*events.bridge_headers(bridge), *events.channel_headers(channel), *rest]
        self._pbx.emit(kind, "call,all", headers)
        self._pbx.media.follow_sound()

    async def stay(self, channel: Channel) -> None:
        """Returns when the channel is in no bridge any more; feature codes run meanwhile."""
        while channel.bridge is not None:
            channel.stir.clear()
            if channel.interrupted or channel.kicked:
                self.leave(channel)
            elif channel.features:
                await self._feature(channel)
            else:
                await channel.stir.wait()

    async def _feature(self, channel: Channel) -> None:
        target = channel.features.pop(0)
        place = channel.context, channel.exten, channel.priority
        self._busy.add(channel)
        try:
            with suppress(ChannelEnded):
                await self._pbx.interpreter.subroutine(channel, target, [])
                channel.context, channel.exten, channel.priority = place
                self._pbx.note("feature_ended", channel, target.exten)
        finally:
            self._busy.discard(channel)

    def impart(self, bridge: Bridge, channel: Channel, *, answer: bool = True) -> None:
        """Put a channel into a bridge that has no dialplan of its own to go back to: it ends when
        it leaves its last bridge, unless it was sent somewhere."""
        self.enter(bridge, channel, answer=answer)
        self._pbx.own(self._life(channel), channel.name)

    async def _life(self, channel: Channel) -> None:
        try:
            await self.stay(channel)
        except Exception as error:  # raised again by whoever waits
            self._pbx.failures.append(error)
        self.let_go(channel)

    def let_go(self, channel: Channel) -> None:
        """What becomes of a dialled channel that nothing holds: it ends, unless it was sent
        somewhere, where its dialplan (and a call record of its own) begins."""
        if channel.redirect is None or channel.hung_up:
            self._pbx.end_channel(channel, channel.cause or 16)
            return
        if channel.uniqueid not in self._pbx.records:
            self._pbx.new_record(channel)
        self._pbx.spawn(channel)


def _age(linkedid: str) -> tuple[int, int]:
    seconds, _, number = linkedid.partition(".")
    return (int(seconds), int(number or 0)) if seconds.isdigit() else (0, 0)
