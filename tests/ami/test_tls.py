"""Over real sockets: TLS with a certificate made here, and plain TCP."""

import asyncio
import contextlib
import random
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from callguard.ami import AmiSession, tcp_connect
from tests import certificates
from tests.ami.pbx import Pbx, settings

Certificate = tuple[ssl.SSLContext, Path]
"""A server's context, and the file by which a client trusts it."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificates.made(tmp_path_factory.mktemp("tls"), name="localhost")


@contextlib.asynccontextmanager
async def listening(pbx: Pbx, certificate: Certificate | None) -> AsyncIterator[int]:
    """``pbx`` on a port of its own, which is returned."""
    context = None if certificate is None else certificate[0]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pbx.writers.append(writer)
        await pbx.serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]
        for writer in pbx.writers:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def session(
    port: int, tls: ssl.SSLContext | None
) -> AsyncIterator[asyncio.Future[AmiSession]]:
    """A session on ``port``; the future is done when it is logged in."""
    up: asyncio.Future[AmiSession] = asyncio.get_running_loop().create_future()

    async def on_up(made: AmiSession) -> None:
        up.set_result(made)

    made = AmiSession(
        settings(host="localhost", port=port, tls=tls, backoff_min=0.01, backoff_max=0.02),
        on_event=lambda _: None,
        on_up=on_up,
        on_down=lambda _: None,
        rng=random.Random(1),
    )
    task = asyncio.create_task(made.run())
    try:
        yield up
    finally:
        await asyncio.wait_for(made.close(), 10)
        await task
        up.cancel()
        assert made.state == "down"


async def test_a_session_over_tls_logs_in_acts_and_logs_off(certificate: Certificate) -> None:
    pbx = Pbx()
    trusting = ssl.create_default_context(cafile=str(certificate[1]))
    async with listening(pbx, certificate) as port:
        async with session(port, trusting) as up:
            made = await asyncio.wait_for(up, 10)
            assert (await made.action("Ping")).get("Ping") == "Pong"
        assert pbx.names() == ["Challenge", "Login", "Ping", "Logoff"]


async def test_a_certificate_nobody_vouches_for_gets_no_login(certificate: Certificate) -> None:
    pbx = Pbx()
    async with listening(pbx, certificate) as port:
        with pytest.raises(ssl.SSLCertVerificationError):
            await tcp_connect(
                settings(host="localhost", port=port, tls=ssl.create_default_context())
            )
    assert pbx.received == []


async def test_a_session_over_tcp_logs_in_acts_and_logs_off() -> None:
    pbx = Pbx()
    async with listening(pbx, None) as port:
        async with session(port, None) as up:
            made = await asyncio.wait_for(up, 10)
            assert (await made.action("Ping")).get("Ping") == "Pong"
        assert pbx.names() == ["Challenge", "Login", "Ping", "Logoff"]
