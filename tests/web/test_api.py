"""``POST /api/v1/check`` over a real socket: who may ask, what is answered, what is refused."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, ClientTimeout

from callguard.gate.preflight import Preflight
from callguard.gate.room import Gate
from callguard.storage.database import Database
from callguard.storage.journal import Journal, NotDurableError, Row
from callguard.storage.schema import attempts, calls
from callguard.web import api as module
from callguard.web.api import AT_ONCE, MAX_BODY, MOST, MOST_EXPLAINED, PATH, CheckApi
from callguard.web.app import WebServer
from callguard.web.token import new_token
from tests.clock import HandClock
from tests.databases import clock, database, journal, tenant
from tests.gate.preflights import CAP, OTHER, PARTY, gate_on, numbers, rows
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


class TestAnAnswer:
    async def test_says_everything_in_the_order_asked(self, door: Door) -> None:
        answer = await door.ask(numbers=[PARTY, "nonsense \ud83d\ude00", "020 7946 0123"])
        assert list(answer) == ["tenant", "at", "results", "allowed", "blocked"]
        assert (answer["tenant"], answer["at"]) == ("acme", "2026-11-20T12:00:00+00:00")
        assert (answer["allowed"], answer["blocked"]) == (2, 1)
        assert [result["number"] for result in answer["results"]] == [
            PARTY,
            "nonsense \ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
            "020 7946 0123",
        ]
        first, second, _ = answer["results"]
        assert first == {
            "number": PARTY,
            "verdict": "allow",
            "reasons": [],
            "rules": [],
            "obligations": ["play_notice"],
            "cause": None,
        }
        assert second["verdict"] == "block"
        assert second["rules"] == ["base.opt-out"]
        assert second["reasons"] == ["the called number is none that can be looked up"]
        assert second["cause"] == 21
        assert rows(door.gate, calls) == []

    async def test_names_the_calls_of_what_was_counted(self, door: Door) -> None:
        answer = await door.ask(numbers=[PARTY] * 4, count=True)
        told = answer["results"]
        assert [result["verdict"] for result in told] == ["allow", "allow", "allow", "block"]
        assert told[3]["rules"] == ["test.cap"]
        assert told[3]["cause"] == 38
        kept = rows(door.gate, calls)
        assert {row["id"] for row in kept} == {result["call"] for result in told}
        assert {row["pbx"] for row in kept} == {"api"}
        assert len(rows(door.gate, attempts)) == 3

    async def test_explains_where_it_is_asked_to(self, door: Door) -> None:
        answer = await door.ask(number=PARTY, explain=True)
        (result,) = answer["results"]
        found = {finding["rule"]: finding for finding in result["findings"]}
        assert set(found) >= {"base.opt-out", "test.cap"}
        assert found["test.cap"]["citation"] == "Act, s. 1"
        assert found["test.cap"]["reason"].startswith("0 calls by the tenant")

    async def test_takes_every_part_of_the_question_to_the_gate(self, door: Door) -> None:
        said = {"campaign": "spring", "debt": "d-1", "agent": "7", "dialler": "machine"}
        answer = await door.ask(number="who@example.org", channel="email", count=True, **said)
        (result,) = answer["results"]
        (row,) = rows(door.gate, calls)
        assert row["id"] == result["call"]
        assert (row["channel"], row["subject"]) == ("email", "who@example.org")
        assert (row["campaign"], row["debt"], row["agent"]) == ("spring", "d-1", "7")
        assert (row["purpose"], row["caller"]) == ("service", "+442079460999")

    async def test_is_about_the_moment_asked_for(self, door: Door) -> None:
        answer = await door.ask(number=PARTY, at="2026-03-29T03:00:00+02:00")
        assert answer["at"] == "2026-03-29T01:00:00+00:00"

    async def test_goes_by_the_tenants_own_purpose_where_none_is_said(self, door: Door) -> None:
        status, answer = await door.post(
            json.dumps({"tenant": "acme", "number": PARTY, "count": True})
        )
        assert (status, answer["allowed"]) == (200, 1)
        assert rows(door.gate, calls)[0]["purpose"] == "marketing"

    async def test_of_ten_thousand_numbers_comes_whole(self, door: Door) -> None:
        asked = numbers(MOST)
        answer = await door.ask(numbers=asked)
        assert [result["number"] for result in answer["results"]] == asked
        assert (answer["allowed"], answer["blocked"]) == (MOST, 0)


def said(**asked: object) -> str:
    return json.dumps({"tenant": "acme", "number": PARTY, **asked})


def listed(found: list[object], **asked: object) -> str:
    return json.dumps({"tenant": "acme", "numbers": found, **asked})


class TestAQuestionThatIsNone:
    @pytest.mark.parametrize(
        ("body", "where", "error"),
        [
            ("", "", "the body is not JSON"),
            ("{", "", "the body is not JSON"),
            ("{} {}", "", "the body is not JSON"),
            (b"\xff", "", "the body is not JSON"),
            ("[" * 5_000, "", "recursion limit"),
            ("1" * 5_000, "", "the body is not JSON"),
            (r'{"tenant": "\ud800"}', "", "the body is not JSON"),
            ("[]", "", "not a JSON object"),
            ("null", "", "not a JSON object"),
            (json.dumps({"number": PARTY}), "tenant", "required"),
            (json.dumps({"tenant": "acme"}), "numbers", "either a number or a list"),
            (said(numbers=[PARTY]), "numbers", "either a number or a list"),
            (said(tenant="nobody"), "tenant", "no tenant of this id"),
            (said(tenant="ACME"), "tenant", "no tenant of this id"),
            (said(tenant=7), "tenant", "string"),
            (said(colour="red"), "colour", "no such key"),
            (said(Count=True), "Count", "no such key"),
            (said(purpose="gossip"), "purpose", "'marketing'"),
            (said(purpose=None), "purpose", "'marketing'"),
            (said(channel="pigeon"), "channel", "'voice'"),
            (said(direction="inbound"), "direction", "'outbound'"),
            (said(dialler="robot"), "dialler", "'machine'"),
            (said(count=1), "count", "boolean"),
            (said(count="true"), "count", "boolean"),
            (said(explain=None), "explain", "boolean"),
            (said(number=442079460123), "number", "string"),
            (said(number="0" * 255), "number", "254"),
            (said(caller="0" * 255), "caller", "254"),
            (said(campaign="x" * 129), "campaign", "128"),
            (said(agent="a\nb"), "agent", "pattern"),
            (said(debt="\0"), "debt", "pattern"),
            (listed([]), "numbers", "at least 1"),
            (listed([PARTY] * 3 + [7]), "numbers[3]", "string"),
            (listed([PARTY, "0" * 255]), "numbers[1]", "254"),
            (listed([PARTY] * (MOST + 1)), "numbers", "at most 10000"),
            (listed([PARTY] * (MOST_EXPLAINED + 1), explain=True), "explain", "at most 1,000"),
            (said(numbers=PARTY), "numbers", "list"),
            (said(at="2026-03-04T12:00:00"), "at", "no offset"),
            (said(at="2026-03-04"), "at", "no offset"),
            (said(at="yesterday"), "at", "no ISO 8601 time"),
            (said(at=1772625600), "at", "as text"),
            (said(at=None), "at", "as text"),
            (said(at="0001-01-01T00:00:00+14:00"), "at", "2000 to 2099"),
            (said(at="9999-12-31T23:59:59-14:00"), "at", "2000 to 2099"),
            (said(at="2026-03-04T12:00:00Z", count=True), "at", "for this moment"),
        ],
    )
    async def test_is_refused_with_what_and_where(
        self, door: Door, body: str | bytes, where: str, error: str
    ) -> None:
        told = await door.refused(400, body)
        assert told[1] == where
        assert error in told[0]
        assert PARTY not in told[0]
        assert rows(door.gate, calls) == []

    @pytest.mark.parametrize("number", ["", " ", "7", "anonymous", "\0", "tel:", "+" * 254])
    async def test_is_not_one_for_a_number_that_cannot_be_read(
        self, door: Door, number: str
    ) -> None:
        answer = await door.ask(number=number)
        assert answer["blocked"] == 1
        assert answer["results"][0]["number"] == number

    async def test_is_found_soon_among_very_many_faults(self, door: Door) -> None:
        many = "{" + ",".join(f'"{number}":0' for number in range(150_000)) + "}"
        assert (await door.refused(400, many))[1] == "0"
        assert (await door.refused(400, listed([0] * 600_000)))[1] in ("numbers", "numbers[0]")


class TestWhoMayAsk:
    @pytest.mark.parametrize(
        "given",
        [
            "",
            "Bearer",
            "Bearer ",
            f"Basic {TOKEN}",
            TOKEN,
            f"Bearer {TOKEN}x",
            f"Bearer {TOKEN[:-1]}",
            f"Bearer {TOKEN} {TOKEN}",
            "Bearer sch\u00f6n",
        ],
    )
    async def test_is_who_has_the_token(self, door: Door, given: str) -> None:
        error, _ = await door.refused(401, said(), Authorization=given)
        assert "token" in error
        assert TOKEN not in error

    async def test_is_nobody_without_it(self, door: Door) -> None:
        url = door.address + PATH
        async with door.client.post(url, data=said(), headers=JSON) as answer:
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"] == "Bearer"

    async def test_is_nobody_who_names_two(self, door: Door) -> None:
        two = head(2, "Authorization: Bearer x\r\n")
        assert b" 401 " in await door.raw(two, b"{}")

    async def test_is_who_writes_the_scheme_in_small_letters(self, door: Door) -> None:
        assert (await door.post(said(), Authorization=f"bearer  {TOKEN}"))[0] == 200

    async def test_follows_the_file(self, door: Door) -> None:
        fresh = new_token()
        door.token_file.write_text(fresh)
        await door.refused(401, said())
        assert (await door.post(said(), Authorization=f"Bearer {fresh}"))[0] == 200

    async def test_is_nobody_while_there_is_no_file(self, door: Door) -> None:
        door.token_file.unlink()
        assert await door.refused(503, said()) == ("no API token", "")

    @pytest.mark.parametrize("text", ["", "\n", "short", "x" * 513, "\u00f6" * 40])
    async def test_is_nobody_while_the_file_holds_no_token(self, door: Door, text: str) -> None:
        door.token_file.write_text(text)
        error, _ = await door.refused(503, said(), Authorization=f"Bearer {text.strip()[:9]}x")
        assert error.startswith("no API token: ")

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o700])
    async def test_is_nobody_while_others_may_read_the_file(self, door: Door, mode: int) -> None:
        door.token_file.chmod(mode)
        error, _ = await door.refused(503, said())
        assert f"mode {mode:04o}" in error

    async def test_is_nobody_while_the_file_is_a_folder(self, door: Door) -> None:
        door.token_file.unlink()
        door.token_file.mkdir()
        assert (await door.refused(503, said()))[0].startswith("no API token: ")

    @pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1"])
    async def test_is_nobody_under_another_name(self, door: Door, host: str) -> None:
        assert "that name" in (await door.refused(421, said(), Host=host))[0]

    @pytest.mark.parametrize("site", ["cross-site", "same-site"])
    @pytest.mark.parametrize("mode", ["cors", "no-cors", "navigate"])
    async def test_is_no_page_of_another_site(self, door: Door, site: str, mode: str) -> None:
        headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode}
        assert "other sites" in (await door.refused(403, said(), **headers))[0]


class TestTheDoor:
    @pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
    async def test_is_for_posting_only(self, door: Door, method: str) -> None:
        url = door.address + PATH
        async with door.client.request(method, url, headers=BEARER) as answer:
            assert answer.status == 405
            assert answer.headers["Allow"] == "POST"
            if method != "HEAD":
                assert (await answer.json())["error"] == "only POST is answered here"

    @pytest.mark.parametrize(
        "sort", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""]
    )
    async def test_takes_json_only(self, door: Door, sort: str) -> None:
        await door.refused(415, said(), **{"Content-Type": sort})

    async def test_takes_json_that_names_its_alphabet(self, door: Door) -> None:
        sort = {"Content-Type": "application/json; charset=utf-8"}
        assert (await door.post(said(), **sort))[0] == 200

    async def test_takes_nothing_compressed(self, door: Door) -> None:
        answer = await door.raw(head(2, "Content-Encoding: gzip\r\n"), b"{}")
        assert b" 415 " in answer

    async def test_takes_a_body_of_two_megabytes(self, door: Door) -> None:
        body = said()
        assert (await door.post(body + " " * (MAX_BODY - len(body))))[0] == 200

    async def test_takes_no_longer_one(self, door: Door) -> None:
        assert b" 413 " in await door.raw(head(MAX_BODY + 1))

    async def test_takes_no_longer_one_that_hides_its_length(self, door: Door) -> None:
        part = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        answer = await door.raw(head(None), *[part] * (MAX_BODY // 0x10000 + 1))
        assert b" 413 " in answer

    async def test_does_not_wait_for_a_body_for_ever(
        self, door: Door, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "BODY_S", 0.01)
        assert b" 408 " in await door.raw(head(100), b"{")
        assert (await door.post(said()))[0] == 200

    async def test_refuses_a_body_in_broken_chunks(self, door: Door) -> None:
        assert b" 400 " in await door.raw(head(None), b"zz\r\n{}\r\n")

    async def test_leaves_the_page_as_it_is(self, door: Door) -> None:
        for path in ("/", "/healthz", "/metrics"):
            async with door.client.get(door.address + path) as answer:
                assert answer.status == 200
            async with door.client.post(door.address + path, headers=BEARER) as answer:
                assert answer.status == 405
                assert answer.headers["Allow"] == "GET,HEAD"
            async with door.client.get(door.address + path, data=b"x" * 100) as answer:
                assert answer.status == 413

    @pytest.mark.parametrize("path", ["/api", "/api/v1", "/api/v1/check/", "/api/v1/CHECK"])
    async def test_stands_in_one_place(self, door: Door, path: str) -> None:
        async with door.client.get(door.address + path, headers=BEARER) as answer:
            assert answer.status == 404
        async with door.client.post(door.address + path, headers=BEARER) as answer:
            assert answer.status == 405

    async def test_says_nothing_of_a_fault_of_ours(
        self, door: Door, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def broken(*_: object, **__: object) -> None:
            raise RuntimeError("secret words")

        monkeypatch.setattr("callguard.gate.preflight.decide", broken)
        error, _ = await door.refused(500, said())
        assert error == "something went wrong; nothing was allowed"

    async def test_is_open_to_so_many_at_a_time(
        self, door: Door, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        go_on, inside = asyncio.Event(), asyncio.Semaphore(0)
        insert = door.gate.journal.insert

        async def held(*kept: Row, timeout: float = 2.0) -> None:
            inside.release()
            await go_on.wait()
            await insert(*kept, timeout=timeout)

        monkeypatch.setattr(door.gate.journal, "insert", held)
        asking = [
            asyncio.create_task(door.ask(number=number, count=True)) for number in numbers(AT_ONCE)
        ]
        for _ in range(AT_ONCE):
            await inside.acquire()
        error, _ = await door.refused(429, said(number=OTHER))
        assert error == "too many requests are being answered"
        go_on.set()
        assert [answer["allowed"] for answer in await asyncio.gather(*asking)] == [1] * AT_ONCE
        assert (await door.ask(number=OTHER))["allowed"] == 1


class TestWhoLeaves:
    async def test_before_the_answer_has_placed_no_call(
        self, door: Door, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reached = asyncio.Event()
        insert = door.gate.journal.insert

        async def hangs(*kept: Row, timeout: float = 2.0) -> None:
            await insert(*kept, timeout=timeout)
            reached.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(door.gate.journal, "insert", hangs)
        body = said(purpose="service", count=True).encode()
        _, writer = await asyncio.open_connection(*door.host_and_port)
        writer.write(head(len(body)) + body)
        await reached.wait()
        assert len(rows(door.gate, attempts)) == 1
        writer.close()
        await wait_until(lambda: rows(door.gate, attempts) == [])
        assert {row["verdict"] for row in rows(door.gate, calls)} == {"block"}


async def wait_until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.01)


async def test_no_line_of_the_log_has_a_number_or_the_token_in_it(
    door: Door, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await door.ask(numbers=[PARTY, "020 7946 0150", "7"], count=True)
    await door.ask(numbers=[PARTY], explain=True)
    await door.refused(400, said(**{PARTY: 1}))
    await door.refused(401, said(), Authorization="Bearer wrong")

    async def failing(*_: Row, timeout: float = 2.0) -> None:
        raise NotDurableError("disk full")

    monkeypatch.setattr(door.gate.journal, "insert", failing)
    await door.ask(number=PARTY, count=True)
    logged = capsys.readouterr().out
    assert logged.count("event='checked'") == 3
    assert "verdict_not_durable" in logged
    for text in ("7946", "0123", "0150", TOKEN):
        assert text not in logged
