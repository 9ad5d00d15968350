"""The server: who is let in, how sessions end, what is counted and what is logged."""

import asyncio

import pytest
from structlog.testing import capture_logs

from callguard.agi import AgiLimits, AgiServer, AgiSession, AgiStats
from tests.agi.asterisk import LOOPBACK, Line, connect, make_server
from tests.agi.samples import ENVIRONMENT
from tests.harness.pipes import pipe
from tests.harness.virtual import virtual_time


async def closed_by_server(line: Line) -> None:
    assert await line.command() == b""
    await line.task


async def forever(_: AgiSession) -> None:
    await asyncio.Event().wait()


async def verdict(agi: AgiSession) -> None:
    await agi.set_variable("CALLGUARD_VERDICT", "allow")


@virtual_time
async def test_a_session_runs_its_handler_and_ends_in_a_closed_socket() -> None:
    server = make_server(verdict)
    line = connect(server)
    line.send(ENVIRONMENT)
    await line.exchange(b'SET VARIABLE "CALLGUARD_VERDICT" "allow"', b"200 result=1\n")
    await closed_by_server(line)
    assert server.stats == AgiStats(sessions_total=1)


@virtual_time
async def test_one_too_many_is_closed_at_once_and_room_is_made_again() -> None:
    release = asyncio.Event()

    async def handler(_: AgiSession) -> None:
        await release.wait()

    server = make_server(handler, max_sessions=2)
    lines = [connect(server) for _ in range(2)]
    for line in lines:
        line.send(ENVIRONMENT)
    await asyncio.sleep(0)
    with capture_logs() as logs:
        for _ in range(50):
            await closed_by_server(connect(server))
    assert server.stats == AgiStats(sessions_now=2, sessions_total=2, refused_busy=50)
    assert [line["event"] for line in logs] == ["agi_busy"]
    release.set()
    for line in lines:
        await closed_by_server(line)
    later = connect(server)
    later.send(ENVIRONMENT)
    await closed_by_server(later)
    assert server.stats.sessions_total == 3


@virtual_time
async def test_a_refusal_is_logged_again_after_a_while_with_its_count() -> None:
    server = make_server(forever, max_sessions=0)
    with capture_logs() as logs:
        for _ in range(30):
            await closed_by_server(connect(server))
            await asyncio.sleep(1)
    assert [(line["event"], line["refused"]) for line in logs] == [
        ("agi_busy", 1),
        ("agi_busy", 11),
        ("agi_busy", 21),
    ]


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.9", True),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("fe80::1%eth0", False),
    ],
)
def test_only_allowed_networks_are_let_in(address: str, allowed: bool) -> None:
    @virtual_time
    async def run() -> None:
        async def handler(_: AgiSession) -> None:
            return

        server = make_server(handler)
        with capture_logs() as logs:
            for _ in range(2):
                line = connect(server, address=address)
                line.send(ENVIRONMENT)
                await closed_by_server(line)
        assert server.stats.sessions_total == (2 if allowed else 0)
        assert server.stats.refused_address == (0 if allowed else 2)
        assert [line["event"] for line in logs] == ([] if allowed else ["agi_address_refused"])

    run()


@virtual_time
async def test_the_memory_of_addresses_is_bounded() -> None:
    server = make_server(forever)
    for number in range(3000):
        line = connect(server, address=f"10.0.{number // 256}.{number % 256}")
        await line.task
    assert server.stats.refused_address == 3000
    assert len(server._known) <= 1024


@virtual_time
async def test_a_handler_that_fails_is_logged_once_without_its_message() -> None:
    async def handler(agi: AgiSession) -> None:
        raise LookupError(agi.env.query["number"])

    server = make_server(handler)
    with capture_logs() as logs:
        line = connect(server)
        line.send(ENVIRONMENT)
        await closed_by_server(line)
    errors = [entry for entry in logs if entry["log_level"] == "error"]
    assert len(errors) == 1
    assert errors[0]["event"] == "agi_handler_failed"
    assert errors[0]["error"] == "LookupError"
    assert errors[0]["at"].startswith("test_server.py:")
    assert "4930123456" not in str(errors)
    assert server.stats == AgiStats(sessions_total=1, handler_errors=1)


