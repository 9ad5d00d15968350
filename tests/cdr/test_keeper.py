"""The keeper: every record of a file that grows, rotates and fails is in the database once."""

import asyncio
import os
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, delete, select
from sqlalchemy.exc import OperationalError

from callguard.cdr import keeper as keeper_module
from callguard.cdr.keeper import CallRecordKeeper
from callguard.cdr.record import from_event
from callguard.cdr.store import keep
from callguard.cdr.tail import Cursor, read_cursor, write_cursor
from callguard.storage.database import Database
from callguard.storage.journal import Journal, NotDurableError
from callguard.storage.schema import call_records, cdr_cursors
from callguard.tenants.directory import TenantDirectory
from tests.cdr.lines import append, event, line
from tests.clock import HandClock


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "callguard.csv"


@pytest.fixture
def keeper(file: Path, database: Database, journal: Journal) -> CallRecordKeeper:
    return CallRecordKeeper("east", file, database, journal, TenantDirectory())


def kept(database: Database) -> list[int]:
    with database.reading() as connection:
        found = connection.execute(select(call_records.c.sequence)).scalars()
        return sorted(found)


def cursor_of(database: Database) -> Cursor | None:
    with database.reading() as connection:
        return read_cursor(connection, "east")


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
    file.unlink()
    assert await keeper.catch_up(file, cursor) == cursor
    append(file, *lines(3, 3))
    os.truncate(file, file.stat().st_size)
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


Step = tuple[str, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(("write", "half", "rotate", "read", "restart", "event", "truncate")),
        st.integers(1, 4),
    ),
    max_size=14,
)


class World:
    """A file that is written and rotated, and a keeper that looks now and then."""

    def __init__(
        self, folder: Path, keeper: CallRecordKeeper, database: Database, journal: Journal
    ) -> None:
        self.journal = journal
        self.file = folder / "callguard.csv"
        self.keeper = keeper
        self.database = database
        self.cursor: Cursor | None = None
        self.next = 1
        self.half = ""
        self.unread = False

    async def act(self, step: str, number: int) -> None:
        match step:
            case "write":
                for _ in range(number):
                    append(self.file, self.half or line(self.next))
                    self.half, self.next = "", self.next + 1
                self.unread = True
            case "half" if not self.half:
                text = line(self.next)
                cut = len(text) * number // 5
                with self.file.open("a", encoding="utf-8") as handle:
                    handle.write(text[:cut])
                self.half = text[cut:]
            case "rotate" if self.file.exists() and not self.half and self.cursor:
                for old in range(20, 0, -1):
                    place = self.file.with_name(f"callguard.csv.{old}")
                    if place.exists():
                        place.rename(self.file.with_name(f"callguard.csv.{old + 1}"))
                self.file.rename(self.file.with_name("callguard.csv.1"))
            case "truncate" if self.file.exists() and not self.unread and not self.half:
                os.truncate(self.file, 0)  # after a copy: nothing unread, or it would be lost
            case "read":
                await self.look()
            case "restart":
                self.cursor = cursor_of(self.database)
            case "event" if self.next > 1:
                record = from_event(dict(event(min(number, self.next - 1)).headers))
                work = partial(keep, pbx="east", record=record, days=lambda _: 1)
                await self.journal.write(work)
            case _:
                pass

    async def look(self) -> None:
        self.cursor = await self.keeper.catch_up(self.file, self.cursor)
        self.unread = False


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(STEPS)
async def test_no_interleaving_loses_or_doubles_a_record(
    database: Database, clock: HandClock, steps: list[Step]
) -> None:
    with database.writing() as connection:
        connection.execute(delete(call_records))
        connection.execute(delete(cdr_cursors))
    journal = Journal(database, clock)
    journal.start()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "callguard.csv"
        keeper = CallRecordKeeper("east", file, database, journal, TenantDirectory())
        world = World(file.parent, keeper, database, journal)
        for step in steps:
            await world.act(*step)
        if world.half:
            await world.act("write", 1)
        if not file.exists():
            await world.act("write", 1)
        await world.look()
    await journal.close()
    assert kept(database) == list(range(1, world.next))
    assert keeper.counts.bad == 0
