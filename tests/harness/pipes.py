"""Streams in memory: what ``asyncio.open_connection`` gives, without a socket.

``pipe()`` makes the two ends of a connection. Each has the ordinary ``reader`` and ``writer``,
with flow control as on a socket (``drain`` waits while the other side does not read), and a few
handles of its own to misbehave: torn delivery, a hold, a reset.
"""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain, repeat

Address = tuple[str, int]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

LIMIT = 65536


class _Transport(asyncio.Transport):
    """One direction out, one direction in; delivers to the peer's protocol by ``call_soon``."""

    def __init__(self, capacity: int, own: Address, other: Address) -> None:
        super().__init__({"sockname": own, "peername": other})
        self._loop = asyncio.get_running_loop()
        self._capacity = capacity
        self._protocol: asyncio.BaseProtocol | None = None
        self.peer: _Transport | None = None
        self._outgoing = bytearray()
        self._sizes: Iterator[int] | None = None
        self._scheduled = False
        self._write_paused = False
        self._peer_paused = False
        self._frozen = False
        self._eof_asked = False
        self._eof_sent = False
        self._closing = False
        self._lost = False

    def connect(self, protocol: asyncio.StreamReaderProtocol, peer: "_Transport") -> None:
        self._protocol, self.peer = protocol, peer
        protocol.connection_made(self)

    def is_closing(self) -> bool:
        return self._closing

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self._protocol is not None
        return self._protocol

    def can_write_eof(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return len(self._outgoing)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._eof_asked:
            raise RuntimeError("write after write_eof")
        if self._lost or self._closing or not data:
            return
        self._outgoing += data
        if len(self._outgoing) > self._capacity and not self._write_paused:
            self._write_paused = True
            assert self._protocol is not None
            self._protocol.pause_writing()
        self._schedule()

    def write_eof(self) -> None:
        self._eof_asked = True
        self._schedule()

    def pause_reading(self) -> None:
        if self.peer is not None:
            self.peer._peer_paused = True

    def resume_reading(self) -> None:
        if self.peer is not None:
            self.peer._peer_paused = False
            self.peer._schedule()

    def is_reading(self) -> bool:
        return self.peer is not None and not self.peer._peer_paused

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._schedule()

    def abort(self) -> None:
        """Drop what is under way; the other side sees its connection reset."""
        self._closing = self._eof_sent = True  # a reset is no orderly end
        self._outgoing.clear()
        self._loop.call_soon(self._lose, None)
        if self.peer is not None:
            self._loop.call_soon(self.peer._lose, ConnectionResetError("reset by peer"))

    def cut(self, sizes: Iterable[int]) -> None:
        self._sizes = iter(sizes)

    def freeze(self, frozen: bool) -> None:
        self._frozen = frozen
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled and not self._loop.is_closed():
            self._scheduled = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._scheduled = False
        if self._lost or self._frozen or self.peer is None:
            return
        if self.peer._lost:
            # As on a socket: what is sent to somebody who has gone comes back as a reset.
            self._lose(ConnectionResetError("the other side has gone") if self._outgoing else None)
            return
        if self._outgoing and not self._peer_paused:
            size = len(self._outgoing) if self._sizes is None else next(self._sizes)
            chunk = bytes(self._outgoing[:size])
            del self._outgoing[:size]
            assert isinstance(self.peer._protocol, asyncio.Protocol)
            self.peer._protocol.data_received(chunk)
            if self._write_paused and len(self._outgoing) <= self._capacity // 4:
                self._write_paused = False
                assert self._protocol is not None
                self._protocol.resume_writing()
            if self._outgoing:
                self._schedule()
        if self._outgoing:
            return
        if (self._eof_asked or self._closing) and not self._eof_sent:
            self._eof_sent = True
            assert isinstance(self.peer._protocol, asyncio.Protocol)
            self.peer._protocol.eof_received()
        if self._closing:
            self._lose(None)

    def _lose(self, error: Exception | None) -> None:
        if self._lost:
            return
        self._lost = self._closing = True
        self._outgoing.clear()
        assert self._protocol is not None
        self._protocol.connection_lost(error)


class _Writer(asyncio.StreamWriter):
    def __del__(self) -> None:
        """Nothing to release: a forgotten end in memory is no leaked socket."""


class End:
    """One end of a pipe."""

    def __init__(self, limit: int, capacity: int, own: Address, other: Address) -> None:
        loop = asyncio.get_running_loop()
        self.reader = asyncio.StreamReader(limit=limit, loop=loop)
        self._protocol = asyncio.StreamReaderProtocol(self.reader, loop=loop)
        self._transport = _Transport(capacity, own, other)

    def _connect(self, other: "End") -> None:
        self._transport.connect(self._protocol, other._transport)
        loop = asyncio.get_running_loop()
        self.writer: asyncio.StreamWriter = _Writer(
            self._transport, self._protocol, self.reader, loop
        )

    @property
    def streams(self) -> Streams:
        """``(reader, writer)``, as ``asyncio.open_connection`` returns them."""
        return self.reader, self.writer

    @property
    def closed(self) -> bool:
        """True once this end was closed or lost its connection."""
        return self._transport.is_closing()

    def cut(self, *sizes: int) -> None:
        """Deliver what this end writes in pieces of these sizes; the last one repeats."""
        if not sizes or min(sizes) < 1:
            raise ValueError("sizes are at least one byte")
        self._transport.cut(chain(sizes, repeat(sizes[-1])))

    def freeze(self) -> None:
        """Hold what this end writes, as a network that has gone silent."""
        self._transport.freeze(True)

    def thaw(self) -> None:
        """Deliver again."""
        self._transport.freeze(False)

    def reset(self) -> None:
        """Tear the connection: bytes under way are lost, the other side gets a reset."""
        self._transport.abort()

    async def close(self) -> None:
        """Close in order: what was written still arrives."""
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


def pipe(
    *,
    limit: int = LIMIT,
    capacity: int = LIMIT,
    client: Address = ("127.0.0.1", 40000),
    server: Address = ("127.0.0.1", 4573),
) -> tuple[End, End]:
    """The client's and the server's end of a new connection on the running loop.

    ``limit`` is the readers' line limit (a reader stops the flow at twice that), ``capacity`` the
    bytes a writer may have under way before ``drain`` waits.
    """
    one = End(limit, capacity, client, server)
    two = End(limit, capacity, server, client)
    one._connect(two)
    two._connect(one)
    return one, two
