"""What others do between two transactions of a purge, and what its own two tasks do to each other:
nothing goes that may not, nothing is counted twice or not at all."""

import asyncio
import hashlib
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import TypeVar

import pytest
from sqlalchemy import Connection, func, select, update

from callguard.audit.log import first_broken
from callguard.recording.erasure import erase_for_good, of_recordings
from callguard.recording.store.folder import FolderStore
from callguard.retention.erasures.forgetting import forget_again
from callguard.retention.erasures.ledger import LedgerError
from callguard.retention.purging import run as run_module
from callguard.retention.purging.clock_sense import ClockError, ClockSense
from callguard.retention.purging.leader import LEASE_S, PURGE, RENEW_S, BusyError, take
from callguard.retention.purging.purge import finish_erasures
from callguard.storage.database import Database
from callguard.storage.journal import NotDurableError
from callguard.storage.schema import holds
from tests.clock import HandClock
from tests.databases import ledger_of
from tests.recording.playback.vault import hold
from tests.retention.purging.steps import (
    LOT,
    PART,
    halfway,
    plain,
    purged,
    purges_begun,
    states,
)
from tests.retention.rows import EVERY, certified, left, open_tombstones, put, put_recording

T = TypeVar("T")
pytestmark = pytest.mark.usefixtures("small_steps")


@pytest.mark.parametrize("by", ["an erasure at once", "another process"])
async def test_who_applies_the_lines_of_a_purge_certifies_them(
    database: Database, clock: HandClock, store: FolderStore, tenant: str, by: str
) -> None:
    for number in range(LOT):
        put_recording(database, store, number, clock.now())
    other = put_recording(database, store, LOT, clock.now() + timedelta(days=1))
    ledger = ledger_of(database)

    async def act() -> None:
        if by == "another process":
            forget_again(database, ledger, clock, actor="cli")
        else:
            await erase_for_good(
                plain(database), ledger, lambda c: of_recordings(c, [other], clock.now())
            )

    made = await purged(database, clock, store, halfway(database, act))
    assert (made.counts["recording"], certified(database)["recording"]) == (PART, LOT)
    assert (open_tombstones(database), set(states(database)) - {other}) == (0, set())
    with database.reading() as connection:
        assert first_broken(connection) is None


async def test_a_ledger_that_loses_lines_in_the_middle_of_a_lot_takes_no_header(
    database: Database, clock: HandClock, store: FolderStore, tenant: str
) -> None:
    for number in range(LOT):
        put_recording(database, store, number, clock.now())
    ledger = ledger_of(database)

    async def cut() -> None:
        marks = [line.mark for line in ledger.lines()]
        with ledger.path.open("r+b") as file:
            file.truncate(marks[-2].position)

    with pytest.raises(LedgerError, match="was replaced meanwhile"):
        await purged(database, clock, store, halfway(database, cut))
    assert sorted(states(database).values()) == ["erasing"] * PART + ["sealed"] * PART
    await purged(database, clock, store)
    assert (states(database), certified(database)["recording"]) == ({}, LOT)


async def test_one_that_was_away_between_its_question_and_its_lines_writes_none(
    database: Database, clock: HandClock, store: FolderStore, tenant: str
) -> None:
    """Well before its lease is over: a hold that was placed meanwhile would come too late."""
    put_recording(database, store, 1, clock.now())
    alone, ledger = plain(database), ledger_of(database)

    async def sleepy(work: Callable[[Connection], T], /) -> T:
        result = await alone(work)
        if purges_begun(database):
            clock.advance(RENEW_S + 1)
        return result

    with pytest.raises(BusyError, match="a hold may have been placed"):
        await purged(database, clock, store, sleepy)
    assert (ledger.path.exists(), list(states(database).values())) == (False, ["sealed"])
    hold(database, clock.now(), tenant_id=tenant)
    made = await purged(database, clock, store)
    assert (made.tally.held, list(states(database).values())) == ({"recording": 1}, ["sealed"])


