"""A recording on its way: broken off where it is damaged, stopped for who does not take it, and
never in the way of the calls."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import ClientConnectionError, ClientPayloadError

from callguard.recording import age
from callguard.recording.store.folder import FolderStore
from callguard.recording.store.objects import ObjectStoreError
from callguard.storage.schema import tenant_keys
from callguard.web import recording_api, recording_sending
from tests.recording.playback.vault import change, restrict
from tests.web.recording_door import WHY, Door, clock, database, door, journal

__all__ = ["clock", "database", "door", "journal"]

LONG = bytes(range(250)) * 40_000  # 10 MB, 153 chunks: more than a connection holds
SHORT = LONG[: 20 * age.CHUNK_SIZE]


def flip_chunk(door: Door, name: str, chunk: int) -> None:
    door.flip(name, age.NONCE_SIZE + chunk * age.SEALED_CHUNK_SIZE)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.005)


async def test_a_recording_damaged_in_the_middle_is_never_a_whole_answer(door: Door) -> None:
    name = door.record(audio=SHORT)
    flip_chunk(door, name, 12)
    for form in ("audio", "sealed"):
        with pytest.raises(ClientPayloadError):
            await door.get(f"/{name}/{form}")
        await until(lambda: door.log()[-1][1] == "recording.damaged")
    chunk = f"bytes={12 * age.CHUNK_SIZE}-{13 * age.CHUNK_SIZE - 1}"
    assert "not authentic" in await door.refused(500, f"/{name}/audio", **WHY, Range=chunk)
    before = f"bytes={7 * age.CHUNK_SIZE}-{12 * age.CHUNK_SIZE - 1}"
    answer, body = await door.get(f"/{name}/audio", Range=before)
    assert (answer.status, len(body)) == (206, 5 * age.CHUNK_SIZE)


async def test_what_is_missing_cut_or_damaged_at_its_end_is_refused_at_its_beginning(
    door: Door,
) -> None:
    name = door.record(audio=SHORT)
    flip_chunk(door, name, 20)
    assert "not authentic" in await door.refused(500, f"/{name}/audio", **WHY)
    whole = door.payload(name).read_bytes()
    door.payload(name).write_bytes(whole[:-1])
    assert "ends at" in await door.refused(500, f"/{name}/audio", **WHY, Range="bytes=0-9")
    door.payload(name).write_bytes(whole + b"x")
    assert "goes on after" in await door.refused(500, f"/{name}/audio", **WHY)
    door.store.delete([name])
    for form in ("audio", "sealed"):
        assert "there is none" in await door.refused(500, f"/{name}/{form}", **WHY)


async def test_what_is_erased_under_a_readers_hands_is_said_to_be_erased(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = door.record()
    read = FolderStore.read

    def erased(self: FolderStore, name: str, offset: int = 0, size: int | None = None) -> bytes:
        change(door.database, name, state="erasing", header=None)
        door.store.delete([name])
        return read(self, name, offset, size)

    monkeypatch.setattr(FolderStore, "read", erased)
    assert "has been erased" in await door.refused(410, f"/{name}/audio", **WHY)
    assert [action for _, action, _ in door.log()] == ["recording.play", "recording.refused"]


async def test_a_store_that_fails_on_the_way_breaks_it_off(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = door.record(audio=SHORT)
    read = FolderStore.read

    def failing(self: FolderStore, name: str, offset: int = 0, size: int | None = None) -> bytes:
        if 500_000 < offset < 1_000_000:
            raise ObjectStoreError("the store does not answer")
        return read(self, name, offset, size)

    monkeypatch.setattr(FolderStore, "read", failing)
    for form in ("audio", "sealed"):
        with pytest.raises(ClientPayloadError):
            await door.get(f"/{name}/{form}")


@pytest.mark.parametrize("what", ["erased", "expired", "restricted", "key destroyed"])
async def test_what_may_no_longer_be_read_goes_no_further(
    door: Door, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    name = door.record(audio=SHORT)
    read = FolderStore.read

    def changed(self: FolderStore, name: str, offset: int = 0, size: int | None = None) -> bytes:
        if 500_000 < offset < 1_000_000:
            happen(door, name, what)
            door.clock.advance(recording_sending.ASKED_EVERY_S)
        return read(self, name, offset, size)

    monkeypatch.setattr(FolderStore, "read", changed)
    with pytest.raises((ClientPayloadError, ClientConnectionError)):
        await door.get(f"/{name}/audio")
    assert [action for _, action, _ in door.log()] == ["recording.play", "recording.refused"]


def happen(door: Door, name: str, what: str) -> None:
    """Its payload is there still."""
    if what == "erased":
        change(door.database, name, state="erasing", header=None)
    elif what == "expired":
        change(door.database, name, expires_at=door.clock.now())
    elif what == "restricted":
        restrict(door.database, door.clock.now())
    else:
        with door.database.writing() as connection:
            connection.execute(tenant_keys.update().values(wrapped_identity=None))


async def test_what_is_erased_while_it_is_verified_is_not_damaged(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = door.record()
    read = FolderStore.read

    def erased(self: FolderStore, name: str, offset: int = 0, size: int | None = None) -> bytes:
        change(door.database, name, state="erasing", header=None)
        self.delete([name])
        return read(self, name, offset, size)

    monkeypatch.setattr(FolderStore, "read", erased)
    assert (await door.told(f"/{name}/verify", "POST"))[0] == 410
    assert [action for _, action, _ in door.log()] == ["recording.verify", "recording.refused"]


async def test_who_verifies_takes_no_thread_from_who_listens(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = door.record()
    threads: set[str] = set()
    verifying, playing = door.api._verifying, door.api._threads
    run = recording_sending.ReadingThreads.run

    async def noted(
        self: recording_sending.ReadingThreads, work: Callable[[], Any], within: float
    ) -> Any:
        threads.add("verifying" if self is verifying else "playing" if self is playing else "?")
        return await run(self, work, within)

    monkeypatch.setattr(recording_sending.ReadingThreads, "run", noted)
    assert (await door.told(f"/{name}/verify", "POST"))[0] == 200
    assert threads == {"verifying"}


async def test_who_goes_away_is_read_for_no_longer(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = door.record(audio=LONG)
    asked = []
    read = FolderStore.read

    def counted(self: FolderStore, name: str, offset: int = 0, size: int | None = None) -> bytes:
        asked.append(offset)
        return read(self, name, offset, size)

    monkeypatch.setattr(FolderStore, "read", counted)
    reader, writer = await door.raw(f"/{name}/audio")
    assert b" 200 " in await reader.readline()
    writer.transport.abort()
    await until(lambda: door.api._readers._inside == 0)
    many = len(asked)
    assert many < 35
    assert (await door.get(f"/{name}/audio", Range="bytes=0-9"))[0].status == 206
    assert len(asked) == many + 3


async def test_who_does_not_take_it_in_time_is_cut_off_and_costs_no_memory_meanwhile(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording_sending, "WRITE_S", 0.05)
    name = door.record(audio=LONG)
    asked = []
    read = FolderStore.read

    def counted(self: FolderStore, name: str, offset: int = 0, size: int | None = None) -> bytes:
        asked.append(size or 0)
        return read(self, name, offset, size)

    monkeypatch.setattr(FolderStore, "read", counted)
    reader, writer = await door.raw(f"/{name}/audio")
    assert b" 200 " in await reader.readline()
    writer.transport.pause_reading()
    await until(lambda: door.api._readers._inside == 0)
    assert sum(asked) < len(LONG)
    writer.close()


async def test_so_many_readers_and_no_more(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    name = door.record(audio=LONG)
    monkeypatch.setattr(door.api._readers, "_most", 2)
    held = [await door.raw(f"/{name}/audio") for _ in range(2)]
    for reader, _ in held:
        assert b" 200 " in await reader.readline()
    assert "too many" in await door.refused(429, f"/{name}/audio", **WHY)
    for _, writer in held:
        writer.transport.abort()
    await until(lambda: door.api._readers._inside == 0)
    assert recording_api.AT_ONCE >= 50


async def test_fifty_readers_at_once_are_read_for_in_threads_and_never_on_the_loop(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = door.record(audio=SHORT[: 6 * age.CHUNK_SIZE])
    threads: set[str] = set()
    read, open_chunk = FolderStore.read, age.PayloadOpener.open_chunk

    def reading(self: FolderStore, name: str, offset: int = 0, size: int | None = None) -> bytes:
        threads.add(threading.current_thread().name)
        return read(self, name, offset, size)

    def opening(self: age.PayloadOpener, index: int, sealed: bytes, *, last: bool) -> bytes:
        threads.add(threading.current_thread().name)
        return open_chunk(self, index, sealed, last=last)

    monkeypatch.setattr(FolderStore, "read", reading)
    monkeypatch.setattr(age.PayloadOpener, "open_chunk", opening)
    answers = await asyncio.gather(*(door.get(f"/{name}/audio") for _ in range(50)))
    assert {answer.status for answer, _ in answers} == {200}
    assert {body[44:] for _, body in answers} == {SHORT[: 6 * age.CHUNK_SIZE]}
    assert all(name.startswith("recording-read") for name in threads)
    assert len(threads) <= recording_sending.THREADS


async def test_however_many_are_ready_to_send_the_loop_goes_round_between_two_of_them() -> None:
    threads = recording_sending.ReadingThreads()
    rounds, sent = 0, list[int]()

    async def go_round() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            await asyncio.sleep(0)

    async def sender() -> None:
        for _ in range(5):
            await threads.turn()
            sent.append(rounds)

    going = asyncio.create_task(go_round())
    await asyncio.gather(*(sender() for _ in range(20)))
    going.cancel()
    threads.close()
    assert len(set(sent)) == len(sent) == 100
