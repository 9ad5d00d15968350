"""Asking the source: once for all who ask, and never for ever."""

import asyncio

import pytest
from structlog.testing import capture_logs

from callguard.web.reader import StatusError, StatusReader
from tests.web.state import BUSY, ToldSource


async def test_a_crowd_of_readers_asks_once() -> None:
    source = ToldSource(BUSY, gate=asyncio.Event())
    reader = StatusReader(source, timeout=10)
    readers = [asyncio.create_task(reader.read()) for _ in range(20)]
    asked = asyncio.Event()
    source.on_ask = asked.set
    await asked.wait()
    assert source.gate is not None
    source.gate.set()
    assert await asyncio.gather(*readers) == [BUSY] * 20
    assert source.asked == 1


async def test_the_next_reader_asks_anew() -> None:
    source = ToldSource()
    reader = StatusReader(source, timeout=10)
    await reader.read()
    source.now = BUSY
    assert await reader.read() == BUSY


async def test_a_reader_who_leaves_does_not_spoil_it_for_the_others() -> None:
    source = ToldSource(BUSY, gate=asyncio.Event())
    asked = asyncio.Event()
    source.on_ask = asked.set
    reader = StatusReader(source, timeout=10)
    leaving = asyncio.create_task(reader.read())
    staying = asyncio.create_task(reader.read())
    await asked.wait()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert source.gate is not None
    source.gate.set()
    assert await staying == BUSY


async def test_what_failed_is_not_told_to_the_reader_in_detail() -> None:
    reader = StatusReader(ToldSource(error=ValueError("password=hunter2")), timeout=10)
    with pytest.raises(StatusError) as caught:
        await reader.read()
    assert "hunter2" not in str(caught.value)


async def test_closing_gives_up_the_answer_under_way() -> None:
    source = ToldSource(gate=asyncio.Event())
    asked = asyncio.Event()
    source.on_ask = asked.set
    reader = StatusReader(source, timeout=10)
    waiting = asyncio.create_task(reader.read())
    await asked.wait()
    await reader.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_failure_that_lasts_is_logged_once_and_its_end_too() -> None:
    source = ToldSource(error=OSError("gone"))
    reader = StatusReader(source, timeout=10)
    with capture_logs() as logs:
        for _ in range(5):
            with pytest.raises(StatusError):
                await reader.read()
        source.error = None
        await reader.read()
        await reader.read()
    events = [entry["event"] for entry in logs if entry["log_level"] != "debug"]
    assert events == ["status_failed", "status_answers_again"]
