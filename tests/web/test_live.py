"""Live updates, on a real connection."""

import asyncio
import json
from dataclasses import replace

import pytest
from aiohttp import ClientResponse

from callguard.web.app import WebLimits, WebServer
from callguard.web.live import Listener, LiveLimits
from tests.web.conftest import Room
from tests.web.state import BUSY, EMPTY, NoonClock, ToldSource


async def next_event(stream: ClientResponse) -> dict[str, str | None]:
    """The next event, past comments and the reconnection time."""
    while line := await stream.content.readline():
        if line.startswith(b"data: "):
            told: dict[str, str | None] = json.loads(line.removeprefix(b"data: "))
            return told
    raise EOFError("the stream ended")


async def next_with_html(stream: ClientResponse) -> str:
    while True:
        html = (await next_event(stream)).get("html")
        if html is not None:
            return html


def watch_leaving(room: Room, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    left = asyncio.Event()
    leave = room.hub.leave

    def noted(listener: Listener) -> None:
        leave(listener)
        left.set()

    monkeypatch.setattr(room.hub, "leave", noted)
    return left


async def test_a_listener_is_told_the_state_at_once_and_then_what_changes(room: Room) -> None:
    async with room.client.get(room.address + "/events") as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        first = await next_event(stream)
        assert first["time"] == "12:00:00"
        assert "No call is under way." in (first["html"] or "")
        room.source.now = BUSY
        assert "+4420••••0123" in await next_with_html(stream)


async def test_without_a_change_only_the_time_is_told(room: Room) -> None:
    async with room.client.get(room.address + "/events") as stream:
        assert "html" in await next_event(stream)
        later = await next_event(stream)
        assert later["time"] == "12:00:00"
        assert "html" not in later


async def test_each_listener_hears_its_own_language(room: Room) -> None:
    async with (
        room.client.get(room.address + "/events?lang=he") as hebrew,
        room.client.get(room.address + "/events", headers={"Accept-Language": "fr"}) as french,
    ):
        assert "מוכן לשיחות" in await next_with_html(hebrew)
        assert "Prêt à traiter les appels" in await next_with_html(french)


async def test_a_source_that_fails_is_told_and_so_is_its_return(room: Room) -> None:
    async with room.client.get(room.address + "/events") as stream:
        await next_event(stream)
        room.source.error = TimeoutError()
        html = await next_with_html(stream)
        assert "The state of callguard cannot be read" in html
        assert "Live calls" not in html
        assert (await next_event(stream))["at"] is None
        room.source.error = None
        assert "Ready to take calls" in await next_with_html(stream)


async def test_a_fault_of_one_poll_does_not_end_the_next(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    poll = room.hub.poll
    faults = [RuntimeError("once"), RuntimeError("twice")]

    async def stumbling() -> None:
        if faults:
            raise faults.pop()
        await poll()

    monkeypatch.setattr(room.hub, "poll", stumbling)
    async with room.client.get(room.address + "/events") as stream:
        assert "Ready to take calls" in await next_with_html(stream)
    assert faults == []


async def test_there_is_room_for_so_many_listeners_and_then_no_more(room: Room) -> None:
    streams = [await room.client.get(room.address + "/events") for _ in range(3)]
    async with room.client.get(room.address + "/events") as refused:
        assert refused.status == 429
        assert refused.headers["Retry-After"] == "10"
        assert "Too many pages are open" in await refused.text()
    for stream in streams:
        stream.close()


async def test_a_head_request_takes_no_place(room: Room) -> None:
    async with room.client.head(room.address + "/events") as answer:
        assert answer.status == 200
    assert room.hub.listeners == 0


async def test_closing_the_server_ends_the_streams(room: Room) -> None:
    server = WebServer(ToldSource(), clock=NoonClock())
    port = await server.start("127.0.0.1", 0)
    async with room.client.get(f"http://127.0.0.1:{port}/events") as stream:
        await next_event(stream)
        await server.close()
        with pytest.raises(EOFError):
            await next_event(stream)


class TestAListenerWhoLeaves:
    @pytest.fixture
    def limits(self) -> WebLimits:
        return WebLimits(read_timeout=60.0, live=LiveLimits(poll=0.001, heartbeat=60.0))

    async def test_frees_the_place_before_there_is_anything_to_tell(
        self, room: Room, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        left = watch_leaving(room, monkeypatch)
        stream = await room.client.get(room.address + "/events")
        await next_event(stream)
        room.source.gate = asyncio.Event()
        assert room.hub.listeners == 1
        stream.close()
        async with asyncio.timeout(10):
            await left.wait()
        assert room.hub.listeners == 0


class TestASilentSource:
    @pytest.fixture
    def limits(self) -> WebLimits:
        return WebLimits(read_timeout=30.0, live=LiveLimits(heartbeat=0.01))

    async def test_is_bridged_by_heartbeats(self, room: Room) -> None:
        room.source.gate = asyncio.Event()
        async with room.client.get(room.address + "/events") as stream:
            assert await stream.content.readline() == b"retry: 3000\n"
            assert await stream.content.readline() == b"\n"
            assert await stream.content.readline() == b": still here\n"


class TestASlowListener:
    @pytest.fixture
    def limits(self) -> WebLimits:
        return WebLimits(live=LiveLimits(poll=0.001, write_timeout=0.05))

    async def test_does_not_delay_the_others_and_is_dropped(
        self, room: Room, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        left = watch_leaving(room, monkeypatch)
        host, port = room.address.removeprefix("http://").split(":")
        _reader, writer = await asyncio.open_connection(host, int(port), limit=1)
        writer.write(f"GET /events HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        async with room.client.get(room.address + "/events") as quick:
            told = 0
            while not left.is_set():
                long = "x" * 200_000 + str(told)
                room.source.now = replace(EMPTY, alarms=(long,))
                html = await next_with_html(quick)
                told += "xxx" in html
            assert told > 1
            assert room.hub.listeners == 1
        writer.close()
