"""The streams in memory behave as sockets do."""

import asyncio
from itertools import repeat

import pytest

from tests.harness.pipes import pipe
from tests.harness.virtual import virtual_time


@virtual_time
async def test_bytes_arrive_both_ways_and_a_close_is_an_end() -> None:
    client, server = pipe()
    client.writer.write(b"ping\n")
    assert await server.reader.readline() == b"ping\n"
    server.writer.write(b"pong\n")
    await server.close()
    assert await client.reader.read() == b"pong\n"
    assert client.writer.get_extra_info("peername") == ("127.0.0.1", 4573)


@virtual_time
async def test_torn_delivery_keeps_every_byte_in_order() -> None:
    client, server = pipe()
    client.cut(1, 3, 2)
    client.writer.write(b"abcdefgh")
    pieces = []
    for _ in range(4):
        pieces.append(await server.reader.read(100))  # noqa: PERF401  (one read, one piece)
    assert pieces == [b"a", b"bcd", b"ef", b"gh"]


@virtual_time
async def test_a_half_close_still_lets_the_other_side_speak() -> None:
    client, server = pipe()
    client.writer.write(b"last words")
    client.writer.write_eof()
    assert await server.reader.read() == b"last words"
    server.writer.write(b"heard")
    await server.close()
    assert await client.reader.read() == b"heard"


@virtual_time
async def test_drain_waits_for_a_reader_that_does_not_read() -> None:
    client, server = pipe(limit=100, capacity=200)
    sent = 0

    async def send() -> None:
        nonlocal sent
        for piece in repeat(b"x" * 50):
            client.writer.write(piece)
            sent += len(piece)
            await client.writer.drain()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(send(), 5)
    waiting = asyncio.create_task(client.writer.drain())
    assert len(await server.reader.readexactly(sent)) == sent <= 600
    await waiting


@virtual_time
async def test_a_reset_reaches_reader_and_writer() -> None:
    client, server = pipe()
    server.writer.write(b"never arrives")
    server.reset()
    with pytest.raises(ConnectionResetError):
        await client.reader.read()
    assert client.closed
    client.writer.write(b"more")
    with pytest.raises(ConnectionResetError):
        await client.writer.drain()


@virtual_time
async def test_writing_to_somebody_who_has_closed_is_a_reset() -> None:
    client, server = pipe()
    await server.close()
    client.writer.write(b"hello")
    await asyncio.sleep(0)
    with pytest.raises(ConnectionResetError):
        await client.writer.drain()


@virtual_time
async def test_a_frozen_end_delivers_after_the_thaw() -> None:
    client, server = pipe()
    client.freeze()
    client.writer.write(b"late")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3600):
            await server.reader.read(4)
    client.thaw()
    assert await server.reader.read(4) == b"late"