@virtual_time
async def test_a_caller_who_hangs_up_is_no_failure_of_the_handler() -> None:
    server = make_server(verdict)
    line = connect(server)
    line.send(ENVIRONMENT)
    assert await line.command()
    await line.end.close()
    await line.task
    assert server.stats == AgiStats(sessions_total=1)


@virtual_time
async def test_a_peer_that_breaks_the_protocol_is_counted() -> None:
    server = make_server(verdict)
    for stream in (b"GET / HTTP/1.0\n\n", ENVIRONMENT + b"garbage\n"):
        line = connect(server)
        line.send(stream)
        await closed_by_server(line)
    assert server.stats == AgiStats(sessions_total=2, protocol_errors=2)


@virtual_time
async def test_a_cancelled_session_closes_its_socket() -> None:
    server = make_server(forever)
    line = connect(server)
    line.send(ENVIRONMENT)
    await asyncio.sleep(1)
    line.task.cancel()
    assert await line.command() == b""
    with pytest.raises(asyncio.CancelledError):
        await line.task
    assert server.stats == AgiStats(sessions_total=1)


@virtual_time
async def test_closing_waits_for_sessions_and_then_cancels_them() -> None:
    loop = asyncio.get_running_loop()
    finished: list[float] = []

    async def handler(agi: AgiSession) -> None:
        await asyncio.sleep(2 if agi.env.language == "de" else 1000)
        finished.append(loop.time())

    server = make_server(handler)
    short, long = connect(server), connect(server)
    short.send(ENVIRONMENT)
    long.send(ENVIRONMENT.replace(b"language: de", b"language: en"))
    await asyncio.sleep(1)
    closing = asyncio.create_task(server.close(grace=5))
    await asyncio.sleep(1)
    await closed_by_server(connect(server))
    await closing
    assert finished == [pytest.approx(2)]
    assert loop.time() == pytest.approx(6)
    assert await long.command() == b""
    assert server.stats == AgiStats(sessions_total=2, refused_busy=1)


@virtual_time
async def test_closing_does_not_wait_for_ever_for_a_handler_that_will_not_die() -> None:
    release = asyncio.Event()

    async def handler(_: AgiSession) -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    server = make_server(handler)
    line = connect(server)
    line.send(ENVIRONMENT)
    await asyncio.sleep(1)
    with capture_logs() as logs:
        await server.close(grace=1)
    assert "agi_sessions_stuck" in [entry["event"] for entry in logs]
    release.set()
    await line.task


@virtual_time
async def test_unsent_bytes_keep_a_closing_socket_for_a_while_only() -> None:
    async def handler(agi: AgiSession) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await agi.verbose("x" * 3000)

    server = make_server(handler)
    line = connect(server)
    line.send(ENVIRONMENT)
    line.end.writer.transport.pause_reading()  # type: ignore[attr-defined] # StreamWriter types it as a WriteTransport
    await line.task
    assert asyncio.get_running_loop().time() == pytest.approx(6)
    assert server.stats.handler_errors == 0


@virtual_time
async def test_a_connection_without_an_address_is_local() -> None:
    server = AgiServer(forever, limits=AgiLimits(), allow=[])
    ours, theirs = pipe()
    theirs.writer.transport._extra["peername"] = None  # type: ignore[attr-defined] # as on a Unix socket
    task = asyncio.create_task(server.serve_connection(*theirs.streams))
    ours.writer.write_eof()
    await task
    assert server.stats == AgiStats(sessions_total=1, left_early=1)


async def test_a_real_socket_is_served_and_refused_by_its_address() -> None:
    for allow, answer in ((LOOPBACK, b'SET VARIABLE "CALLGUARD_VERDICT" "allow"\n'), ([], b"")):
        server = AgiServer(verdict, limits=AgiLimits(), allow=allow)
        port = await server.start("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        if answer:
            writer.write(ENVIRONMENT)
            assert await reader.readline() == answer
            writer.write(b"200 result=1\n")
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        await server.close(grace=1)
        assert server.stats.refused_address == (0 if answer else 1)
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", port)


@virtual_time
async def test_a_session_cancelled_before_its_first_step_closes_its_socket() -> None:
    server = make_server(forever)
    ours, theirs = pipe()
    server._connected(*theirs.streams)
    (task,) = server._sessions
    task.cancel()
    assert await ours.reader.read() == b""
    assert task.cancelled()
    assert server.stats == AgiStats(sessions_total=1)
