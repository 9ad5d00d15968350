"""The virtual loop: time jumps, outside work holds it, nothing hangs."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

import pytest

from tests.harness.virtual import (
    START,
    Deadlock,
    TimeIsUp,
    Unhandled,
    current_clock,
    current_loop,
    held_during,
    real_io,
    run_virtual,
    virtual_time,
)


def test_a_day_passes_in_milliseconds() -> None:
    async def day() -> float:
        for _ in range(24):
            await asyncio.sleep(3600)
        return current_clock().monotonic()

    began = time.monotonic()
    assert run_virtual(day) == pytest.approx(86400)
    assert time.monotonic() - began < 1


@virtual_time
async def test_timers_fire_in_their_order_and_at_their_time() -> None:
    loop = asyncio.get_running_loop()
    fired: list[tuple[float, float]] = []

    def fire(delay: float) -> None:
        fired.append((delay, loop.time()))

    for delay in (3.0, 1.0, 2.0):
        loop.call_later(delay, fire, delay)
    await asyncio.sleep(5)
    assert fired == [(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)]


@virtual_time
async def test_the_wall_clock_goes_with_the_loop_and_can_jump() -> None:
    clock = current_clock()
    await asyncio.sleep(90)
    assert (clock.now() - START).total_seconds() == 90
    clock.jump(-3600)
    assert (clock.now() - START).total_seconds() == 90 - 3600
    assert clock.monotonic() == 90


@virtual_time
async def test_a_thread_holds_the_clock_still() -> None:
    began = current_clock().monotonic()
    late = asyncio.create_task(asyncio.sleep(0.001))
    await asyncio.to_thread(time.sleep, 0.05)
    assert current_clock().monotonic() == began
    assert not late.done()
    await late


@virtual_time
async def test_a_cancelled_wait_for_a_thread_still_holds_until_the_thread_has_ended() -> None:
    ended = threading.Event()

    def work() -> None:
        time.sleep(0.05)
        ended.set()

    with ThreadPoolExecutor(1) as pool:
        future = asyncio.get_running_loop().run_in_executor(pool, work)
        await asyncio.sleep(0)
        future.cancel()
        await asyncio.sleep(10)
        assert ended.is_set()
    await asyncio.sleep(1)
    assert current_loop().held == 0


def test_nothing_to_wait_for_is_a_deadlock_that_names_the_waiter() -> None:
    async def stuck() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Deadlock, match="stuck"):
        run_virtual(stuck)


def test_virtual_and_real_time_are_capped() -> None:
    async def forever() -> None:
        for delay in repeat(1):
            await asyncio.sleep(delay)

    async def busy() -> None:
        for delay in repeat(0):
            await asyncio.sleep(delay)

    with pytest.raises(TimeIsUp, match="virtual"):
        run_virtual(forever, virtual_cap=100)
    with pytest.raises(TimeIsUp, match="real"):
        run_virtual(busy, real_cap=0.05)


def test_a_failure_that_nobody_awaited_fails_the_run() -> None:
    async def careless() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(1)

    with pytest.raises(Unhandled) as caught:
        run_virtual(careless)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@virtual_time
async def test_real_sockets_work_inside_real_io() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()

    with real_io():
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(0.001):
            writer.write(b"hello\n")
            assert await reader.readline() == b"hello\n"
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
    assert current_clock().monotonic() == 0


class _OwnThread:
    """A library in the manner of aiosqlite: a thread that calls the loop back."""

    async def ask(self) -> int:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[int] = loop.create_future()

        def settle() -> None:
            if not answer.done():
                answer.set_result(42)

        def work() -> None:
            time.sleep(0.02)
            loop.call_soon_threadsafe(settle)

        threading.Thread(target=work, daemon=True).start()
        return await answer


@virtual_time
async def test_a_foreign_thread_holds_the_clock_when_its_methods_are_wrapped() -> None:
    with held_during(_OwnThread, "ask"):
        async with asyncio.timeout(0.001):
            assert await _OwnThread().ask() == 42
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await _OwnThread().ask()
    with real_io():
        await asyncio.to_thread(time.sleep, 0.05)
