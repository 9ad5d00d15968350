"""Deadlines of a session: silence, late replies, abandoned waits."""

import asyncio

import pytest

from callguard.agi import AgiSession, AgiTimeout, CommandOutstanding
from tests.agi.asterisk import call, connect, make_server
from tests.agi.samples import ENVIRONMENT
from tests.harness.virtual import virtual_time


@virtual_time
async def test_silence_ends_in_a_time_out_and_nothing_more_can_be_asked() -> None:
    loop = asyncio.get_running_loop()
    waited: list[float] = []

    async def handler(agi: AgiSession) -> None:
        began = loop.time()
        with pytest.raises(AgiTimeout):
            await agi.stream_file("n", timeout=12)
        waited.append(loop.time() - began)
        with pytest.raises(AgiTimeout):
            await agi.set_variable("CALLGUARD_VERDICT", "allow")

    async with call(handler) as line:
        await line.exchange(b'STREAM FILE "n" ""', b"100 result=0 Trying...\n")
        assert await line.command() == b""
    assert waited == [pytest.approx(12)]


@virtual_time
async def test_each_command_has_its_own_time() -> None:
    loop = asyncio.get_running_loop()

    async def handler(agi: AgiSession) -> None:
        for _ in range(3):
            await agi.answer()
        assert await agi.exec("Playback", "x", timeout=200) == "0"
        began = loop.time()
        with pytest.raises(AgiTimeout):
            await agi.wait_for_digit(5000)
        assert loop.time() - began == pytest.approx(65)

    async with call(handler) as line:
        for _ in range(3):
            assert await line.command() == b"ANSWER"
            await asyncio.sleep(59)
            line.send(b"200 result=0\n")
        assert await line.command() == b'EXEC "Playback" "x"'
        await asyncio.sleep(199)
        line.send(b"200 result=0\n")
        assert await line.command() == b'WAIT FOR DIGIT "5000"'


@virtual_time
async def test_a_long_wait_does_not_lengthen_the_next_one() -> None:
    loop = asyncio.get_running_loop()

    async def handler(agi: AgiSession) -> None:
        await agi.exec("Playback", "x", timeout=3600)
        began = loop.time()
        with pytest.raises(AgiTimeout):
            await agi.answer()
        assert loop.time() - began == pytest.approx(60)

    async with call(handler) as line:
        assert await line.command() == b'EXEC "Playback" "x"'
        await asyncio.sleep(10)  # longer than the header's time, whose timer has gone
        line.send(b"200 result=0\n")
        assert await line.command() == b"ANSWER"


@virtual_time
async def test_a_peer_that_takes_no_command_is_given_up_too() -> None:
    async def handler(agi: AgiSession) -> None:
        with pytest.raises(AgiTimeout):
            await agi.verbose("x" * 8000)

    server = make_server(handler)
    line = connect(server, capacity=4000)
    line.send(ENVIRONMENT)
    line.end.writer.transport.pause_reading()  # type: ignore[attr-defined] # StreamWriter types it as a WriteTransport
    await line.task
    assert server.stats.handler_errors == 0
    assert asyncio.get_running_loop().time() == pytest.approx(60)


@virtual_time
async def test_an_abandoned_command_is_not_followed_by_another() -> None:
    async def handler(agi: AgiSession) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await agi.answer()
        with pytest.raises(CommandOutstanding):
            await agi.answer()

    async with call(handler) as line:
        assert await line.command() == b"ANSWER"
