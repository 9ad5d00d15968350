"""``POST /api/v1/check``: who may ask, what comes through the door, and who leaves too soon."""

import asyncio
from collections.abc import Callable

import pytest

from callguard.storage.journal import NotDurableError, Row
from callguard.storage.schema import attempts, calls
from callguard.web import api as module
from callguard.web.api import AT_ONCE, MAX_BODY, PATH
from callguard.web.token import new_token
from tests.databases import clock, database, journal, tenant
from tests.gate.preflights import OTHER, PARTY, numbers, rows
from tests.web.api_door import BEARER, JSON, TOKEN, Door, door, head, said

__all__ = ["clock", "database", "door", "journal", "tenant"]


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
