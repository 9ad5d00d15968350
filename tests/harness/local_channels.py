"""Local channels: two halves, a dialplan behind the second, optimised away once they are idle."""

import asyncio
from typing import TYPE_CHECKING

from tests.harness import events
from tests.harness.channels import Channel, State

if TYPE_CHECKING:
    from tests.harness.asterisk import SimulatedAsterisk

FLOWS_S = 0.04
"""How long sound flows through both halves before Asterisk finds that they are not needed."""


class LocalChannels:
    """The Local channels of one simulated Asterisk."""

    def __init__(self, pbx: "SimulatedAsterisk") -> None:
        self._pbx = pbx
        self.optimises = True

    def make(self, caller: Channel, address: str) -> Channel:
        """Both halves of ``Local/exten@context[/n]``, announced; returns ``;1``."""
        number, _, rest = address.partition("@")
        context = rest.partition("/")[0]
        name = f"Local/{number}@{context}-{self._pbx.unique('local') - 1:08x}"
        one, two = (
            self._pbx.new_channel(name, context, number, caller.linkedid, half=half)
            for half in ("1", "2")
        )
        one.other_half, two.other_half = two, one
        for half in (one, two):
            half.variables = caller.variables.inherited()
            half.caller_number, half.language = caller.caller_number, caller.language
            half.accountcode, half.dialled_number = caller.accountcode, number
        two.state = State.RING
        for half in (one, two):
            self._pbx.announce_channel(half)
        return one

    def call(self, one: Channel, address: str) -> None:
        """Start the dialplan behind it."""
        two = one.other_half
        assert two is not None
        optimises = "n" not in address.partition("@")[2].partition("/")[2]
        place = [("Context", two.context), ("Exten", two.exten)]
        word = [("LocalOptimization", "Yes" if optimises else "No")]
        self._pbx.emit("LocalBridge", "call,all", [*events.halves(one, two), *place, *word])
        self._pbx.new_record(two)
        self._pbx.spawn(two)
        if optimises and self.optimises:
            self._pbx.own(self._watch(one, two), one.name)

    def answered(self, channel: Channel) -> None:
        """The second half was answered: so is the first."""
        one = channel.other_half
        if one is None or channel.name.endswith(";1"):
            return
        if one.bridge is None:
            self._pbx.remote(one, "answer")
        else:  # nobody dials it: it waits in the bridge of a consultation
            self._pbx.answer(one)
            dialled = [*events.channel_headers(one, "Dest"), ("DialStatus", "ANSWER")]
            self._pbx.emit("DialEnd", "call,all", dialled)

    def gone(self, channel: Channel) -> None:
        """One half ends the other."""
        if channel.other_half is not None:
            channel.other_half.hang_up(channel.cause or 16)

    async def _watch(self, one: Channel, two: Channel) -> None:
        while not (one.hung_up or two.hung_up):
            await asyncio.sleep(FLOWS_S)
            if self._needless(one, two):
                self._optimise(one, two)
                return

    def _needless(self, one: Channel, two: Channel) -> bool:
        for bridge in (one.bridge, two.bridge):
            if bridge is None or bridge.consulting or len(bridge.channels) != 2:
                return False
        if one.bridge is two.bridge:
            return False
        media = self._pbx.media
        return not (media.running_recorders(one) or media.running_recorders(two))

    def _optimise(self, one: Channel, two: Channel) -> None:
        """Whoever talks with ``;1`` takes the place of ``;2``."""
        assert one.bridge is not None
        assert two.bridge is not None
        (source,) = (each for each in one.bridge.channels if each is not one)
        halves, bridging = events.halves(one, two), self._pbx.bridging
        begin = [
            *halves,
            *events.channel_headers(source, "Source"),
            ("DestUniqueId", two.uniqueid),
            ("Id", "1"),
        ]
        self._pbx.emit("LocalOptimizationBegin", "call,all", begin)
        bridging.move(source, two.bridge, instead_of=two)
        done = [*halves, ("Success", "No"), ("Id", "1")]  # as Asterisk 22 says of a success
        self._pbx.emit("LocalOptimizationEnd", "call,all", done)
        bridging.kick(one)
        two.hang_up(16)
