"""The web room with the recordings' door on a real loopback socket, and recordings behind it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientSession, ClientTimeout

from callguard.recording.store.folder import FolderStore
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from callguard.tenants.store import NewTenant, add
from callguard.tenants.tenant import TenantSettings
from callguard.web.app import WebServer
from callguard.web.recording_api import PATH, RecordingApi
from tests.clock import HandClock
from tests.databases import clock, database, journal
from tests.recording.conftest import MASTER, own_key
from tests.recording.playback.vault import logged, seal_into
from tests.recording.sealing import X25519
from tests.web.doors import TOKEN, token_file
from tests.web.state import ToldSource

__all__ = ["clock", "database", "door", "journal"]

BEARER = {"Authorization": f"Bearer {TOKEN}"}
WHY = {"Callguard-Reason": "claim%207"}


@dataclass
class Door:
    """The door, a client, and what is behind."""

    clock: HandClock
    database: Database
    journal: Journal
    store: FolderStore
    objects: Path
    api: RecordingApi
    client: ClientSession
    address: str

    def record(self, tenant: str = "acme", **how: Any) -> str:
        self.clock.advance(1)
        return seal_into(self.database, self.store, self.clock.now(), tenant, **how)

    def payload(self, name: str) -> Path:
        """Where it lies."""
        (path,) = self.objects.rglob(name)
        path.chmod(0o600)
        return path

    def flip(self, name: str, at: int) -> None:
        data = bytearray(self.payload(name).read_bytes())
        data[at] ^= 1
        self.payload(name).write_bytes(bytes(data))

    async def ask(
        self, path: str, method: str = "GET", **headers: str
    ) -> tuple[ClientResponse, bytes]:
        sent = {**BEARER, **headers}
        async with self.client.request(method, self.address + PATH + path, headers=sent) as answer:
            return answer, await answer.read()

    async def get(self, path: str, **headers: str) -> tuple[ClientResponse, bytes]:
        """With a reason."""
        return await self.ask(path, **{**WHY, **headers})

    async def told(self, path: str, method: str = "GET", **headers: str) -> tuple[int, Any]:
        """Status and JSON."""
        answer, _ = await self.ask(path, method, **headers)
        return answer.status, await answer.json()

    async def refused(self, status: int, path: str, **headers: str) -> str:
        """The one line of a refusal."""
        answer, _ = await self.ask(path, **headers)
        said = await answer.json()
        assert answer.status == status, said
        assert set(said) == {"error", "where"}
        assert "\n" not in said["error"]
        return str(said["error"])

    def log(self) -> list[tuple[str, str, str]]:
        return logged(self.database)

    async def raw(self, path: str, **headers: str) -> tuple[asyncio.StreamReader, Any]:
        """A connection on which this was asked and nothing read yet."""
        host, port = self.address.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
        lines = "".join(f"{k}: {v}\r\n" for k, v in {**BEARER, **WHY, **headers}.items())
        writer.write(f"GET {PATH}{path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode())
        await writer.drain()
        return reader, writer


@pytest.fixture
async def door(
    tmp_path: Path, database: Database, journal: Journal, clock: HandClock
) -> AsyncIterator[Door]:
    with database.writing() as connection:
        for new in (
            NewTenant("acme", "Acme", TenantSettings(), own_key("acme")),
            NewTenant("two", "Two", TenantSettings(), own_key("two", "pq")),
            NewTenant("out", "Out", TenantSettings(), None, [str(X25519.recipient)]),
        ):
            add(connection, new, at=clock.now(), actor="test")
    folder = tmp_path / "objects"
    store = FolderStore(folder)
    token = token_file(tmp_path, "api.token", TOKEN)
    api = RecordingApi(clock, database, journal, store, MASTER, token)
    server = WebServer(ToldSource(), clock=clock, more=[api])
    port = await server.start("127.0.0.1", 0)
    try:
        async with ClientSession(timeout=ClientTimeout(total=20)) as client:
            address = f"http://127.0.0.1:{port}"
            yield Door(clock, database, journal, store, folder, api, client, address)
    finally:
        await server.close()
        api.close()
