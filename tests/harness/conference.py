"""ConfBridge: any number of channels that hear each other, without PIN, menu or announcements.

Asterisk plays to whoever is alone in a conference before it lets them in; here they are in at once.
"""

from typing import TYPE_CHECKING

from tests.harness import events
from tests.harness.channels import Bridge, Channel, ChannelEnded

if TYPE_CHECKING:
    from tests.harness.asterisk import SimulatedAsterisk


class Conferences:
    """The conferences of one simulated Asterisk, by name."""

    def __init__(self, pbx: "SimulatedAsterisk") -> None:
        self._pbx = pbx
        self.rooms: dict[str, Bridge] = {}

    async def visit(self, channel: Channel, name: str) -> None:
        """The application ConfBridge, until the channel leaves."""
        pbx = self._pbx
        pbx.answer(channel)
        room = self.rooms.get(name)
        if room is None:
            room = pbx.bridging.new("base", "softmix", creator="ConfBridge", name=name)
            self.rooms[name] = room
            self._tell("ConfbridgeStart", room, [])
        pbx.bridging.enter(room, channel)
        told = events.channel_headers(channel)
        self._tell("ConfbridgeJoin", room, [*told, ("Admin", "No"), ("Muted", "No")])
        try:
            await pbx.bridging.stay(channel)
        finally:
            self._tell("ConfbridgeLeave", room, [*told, ("Admin", "No")])
            if not room.channels and self.rooms.get(name) is room:
                del self.rooms[name]
                self._tell("ConfbridgeEnd", room, [])
        if channel.interrupted:
            raise ChannelEnded

    def _tell(self, kind: str, room: Bridge, rest: list[tuple[str, str]]) -> None:
        headers = [("Conference", room.name), *events.bridge_headers(room), *rest]
        self._pbx.emit(kind, "call,all", headers)
