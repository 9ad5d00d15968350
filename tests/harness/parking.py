"""Parking: a channel waits, with music and alone, until somebody dials its place."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.harness import events
from tests.harness.channels import Bridge, Channel, ChannelEnded
from tests.harness.transfers import tell_blind_transfer

if TYPE_CHECKING:
    from tests.harness.asterisk import SimulatedAsterisk

FIRST_SPACE = 701
TIMEOUT_S = 45


@dataclass(frozen=True, slots=True)
class _Parked:
    channel: Channel
    dialled: str
    since: float


class ParkingLot:
    """The lot ``default``. Who is never fetched stays: the time-out is not simulated."""

    def __init__(self, pbx: "SimulatedAsterisk") -> None:
        self._pbx = pbx
        self._bridge: Bridge | None = None
        self._parked: dict[int, _Parked] = {}

    def park(self, transferer: Channel, exten: str, context: str) -> int:
        """A phone transfers whoever it talks with to the extension for parking; their place."""
        pbx = self._pbx
        former = transferer.bridge
        parkee = tell_blind_transfer(pbx, transferer, exten, context, external=True)
        if self._bridge is None:
            self._bridge = pbx.bridging.new(
                "parking", "holding_bridge", creator="Parking", name="default"
            )
        space = FIRST_SPACE
        while space in self._parked:
            space += 1
        parker = transferer.name.rpartition("-")[0]
        self._parked[space] = _Parked(parkee, parker, pbx.clock.monotonic())
        pbx.bridging.move(parkee, self._bridge, between=lambda: self._tell("ParkedCall", space, []))
        if former is not None and transferer.bridge is former:
            pbx.bridging.kick(transferer)
        return space

    async def retrieve(self, channel: Channel, space: int) -> None:
        """The application ParkedCall."""
        pbx = self._pbx
        pbx.answer(channel)
        parked = self._parked.get(space)
        if parked is None or parked.channel.bridge is not self._bridge:
            channel.hang_up(16)
            raise ChannelEnded
        bridge = pbx.bridging.new()
        self._tell("UnParkedCall", space, events.channel_headers(channel, "Retriever"))
        del self._parked[space]
        pbx.bridging.move(parked.channel, bridge)
        pbx.bridging.enter(bridge, channel)
        await pbx.bridging.stay(channel)
        if not channel.interrupted:
            channel.hang_up(16)
        raise ChannelEnded

    def _tell(self, kind: str, space: int, retriever: list[tuple[str, str]]) -> None:
        parked = self._parked[space]
        seconds = int(self._pbx.clock.monotonic() - parked.since)
        headers = [
            *events.channel_headers(parked.channel, "Parkee"),
            *retriever,
            ("ParkerDialString", parked.dialled),
            ("Parkinglot", "default"),
            ("ParkingSpace", str(space)),
            ("ParkingTimeout", str(TIMEOUT_S - seconds)),
            ("ParkingDuration", str(seconds)),
        ]
        self._pbx.emit(kind, "call,all", headers)