async def test_a_clock_that_jumps_in_the_middle_of_a_lot_stops_there_until_it_is_right(
    database: Database,
    clock: HandClock,
    store: FolderStore,
    tenant: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run_module, "LOOK_S", 0.0)
    for number in range(LOT):
        put_recording(database, store, number, clock.now())
    put(database, "consent", 1, clock.now() + timedelta(days=9))
    sense, right = ClockSense(clock), clock.now()

    async def jump() -> None:
        clock._now += timedelta(days=10)

    with pytest.raises(ClockError, match="the clock went on"):
        await purged(database, clock, store, halfway(database, jump), sense)
    assert sorted(states(database).values()) == ["erasing"] * PART + ["sealed"] * PART
    with pytest.raises(ClockError):
        await purged(database, clock, store, sense=sense)
    clock._now = right
    await purged(database, clock, store, sense=sense)
    assert (states(database), certified(database)["recording"]) == ({}, LOT)
    assert left(database, EVERY)["consent"] == 1


async def test_a_service_that_starts_beside_a_purge_finishes_what_was_begun_once(
    database: Database, clock: HandClock, store: FolderStore, tenant: str
) -> None:
    for number in range(LOT):
        put_recording(database, store, number, clock.now())

    async def start() -> None:
        assert await finish_erasures(plain(database), store, clock) == PART

    made = await purged(database, clock, store, halfway(database, start))
    assert (made.counts["recording"], certified(database)["recording"]) == (LOT, LOT)
    assert (states(database), list(store.names()), open_tombstones(database)) == ({}, [], 0)


async def test_one_that_is_replaced_in_the_middle_of_a_lot_leaves_the_rest_to_its_successor(
    database: Database, clock: HandClock, store: FolderStore, tenant: str
) -> None:
    for number in range(LOT):
        put_recording(database, store, number, clock.now())

    async def take_over() -> None:
        clock.advance(LEASE_S)
        with database.writing() as connection:
            take(connection, PURGE, "another", clock.now())

    with pytest.raises(BusyError, match="another took over"):
        await purged(database, clock, store, halfway(database, take_over))
    assert sorted(states(database).values()) == ["erasing"] * PART + ["sealed"] * PART
    clock.advance(LEASE_S)
    made = await purged(database, clock, store)
    assert (made.counts["recording"], made.resumed) == (LOT - PART, PART)
    assert (states(database), certified(database)["recording"]) == ({}, LOT)


async def test_work_that_is_run_twice_is_counted_once(
    database: Database, clock: HandClock, store: FolderStore, tenant: str
) -> None:
    """As a journal does where its group failed."""
    for number in range(LOT + 1):
        for name in EVERY:
            put(database, name, number, clock.now() + timedelta(seconds=number))
    clock.advance(LOT)

    async def twice(work: Callable[[Connection], T], /) -> T:
        with database.writing() as connection, connection.begin_nested() as first:
            work(connection)
            first.rollback()
        with database.writing() as connection:
            return work(connection)

    made = await purged(database, clock, store, twice)
    assert made.counts == certified(database) == dict.fromkeys(EVERY, LOT + 1)
    for name in ("recording", "archive", "consent"):
        ids = "".join(f"{name}-{number}\n" for number in range(LOT + 1))
        assert made.tally.digests[name] == hashlib.sha256(ids.encode()).hexdigest()


