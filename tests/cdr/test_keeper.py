"""The keeper: every record of a file that grows, rotates and fails is in the database once."""

# ruff: noqa: ASYNC240 - small files on a local disk; the test is alone on its loop

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.exc import OperationalError

from callguard.cdr import keeper as keeper_module
from callguard.cdr.family import Member
from callguard.cdr.keeper import CallRecordKeeper
from callguard.cdr.master import from_master
from callguard.cdr.source import CallRecordSource, source_of
from callguard.cdr.tail import Cursor, write_cursor
from callguard.config import Asterisk
from callguard.policy.span import Span
from callguard.storage.database import Database
from callguard.storage.journal import Journal, NotDurableError
from callguard.storage.schema import call_records, calls, erasures
from callguard.tenants.directory import TenantDirectory
from callguard.tenants.store import set_retention
from tests.cdr.kept import cursor_of, kept, rows
from tests.cdr.lines import CALL_ID, START, a_call, append, at, event, line, master, newer_master
from tests.clock import HandClock


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "callguard.csv"


@pytest.fixture
def make(
    file: Path, database: Database, journal: Journal, clock: HandClock
) -> Callable[..., CallRecordKeeper]:
    """A keeper of the Asterisk ``east``, or another one."""
    clock.advance(60)

    def one(
        pbx: str = "east",
        source: CallRecordSource | None = None,
        tenants: TenantDirectory | None = None,
    ) -> CallRecordKeeper:
        of = source or CallRecordSource(file)
        return CallRecordKeeper(pbx, of, database, journal, tenants or TenantDirectory(), clock)

    return one


@pytest.fixture
def keeper(make: Callable[..., CallRecordKeeper]) -> CallRecordKeeper:
    return make()


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
    database: Database, make: Callable[..., CallRecordKeeper]
) -> None:
    keeper = make(source=CallRecordSource(None))
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
            await keeper.catch_up(None)
    assert (kept(database), cursor_of(database)) == ([], None)
    await keeper.catch_up(None)
    assert kept(database) == [1, 2]
    cursor = cursor_of(database)
    assert cursor is not None
    assert (cursor.inode, cursor.position) == (file.stat().st_ino, file.stat().st_size)


