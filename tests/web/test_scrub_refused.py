"""A list that is not taken leaves nothing behind, and whoever sent it is told why."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest
from sqlalchemy import Connection

from callguard.config import Scrubs
from callguard.storage.journal import NotDurableError
from callguard.storage.schema import audit, scrubs
from callguard.web import scrub_api
from callguard.web.scrub_api import PATH
from tests.databases import clock, database, journal
from tests.gate.preflights import rows
from tests.web.doors import Failing
from tests.web.scrub_place import (
    BEARER,
    CSV,
    LIST,
    WHERE,
    Place,
    comes,
    limits,
    place,
    script,
)

__all__ = ["clock", "database", "journal", "limits", "place", "script"]


class TestAListThatIsNotTaken:
    async def test_leaves_nothing_behind(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        failing = Failing(place.doors.gate, monkeypatch)
        assert (await place.send())[0] == 503
        assert place.files() == []
        failing.on = False
        await place.over(await place.sent())

    async def test_leaves_no_row_though_it_was_kept_too_late(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        journal = place.doors.gate.journal
        write = journal.write

        async def late(work: Callable[[Connection], object], *, timeout: float) -> None:
            await write(work, timeout=timeout)
            raise NotDurableError("not durable within 2 s")

        with monkeypatch.context() as patched:
            patched.setattr(journal, "write", late)
            assert (await place.send())[0] == 503
        await journal.write(lambda _: None)
        assert (place.files(), rows(place.doors.gate, scrubs)) == ([], [])
        acts = [row["action"] for row in rows(place.doors.gate, audit)]
        assert acts[-2:] == ["scrub.add", "scrub.remove"]

    async def test_because_the_disk_has_no_room(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("callguard.web.scrub_incoming.shutil.disk_usage", lambda _: Usage(3))
        status, answer = await place.send()
        assert (status, answer["error"]) == (507, "the disk has no room for the list")
        assert place.files() == []

    async def test_because_the_disk_is_full_halfway(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("callguard.web.scrub_incoming.os.write", full)
        status, answer = await place.send()
        assert (status, "No space left" in answer["error"]) == (507, True)
        monkeypatch.undo()
        assert place.files() == []

    @pytest.mark.parametrize("limits", [Scrubs(reserve_bytes=0, max_bytes=len(LIST) - 1)])
    async def test_because_it_is_too_long(self, place: Place) -> None:
        assert (await place.send())[0] == 413
        await place.over((await place.send(LIST[:-1]))[1]["id"])

        async def unmeasured() -> AsyncIterator[bytes]:
            yield LIST

        async with place.doors.client.post(
            place.doors.address + WHERE, data=unmeasured(), headers={**BEARER, **CSV}
        ) as answer:
            assert answer.status == 413

    @pytest.mark.parametrize("limits", [Scrubs(reserve_bytes=0, max_waiting=1)])
    async def test_because_too_many_are_here(self, place: Place) -> None:
        job_id = await place.sent()
        assert (await place.send())[0] == 507
        await place.doors.ask("DELETE", f"{PATH}/{job_id}")
        assert (await place.send())[0] == 202

    @pytest.mark.parametrize(
        ("query", "where"),
        [
            ("", "tenant"),
            ("tenant=nobody", "tenant"),
            ("tenant=acme&tenant=beta", ""),
            ("tenant=acme&purpose=fun", "purpose"),
            ("tenant=acme&at=noon", "at"),
            ("tenant=acme&at=2026-01-01T10:00", "at"),
            ("tenant=acme&delimiter=ab", "delimiter"),
            ("tenant=acme&column=", "column"),
            ("tenant=acme&config=/etc/passwd", "config"),
        ],
    )
    async def test_because_the_question_is_wrong(
        self, place: Place, query: str, where: str
    ) -> None:
        status, answer = await place.send(query=query)
        assert (status, answer["where"]) == (400, where)
        assert place.files() == []

    async def test_because_it_is_empty_or_no_csv(self, place: Place) -> None:
        assert (await place.send(b""))[0] == 400
        json_type = {"Content-Type": "application/json"}
        assert (await place.doors.ask("POST", WHERE, LIST, **json_type))[0] == 415
        assert place.files() == []

    async def test_because_it_stops_coming(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(scrub_api, "IDLE_S", 0.05)

        async def stuck() -> AsyncIterator[bytes]:
            yield LIST
            await asyncio.sleep(1)

        async with place.doors.client.post(
            place.doors.address + WHERE, data=stuck(), headers={**BEARER, **CSV}
        ) as answer:
            assert answer.status == 408
        assert place.files() == []

    async def test_because_whoever_sent_it_left(self, place: Place) -> None:
        host, port = place.doors.address.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        head = f"POST {WHERE} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\n"
        head += f"Authorization: {BEARER['Authorization']}\r\nContent-Length: 99999\r\n\r\n"
        writer.write(head.encode() + LIST)
        await writer.drain()
        await comes(lambda: asyncio.sleep(0, place.files()), lambda found: len(found) == 2)
        writer.close()
        await comes(lambda: asyncio.sleep(0, place.files()), lambda found: found == [])


@dataclass
class Usage:
    free: int
