"""One Asterisk as the service follows it: its manager session and its living channels."""

import asyncio
import random
import ssl
from collections.abc import Awaitable, Callable, Iterable

import structlog

from callguard.ami.calls import EVENTS, Change, Channel, LiveCalls
from callguard.ami.errors import AmiError
from callguard.ami.session import AmiSession
from callguard.ami.settings import AmiSettings, Connector, tcp_connect
from callguard.ami.wire import Message
from callguard.clock import Clock
from callguard.config import Asterisk

log = structlog.get_logger(__name__)

CDR = "Cdr"

LIST_S = 2.0
VARIABLE_S = 2.0
AGAIN_S = 0.1
"""A list that was asked for in the middle of a transfer is asked for once more, so much later."""


class Pbx:
    """Follows one Asterisk. ``on_change`` gets each change of its channels, ``on_touched`` what
    looks different after an event (``LiveCalls.take_touched``), ``on_resync`` is told when the list
    of channels is whole again, ``on_lost`` when nothing more is heard, ``on_cdr`` gets its call
    records."""

    def __init__(
        self,
        settings: Asterisk,
        clock: Clock,
        *,
        on_change: Callable[["Pbx", Change], None],
        on_touched: Callable[["Pbx", frozenset[str]], None],
        on_lost: Callable[["Pbx"], None],
        on_resync: Callable[["Pbx"], Awaitable[None]],
        on_cdr: Callable[["Pbx", Message], None],
        connect: Connector = tcp_connect,
    ) -> None:
        self.name = settings.name
        self.reads_lease_file = settings.lease_file
        self.live = LiveCalls()
        self._clock = clock
        self._on_change = on_change
        self._on_touched = on_touched
        self._on_lost = on_lost
        self._on_resync = on_resync
        self._on_cdr = on_cdr
        self._unsure = asyncio.Event()
        self._followed_since = 0.0
        self.session = AmiSession(
            ami_settings(settings),
            on_event=self._event,
            on_up=self._up,
            on_down=self._down,
            connect=connect,
            rng=random.Random(),
            clock=clock,
        )

    def _event(self, message: Message) -> None:
        if message.name == CDR:
            self._on_cdr(self, message)
            return
        self._tell(self.live.apply(message, self._clock.monotonic()))
        if self.live.take_place_taken():
            self._unsure.set()

    def has_followed(self, channel: Channel) -> bool:
        """Whether every event of that channel was heard: it is younger than the connection."""
        return self.session.state == "up" and channel.since > self._followed_since

    async def look_again(self) -> None:
        """Where events leave out who took whose place, asks who is where. For ever."""
        while True:
            await self._unsure.wait()
            self._unsure.clear()
            try:
                await self._list()
                await asyncio.sleep(AGAIN_S)
                await self._list()
            except AmiError as error:  # once the connection is back, the list is asked for anyway
                log.warning("channels_not_listed", pbx=self.name, reason=str(error))

    async def _list(self) -> None:
        """Raises AmiError."""
        at = self._clock.monotonic()
        channels = await self.session.action_list("CoreShowChannels", timeout=LIST_S)
        self._tell(self.live.resync(channels, at))

    async def _up(self, session: AmiSession) -> None:
        self._followed_since = at = self._clock.monotonic()
        channels = await session.action_list("CoreShowChannels")
        self._tell(self.live.resync(channels, at))
        log.info("ami_up", pbx=self.name, channels=len(self.live.channels))
        await self._on_resync(self)

    def _tell(self, changes: Iterable[Change]) -> None:
        for change in changes:
            self._on_change(self, change)
        if touched := self.live.take_touched():
            self._on_touched(self, touched)

    def _down(self, reason: str) -> None:
        self._on_lost(self)
        log.error("ami_down", pbx=self.name, reason=reason)


async def variable_of(pbx: Pbx, channel: Channel, name: str) -> str:
    """A variable of a channel, empty where it has none. Raises AmiError."""
    answer = await pbx.session.action(
        "Getvar", ("Channel", channel.name), ("Variable", name), timeout=VARIABLE_S
    )
    return answer.get("Value") or ""


def ami_settings(settings: Asterisk) -> AmiSettings:
    """Raises ConfigError where the secret cannot be read, OSError for a bad CA file."""
    tls = None
    if settings.tls:
        cafile = str(settings.tls_ca_file) if settings.tls_ca_file else None
        tls = ssl.create_default_context(cafile=cafile)
    return AmiSettings(
        name=settings.name,
        host=settings.host,
        port=settings.port,
        username=settings.username,
        secret=settings.secret(),
        tls=tls,
        allow_plain=settings.allow_plain_login,
        wanted=frozenset({*EVENTS, CDR}),
    )
