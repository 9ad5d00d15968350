"""What lies between the simulated Asterisk and callguard, and how it fails.

Every connection is a pipe in memory. The service behind them can be up, frozen (its sockets
accept, nothing is read or answered, in both directions) or stopped (connections are reset, new
ones refused), whatever the service itself does: it need not take part.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

from tests.harness.ami_server import SimulatedManager
from tests.harness.pipes import End, Streams, pipe

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Network:
    """``agi_connect`` is Asterisk's way to callguard, ``ami_connect`` callguard's to Asterisk."""

    def __init__(self, serve_agi: Serve, manager: SimulatedManager) -> None:
        self.state: Literal["up", "frozen", "stopped"] = "up"
        self.failures: list[BaseException] = []
        self.agi_sizes: tuple[int, ...] = ()
        self.serve_agi = serve_agi
        self._manager = manager
        self._agi: list[tuple[End, End]] = []
        self._ami: list[tuple[End, End]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def agi_connect(self) -> Streams:
        """A connection of Asterisk's to the AGI server; ConnectionRefusedError when stopped."""
        client, server = self._pipe(self._agi, 4573)
        self._run(self.serve_agi(*server.streams))
        if self.agi_sizes:
            client.cut(*self.agi_sizes)
        return client.streams

    async def ami_connect(self, settings: object = None) -> Streams:
        """A connection of callguard's to the manager; fits as an AmiSession's connector."""
        client, server = self._pipe(self._ami, 5038)
        self._run(self._manager.serve(*server.streams))
        return client.streams

    def _pipe(self, kept: list[tuple[End, End]], port: int) -> tuple[End, End]:
        if self.state == "stopped":
            raise ConnectionRefusedError("nobody listens")
        kept[:] = [(one, two) for one, two in kept if not (one.closed and two.closed)]
        client, server = pipe(server=("127.0.0.1", port))
        kept.append((client, server))
        if self.state == "frozen":
            client.freeze()
            server.freeze()
        return client, server

    def _run(self, serving: Awaitable[None]) -> None:
        async def serve() -> None:
            try:
                await serving
            except ConnectionError:
                return
            except Exception as error:
                self.failures.append(error)

        task = asyncio.get_running_loop().create_task(serve())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def open_agi(self) -> int:
        """AGI connections that the service has not closed."""
        return sum(not server.closed for _, server in self._agi)

    def freeze(self) -> None:
        """The service's event loop stands still: bytes stop in both directions."""
        self.state = "frozen"
        for end in self._ends():
            end.freeze()

    def thaw(self) -> None:
        """It goes on; what was held arrives."""
        self.state = "up"
        for end in self._ends():
            end.thaw()

    def stop(self) -> None:
        """The service's process is gone."""
        self.state = "stopped"
        self.kill_agi()
        self.drop_ami()

    def start(self) -> None:
        """It listens again."""
        self.state = "up"

    def kill_agi(self) -> None:
        """Every AGI connection is reset."""
        for _, server in self._agi:
            server.reset()
        self._agi.clear()

    def drop_ami(self) -> None:
        """Every AMI connection is reset."""
        for _, server in self._ami:
            server.reset()
        self._ami.clear()

    def _ends(self) -> list[End]:
        return [end for ends in (*self._agi, *self._ami) for end in ends]

    async def close(self) -> None:
        """Reset what is open and wait until it was served to its end."""
        self.stop()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=60)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
