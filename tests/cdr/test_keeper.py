"""The keeper: every record of a file that grows, rotates and fails is in the database once."""

# ruff: noqa: ASYNC240 - small files on a local disk; the test is alone on its loop

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.exc import OperationalError

from callguard.cdr import keeper as keeper_module
from callguard.cdr import tail
from callguard.cdr.keeper import CallRecordKeeper
from callguard.cdr.tail import Cursor, write_cursor
from callguard.policy.span import Span
from callguard.storage.database import Database
from callguard.storage.journal import Journal, NotDurableError
from callguard.storage.schema import call_records, calls
from callguard.tenants.directory import TenantDirectory
from callguard.tenants.store import set_retention
from tests.cdr.kept import cursor_of, kept
from tests.cdr.lines import a_call, append, event, line
from tests.clock import HandClock


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "callguard.csv"


@pytest.fixture
def keeper(file: Path, database: Database, journal: Journal) -> CallRecordKeeper:
    return CallRecordKeeper("east", file, database, journal, TenantDirectory())


def lines(first: int, last: int) -> list[str]:
    return [line(number) for number in range(first, last + 1)]


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not what():
            await asyncio.sleep(0.005)


@pytest.fixture
async def running(
    keeper: CallRecordKeeper, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[CallRecordKeeper]:
    monkeypatch.setattr(keeper_module, "POLL_S", 0.005)
    task = asyncio.create_task(keeper.run())
    yield keeper
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_file_that_appears_later_is_followed(
    running: CallRecordKeeper, database: Database, file: Path
) -> None:
    await until(lambda: True)
    append(file, *lines(1, 3))
    await until(lambda: kept(database) == [1, 2, 3])
    append(file, *lines(4, 4))
    await until(lambda: kept(database) == [1, 2, 3, 4])
    await until(lambda: running.counts.kept == 4)


async def test_events_and_lines_of_the_same_calls_are_counted_once(
    running: CallRecordKeeper, database: Database, file: Path
) -> None:
    for number in (1, 2):
        running.take(event(number))
    await until(lambda: kept(database) == [1, 2])
    append(file, *lines(1, 3))
    await until(lambda: kept(database) == [1, 2, 3])
    running.take(event(3))
    running.take(event(4))
    await until(lambda: kept(database) == [1, 2, 3, 4])
    await until(lambda: running.counts.kept == 4)
    with database.reading() as connection:
        sources = connection.execute(select(call_records.c.source).order_by(call_records.c.id))
        assert list(sources.scalars()) == ["file", "file", "file", "ami"]


async def test_bad_lines_and_events_are_counted_and_passed_over(
    running: CallRecordKeeper, database: Database, file: Path
) -> None:
    running.take(event(1, StartTime=""))
    running.take(event(1, Sequence="1e300"))
    append(file, *lines(1, 1), "rubbish", line(2, duration="inf"), line(3, end="1e15"), line(4))
    append(file, line(5, userfield="a\nb"), *lines(6, 6))
    await until(lambda: kept(database) == [1, 4, 6])
    await until(lambda: running.counts.bad == 2 + 3 + 2)


async def test_what_cannot_be_kept_now_is_left_to_the_file(
    keeper: CallRecordKeeper, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "_events", asyncio.Queue(1))
    keeper.take(event(1))
    keeper.take(event(2))
    assert keeper.counts.left_to_file == 1


async def test_a_keeper_without_a_file_lives_on_events(
    database: Database, journal: Journal
) -> None:
    keeper = CallRecordKeeper("east", None, database, journal, TenantDirectory())
    task = asyncio.create_task(keeper.run())
    keeper.take(event(1))
    await until(lambda: kept(database) == [1])
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_an_event_that_is_not_durable_is_left_to_the_file(
    running: CallRecordKeeper, database: Database, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise NotDurableError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(journal, "write", fail)
        running.take(event(1))
        await until(lambda: running.counts.left_to_file == 1)
    running.take(event(2))
    await until(lambda: kept(database) == [2])


async def test_a_file_that_cannot_be_read_is_tried_again(
    running: CallRecordKeeper, database: Database, file: Path
) -> None:
    file.mkdir()
    await asyncio.sleep(0.03)
    file.rmdir()
    append(file, *lines(1, 2))
    await until(lambda: kept(database) == [1, 2])


async def test_a_database_that_is_locked_delays_and_loses_nothing(
    running: CallRecordKeeper,
    database: Database,
    journal: Journal,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = database.url.database
    assert path is not None
    failed = 0
    write = journal.write

    async def impatient(work: Callable[[Connection], int], **_: object) -> int:
        nonlocal failed
        try:
            return await write(work, timeout=0.05)
        except NotDurableError:
            failed += 1
            raise

    monkeypatch.setattr(journal, "write", impatient)
    locker = sqlite3.connect(path, isolation_level=None)
    locker.execute("BEGIN IMMEDIATE")
    append(file, *lines(1, 3))
    await until(lambda: failed > 0)
    locker.execute("ROLLBACK")
    locker.close()
    await until(lambda: kept(database) == [1, 2, 3])


async def test_the_cursor_and_the_rows_before_it_are_one_transaction(
    keeper: CallRecordKeeper, database: Database, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between them, both are gone, and the next process reads the lines again."""
    append(file, *lines(1, 2))

    def killed(connection: Connection, pbx: str, cursor: Cursor) -> None:
        write_cursor(connection, pbx, cursor)
        raise OperationalError("killed", None, Exception("killed"))

    with monkeypatch.context() as patch:
        patch.setattr(keeper_module, "write_cursor", killed)
        with pytest.raises(NotDurableError):
            await keeper.catch_up(file, None)
    assert (kept(database), cursor_of(database)) == ([], None)
    await keeper.catch_up(file, None)
    assert kept(database) == [1, 2]
    assert cursor_of(database) == Cursor(file.stat().st_ino, file.stat().st_size)


async def test_a_process_goes_on_where_the_one_before_it_stopped(
    database: Database, journal: Journal, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(file, *lines(1, 2))
    first = CallRecordKeeper("east", file, database, journal, TenantDirectory())
    await first.catch_up(file, None)
    with database.writing() as connection:
        connection.execute(delete(call_records))  # what was read before is not read again
    append(file, *lines(3, 3))
    monkeypatch.setattr(keeper_module, "POLL_S", 0.005)
    second = CallRecordKeeper("east", file, database, journal, TenantDirectory())
    task = asyncio.create_task(second.run())
    await until(lambda: kept(database) == [3])
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_backlog_of_megabytes_is_read_in_small_transactions(
    keeper: CallRecordKeeper, journal: Journal, database: Database, file: Path
) -> None:
    padding = "x" * 2_000
    count = 1_500
    append(file, *(line(number, lastdata=padding) for number in range(1, count + 1)))
    assert file.stat().st_size > 3_000_000
    await keeper.catch_up(file, None)
    assert kept(database) == list(range(1, count + 1))
    assert journal.state().writes > 40


async def test_a_line_longer_than_a_piece_is_counted_and_passed_over(
    keeper: CallRecordKeeper, database: Database, file: Path
) -> None:
    append(file, *lines(1, 1), "x" * 200_000, *lines(2, 2))
    cursor = await keeper.catch_up(file, None)
    assert kept(database) == [1, 2]
    assert keeper.counts.bad == 1
    assert await keeper.catch_up(file, cursor) == cursor
    assert keeper.counts.bad == 1


async def test_a_file_that_is_gone_is_given_up_for_the_one_that_is_there(
    keeper: CallRecordKeeper, database: Database, file: Path
) -> None:
    append(file, *lines(1, 2))
    cursor = await keeper.catch_up(file, None)
    fresh = file.with_name("fresh")  # made before the old one goes, or it could get its inode
    append(fresh, *lines(3, 3))
    file.unlink()
    assert await keeper.catch_up(file, cursor) == cursor
    fresh.rename(file)
    await keeper.catch_up(file, cursor)
    assert kept(database) == [1, 2, 3]


async def test_a_rotated_file_is_read_to_its_end_before_the_new_one(
    keeper: CallRecordKeeper, database: Database, file: Path
) -> None:
    append(file, *lines(1, 1))
    cursor = await keeper.catch_up(file, None)
    append(file, *lines(2, 2))
    old = file.rename(file.with_name("callguard.csv.1"))
    file.with_name("callguard.csv.2.gz").write_bytes(b"\x1f\x8b packed\n")
    cursor = await keeper.catch_up(file, cursor)
    append(old, *lines(3, 3))  # Asterisk had it open still
    cursor = await keeper.catch_up(file, cursor)
    append(file, *lines(4, 4))
    await keeper.catch_up(file, cursor)
    assert kept(database) == [1, 2, 3, 4]
    assert keeper.counts.bad == 0


async def test_a_file_that_is_renamed_while_it_is_opened_is_read_all_the_same(
    keeper: CallRecordKeeper, database: Database, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(file, *lines(1, 1))
    cursor = await keeper.catch_up(file, None)
    append(file, *lines(2, 2))
    file.rename(file.with_name("callguard.csv.1"))
    append(file, *lines(3, 3))
    read = tail.read_piece
    names = ["callguard.csv.1"]

    def rename_first(path: Path, at: Cursor | None) -> object:
        if names and path.name == names[0]:
            path.rename(file.with_name(f"{names.pop()}.older"))
        return read(path, at)

    monkeypatch.setattr(keeper_module, "read_piece", rename_first)
    await keeper.catch_up(file, cursor)
    assert kept(database) == [1, 2, 3]
    assert names == []


async def test_a_renamed_file_is_kept_in_sight_until_the_next_one_is_begun(
    keeper: CallRecordKeeper, database: Database, file: Path
) -> None:
    append(file, *lines(1, 1))
    cursor = await keeper.catch_up(file, None)
    old = file.rename(file.with_name("callguard.csv.1"))
    assert await keeper.catch_up(file, cursor) == cursor
    append(old, *lines(2, 2))
    cursor = await keeper.catch_up(file, cursor)
    append(file, *lines(3, 3))
    await keeper.catch_up(file, cursor)
    assert kept(database) == [1, 2, 3]


async def test_records_of_a_call_are_kept_as_long_as_its_tenant_says(
    database: Database, journal: Journal, file: Path, clock: HandClock, tenant: str
) -> None:
    tenants = TenantDirectory()
    with database.writing() as connection:
        set_retention(
            connection, tenant, "call_record", Span(days=30), at=clock.now(), actor="test"
        )
        tenants.refresh(connection)
        connection.execute(insert(calls).values(a_call(clock.now(), tenant)))
    append(file, *lines(1, 1))
    keeper = CallRecordKeeper("east", file, database, journal, tenants)
    await keeper.catch_up(file, None)
    with database.reading() as connection:
        row = connection.execute(select(call_records)).one()
    assert row.tenant_id == tenant
    assert row.expires_at == row.ended_at + timedelta(days=30)
