"""Who is answered, and what a browser may do with it."""

import asyncio

import pytest
from aiohttp import web

from callguard.loopback import is_loopback
from callguard.web.app import WebLimits, WebServer
from callguard.web.status import Status
from tests.web.conftest import Room
from tests.web.state import NoonClock, ToldSource


async def raw(room: Room, request: str) -> bytes:
    """The first line of the answer to these very bytes."""
    host, port = room.address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request.encode())
    line = await reader.readline()
    writer.close()
    return line


@pytest.mark.parametrize(
    "path", ["/", "/healthz", "/readyz", "/metrics", "/events", "/nowhere", "/static/callguard.css"]
)
async def test_every_answer_binds_the_browser(room: Room, path: str) -> None:
    async with room.client.get(room.address + path) as answer:
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self'")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Server"] == "callguard"
        assert "Cache-Control" in answer.headers


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8073", "localhost.", "127.0.0.1", "127.8.9.1:1", "[::1]:8073"]
)
async def test_loopback_names_are_answered(room: Room, host: str) -> None:
    async with room.client.get(room.address + "/healthz", headers={"Host": host}) as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8073", "127.0.0.1.evil.example", "10.0.0.1", "localhost.evil"],
)
async def test_other_names_are_refused(room: Room, host: str) -> None:
    async with room.client.get(room.address + "/", headers={"Host": host}) as answer:
        assert answer.status == 421
        assert "does not answer to that name" in await answer.text()
    assert room.source.asked == 0


@pytest.mark.parametrize(
    "host", ["", "localhost@evil.example", "localhost/evil", "[::1", "localhost:port", ":80", "a:0"]
)
async def test_a_host_that_is_none_is_refused(room: Room, host: str) -> None:
    assert b" 400 " in await raw(room, f"GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n")


async def test_nothing_of_a_request_that_cannot_be_read_is_in_the_log(
    room: Room, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    for head in ("GET /?number=%2B442079460123 HTTP/9.1", "GET / HTTP/1.1\r\n+442079460123"):
        assert b" 400 " in await raw(room, f"{head}\r\nHost: localhost\r\n\r\n")
    out, err = capfd.readouterr()
    assert "2079460123" not in out + err + caplog.text
    assert "request_not_read" in out + err + caplog.text


async def test_no_host_and_two_hosts_are_refused(room: Room) -> None:
    two = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n"
    assert b" 400 " in await raw(room, "GET /healthz HTTP/1.0\r\n\r\n")
    assert b" 400 " in await raw(room, two)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_only_reading_is_allowed(room: Room, method: str) -> None:
    async with room.client.request(method, room.address + "/") as answer:
        assert answer.status == 405
        assert answer.headers["Allow"] == "GET,HEAD"


async def test_a_body_is_refused(room: Room) -> None:
    async with room.client.get(room.address + "/healthz", data=b"x" * 100) as answer:
        assert answer.status == 413


async def test_an_endless_line_is_refused(room: Room) -> None:
    assert b" 400 " in await raw(room, f"GET /{'x' * 9000} HTTP/1.1\r\nHost: localhost\r\n\r\n")


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_other_sites_may_link_to_the_page_but_not_draw_on_it(room: Room, site: str) -> None:
    drawing = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"}
    async with room.client.get(room.address + "/events", headers=drawing) as answer:
        assert answer.status == 403
    following = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate"}
    async with room.client.get(room.address + "/", headers=following) as answer:
        assert answer.status == 200


async def test_a_page_that_is_not_there_says_so_in_the_readers_language(room: Room) -> None:
    async with room.client.get(room.address + "/nowhere?lang=nl") as answer:
        assert answer.status == 404
        assert "Deze pagina bestaat niet." in await answer.text()


async def test_a_fault_of_ours_is_a_page_without_its_details(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_status: Status) -> object:
        raise RuntimeError("secret words")

    monkeypatch.setattr("callguard.web.metrics.StatusCollector", broken)
    async with room.client.get(room.address + "/metrics") as answer:
        assert answer.status == 500
        text = await answer.text()
    assert "Something went wrong" in text
    assert "secret words" not in text


def test_the_machine_itself_is_told_from_other_machines() -> None:
    assert is_loopback("127.0.0.1")
    assert not is_loopback("0.0.0.0")
    assert not is_loopback("localhost.example")


class TestACrowd:
    @pytest.fixture
    def limits(self) -> WebLimits:
        return WebLimits(connections=1)

    async def test_finds_the_door_closed(self, room: Room) -> None:
        async with room.client.get(room.address + "/healthz") as answer:
            assert answer.status == 200
            assert await raw(room, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n") == b""


async def test_an_address_that_is_taken_is_an_error_and_leaves_nothing_open(room: Room) -> None:
    server = WebServer(ToldSource(), clock=NoonClock())
    with pytest.raises(OSError, match="in use"):
        await server.start("127.0.0.1", int(room.address.rsplit(":", 1)[1]))
    await server.close()


async def test_an_error_without_words_of_its_own_gets_the_standard_ones(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_status: Status) -> object:
        raise web.HTTPGone

    monkeypatch.setattr("callguard.web.metrics.StatusCollector", gone)
    assert "Gone" in await room.text("/metrics")
