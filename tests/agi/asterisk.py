"""The Asterisk side of one AGI connection, word for word, for the tests of this folder."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_network

from callguard.agi import AgiLimits, AgiServer, AgiSession
from tests.agi.samples import ENVIRONMENT
from tests.harness.pipes import End, pipe

LOOPBACK = [ip_network("127.0.0.0/8"), ip_network("::1/128")]

Handler = Callable[[AgiSession], Awaitable[None]]


class Line:
    """One connection to a server in memory; the test plays Asterisk."""

    def __init__(self, server: AgiServer, end: End, task: asyncio.Task[None]) -> None:
        self.server = server
        self.end = end
        self.task = task

    def send(self, data: bytes) -> None:
        """Sends bytes as they are."""
        self.end.writer.write(data)

    async def command(self) -> bytes:
        """The next command without its LF; empty when the server has closed or reset."""
        with suppress(ConnectionResetError):
            return (await self.end.reader.readline())[:-1]
        return b""

    async def exchange(self, command: bytes, reply: bytes) -> None:
        """Expects one command and answers it."""
        assert await self.command() == command
        self.send(reply)


def connect(server: AgiServer, *, capacity: int = 65536, address: str = "127.0.0.1") -> Line:
    """A new connection to the server, served in a task of its own."""
    ours, theirs = pipe(capacity=capacity, client=(address, 40000))
    return Line(server, ours, asyncio.create_task(server.serve_connection(*theirs.streams)))


def make_server(handler: Handler, **limits: float) -> AgiServer:
    """A server for loopback peers with some limits of its own."""
    return AgiServer(handler, limits=AgiLimits(**limits), allow=LOOPBACK)  # type: ignore[arg-type] # counts are floats here


@asynccontextmanager
async def call(handler: Handler, **limits: float) -> AsyncIterator[Line]:
    """A call whose handler runs; at the end the session must have ended, the handler well."""
    server = make_server(handler, **limits)
    line = connect(server)
    line.send(ENVIRONMENT)
    try:
        yield line
        await line.task
        assert await line.command() == b""
        assert server.stats.sessions_now == 0
        assert server.stats.handler_errors == 0
    finally:
        await line.end.close()
