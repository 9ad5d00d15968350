"""The web room with the API on a real loopback socket, over a gate without a PBX."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, ClientTimeout

from callguard.gate.preflight import Preflight
from callguard.gate.room import Gate
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from callguard.web.api import PATH, CheckApi
from callguard.web.app import WebServer
from callguard.web.token import new_token
from tests.clock import HandClock
from tests.databases import clock, database, journal, tenant
from tests.gate.preflights import CAP, PARTY, gate_on
from tests.web.state import ToldSource

__all__ = ["clock", "database", "journal", "tenant"]

TOKEN = new_token()
JSON = {"Content-Type": "application/json"}
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@dataclass
class Door:
    """The web room with the API, a client, and what is behind."""

    gate: Gate
    preflight: Preflight
    client: ClientSession
    address: str
    token_file: Path

    async def post(self, body: bytes | str, **headers: str) -> tuple[int, Any]:
        """Status and JSON of an answer."""
        sent = {**JSON, **BEARER, **headers}
        data = BytesIO(body if isinstance(body, bytes) else body.encode())
        async with self.client.post(self.address + PATH, data=data, headers=sent) as answer:
            assert answer.content_type == "application/json"
            assert answer.headers["Cache-Control"] == "no-store"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            return answer.status, await answer.json()

    async def ask(self, **asked: object) -> Any:
        """The answer to a question that is one."""
        said = {"tenant": "acme", "purpose": "service", "caller": "+442079460999", **asked}
        status, answer = await self.post(json.dumps(said))
        assert status == 200, answer
        return answer

    async def refused(self, status: int, body: bytes | str = "{}", **headers: str) -> Any:
        """The one line of a refusal, and where."""
        got, answer = await self.post(body, **headers)
        assert got == status, answer
        assert set(answer) == {"error", "where"}
        assert "\n" not in answer["error"]
        return answer["error"], answer["where"]

    @property
    def host_and_port(self) -> tuple[str, int]:
        host, port = self.address.removeprefix("http://").split(":")
        return host, int(port)

    async def raw(self, *parts: bytes) -> bytes:
        """The first line of what is answered to these very bytes."""
        reader, writer = await asyncio.open_connection(*self.host_and_port)
        for part in parts:
            writer.write(part)
            await writer.drain()
        line = await reader.readline()
        writer.close()
        return line


def head(length: int | None, more: str = "") -> bytes:
    """The beginning of a request."""
    size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    return (
        f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {TOKEN}\r\nConnection: close\r\n{size}\r\n{more}\r\n"
    ).encode()


@pytest.fixture
async def door(
    tmp_path: Path, database: Database, journal: Journal, clock: HandClock, tenant: str
) -> AsyncIterator[Door]:
    gate = gate_on(database, journal, clock, CAP)
    preflight = Preflight(gate)
    token_file = tmp_path / "api.token"
    token_file.write_text(TOKEN + "\n")
    token_file.chmod(0o600)
    server = WebServer(ToldSource(), clock=clock, api=CheckApi(preflight, token_file))
    port = await server.start("127.0.0.1", 0)
    try:
        async with ClientSession(timeout=ClientTimeout(total=20)) as client:
            yield Door(gate, preflight, client, f"http://127.0.0.1:{port}", token_file)
    finally:
        await server.close()
        await preflight.close()


def said(**asked: object) -> str:
    return json.dumps({"tenant": "acme", "number": PARTY, **asked})


def listed(found: list[object], **asked: object) -> str:
    return json.dumps({"tenant": "acme", "numbers": found, **asked})
