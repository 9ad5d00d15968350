"""The web room on a real loopback socket, and a client that speaks to it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from aiohttp import ClientSession, ClientTimeout

from callguard.web.app import HUB, WebLimits, WebServer
from callguard.web.live import LiveHub, LiveLimits
from tests.web.state import NoonClock, ToldSource

QUICK = WebLimits(live=LiveLimits(listeners=3, poll=0.001, heartbeat=30.0))


@dataclass
class Room:
    """The room as served, what it is told, and a client."""

    source: ToldSource
    client: ClientSession
    address: str
    hub: LiveHub

    async def text(self, path: str, **headers: str) -> str:
        async with self.client.get(self.address + path, headers=headers) as answer:
            return await answer.text()


@pytest.fixture
def limits() -> WebLimits:
    return QUICK


@pytest.fixture
async def room(limits: WebLimits) -> AsyncIterator[Room]:
    source = ToldSource()
    server = WebServer(source, clock=NoonClock(), limits=limits)
    port = await server.start("127.0.0.1", 0)
    assert server._runner is not None
    hub = server._runner.app[HUB]
    try:
        async with ClientSession(timeout=ClientTimeout(total=20)) as client:
            yield Room(source, client, f"http://127.0.0.1:{port}", hub)
    finally:
        await server.close()