async def test_one_that_is_stopped_at_any_transaction_does_nothing_more(
    database: Database, clock: HandClock, store: FolderStore, tenant: str
) -> None:
    alone, reached, writes, step, stopped = plain(database), asyncio.Event(), 0, 0, 0

    async def stopping(work: Callable[[Connection], T], /) -> T:
        nonlocal writes
        writes += 1
        if writes >= step:
            reached.set()
            await asyncio.Event().wait()
        return await alone(work)

    for step in range(1, 100):
        writes = 0
        reached.clear()
        for number in range(LOT):
            for name in ("recording", "archive", "consent", "export"):
                put(database, name, LOT * step + number, clock.now())

        running = asyncio.create_task(purged(database, clock, store, stopping))
        arriving = asyncio.create_task(reached.wait())
        await asyncio.wait({running, arriving}, return_when=asyncio.FIRST_COMPLETED)
        arriving.cancel()
        if running.done():
            break
        stopped, asked = step, writes
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await asyncio.gather(arriving, return_exceptions=True)
        assert (writes, asyncio.all_tasks()) == (asked, {asyncio.current_task()})
        clock.advance(LEASE_S)
        await purged(database, clock, store)
        assert (open_tombstones(database), set(left(database, EVERY).values())) == (0, {0})
        assert certified(database)["recording"] == LOT * step
        assert certified(database)["consent"] == LOT * step
    assert stopped > 20


def kept(database: Database, lines: Collection[str]) -> dict[str, int]:
    """How many rows of each class there are of which nothing has begun to go."""
    found = dict[str, int]()
    with database.reading() as connection:
        for name, table in EVERY.items():
            rows = select(func.count()).select_from(table)
            if "state" in table.c:
                rows = rows.where(table.c.state != "erasing")
            if name in ("recording", "archive"):
                rows = rows.where(table.c.id.not_in(lines))
            found[name] = connection.execute(rows).scalar_one()
    return found


async def test_what_is_held_from_any_transaction_on_stays(
    database: Database, clock: HandClock, store: FolderStore, tenant: str
) -> None:
    """But for the one lot of which holds were asked already, and no line is written yet."""
    alone, ledger = plain(database), ledger_of(database)
    writes, step, held, before = 0, 0, 0, dict[str, int]()
    some = ("recording", "archive", "consent", "export")

    async def holding(work: Callable[[Connection], T], /) -> T:
        nonlocal writes, before
        result = await alone(work)
        writes += 1
        if writes == step:
            hold(database, clock.now())
            before = kept(database, [line.erasure.object_id for line in ledger.lines()])
        return result

    for step in range(1, 100):
        writes, before = 0, {}
        for number in range(LOT + 1):
            for name in some:
                put(database, name, (LOT + 1) * step + number, clock.now())
        await purged(database, clock, store, holding)
        if not before:
            break
        after = kept(database, [])
        assert after | {"recording": 0, "archive": 0} == before | {"recording": 0, "archive": 0}
        for name in ("recording", "archive"):
            assert before[name] - LOT <= after[name] <= before[name], (step, name)
        held += sum(after.values())
        with database.writing() as connection:
            connection.execute(update(holds).values(released_at=clock.now()))
        await purged(database, clock, store)
        assert (set(left(database, EVERY).values()), open_tombstones(database)) == ({0}, 0)
        assert [certified(database)[name] for name in some] == [(LOT + 1) * step] * len(some)
    assert (step > 20, held > 0) == (True, True)


async def test_a_journal_that_refuses_the_payloads_alone_fails_the_purge_behind_the_rows(
    database: Database, clock: HandClock, store: FolderStore, tenant: str
) -> None:
    for name in EVERY:
        put(database, name, 1, clock.now())
    alone = plain(database)

    async def refusing(work: Callable[[Connection], T], /) -> T:
        task = asyncio.current_task()
        if task is not None and "take_payloads" in repr(task.get_coro()):
            raise NotDurableError("the journal is full")
        return await alone(work)

    with pytest.raises(NotDurableError, match="full"):
        await purged(database, clock, store, refusing)
    rest = {"recording": 1, "archive": 1}
    assert left(database, EVERY) == {**dict.fromkeys(EVERY, 0), **rest}
    made = await purged(database, clock, store)  # which is let in at once
    assert (made.resumed, certified(database)) == (2, dict.fromkeys(EVERY, 1))
