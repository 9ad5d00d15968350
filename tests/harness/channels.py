"""Channels and bridges: the state that dialplan, AGI and AMI share."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

from tests.harness.variables import Variables

HANGUP_TEXT = {
    0: "Unknown",
    1: "Unallocated (unassigned) number",
    3: "No route to destination",
    16: "Normal Clearing",
    17: "User busy",
    19: "User alerting, no answer",
    20: "Subscriber absent",
    21: "Call Rejected",
    26: "Answered elsewhere",
    27: "Destination out of order",
    28: "Invalid number format",
    31: "Normal, unspecified",
    34: "Circuit/channel congestion",
    38: "Network out of order",
    41: "Temporary failure",
    50: "Facility not subscribed",
}


class State(IntEnum):
    """Channel states, with AMI's numbers."""

    DOWN = 0
    RING = 4
    RINGING = 5
    UP = 6

    @property
    def text(self) -> str:
        return {0: "Down", 4: "Ring", 5: "Ringing", 6: "Up"}[self.value]


class ChannelEnded(Exception):  # noqa: N818  (no error: how a dialplan ends)
    """The channel was hung up or taken elsewhere: the dialplan stops here."""


@dataclass(frozen=True, slots=True)
class Target:
    """A place in the dialplan."""

    context: str
    exten: str
    priority: int = 1


@dataclass(slots=True)
class Frame:
    """What Gosub remembers."""

    back: Target | None
    pushed: list[str]


@dataclass(frozen=True, slots=True)
class Timeout:
    """Nothing happened while a channel waited."""


@dataclass(frozen=True, slots=True)
class Digit:
    """A key was pressed while a channel waited."""

    key: str


@dataclass(frozen=True, slots=True)
class Gone:
    """The channel hung up, or was redirected, while it waited."""


Interruption = Timeout | Digit | Gone


@dataclass(slots=True, eq=False)
class Channel:
    """One leg of a call."""

    name: str
    uniqueid: str
    linkedid: str
    context: str
    exten: str
    caller_number: str = ""
    caller_name: str = ""
    connected_number: str = ""
    dialled_number: str = ""
    language: str = "en"
    accountcode: str = ""
    codec: str = "ulaw"
    made_compatible: str = "ulaw"
    """What its sound is turned into for the other side, which may have another codec."""
    state: State = State.DOWN
    priority: int = 1
    application: str = ""
    data: str = ""
    created: float = 0.0
    variables: Variables = field(default_factory=Variables)
    frames: list[Frame] = field(default_factory=list)
    cause: int = 0
    hung_up: bool = False
    redirect: Target | None = None
    bridge: "Bridge | None" = None
    speaking: bool = True
    on_hold: bool = False
    """Its user put the other side on hold: it sends and hears nothing."""
    early_media: bool = False
    """It sends sound before it is answered."""
    dials: "Channel | None" = None
    """Whom the Dial on it calls, until the bridge."""
    kicked: bool = False
    """It leaves its bridge as soon as it is free to."""
    machine: bool = False
    """What AMD would find."""
    other_half: "Channel | None" = None
    """Of a Local channel, ``;2`` for ``;1`` and the reverse."""
    features: list[Target] = field(default_factory=list)
    stir: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when something happens to a channel in a bridge: a feature code, a hang-up, a kick."""
    lost_digits: list[str] = field(default_factory=list)
    dialled: asyncio.Queue[str] = field(default_factory=lambda: asyncio.Queue(16))
    _waiter: asyncio.Future[Interruption] | None = None

    @property
    def is_local(self) -> bool:
        """Half of a Local channel: nobody speaks on it by themselves."""
        return self.other_half is not None

    @property
    def interrupted(self) -> bool:
        """True when whatever runs on the channel should stop."""
        return self.hung_up or self.redirect is not None

    async def wait(self, seconds: float | None) -> Interruption:
        """Let time pass until a digit, a hang-up, or (if given) so many seconds."""
        if self.interrupted:
            return Gone()
        if self._waiter is not None:
            raise RuntimeError(f"{self.name} waits in two places")
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(seconds):
                return await self._waiter
        except TimeoutError:
            return Timeout()
        finally:
            self._waiter = None

    async def idle(self) -> None:
        """Return once the channel is interrupted; digits are read and thrown away meanwhile."""
        while not isinstance(happened := await self.wait(None), Gone):
            if isinstance(happened, Digit):
                self.lost_digits.append(happened.key)

    def press(self, key: str) -> None:
        """A digit arrives. As in Asterisk it is lost when nothing on the channel waits for it."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(Digit(key))
        else:
            self.lost_digits.append(key)

    def hang_up(self, cause: int = 16) -> None:
        """Ask the channel to end; the first cause counts."""
        if not self.hung_up:
            self.hung_up, self.cause = True, cause
            self._interrupt()

    def send_to(self, target: Target) -> None:
        """Take the channel out of what it does and to another place in the dialplan."""
        self.redirect = target
        self._interrupt()

    def _interrupt(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(Gone())
        self.stir.set()
        self.dialled.put_nowait("gone")


@dataclass(slots=True, eq=False)
class Bridge:
    """Channels that hear each other; in a holding bridge (parking) they do not.

    A ``basic`` bridge ends when one of its last two leaves, a conference goes on with one.
    """

    uniqueid: str
    kind: str = "basic"
    technology: str = "simple_bridge"
    creator: str = ""
    name: str = ""
    channels: list[Channel] = field(default_factory=list)
    consulting: bool = False
    """It belongs to a consultation: no Local channel is optimised out of it."""

    @property
    def holding(self) -> bool:
        """Whether nobody in it hears anybody else."""
        return self.technology == "holding_bridge"


Watcher = Callable[[], None]
