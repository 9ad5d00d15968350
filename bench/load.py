"""A FastAGI load client: so many calls at a time, each as Asterisk would make it.

It connects, sends a realistic environment, answers every command and ends a call when the server
closes. Raw protocols on uvloop, so that the client costs less than any server under measure, and
meant for a process of its own, so that it does not share a server's interpreter lock.
"""

import asyncio
import math
import time
from array import array
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Final, cast

import uvloop

AT_ONCE: Final = 16
REQUEST: Final = "outbound?tenant=bench&purpose=service&pbx=bench&number=%2B4930"
"""The request of a call, but for the last digits: no two calls go to one number."""

_REPLIES: Final = {b"STREAM FILE": b"200 result=0 endpos=8000\n"}


def environment(port: int, serial: int) -> bytes:
    """What Asterisk 22 sends for a call, as ``setup_env`` of ``res_agi.c`` words it."""
    request = f"{REQUEST}{serial % 10_000_000:07}"
    return (
        "agi_network: yes\n"
        f"agi_network_script: {request}\n"
        f"agi_request: agi://127.0.0.1:{port}/{request}\n"
        f"agi_channel: PJSIP/agent-{serial:08x}\n"
        "agi_language: en\n"
        "agi_type: PJSIP\n"
        f"agi_uniqueid: 1793400000.{serial}\n"
        "agi_version: 22.10.0\n"
        "agi_callerid: 200\n"
        "agi_calleridname: Agent\n"
        "agi_callingpres: 0\n"
        "agi_callingani2: 0\n"
        "agi_callington: 0\n"
        "agi_callingtns: 0\n"
        "agi_dnid: +4930123456\n"
        "agi_rdnis: unknown\n"
        "agi_context: callguard-outbound\n"
        "agi_extension: +4930123456\n"
        "agi_priority: 7\n"
        "agi_enhanced: 0.0\n"
        "agi_accountcode: bench\n"
        "agi_threadid: 140123456789504\n"
        "\n"
    ).encode()


@dataclass(frozen=True, slots=True)
class Load:
    """One round: calls a second, and percentiles of a call's whole time in milliseconds."""

    calls: int
    failed: int
    rate: float
    p50: float
    p99: float


class AgiCall(asyncio.Protocol):
    """One call; ``done`` gets whether at least one command came before the server closed."""

    def __init__(self, hello: bytes, done: asyncio.Future[bool]) -> None:
        self._hello = hello
        self._done = done
        self._buffer = b""
        self._commands = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not derive from asyncio's.
        self._transport = cast(asyncio.WriteTransport, transport)
        self._transport.write(self._hello)

    def data_received(self, data: bytes) -> None:
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        self._commands += len(lines)
        self._transport.write(
            b"".join(_REPLIES.get(line[:11], b"200 result=0\n") for line in lines)
        )

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_result(exc is None and self._commands > 0)


async def run(port: int, seconds: float, at_once: int = AT_ONCE) -> Load:
    """Loads the server on loopback ``port`` for ``seconds``, ``at_once`` calls at a time."""
    loop = asyncio.get_running_loop()
    times = array("d")
    failed = 0
    serial = 0
    start = time.perf_counter()
    end = start + seconds

    async def caller() -> None:
        nonlocal failed, serial
        while (begun := time.perf_counter()) < end:
            serial += 1
            done: asyncio.Future[bool] = loop.create_future()
            hello = environment(port, serial)
            transport = None
            try:
                async with asyncio.timeout(3):
                    transport, _ = await loop.create_connection(
                        lambda hello=hello, done=done: AgiCall(hello, done),  # type: ignore[misc] # mypy cannot type a lambda's defaults
                        "127.0.0.1",
                        port,
                    )
                    if not await done:
                        failed += 1
            except OSError:
                failed += 1
            finally:
                if transport is not None:
                    transport.close()
            times.append(time.perf_counter() - begun)

    await asyncio.gather(*(caller() for _ in range(at_once)))
    elapsed = time.perf_counter() - start
    ordered = sorted(times)
    return Load(
        len(ordered),
        failed,
        (len(ordered) - failed) / elapsed,
        _percentile(ordered, 0.50) * 1000,
        _percentile(ordered, 0.99) * 1000,
    )


def _percentile(ordered: list[float], share: float) -> float:
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def serve_rounds(pipe: Connection) -> None:
    """In a process of its own: takes ``(port, seconds, at_once)``, gives a ``Load``, until None."""
    while (order := pipe.recv()) is not None:
        port, seconds, at_once = order
        pipe.send(uvloop.run(run(port, seconds, at_once)))