async def test_a_process_goes_on_where_the_one_before_it_stopped(
    database: Database,
    file: Path,
    make: Callable[..., CallRecordKeeper],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    append(file, *lines(1, 2))
    first = make()
    await first.catch_up(None)
    with database.writing() as connection:
        connection.execute(delete(call_records))  # what was read before is not read again
    append(file, *lines(3, 3))
    monkeypatch.setattr(keeper_module, "POLL_S", 0.005)
    second = make()
    task = asyncio.create_task(second.run())
    await until(lambda: kept(database) == [3])
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_backlog_of_megabytes_is_read_in_small_transactions(
    keeper: CallRecordKeeper, journal: Journal, database: Database, file: Path
) -> None:
    padding = "x" * 8_000
    count = 400
    append(file, *(line(number, lastdata=padding) for number in range(1, count + 1)))
    assert file.stat().st_size > 3_000_000
    await keeper.catch_up(None)
    assert kept(database) == list(range(1, count + 1))
    assert journal.state().writes > 40


async def test_a_line_that_was_half_written_at_the_first_look_was_not_read_before(
    make: Callable[..., CallRecordKeeper], database: Database, file: Path
) -> None:
    """Without sequences, two records of one instant (ForkCDR) are alike in all."""
    keeper = make(source=CallRecordSource(file, partial(from_master, zone=UTC)))
    text = f"{master(1)}\n"
    file.write_text(text + text[:40], "utf-8")
    cursor = await keeper.catch_up(None)
    file.write_text(text + text, "utf-8")
    await keeper.catch_up(cursor)
    assert len(rows(database)) == 2


async def test_a_line_longer_than_a_piece_is_counted_and_passed_over(
    keeper: CallRecordKeeper, database: Database, file: Path
) -> None:
    append(file, *lines(1, 1), "x" * 200_000, *lines(2, 2))
    cursor = await keeper.catch_up(None)
    assert kept(database) == [1, 2]
    assert keeper.counts.bad == 1
    assert await keeper.catch_up(cursor) == cursor
    assert keeper.counts.bad == 1


async def test_a_file_that_is_gone_is_given_up_for_the_one_that_is_there(
    keeper: CallRecordKeeper, database: Database, file: Path
) -> None:
    append(file, *lines(1, 2))
    cursor = await keeper.catch_up(None)
    fresh = file.with_name("fresh")  # made before the old one goes, or it could get its inode
    append(fresh, *lines(3, 3))
    file.unlink()
    assert await keeper.catch_up(cursor) == cursor
    fresh.rename(file)
    await keeper.catch_up(cursor)
    assert kept(database) == [1, 2, 3]


async def test_a_rotated_file_is_read_to_its_end_before_the_new_one(
    keeper: CallRecordKeeper, database: Database, file: Path
) -> None:
    append(file, *lines(1, 1))
    cursor = await keeper.catch_up(None)
    append(file, *lines(2, 2))
    old = file.rename(file.with_name("callguard.csv.1"))
    file.with_name("callguard.csv.2.gz").write_bytes(b"\x1f\x8b torn\n")
    cursor = await keeper.catch_up(cursor)
    append(old, *lines(3, 3))  # Asterisk had it open still
    cursor = await keeper.catch_up(cursor)
    append(file, *lines(4, 4))
    await keeper.catch_up(cursor)
    assert kept(database) == [1, 2, 3, 4]
    assert keeper.counts.bad == 0


async def test_a_file_that_is_renamed_while_it_is_opened_is_read_all_the_same(
    keeper: CallRecordKeeper, database: Database, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(file, *lines(1, 1))
    cursor = await keeper.catch_up(None)
    append(file, *lines(2, 2))
    file.rename(file.with_name("callguard.csv.1"))
    append(file, *lines(3, 3))
    opened = Member.open
    names = ["callguard.csv.1"]

    def rename_first(member: Member) -> object:
        if names and member.path.name == names[0]:
            member.path.rename(file.with_name(f"{names.pop()}.older"))
        return opened(member)

    monkeypatch.setattr(Member, "open", rename_first)
    await keeper.catch_up(cursor)
    assert kept(database) == [1, 2, 3]
    assert names == []


async def test_a_renamed_file_is_kept_in_sight_until_the_next_one_is_begun(
    keeper: CallRecordKeeper, database: Database, file: Path
) -> None:
    append(file, *lines(1, 1))
    cursor = await keeper.catch_up(None)
    old = file.rename(file.with_name("callguard.csv.1"))
    assert await keeper.catch_up(cursor) == cursor
    append(old, *lines(2, 2))
    cursor = await keeper.catch_up(cursor)
    append(file, *lines(3, 3))
    await keeper.catch_up(cursor)
    assert kept(database) == [1, 2, 3]


async def test_records_of_a_call_are_kept_as_long_as_its_tenant_says(
    database: Database,
    file: Path,
    make: Callable[..., CallRecordKeeper],
    clock: HandClock,
    tenant: str,
) -> None:
    tenants = TenantDirectory()
    with database.writing() as connection:
        set_retention(
            connection, tenant, "call_record", Span(days=30), at=clock.now(), actor="test"
        )
        tenants.refresh(connection)
        connection.execute(insert(calls).values(a_call(clock.now(), tenant)))
    append(file, *lines(1, 1))
    keeper = make(tenants=tenants)
    await keeper.catch_up(None)
    with database.reading() as connection:
        row = connection.execute(select(call_records)).one()
    assert row.tenant_id == tenant
    assert row.expires_at == row.ended_at + timedelta(days=30)


async def test_what_was_not_entered_is_counted(
    keeper: CallRecordKeeper, database: Database, file: Path, clock: HandClock
) -> None:
    with database.writing() as connection:
        tomb = {"data_class": "call", "object_id": CALL_ID, "at": clock.now()}
        connection.execute(insert(erasures).values(**tomb))
    old = line(2, userfield="", end="1600000000", start="1600000000", linkedid="1600000000.2")
    append(file, line(1), old, line(3, userfield="", linkedid="1795176000.3"))
    await keeper.catch_up(None)
    counts = keeper.counts
    assert (counts.kept, counts.too_old, counts.erased) == (1, 1, 1)
    assert kept(database) == [3]


async def test_two_asterisks_are_read_apart(
    make: Callable[..., CallRecordKeeper], database: Database, file: Path
) -> None:
    other = file.with_name("west.csv")
    append(file, *lines(1, 2))
    append(other, *lines(1, 1))
    east, west = make(), make("west", CallRecordSource(other))
    await east.catch_up(None)
    cursor = await west.catch_up(None)
    append(other, *lines(2, 3))
    await west.catch_up(cursor)
    assert kept(database) == [1, 1, 2, 2, 3]


@pytest.mark.parametrize("made", [master, newer_master])
async def test_master_csv_in_the_zone_of_its_clock_and_events_make_one_row(
    make: Callable[..., CallRecordKeeper],
    database: Database,
    file: Path,
    made: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeper_module, "POLL_S", 0.005)
    shown = {"start": "13:00:00", "answer": "13:00:02", "end": "13:00:12"}
    local = {name: f"2026-11-20 {time}" for name, time in shown.items()}
    heads = {"StartTime": "start", "AnswerTime": "answer", "EndTime": "end"}
    told = {header: local[name] for header, name in heads.items()}
    pbx = Asterisk(
        secret_file=Path("x"), cdr_file=file, cdr_format="master", time_zone="Europe/Paris"
    )
    keeper = make(source=source_of(pbx))
    task = asyncio.create_task(keeper.run())
    keeper.take(event(1, **told))
    await until(lambda: kept(database) == [1])
    append(file, *(made(number, **local) for number in (1, 2, 3)))
    await until(lambda: len(kept(database)) == 3)
    keeper.take(event(2, **told))
    keeper.take(event(4, **told))
    await until(lambda: len(kept(database)) == 4)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert {row.started_at for row in rows(database)} == {at(-0.25)}
    assert [row.source for row in rows(database)] == ["file", "file", "file", "ami"]


def numbered(number: int) -> dict[str, str]:
    """What tells the records of a file apart, whose calls ended one after the other."""
    return {"uniqueid": f"1795176000.{number}", "duration": f"{number}"}


def exact(number: int) -> str:
    return line(number, end=f"{START + number:.6f}", **numbered(number))


def plain(number: int) -> str:
    return master(number, end=f"{at(number - 0.25):%Y-%m-%d %H:%M:%S}", **numbered(number))


async def test_an_operator_who_turns_to_master_csv_and_back_gets_no_record_twice(
    make: Callable[..., CallRecordKeeper], database: Database, file: Path
) -> None:
    other = file.with_name("Master.csv")
    append(file, *map(exact, range(1, 5)))
    cursor = await make().catch_up(None)
    append(other.with_name("Master.csv.1"), *map(plain, (1, 2)))
    append(other.with_name("Master.csv.2"), plain(0))
    append(other, *map(plain, (3, 4, 5)))
    layout = partial(from_master, zone=UTC)
    turned = make(source=CallRecordSource(other, layout))
    cursor = await turned.catch_up(cursor)
    assert len(rows(database)) == 5
    append(other, plain(6))
    cursor = await turned.catch_up(cursor)
    assert len(rows(database)) == 6
    append(file, *map(exact, (5, 6, 7, 8)))
    await make().catch_up(cursor)
    assert [row.duration_s for row in rows(database)] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert kept(database) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert {row.ended_at - at(row.duration_s) for row in rows(database)} == {timedelta()}


async def test_events_of_a_clock_that_nobody_set_the_zone_of_are_matched_all_the_same(
    make: Callable[..., CallRecordKeeper], database: Database, file: Path
) -> None:
    """In Kathmandu, where it is a quarter to six at noon in UTC."""
    heads = ("StartTime", "AnswerTime", "EndTime")
    shown = dict(zip(heads, ("17:45:00", "17:45:02", "17:45:12"), strict=True))
    told = {name: f"2026-11-20 {time}" for name, time in shown.items()}
    append(file, master(1), master(2))
    keeper = make(source=CallRecordSource(file, partial(from_master, zone=UTC)))
    await keeper.catch_up(None)
    task = asyncio.create_task(keeper.run())
    keeper.take(event(1, **told))
    await until(lambda: 1 in kept(database))
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert kept(database) == [-1, 1]
