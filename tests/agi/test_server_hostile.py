"""Peers that are no Asterisk: scanners, drippers, floods; real calls do not notice them."""

import asyncio
import socket
import struct

import pytest

from callguard.agi import AgiLimits, AgiServer, AgiSession, AgiStats
from tests.agi.asterisk import LOOPBACK, connect, make_server
from tests.agi.samples import ENVIRONMENT
from tests.harness.virtual import virtual_time


async def verdict(agi: AgiSession) -> None:
    await agi.set_variable("CALLGUARD_VERDICT", "allow")


@virtual_time
async def test_the_header_time_is_for_the_whole_header_and_not_for_each_byte() -> None:
    server = make_server(verdict)
    line = connect(server)

    async def drip() -> None:
        for byte in ENVIRONMENT:
            line.send(bytes([byte]))
            await asyncio.sleep(1)

    dripping = asyncio.create_task(drip())
    await line.task
    dripping.cancel()
    assert asyncio.get_running_loop().time() == pytest.approx(5)
    assert server.stats == AgiStats(sessions_total=1, header_timeouts=1)


@virtual_time
async def test_a_peer_that_says_nothing_is_closed_in_time() -> None:
    server = make_server(verdict, header_timeout=2.0)
    line = connect(server)
    assert await line.command() == b""
    assert asyncio.get_running_loop().time() == pytest.approx(2)
    await line.task
    assert server.stats == AgiStats(sessions_total=1, header_timeouts=1)


@virtual_time
async def test_a_slow_but_honest_header_is_served() -> None:
    server = make_server(verdict)
    line = connect(server)
    line.end.cut(7)
    for part in (ENVIRONMENT[:100], ENVIRONMENT[100:200], ENVIRONMENT[200:]):
        await asyncio.sleep(1.6)
        line.send(part)
    await line.exchange(b'SET VARIABLE "CALLGUARD_VERDICT" "allow"', b"200 result=1\n")
    await line.task
    assert server.stats == AgiStats(sessions_total=1)


@virtual_time
async def test_a_peer_that_leaves_before_or_in_its_header_is_forgotten() -> None:
    server = make_server(verdict)
    for start in (b"", ENVIRONMENT[:50]):
        for torn in (False, True):
            line = connect(server)
            line.send(start)
            await asyncio.sleep(0.1)
            if torn:
                line.end.reset()
            else:
                await line.end.close()
            await line.task
    assert server.stats == AgiStats(sessions_total=4, left_early=4)


@virtual_time
async def test_megabytes_without_an_end_are_cut_off_at_the_cap() -> None:
    server = make_server(verdict)
    line = connect(server)
    line.send(b"agi_x: " + b"x" * 4_000_000)
    await line.task
    assert asyncio.get_running_loop().time() < 1
    assert server.stats == AgiStats(sessions_total=1, protocol_errors=1)


@virtual_time
async def test_a_half_closed_peer_gets_no_endless_session() -> None:
    server = make_server(verdict)
    line = connect(server)
    line.send(ENVIRONMENT)
    line.end.writer.write_eof()
    await line.task
    assert server.stats == AgiStats(sessions_total=1)


async def scan(port: int) -> None:
    with socket.socket() as probe:
        probe.setblocking(False)
        await asyncio.get_running_loop().sock_connect(probe, ("127.0.0.1", port))
        # Half of the scanners leave with a reset, as nmap does.
        if probe.fileno() % 2:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def dripper(port: int, stop: asyncio.Event) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    for byte in ENVIRONMENT:
        if stop.is_set():
            break
        writer.write(bytes([byte]))
        await asyncio.sleep(0.005)
    writer.transport.abort()


async def real_call(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(ENVIRONMENT)
    assert await reader.readline() == b'SET VARIABLE "CALLGUARD_VERDICT" "allow"\n'
    writer.write(b"200 result=1\n")
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def worst_lag(stop: asyncio.Event) -> float:
    loop = asyncio.get_running_loop()
    worst = 0.0
    while not stop.is_set():
        began = loop.time()
        await asyncio.sleep(0.01)
        worst = max(worst, loop.time() - began - 0.01)
    return worst


async def test_500_scanners_and_50_drippers_delay_no_call() -> None:
    server = AgiServer(verdict, limits=AgiLimits(header_timeout=30.0), allow=LOOPBACK)
    port = await server.start("127.0.0.1", 0)
    stop = asyncio.Event()
    lag = asyncio.create_task(worst_lag(stop))
    drippers = [asyncio.create_task(dripper(port, stop)) for _ in range(50)]
    async with asyncio.timeout(30):
        for _ in range(10):
            await asyncio.gather(
                *(scan(port) for _ in range(50)), *(real_call(port) for _ in range(10))
            )
        stop.set()
        await asyncio.gather(*drippers)
    await server.close(grace=10)
    assert await lag < 1.0
    stats = server.stats
    assert stats.sessions_total == stats.left_early + 100
    # A scanner that resets in the backlog may never be accepted.
    assert 250 <= stats.left_early <= 550
    assert (stats.handler_errors, stats.protocol_errors, stats.refused_busy) == (0, 0, 0)
