"""One person on one channel, whichever call it came with: what they do and hear."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from tests.harness.channels import Channel
from tests.harness.notes import Heard, Note
from tests.harness.transfers import attended_transfer, blind_transfer, consult

if TYPE_CHECKING:
    from tests.harness.playbook import Pbx


class Leg:
    """Made by ``Pbx.leg`` and ``Call.leg``; every step waits in virtual time."""

    def __init__(self, pbx: "Pbx", channel: Channel) -> None:
        self.pbx = pbx
        self.channel = channel
        self._asterisk = pbx.asterisk

    @property
    def gone(self) -> bool:
        """True when the channel has ended."""
        return self.channel not in self._asterisk.channels

    async def _until(self, condition: Callable[[], bool], what: str, within: float) -> None:
        await self._asterisk.until(condition, f"{what} on {self.channel.name}", within)

    # --- the far end --------------------------------------------------------------------------

    async def answers(self, after: float = 1.0) -> None:
        """It rings and, after so many seconds, is picked up."""
        self._asterisk.remote(self.channel, "ringing")
        await asyncio.sleep(after)
        self._asterisk.remote(self.channel, "answer")
        await asyncio.sleep(0)

    def refuses(self, how: Literal["busy", "congestion", "unavailable"]) -> None:
        """It does not take the call."""
        self._asterisk.remote(self.channel, how)

    async def is_connected(self, within: float = 60.0) -> None:
        """Wait until it is in a bridge with somebody."""

        def bridged() -> bool:
            bridge = self.channel.bridge
            return bridge is not None and len(bridge.channels) > 1

        await self._until(bridged, "bridge", within)

    # --- what is heard and pressed ------------------------------------------------------------

    @property
    def heard(self) -> tuple[Heard, ...]:
        """The prompts that ended on it so far."""
        every = self._asterisk.media.heard
        return tuple(each for each in every if each.channel == self.channel.name)

    def _began(self, prompt: str) -> list[Note]:
        name = self.channel.name
        return [
            note
            for note in self._asterisk.notes
            if (note.kind, note.channel, note.detail) == ("prompt", name, prompt)
        ]

    async def hears(self, prompt: str, *, seconds: float = 0.0, within: float = 30.0) -> None:
        """Wait until a prompt plays to it, and let it play on for so many seconds."""
        count = sum(each.prompt == prompt for each in self.heard)
        await self._until(lambda: len(self._began(prompt)) > count, prompt, within)
        await asyncio.sleep(seconds)

    async def hears_all(self, prompt: str, within: float = 120.0) -> None:
        """Wait until a prompt has been played to its end."""
        count = sum(each.prompt == prompt for each in self.heard)
        await self._until(
            lambda: sum(each.prompt == prompt for each in self.heard) > count, prompt, within
        )
        last = [each for each in self.heard if each.prompt == prompt][-1]
        assert last.whole, f"{prompt} was cut short\n{self._asterisk.story()}"

    async def presses(self, keys: str) -> None:
        """Press keys; in a conversation a feature code acts if the channel may use it."""
        channel = self.channel
        feature = self.pbx.features.find(channel, keys) if channel.bridge is not None else None
        for key in keys:
            self._asterisk.media.press(channel, key)
            await asyncio.sleep(0.1)
        if feature is None or channel.bridge is None:
            return
        done = self._count("feature_ended")
        self._asterisk.feature(channel, feature.target)
        await self._until(
            lambda: self._count("feature_ended") > done or self.gone, feature.name, 30.0
        )

    def _count(self, kind: str) -> int:
        name = self.channel.name
        return sum((note.kind, note.channel) == (kind, name) for note in self._asterisk.notes)

    # --- in the conversation ------------------------------------------------------------------

    async def holds(self) -> None:
        """Its user puts whoever it talks with on hold."""
        self._asterisk.media.hold(self.channel, held=True, music="default")
        await asyncio.sleep(0)

    async def unholds(self) -> None:
        """Its user takes them back."""
        self._asterisk.media.hold(self.channel, held=False)
        await asyncio.sleep(0)

    async def blind_transfer(
        self, to: str, *, context: str = "from-agents", by: Literal["refer", "code"] = "refer"
    ) -> "Leg":
        """Its user sends whoever it talks with to an extension; the leg that is sent."""
        sent = blind_transfer(self._asterisk, self.channel, to, context, external=by == "refer")
        await asyncio.sleep(0)
        return Leg(self.pbx, sent)

    async def attended_transfer(self, second: "Leg") -> None:
        """Its phone, which has a second call with ``second``, joins the two others."""
        attended_transfer(self._asterisk, self.channel, second.channel)
        await asyncio.sleep(0)

    async def consults(self, to: str, *, context: str = "from-agents") -> None:
        """Its user, by feature code, talks with an extension while the other side waits; when it
        hangs up, the two are joined."""
        await consult(self._asterisk, self.channel, to, context)

    async def parks(self, exten: str = "700", context: str = "inside") -> int:
        """Its user parks whoever it talks with; the number to dial for them."""
        space = self._asterisk.parking.park(self.channel, exten, context)
        await asyncio.sleep(0)
        return space

    def falls_silent(self) -> None:
        """It stops talking: its tone leaves the recording."""
        self._speaks(speaking=False)

    def speaks(self) -> None:
        """It talks again."""
        self._speaks(speaking=True)

    def _speaks(self, *, speaking: bool) -> None:
        self.channel.speaking = speaking
        self._asterisk.media.follow_sound()

    async def hangs_up(self, cause: int = 16) -> None:
        """It hangs up."""
        self.channel.hang_up(cause)
        self._asterisk.changed()
        await asyncio.sleep(0)
