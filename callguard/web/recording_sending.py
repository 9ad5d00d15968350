"""Sends a recording over HTTP, a few chunks at a time, as fast as the client takes them.

What has gone wrong before the first byte is an answer; after it the connection is broken off, so
that a bad recording never looks like a whole one, and one that may no longer be read goes no
further.
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final, TypeVar

import structlog
from aiohttp import web

from callguard.clock import Clock
from callguard.recording.age import AgeError
from callguard.recording.playback.ranges import Ranges
from callguard.recording.store.objects import ObjectStoreError
from callguard.web.byte_range import Span
from callguard.web.door import Refused

T = TypeVar("T")
log = structlog.get_logger(__name__)

THREADS: Final = 4
"""Chunks are fetched and opened in so many threads, whoever waits for them."""

READ_S: Final = 60.0
"""How long the store may take for one piece."""

WRITE_S: Final = 30.0
"""How long a client may take for ``WRITE_BYTES``: some 2 KB/s, a quarter of the slowest audio."""

WRITE_BYTES: Final = 64 * 1024

ASKED_EVERY_S: Final = 1.0
"""How long whoever was let in may go on without being asked again."""

_AT_ONCE: Final = struct.pack("ii", 1, 0)


class Leave:
    """Leave to read on: what was erased, has expired or was restricted meanwhile goes no further.
    It counts from now; ``ask`` raises Refused."""

    def __init__(self, clock: Clock, ask: Callable[[], Awaitable[object]]) -> None:
        self._clock = clock
        self._ask = ask
        self._asked = clock.monotonic()

    async def renew(self) -> None:
        """Asks again where that is due. Raises Refused."""
        now = self._clock.monotonic()
        if now - self._asked >= ASKED_EVERY_S:
            await self._ask()
            self._asked = now


class ReadingThreads:
    """The threads in which recordings are read, and the turns in which they are sent."""

    def __init__(self, threads: int = THREADS) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="recording-read")
        self._lock = asyncio.Lock()

    async def turn(self) -> None:
        """Returns to one sender at a time, and then lets the loop go round: however many are ready
        to send, what else waits for the loop waits for one of them."""
        async with self._lock:
            await asyncio.sleep(0)

    async def run(self, work: Callable[[], T], within: float) -> T:
        """Raises TimeoutError; the thread then goes on to its end."""
        async with asyncio.timeout(within):
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        """Lets no more work begin."""
        self._pool.shutdown(wait=False, cancel_futures=True)


async def begin(
    threads: ReadingThreads, source: Callable[[], Ranges], span: Span
) -> tuple[bytes, Iterator[bytes]]:
    """The first piece, and the others to come. Raises what opening and reading it raises, and
    TimeoutError."""

    def first() -> tuple[bytes, Iterator[bytes]]:
        pieces = source().pieces(*span)
        return next(pieces, b""), pieces

    return await threads.run(first, READ_S)


async def send(
    request: web.Request,
    response: web.StreamResponse,
    threads: ReadingThreads,
    piece: bytes,
    pieces: Iterator[bytes],
    leave: Leave,
    damaged: Callable[[str], None],
) -> web.StreamResponse:
    """Sends it all, or breaks the connection off; ``damaged`` is then told what was wrong with the
    recording, if that was it."""
    name = request.match_info["id"]
    try:
        await response.prepare(request)
        while piece:
            with memoryview(piece) as view:
                for at in range(0, len(piece), WRITE_BYTES):
                    await threads.turn()
                    await leave.renew()
                    async with asyncio.timeout(WRITE_S):
                        await response.write(bytes(view[at : at + WRITE_BYTES]))
            piece = await threads.run(lambda: next(pieces, b""), READ_S)
        async with asyncio.timeout(WRITE_S):
            await response.write_eof()
    except AgeError as error:
        log.error("recording_damaged", recording=name, reason=str(error))
        damaged(str(error))
    except ObjectStoreError as error:
        log.error("recording_broken_off", recording=name, reason=str(error))
    except Refused as refused:
        log.warning("recording_broken_off", recording=name, reason=str(refused))
    except TimeoutError:
        log.warning("recording_broken_off", recording=name, reason="it was not sent in time")
    except ConnectionError:
        log.info("recording_not_taken", recording=name)
    else:
        return response
    if request.transport is not None:
        _break_off(request.transport)
    return response


def _break_off(transport: asyncio.Transport) -> None:
    """What the kernel still holds is not sent either: it may be minutes of a voice."""
    connection = transport.get_extra_info("socket")
    if connection is not None:
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    transport.abort()
