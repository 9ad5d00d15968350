"""The web room with every door open on a real loopback socket, over a gate without a PBX."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import ClientSession, ClientTimeout
from sqlalchemy import Connection

from callguard.config import Scrubs, Sms
from callguard.gate.callbook import Call
from callguard.gate.room import Gate, Recordings
from callguard.storage.database import Database
from callguard.storage.journal import Journal, NotDurableError
from callguard.storage.schema import opt_outs
from callguard.tenants.store import NewTenant, OwnKey, add
from callguard.tenants.tenant import TenantSettings
from callguard.web.app import WebServer
from callguard.web.call_api import CallApi
from callguard.web.call_page import CallDesk
from callguard.web.hold_api import HoldApi
from callguard.web.opt_out_api import OptOutApi
from callguard.web.opt_out_page import OptOutDesk
from callguard.web.scrub_api import ScrubApi
from callguard.web.scrub_jobs import ScrubJobs
from callguard.web.scrub_run import Scrubber
from callguard.web.sms import SmsDoor
from callguard.web.token import new_token
from tests.clock import HandClock
from tests.gate.preflights import gate_on, rows
from tests.web.recorded import Recorded, call_of
from tests.web.state import ToldSource

TOKEN = new_token()
SMS_TOKEN = new_token()
ACME = "+442079460999"
BETA = "+97231234567"


@dataclass
class Doors:
    """The doors, a client, and what is behind them."""

    gate: Gate
    client: ClientSession
    address: str
    jobs: ScrubJobs | None
    source: ToldSource
    recorded: Recorded
    call: Call
    """The one call under way, an outbound one of ``acme``."""

    async def ask(
        self, method: str, path: str, body: Any = None, *, token: str = TOKEN, **headers: str
    ) -> tuple[int, Any]:
        """Status and JSON of an answer; ``body`` is sent as JSON unless it is bytes."""
        sent = {"Authorization": f"Bearer {token}", **headers}
        data = body
        if body is not None and not isinstance(body, bytes):
            data = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        async with self.client.request(
            method, self.address + path, data=data, headers=sent
        ) as answer:
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            return answer.status, await answer.json()

    def written(self) -> list[dict[str, Any]]:
        """The rows of opt-outs, oldest first."""
        return sorted(rows(self.gate, opt_outs), key=lambda row: row["seq"])

    def standing(self, subject: str, tenant: str = "acme") -> list[str | None]:
        """Against whom the gate knows wishes of a subject to stand, that bind the tenant."""
        return [wish.tenant for wish in self.gate.opt_outs.of(subject, tenant)]


class Failing:
    """The journal's writing, which can be made to fail."""

    def __init__(self, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
        self.on = True
        write = gate.journal.write

        async def writing(work: Callable[[Connection], Any], *, timeout: float = 2.0) -> Any:
            if self.on:
                raise NotDurableError("database is locked")
            return await write(work, timeout=timeout)

        monkeypatch.setattr(gate.journal, "write", writing)


def two_tenants(database: Database, clock: HandClock) -> None:
    """``acme`` in Britain, and ``beta`` in Israel, which speaks Hebrew and Russian."""
    with database.writing() as connection:
        for tenant_id, number, settings in (
            ("acme", ACME, TenantSettings()),
            (
                "beta",
                BETA,
                TenantSettings(home_region="IL", language="he", languages=("he", "ru")),
            ),
        ):
            new = NewTenant(
                tenant_id,
                tenant_id.title(),
                settings,
                OwnKey("pq", "age1pq1unused", b"unused"),
                numbers=[number],
            )
            add(connection, new, at=clock.now(), actor="test")


def token_file(folder: Path, name: str, token: str) -> Path:
    file = folder / name
    file.write_text(token)
    file.chmod(0o600)
    return file


@asynccontextmanager
async def open_doors(
    folder: Path,
    database: Database,
    journal: Journal,
    clock: HandClock,
    *,
    sms: Sms | None = None,
    scrubber: Scrubber | None = None,
    scrubs: Scrubs | None = None,
) -> AsyncIterator[Doors]:
    """All doors, over tenants that are there already."""
    gate = gate_on(database, journal, clock)
    recorded, call, source = Recorded(), call_of(clock), ToldSource()
    gate.recordings = cast("Recordings", recorded)
    gate.calls.add(call)
    api = token_file(folder, "api.token", TOKEN)
    door = SmsDoor(gate, sms or Sms(), token_file(folder, "sms.token", SMS_TOKEN))
    more: list[Any] = [OptOutApi(gate, api), HoldApi(gate, api), CallApi(gate, source, api), door]
    jobs = None
    if scrubber is not None:
        settings = scrubs or Scrubs(reserve_bytes=0)
        jobs = ScrubJobs(folder / "scrubs", settings, database, journal, clock, scrubber)
        more.append(ScrubApi(gate, jobs, api))
    server = WebServer(
        source, clock=clock, more=more, desk=OptOutDesk(gate), call_desk=CallDesk(gate)
    )
    port = await server.start("127.0.0.1", 0)
    working = asyncio.create_task(jobs.run()) if jobs is not None else None
    try:
        async with ClientSession(timeout=ClientTimeout(total=20)) as client:
            address = f"http://127.0.0.1:{port}"
            yield Doors(gate, client, address, jobs, source, recorded, call)
    finally:
        await server.close()
        if working is not None:
            working.cancel()
            await asyncio.wait({working})
            if not working.cancelled():
                working.result()


@pytest.fixture
async def doors(
    tmp_path: Path, database: Database, journal: Journal, clock: HandClock
) -> AsyncIterator[Doors]:
    two_tenants(database, clock)
    async with open_doors(tmp_path, database, journal, clock) as opened:
        yield opened
