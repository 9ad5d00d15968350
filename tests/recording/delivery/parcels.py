"""Parcels to send, and secrets to send them with."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from callguard.recording.delivery.parcel import Parcel

ID = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


def parcel_of(data: bytes, name: str = f"{ID}.age", *, piece: int = 262_208) -> Parcel:
    sha256 = hashlib.sha256(data).hexdigest()
    about = {"recording": ID, "bytes": len(data), "sha256": sha256}
    return Parcel(name, len(data), sha256, f"{ID}.{sha256[:16]}", about, partial(_cut, data, piece))


def torn(parcel: Parcel) -> Parcel:
    """One whose last byte is another than when it was weighed."""

    def read() -> Iterator[bytes]:
        data = b"".join(parcel.read())
        yield data[:-1] + bytes([data[-1] ^ 1])

    return Parcel(parcel.name, parcel.size, parcel.sha256, parcel.key, parcel.about, read)


def _cut(data: bytes, piece: int) -> Iterator[bytes]:
    for start in range(0, len(data), piece):
        yield data[start : start + piece]


def some_bytes(size: int) -> bytes:
    return random.Random(size).randbytes(size)


@asynccontextmanager
async def silent(*, reads: bool = True) -> AsyncIterator[int]:
    """A server that takes connections and never says anything; its port."""
    writers: list[asyncio.StreamWriter] = []
    over = asyncio.Event()

    async def handle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        if not reads:
            writer.transport.pause_reading()  # type: ignore[attr-defined]  # it is a socket's
        await over.wait()
        writer.transport.abort()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        over.set()
        server.close()
        await asyncio.sleep(0.01)


def secret(path: Path, text: str = "a-secret-of-more-than-thirty-two-bytes") -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path
