"""What a broken peer, a broken network or a broken callback does to a session."""

import asyncio
import socket

import pytest
from structlog.testing import capture_logs

from callguard.ami import AmiDown, AmiSession, AmiTimeout, Message, tcp_connect
from callguard.ami.wire import Limits
from tests.ami.pbx import Pbx, Watched, event, settings, watching
from tests.ami.virtual import eventually, virtual


@virtual
async def test_a_message_cut_off_by_the_end_is_no_message() -> None:
    pbx = Pbx()
    async with watching(pbx) as watched:
        pbx.send(event("Hangup", ("Uniqueid", "1")) + b"Event: Hangup\r\nUniqueid: 2\r\n")
        pbx.hang_up()
        await eventually(lambda: len(watched.downs) == 1)
        await watched.until_up()
        pbx.send(event("Hangup", ("Uniqueid", "3")))
        await eventually(lambda: len(watched.events) == 2)
        assert [e.get("Uniqueid") for e in watched.events] == ["1", "3"]


@pytest.mark.parametrize(
    "garbage", [b"x" * 10_000, b"Event: X\r\n" * 1_000, b"Event: X\r\nK: " + b"v" * 5_000]
)
def test_oversized_garbage_costs_the_connection_and_no_more(garbage: bytes) -> None:
    @virtual
    async def drops() -> None:
        pbx = Pbx()
        limits = Limits(line_bytes=1_000, message_bytes=4_000)
        async with watching(pbx, limits=limits) as watched:
            pbx.send(garbage)
            await eventually(lambda: len(watched.downs) == 1)
            assert watched.downs[0].startswith("protocol error: a message is longer")
            assert watched.session.counters.protocol_errors == 1
            await watched.until_up()

    drops()


@virtual
async def test_a_peer_that_is_no_manager_is_left_alone_between_attempts() -> None:
    pbx = Pbx()
    pbx.greeting = b"SSH-2.0-OpenSSH_9.7\r\n"
    async with watching(pbx, up=False) as watched:
        await eventually(lambda: len(pbx.connected_at) == 4)
        assert "greeting" in watched.session.reason
        assert watched.downs == []
    assert pbx.connected_at[-1] > 1.5


@virtual
async def test_a_peer_that_does_not_read_costs_the_connection() -> None:
    pbx = Pbx()
    async with watching(pbx, in_flight=1_000, ping_interval=1_000.0) as watched:
        pbx.reads = False
        value = ("Value", "v" * 1_000)
        got = await asyncio.gather(
            *[watched.session.action("Setvar", value, timeout=5.0) for _ in range(900)],
            return_exceptions=True,
        )
        failed = [error for error in got if isinstance(error, (AmiTimeout, AmiDown))]
        assert len(failed) > 800, "all but what it read before it stopped"
        await eventually(lambda: watched.downs == ["Asterisk does not read what it is sent"])


@virtual
async def test_a_connection_reset_while_writing_fails_the_action() -> None:
    pbx = Pbx()
    async with watching(pbx) as watched:
        connection = watched.session._connection
        assert connection is not None

        async def reset() -> None:
            raise ConnectionResetError("reset")

        connection.writer.drain = reset  # type: ignore[method-assign] # as a socket may at any time
        with pytest.raises(AmiDown, match="connection lost: reset"):
            await watched.session.action("Ping")
        await eventually(lambda: watched.downs == ["connection lost: reset"])


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionResetError("reset"), "connection lost: reset"),
        (OSError(), "connection lost: OSError"),
        (RuntimeError("a defect"), "internal error: RuntimeError"),
    ],
)
def test_a_read_that_fails_costs_the_connection_and_no_more(error: Exception, reason: str) -> None:
    @virtual
    async def drops() -> None:
        pbx = Pbx()
        async with watching(pbx) as watched:
            connection = watched.session._connection
            assert connection is not None
            connection.reader.set_exception(error)
            await eventually(lambda: watched.downs == [reason])
            await watched.until_up()

    drops()


@virtual
async def test_a_failed_catching_up_is_tried_again_on_a_new_connection() -> None:
    class Failing(Watched):
        async def on_up(self, session: AmiSession) -> None:
            await super().on_up(session)
            if self.ups == 1:
                raise AmiTimeout("CoreShowChannels: no answer within 5 s")
            if self.ups == 2:
                raise KeyError("+31201234567")

    pbx = Pbx()
    with capture_logs() as logs:
        async with watching(pbx, Failing()) as watched:
            assert watched.ups == 3
            assert watched.downs == [
                "catching up failed: CoreShowChannels: no answer within 5 s",
                "catching up failed: KeyError",
            ]
    assert "31201234567" not in str(logs)


@virtual
async def test_a_failing_on_down_does_not_end_the_session() -> None:
    pbx = Pbx()
    async with watching(pbx) as watched:

        def fail(reason: str) -> None:
            raise RuntimeError(reason)

        watched.session._on_down = fail
        pbx.hang_up()
        await eventually(lambda: watched.session.counters.handler_errors == 1)
        await watched.until_up()


@virtual
async def test_no_event_is_told_after_the_end_of_its_connection() -> None:
    class Cutting(Watched):
        def on_event(self, event: Message) -> None:
            super().on_event(event)
            assert self.session._connection is not None
            self.session._connection.fail("enough")

    pbx = Pbx()
    async with watching(pbx, Cutting()) as watched:
        pbx.send(event("Hangup") * 3)
        await eventually(lambda: watched.downs == ["enough"])
        assert len(watched.events) == 1


@virtual
async def test_a_socket_that_will_not_close_is_aborted() -> None:
    pbx = Pbx()
    async with watching(pbx) as watched:
        connection = watched.session._connection
        assert connection is not None

        async def never() -> None:
            await asyncio.Event().wait()

        connection.writer.wait_closed = never  # type: ignore[method-assign] # a stuck TLS goodbye
        began = asyncio.get_running_loop().time()
        await watched.session.close()
        assert asyncio.get_running_loop().time() - began < 5


async def test_a_port_nobody_listens_on_is_one_clear_reason() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(OSError, match=str(port)):
            await tcp_connect(settings(host="127.0.0.1", port=port))
