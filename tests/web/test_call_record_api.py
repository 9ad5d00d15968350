"""Programs list call records, look at one call, and take records away."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import ClientSession, ClientTimeout
from sqlalchemy import select, update

from callguard.cdr.columns import NAMES
from callguard.recording import age
from callguard.storage.database import Database
from callguard.storage.journal import Journal, NotDurableError
from callguard.storage.schema import audit, tenants
from callguard.web import call_record_api
from callguard.web.app import WebServer
from callguard.web.call_record_api import PATH, CallRecordApi
from tests.cdr.export.reading_back import table_of
from tests.cdr.told import (
    NOON,
    SUBJECT,
    hold,
    put_call,
    put_consent,
    put_record,
    put_records,
    record,
    restrict,
)
from tests.clock import HandClock
from tests.databases import add_tenant, clock, database, journal
from tests.recording.sealing import X25519
from tests.web.doors import TOKEN, token_file
from tests.web.state import ToldSource

__all__ = ["clock", "database", "journal"]

BEARER = {"Authorization": f"Bearer {TOKEN}"}
WHY = {"Callguard-Reason": "bill%204711"}
EXPORT = "/export?tenant=acme"


@dataclass
class Door:
    """The door, a client, and what is behind."""

    clock: HandClock
    database: Database
    journal: Journal
    client: ClientSession
    address: str

    async def ask(self, path: str = "", **headers: str) -> tuple[int, bytes, Any]:
        sent = {**BEARER, **headers}
        async with self.client.get(self.address + PATH + path, headers=sent) as answer:
            return answer.status, await answer.read(), answer.headers

    async def told(self, path: str = "", **headers: str) -> Any:
        status, body, _ = await self.ask(path, **headers)
        assert status == 200, body
        return json.loads(body)

    async def refused(self, status: int, path: str, **headers: str) -> dict[str, str]:
        found, body, _ = await self.ask(path, **headers)
        said = json.loads(body)
        assert (found, set(said)) == (status, {"error", "where"}), said
        assert "\n" not in said["error"]
        return dict(said)

    async def logged(self, of: int) -> list[tuple[str, str, dict[str, Any]]]:
        """What the audit log has of call records, once there is so much of it."""
        for _ in range(200):
            with self.database.reading() as connection:
                rows = connection.execute(select(audit).order_by(audit.c.seq)).all()
            found = [
                (row.actor, row.action, json.loads(row.details))
                for row in rows
                if row.action.startswith("call_records.")
            ]
            if len(found) >= of:
                break
            await asyncio.sleep(0.01)
        assert len(found) == of
        return found

    async def raw(self, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection on which this was asked and nothing read yet."""
        host, port = self.address.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
        lines = "".join(f"{k}: {v}\r\n" for k, v in {**BEARER, **WHY}.items())
        writer.write(f"GET {PATH}{path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode())
        await writer.drain()
        return reader, writer


async def is_whole(reader: asyncio.StreamReader) -> bool:
    """Whether an answer of unknown length ends as it should (RFC 9112, section 7.1)."""
    last = b""
    try:
        while piece := await reader.read(1 << 16):
            last = (last + piece)[-16:]
    except ConnectionError:
        return False
    return last.endswith(b"\r\n0\r\n\r\n")


@pytest.fixture
async def door(
    tmp_path: Path, database: Database, journal: Journal, clock: HandClock
) -> AsyncIterator[Door]:
    add_tenant(database, clock)
    add_tenant(database, clock, "beta")
    api = CallRecordApi(clock, database, journal, token_file(tmp_path, "t", TOKEN), "GB")
    server = WebServer(ToldSource(), clock=clock, more=[api])
    port = await server.start("127.0.0.1", 0)
    try:
        async with ClientSession(timeout=ClientTimeout(total=20)) as client:
            yield Door(clock, database, journal, client, f"http://127.0.0.1:{port}")
    finally:
        await server.close()
        api.close()


async def test_pages_follow_one_another_to_the_end(door: Door) -> None:
    put_records(door.database, [record(n) for n in range(5)])
    put_record(door.database, 9, tenant_id="beta")
    found, following = [], ""
    while True:
        told = await door.told(f"?tenant=acme&limit=2&cursor={following}")
        found += [one["sequence"] for one in told["call_records"]]
        if told["next"] is None:
            break
        following = told["next"]
    assert found == [0, 1, 2, 3, 4]
    assert told["columns"] == 1
    told = await door.told()
    assert [one["sequence"] for one in told["call_records"]] == [0, 1, 2, 3, 4]
    told = await door.told(f"?cursor={told['next']}")
    assert [one["sequence"] for one in told["call_records"]] == [9]


async def test_a_page_of_few_records_looks_on_until_it_finds_some(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callguard.cdr.reading.SCAN", 5)
    put_records(door.database, [record(n, agent="rare" if n == 29 else "x") for n in range(30)])
    told = await door.told("?tenant=acme&agent=rare")
    assert [one["sequence"] for one in told["call_records"]] == [29]


async def test_what_has_expired_is_not_there(door: Door) -> None:
    put_record(door.database, 1, expires_at=door.clock.now())
    call = put_call(door.database, expires_at=door.clock.now())
    assert (await door.told())["call_records"] == []
    await door.refused(404, f"/{call}")
    _, body, _ = await door.ask(f"{EXPORT}&format=jsonl", **WHY)
    assert body == b""


async def test_numbers_are_told_for_a_reason_that_is_in_the_log(door: Door) -> None:
    call = put_call(door.database)
    put_consent(door.database, call, "granted")
    put_record(door.database, 1, call_id=call)
    for path in ("", f"/{call}"):
        assert SUBJECT not in json.dumps(await door.told(path))
    assert await door.logged(0) == []
    actor = {"Callguard-Actor": quote("דנה")}
    assert SUBJECT in json.dumps(await door.told(f"?number={quote(SUBJECT)}", **WHY, **actor))
    one = await door.told(f"/{call}?reason=bill")
    assert one["consents"][0]["state"] == "granted"
    assert (one["verdict"], one["legs"][0]["caller"]) == ("allow", "+442079460999")
    (who, action, details), (_, _, other) = await door.logged(2)
    assert (who, action, details["reason"]) == ("api:דנה", "call_records.read", "bill 4711")
    assert details["by"] == ["number"]
    assert other["call"] == call
    assert SUBJECT[3:] not in json.dumps(details)


async def test_an_export_comes_in_the_form_that_is_asked_for(door: Door) -> None:
    put_records(door.database, [record(n) for n in range(3)])
    _, body, headers = await door.ask(EXPORT, **WHY)
    assert headers["Content-Type"].startswith("text/csv")
    assert headers["Content-Disposition"] == 'attachment; filename="call-records-acme.csv"'
    assert headers["Cache-Control"] == "no-store"
    (_, begun, details), (_, ended, total) = await door.logged(2)
    assert (begun, ended) == ("call_records.export", "call_records.exported")
    assert details["export"] == total["export"] == headers["Callguard-Export"]
    assert (total["rows"], total["bytes"]) == (3, len(body))
    rows = list(csv.DictReader(io.StringIO(body.decode(), newline="")))
    assert [row["called"] for row in rows] == [SUBJECT] * 3
    _, body, headers = await door.ask(EXPORT, Accept="application/x-ndjson, */*", **WHY)
    assert headers["Content-Type"] == "application/jsonl"
    assert list(json.loads(body.splitlines()[0])) == list(NAMES)
    _, body, _ = await door.ask(f"{EXPORT}&format=parquet&mask=yes", **WHY)
    table = table_of(body)
    assert table.column("called").to_pylist() == ["+33*******89"] * 3
    path = f"{EXPORT}&format=jsonl&recipient={X25519.recipient}"
    _, body, headers = await door.ask(path, **WHY)
    assert age.open_file(body, [X25519]).count(b"\n") == 3
    assert headers["Content-Disposition"].endswith('acme.jsonl.age"')


async def test_the_period_is_half_open(door: Door) -> None:
    put_records(door.database, [record(n) for n in range(3)])
    period = f"since={quote(NOON.isoformat())}&until=2026-11-20T13:00:01%2B01:00"
    _, body, _ = await door.ask(f"{EXPORT}&format=jsonl&{period}", **WHY)
    assert [json.loads(line)["sequence"] for line in body.splitlines()] == [0]


@pytest.mark.parametrize(
    ("path", "where"),
    [
        (EXPORT, "reason"),
        (f"{EXPORT}&reason=%20.", "reason"),
        (f"{EXPORT}&reason=x&format=xls", "format"),
        (f"{EXPORT}&reason=x&mask=1", "mask"),
        (f"{EXPORT}&reason=x&recipient=age1x", "recipient"),
        (f"{EXPORT}&reason=x&since=2026-11-20", "since"),
        (f"{EXPORT}&reason=x&until=yesterday", "until"),
        (f"{EXPORT}&reason=x&until=0001-01-01T00:00:00%2B14:00", "until"),
        ("?number=x", "number"),
        ("?tenant=nobody", "tenant"),
        ("/export?tenant=nobody&reason=x", "tenant"),
        ("?limit=0", "limit"),
        ("?cursor=x", "cursor"),
        ("?limit=10000", "limit"),
        ("?who=x", "who"),
        ("/x?who=x", "who"),
    ],
)
async def test_what_cannot_be_asked_is_refused_by_name(door: Door, path: str, where: str) -> None:
    assert (await door.refused(400, path))["where"] == where
    assert await door.logged(0) == []


async def test_a_number_is_read_as_the_tenant_dials_it(door: Door) -> None:
    put_record(door.database, 1)
    with door.database.writing() as connection:
        known = select(tenants.c.settings).where(tenants.c.id == "acme")
        settings = connection.execute(known).scalar_one()
        french = {**settings, "home_region": "FR"}
        connection.execute(update(tenants).where(tenants.c.id == "acme").values(settings=french))
    for path in ("?tenant=acme&number=0123456789", f"?number={quote(SUBJECT)}"):
        assert len((await door.told(path))["call_records"]) == 1
    assert (await door.told("?tenant=beta&number=01234567890"))["call_records"] == []


async def test_numbers_that_are_only_stored_are_told_on_a_ground(door: Door) -> None:
    call = put_call(door.database)
    put_record(door.database, 1, call_id=call)
    restrict(door.database, SUBJECT)
    ground = {**WHY, "Callguard-Ground": "legal-claim"}
    for path in ("?tenant=acme", f"/{call}", EXPORT):
        assert SUBJECT.encode() not in (await door.ask(path, **WHY))[1]
        assert SUBJECT.encode() in (await door.ask(path, **ground))[1]
    assert (await door.refused(400, f"{EXPORT}&ground=mine", **WHY))["where"] == "ground"


async def test_what_is_held_is_told_for_a_reason(door: Door) -> None:
    put_record(door.database, 1, expires_at=NOON)
    hold(door.database, SUBJECT)
    assert (await door.refused(400, "?held=yes"))["where"] == "reason"
    for path in ("", "?held=no"):
        assert (await door.told(path, **WHY))["call_records"] == []
    assert len((await door.told("?held=yes", **WHY))["call_records"]) == 1


async def test_only_who_has_the_token_may_ask(door: Door) -> None:
    for path in ("", "/x", EXPORT):
        await door.refused(401, path, Authorization="Bearer wrong")


async def test_nothing_is_told_that_cannot_be_logged(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_record(door.database, 1)

    async def failing(*_: object, **__: object) -> None:
        raise NotDurableError("the disk is full")

    monkeypatch.setattr(door.journal, "write", failing)
    for path in ("", EXPORT):
        said = await door.refused(503, path, **WHY)
        assert said["error"] == "the reading could not be logged; nothing was read"


async def test_without_pyarrow_one_line_says_so(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    said = await door.refused(501, f"{EXPORT}&format=parquet", **WHY)
    assert "callguard[parquet]" in said["error"]
    assert (await door.logged(2))[1][1] == "call_records.not_exported"


async def test_so_many_exports_at_once_and_no_more(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_records(door.database, [record(n, campaign="x" * 5_000) for n in range(2_000)])
    taking = [await door.raw(f"{EXPORT}&format=jsonl") for _ in range(2)]
    for reader, _ in taking:
        await reader.readexactly(500)
    assert "too many" in (await door.refused(429, EXPORT, **WHY))["error"]
    for _, writer in taking:
        writer.close()
    found = await door.logged(4)
    assert [action for _, action, _ in found[2:]] == ["call_records.not_exported"] * 2
    status, _, _ = await door.ask(EXPORT, **WHY)
    assert status == 200, "who has left makes room"


async def test_who_takes_it_too_slowly_is_cut_off_and_it_does_not_look_whole(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_record_api, "WRITE_S", 0.05)
    put_records(door.database, [record(n, campaign="x" * 5_000) for n in range(2_000)])
    reader, writer = await door.raw(f"{EXPORT}&format=jsonl")
    (_, _, _), (_, action, details) = await door.logged(2)
    assert (action, details["fault"]) == ("call_records.not_exported", "it was not sent in time")
    assert not await is_whole(reader)
    writer.close()


async def test_a_database_that_fails_in_the_middle_breaks_the_export_off(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_records(door.database, [record(n) for n in range(3_000)])
    reads = 0
    reading = door.database.reading

    def failing() -> Any:
        nonlocal reads
        reads += 1
        if reads > 3:
            raise OSError("the disk is gone")
        return reading()

    monkeypatch.setattr(door.database, "reading", failing)
    reader, writer = await door.raw(f"{EXPORT}&format=jsonl")
    assert not await is_whole(reader)
    writer.close()
    monkeypatch.undo()
    assert (await door.logged(2))[1][1] == "call_records.not_exported"
