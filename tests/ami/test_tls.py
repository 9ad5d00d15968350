"""Over real sockets: TLS with a certificate made here, and plain TCP."""

import asyncio
import contextlib
import datetime
import random
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from callguard.ami import AmiSession, tcp_connect
from tests.ami.pbx import Pbx, settings


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and a self-signed certificate for localhost."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "manager.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@contextlib.asynccontextmanager
async def listening(pbx: Pbx, certificate: Path | None) -> AsyncIterator[int]:
    """``pbx`` on a port of its own, which is returned."""
    context = None
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)

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


async def test_a_session_over_tls_logs_in_acts_and_logs_off(certificate: Path) -> None:
    pbx = Pbx()
    trusting = ssl.create_default_context(cafile=str(certificate))
    async with listening(pbx, certificate) as port:
        async with session(port, trusting) as up:
            made = await asyncio.wait_for(up, 10)
            assert (await made.action("Ping")).get("Ping") == "Pong"
        assert pbx.names() == ["Challenge", "Login", "Ping", "Logoff"]


async def test_a_certificate_nobody_vouches_for_gets_no_login(certificate: Path) -> None:
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
