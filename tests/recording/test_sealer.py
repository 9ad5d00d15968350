"""The sealer: what was recorded is sealed exactly once, whatever dies on the way."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import TypeVar

import pyrage  # type: ignore[import-untyped]  # ships no types
import pytest
from sqlalchemy import Connection, Row, func, select

from callguard.audit.log import first_broken
from callguard.policy.span import Span
from callguard.recording import sealer as sealer_module
from callguard.recording.erasure import Eraser
from callguard.recording.keys import identity_context
from callguard.recording.playback.reading import sealed_file
from callguard.recording.progress import burst_s
from callguard.recording.store.folder import FolderWriter
from callguard.recording.store.objects import ObjectStoreError
from callguard.recording.wav import WavFormat
from callguard.retention.erasures.ledger import ErasureLedger
from callguard.retention.schedule import for_days
from callguard.storage.journal import Journal, NotDurableError
from callguard.storage.schema import (
    audit,
    recording_events,
    recordings,
    tenant_keys,
    tenant_retention,
)
from callguard.tenants.directory import TenantDirectory
from callguard.tenants.store import NewTenant, set_retention
from callguard.tenants.tenant import TenantSettings
from tests.law import DEBTOR, DEBTS, YEARS
from tests.recording.conftest import CALL_ID, MASTER, House, own_key
from tests.recording.reading import plain_of, sealed_row

T = TypeVar("T")
AUDIO = bytes(range(256)) * 300  # 76,800 bytes: two chunks


class Killed(BaseException):
    """The process ended here."""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealer_module, "SETTLE_S", 0.001)
    monkeypatch.setattr("callguard.recording.live.RETRY_S", (0.001,))


@asynccontextmanager
async def at_work(house: House) -> AsyncIterator[None]:
    task = asyncio.create_task(house.sealer.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not what():
            await asyncio.sleep(0.002)


async def drain(house: House) -> None:
    """Seals all that has ended."""
    async with at_work(house):
        await until(lambda: house.sealer.backlog == 0)


def row_of(house: House, recording_id: str) -> Row[tuple[object, ...]]:
    with house.database.reading() as connection:
        return connection.execute(select(recordings).where(recordings.c.id == recording_id)).one()


def check_sealed(house: House, recording_id: str, audio: bytes = AUDIO) -> None:
    """Opens with the independent reader and with our own; no plaintext, key or part is left."""
    with house.database.reading() as connection:
        row = sealed_row(connection, recording_id, house.clock.now())
        wrapped = connection.execute(
            select(tenant_keys.c.wrapped_identity).where(tenant_keys.c.tenant_id == row.tenant_id)
        ).scalar_one()
        sealed = b"".join(sealed_file(row, house.store))
        ours = plain_of(connection, row, house.store, MASTER)
        seals = select(func.count()).where(
            audit.c.action == "recording.seal", audit.c.target == f"recording:{recording_id}"
        )
        assert connection.execute(seals).scalar_one() == 1
        assert first_broken(connection) is None
    text = MASTER.unwrap(wrapped, identity_context(row.tenant_id, 1)).decode()
    wanted = WavFormat().header() + audio
    if text.startswith("AGE-SECRET-KEY-1"):
        out = io.BytesIO()
        pyrage.decrypt_io(io.BytesIO(sealed), out, [pyrage.x25519.Identity.from_str(text)])
        assert out.getvalue() == wanted
    assert ours == wanted
    assert (row.plain_bytes, row.wrapped_file_key) == (len(wanted), None)
    assert house.plaintext() == []
    assert house.store.parts() == []
    assert list(house.store.names()) == [recording_id]
    assert house.recorder.in_progress() == ()


@pytest.mark.parametrize("audio", [b"\x01\x02", b"\x01", AUDIO, bytes(3_000_000)])
async def test_what_was_recorded_opens_with_the_tenants_key(house: House, audio: bytes) -> None:
    opened = await house.recorded(audio)
    house.sealer.ended(opened)
    await drain(house)
    check_sealed(house, opened.id, audio)
    assert (house.sealer.sealed, house.sealer.failures) == (1, 0)


async def test_a_post_quantum_tenant_reads_its_own_recording(house: House) -> None:
    house.add(NewTenant("pq", "PQ", TenantSettings(), own_key("pq", "pq")))
    opened = await house.recorded(AUDIO, "pq")
    house.sealer.ended(opened)
    await drain(house)
    check_sealed(house, opened.id)


async def test_two_ends_of_one_recording_are_one(house: House) -> None:
    opened = await house.recorded(AUDIO)
    house.sealer.ended(opened)
    house.sealer.ended(opened)
    assert house.sealer.backlog == 1
    await drain(house)
    house.sealer.ended(opened)
    await drain(house)
    check_sealed(house, opened.id)
    assert house.sealer.sealed == 1


async def test_a_recording_is_sealed_only_when_asterisk_has_let_it_go(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = await house.recorded(b"")
    writer = house.spool.path(opened.spool_name).open("ab", buffering=0)
    look, looks = house.sealer._look, 0

    def writing(name: str) -> tuple[bool | None, int]:
        nonlocal looks
        looks += 1
        if looks in (3, 9):  # in bursts, with nothing between them, as MixMonitor writes
            writer.write(AUDIO[:100])
        if looks == 12:
            writer.close()
        return look(name)

    monkeypatch.setattr(house.sealer, "_look", writing)
    house.sealer.ended(opened)
    await drain(house)
    check_sealed(house, opened.id, AUDIO[:100] * 2)


async def test_where_the_system_does_not_say_who_writes_a_long_silence_does(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = await house.recorded(AUDIO)
    looks: list[float] = []

    def blind(name: str) -> tuple[bool | None, int]:
        house.clock.advance(1)
        looks.append(house.clock.monotonic())
        return None, len(AUDIO)

    monkeypatch.setattr(house.sealer, "_look", blind)
    house.sealer.ended(opened)
    await drain(house)
    check_sealed(house, opened.id)
    assert looks[-1] - looks[0] >= burst_s(WavFormat().bytes_per_second)


async def test_one_that_asterisk_goes_on_writing_holds_up_no_other(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealer_module, "WORKERS", 1)
    endless, good = await house.recorded(AUDIO), await house.recorded(AUDIO)
    writer = house.spool.path(endless.spool_name).open("ab")
    house.sealer.ended(endless)
    house.sealer.ended(good)
    async with at_work(house):
        await until(lambda: row_of(house, good.id).state == "sealed")
        await until(lambda: house.sealer.failures >= 1)
        assert row_of(house, endless.id).state == "recording"
        writer.close()
        await until(lambda: row_of(house, endless.id).state == "sealed")


async def test_audio_that_came_while_sealing_is_not_cut_off(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = await house.recorded(AUDIO)
    path = house.spool.path(opened.spool_name)
    write, more = house.journal.write, [b"late" * 30_000]

    async def slow(work: Callable[[Connection], T], **_: object) -> T:
        value = await write(work)
        if more:  # the length is durable now, and the last chunk not sealed yet
            with path.open("ab") as file:
                file.write(more.pop())
        return value

    monkeypatch.setattr(house.journal, "write", slow)
    house.sealer.ended(opened)
    await drain(house)
    check_sealed(house, opened.id, AUDIO + b"late" * 30_000)
    assert house.sealer.failures == 1


@pytest.mark.parametrize(("audio", "state"), [(b"", "empty"), (None, "lost")])
async def test_a_recording_without_audio_is_closed_and_has_a_date(
    house: House, audio: bytes | None, state: str
) -> None:
    opened = await house.recorded(audio)
    house.sealer.ended(opened)
    await drain(house)
    row = row_of(house, opened.id)
    assert (row.state, row.header, row.wrapped_file_key) == (state, None, None)
    assert row.expires_at == house.clock.now() + timedelta(days=365)
    assert house.plaintext() == []
    assert house.recorder.in_progress() == ()


async def test_why_a_recording_was_lost_is_kept_as_long_as_the_law_of_its_subject_wants(
    house: House,
) -> None:
    house.tenants = TenantDirectory([DEBTS])
    with house.database.reading() as connection:
        house.tenants.refresh(connection)
    house.restart()
    path = await house.recorder.begin(house.tenant(), CALL_ID, "east", "1.1", concern=DEBTOR)
    assert path is not None
    (opened,) = house.recorder.in_progress()
    house.sealer.ended(opened)
    await drain(house)
    await house.journal.write(lambda _: None)  # behind what nobody waits for
    with house.database.reading() as connection:
        (kept,) = connection.execute(select(recording_events.c.expires_at)).scalars()
    assert kept.year == house.clock.now().year + YEARS


async def test_the_tenants_retention_dates_the_recording(house: House) -> None:
    opened = await house.recorded(AUDIO)
    other = await house.recorded(AUDIO)
    with house.database.writing() as connection:
        set_retention(
            connection, "acme", "recording", Span(days=7), at=house.clock.now(), actor="test"
        )
        house.tenants.refresh(connection)
        assert connection.execute(select(tenant_retention)).one().span == "7d"
    house.clock.advance(60)
    house.sealer.ended(opened)
    await drain(house)
    assert row_of(house, opened.id).expires_at == house.clock.now() + timedelta(days=7)
    assert row_of(house, other.id).expires_at is None


async def test_a_recording_that_is_no_more_takes_its_plaintext_with_it(house: House) -> None:
    opened = await house.recorded(AUDIO)
    with house.database.writing() as connection:
        connection.execute(recordings.delete())
    house.sealer.ended(opened)
    await drain(house)
    assert house.plaintext() == []
    assert list(house.store.names()) == []


FAILURES: dict[str, Callable[[House, pytest.MonkeyPatch, BaseException], None]] = {
    "before the payload": lambda h, _, e: setattr(h.store, "before", e),
    "after the payload": lambda h, _, e: setattr(h.store, "after", e),
    "before the row": lambda h, m, e: m.setattr(h.journal, "write", failing(e)),
    "after the row": lambda h, m, e: m.setattr(h.journal, "write", failing(e, h.journal)),
    "before the plaintext goes": lambda h, m, e: m.setattr(h.spool, "remove", failing_now(e)),
}


def failing(error: BaseException, first: Journal | None = None) -> object:
    write = first.write if first is not None else None

    async def fail(work: Callable[[Connection], T], **_: object) -> T:
        if write is not None:
            await write(work)
        raise error

    return fail


def failing_now(error: BaseException) -> object:
    def fail(_: str) -> bool:
        raise error

    return fail


@pytest.mark.parametrize("break_at", FAILURES.values(), ids=FAILURES.keys())
async def test_a_process_killed_at_any_step_leaves_it_to_the_next(
    house: House,
    monkeypatch: pytest.MonkeyPatch,
    break_at: Callable[[House, pytest.MonkeyPatch, BaseException], None],
) -> None:
    opened = await house.recorded(AUDIO)
    with monkeypatch.context() as patch:
        break_at(house, patch, Killed())
        with pytest.raises(Killed):
            await house.sealer._close(opened)
    house.store.before = house.store.after = None
    house.restart()
    for left in house.recorder.in_progress():
        house.sealer.ended(left)
    await drain(house)
    check_sealed(house, opened.id)


@pytest.mark.parametrize("break_at", FAILURES.values(), ids=FAILURES.keys())
async def test_a_step_that_fails_is_tried_again_and_holds_up_no_other(
    house: House,
    monkeypatch: pytest.MonkeyPatch,
    break_at: Callable[[House, pytest.MonkeyPatch, BaseException], None],
) -> None:
    opened = await house.recorded(AUDIO)
    error: Exception = ObjectStoreError("away")
    async with at_work(house):
        with monkeypatch.context() as patch:
            break_at(house, patch, error)
            house.sealer.ended(opened)
            # What was committed when it failed is found at once.
            await until(lambda: house.sealer.failures + house.sealer.sealed >= 1)
        house.store.before = house.store.after = None
        await until(lambda: house.sealer.backlog == 0)
    check_sealed(house, opened.id)


async def test_a_key_that_does_not_unwrap_keeps_the_audio_and_holds_up_no_other(
    house: House,
) -> None:
    bad, good = await house.recorded(AUDIO), await house.recorded(AUDIO)
    with house.database.writing() as connection:
        broken = recordings.update().where(recordings.c.id == bad.id)
        connection.execute(broken.values(wrapped_file_key=b"CGW1garbled"))
    house.sealer.ended(bad)
    house.sealer.ended(good)
    async with at_work(house):
        await until(lambda: row_of(house, good.id).state == "sealed")
        await until(lambda: house.sealer.failures >= 3 and house.sealer.backlog == 1)
    assert house.plaintext() == [bad.spool_name]


async def test_a_part_that_a_crash_left_is_no_hindrance(house: House) -> None:
    opened = await house.recorded(AUDIO)
    with house.store.writer(opened.id) as writer:
        writer.write(b"half")
    house.sealer.ended(opened)
    await drain(house)
    check_sealed(house, opened.id)


async def test_all_that_end_at_once_are_counted(house: House) -> None:
    for _ in range(12):
        house.sealer.ended(await house.recorded(AUDIO))
    await drain(house)
    assert house.sealer.sealed == 12


async def test_a_database_that_cannot_be_written_keeps_the_plaintext(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = await house.recorded(AUDIO)
    with monkeypatch.context() as patch:
        patch.setattr(house.journal, "write", failing(NotDurableError("disk full")))
        with pytest.raises(NotDurableError):
            await house.sealer._close(opened)
    assert house.plaintext() == [opened.spool_name]
    assert row_of(house, opened.id).state == "recording"


@pytest.mark.parametrize("when", ["before", "after"])
async def test_one_that_is_erased_while_it_is_sealed_is_no_failure(
    house: House, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    opened = await house.recorded(AUDIO)
    ledger = ErasureLedger(house.spool.folder.parent / "erasures.ledger")
    eraser = Eraser(house.clock, house.journal, house.spool, house.store, ledger)
    loop, writer_of = asyncio.get_running_loop(), house.store.writer

    def meanwhile(name: str, *, resume: bool = False) -> FolderWriter:
        writer = writer_of(name, resume=resume)
        commit = writer.commit

        def erased() -> None:
            if when == "after":
                commit()
            erasing = eraser.erase(opened, by="api", keep=for_days(30))
            assert asyncio.run_coroutine_threadsafe(erasing, loop).result(5)
            if when == "before":
                commit()

        monkeypatch.setattr(writer, "commit", erased)
        return writer

    monkeypatch.setattr(house.store, "writer", meanwhile)
    house.sealer.ended(opened)
    await drain(house)
    assert (house.sealer.failures, house.sealer.sealed) == (0, 0)
    assert row_of(house, opened.id).state == "erasing"
    assert (house.plaintext(), list(house.store.names())) == ([], [])
    assert house.store.parts() == []
