"""kill -9 at any step of delivering and giving away: whatever is not whole here any more is whole
at every place that wishes nothing kept, and the next process ends what was begun."""

import asyncio
import os
import random
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from callguard.recording.delivery import parcel as parcel_module
from callguard.recording.delivery.parcel import Parcel, Receipt
from callguard.recording.store.folder import FolderStore
from callguard.retention.erasures import ledger as ledger_module
from callguard.retention.erasures.forgetting import forget_again, verify
from callguard.retention.erasures.ledger import ErasureLedger
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from callguard.storage.schema import erasures, recordings
from tests.clock import HandClock
from tests.databases import add_tenant
from tests.killing import Fate
from tests.recording.delivery.house import Deliveries, header, swift
from tests.schema import upgrade

RUNS = int(os.environ.get("CALLGUARD_KILLS", "2"))
STEPS = 110
PLACES = ("one", "two")
NAMES = ("r0", "r1", "r2")


class FatefulOs:
    """The ``os`` of the ledger."""

    def __init__(self, fate: Fate) -> None:
        self.pwrite, self.fsync = os.pwrite, os.fsync
        for name in ("pwrite", "fsync"):
            fate.around(self, name)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


class Disk:
    """A place in a folder, which outlives the process."""

    def __init__(self, folder: Path, fate: Fate) -> None:
        self.folder = folder
        self.fate = fate

    async def carry(self, parcel: Parcel) -> Receipt:
        with (self.folder / f"{parcel.name}.part").open("wb", buffering=0) as file:
            async for piece in parcel.pieces():
                file.write(piece)
                self.fate.passes()
        (self.folder / f"{parcel.name}.part").replace(self.folder / parcel.name)
        self.fate.passes()
        return Receipt(True, "read back")


def whole(name: str) -> bytes:
    return header(name) + payload(name)


def payload(name: str) -> bytes:
    return random.Random(name).randbytes(300_000)


def opened(folder: Path) -> tuple[HandClock, Database, FolderStore, ErasureLedger]:
    clock = HandClock()
    clock.advance(days=1)
    database = swift(Database(f"sqlite:///{folder / 'callguard.db'}"))
    return clock, database, FolderStore(folder / "objects"), ErasureLedger(folder / "ledger")


async def deliver(folder: Path, steps: int) -> None:
    """What the service does from its start."""
    fate = Fate(steps)
    signal.alarm(60)
    vars(ledger_module)["os"] = FatefulOs(fate)
    # A fork has none of its parent's threads.
    vars(parcel_module)["_THREADS"] = ThreadPoolExecutor(4)
    clock, database, store, ledger = opened(folder)
    forget_again(database, ledger, clock, actor="test")
    journal = Journal(database, clock)
    journal.start()
    fate.around(store, "delete")
    write = journal.write

    async def fated(work: Any, *, timeout: float) -> Any:
        def step(connection: Connection) -> Any:
            result = work(connection)
            fate.passes()  # not committed yet
            return result

        fate.passes()
        result = await write(step, timeout=timeout)
        fate.passes()
        return result

    vars(journal)["write"] = fated
    house = Deliveries(clock, database, journal, store, ledger, folder)
    house.far = {name: Disk(folder / name, fate) for name in PLACES}  # type: ignore[misc]  # they carry as it does
    await house.deliver(3)
    await journal.close()
    database.close()


def killed(folder: Path, steps: int) -> bool:
    pid = os.fork()
    if pid == 0:
        try:
            asyncio.run(deliver(folder, steps))
            os._exit(0)
        except BaseException:
            os._exit(1)
    status = os.waitpid(pid, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


async def ready(folder: Path) -> None:
    _, database, store, ledger = opened(folder)
    clock = HandClock()
    upgrade(database)
    add_tenant(database, clock)
    house = Deliveries(clock, database, Journal(database, clock), store, ledger, folder)
    for name in PLACES:
        house.place(name, keep=False)
    for name in NAMES:
        house.sealed(name, payload=payload(name))
    database.close()


def check(folder: Path, *, over: bool) -> None:
    clock, database, store, ledger = opened(folder)
    forget_again(database, ledger, clock, actor="test")
    verify(database, ledger)
    with database.reading() as connection:
        rows = {row.id: row for row in connection.execute(select(recordings))}
        left = list(connection.execute(select(erasures).where(erasures.c.done_at.is_(None))))
    database.close()
    there = set(store.names())
    for name in NAMES:
        at_places = [(folder / place / f"{name}.age") for place in PLACES]
        if rows[name].state == "sealed":
            assert rows[name].header + store.read(name, 0, 1 << 20) == whole(name)
        else:
            assert (rows[name].state, rows[name].header) == ("delivered", None)
            assert [path.read_bytes() for path in at_places] == [whole(name)] * len(PLACES)
    if over:
        assert (there, left) == (set(), [])
        assert {row.state for row in rows.values()} == {"delivered"}


@pytest.mark.parametrize("seed", range(RUNS))
def test_what_is_not_here_any_more_is_whole_at_every_place(tmp_path: Path, seed: int) -> None:
    folder, fate = tmp_path / "house", random.Random(seed)
    for name in ("", *PLACES):
        (folder / name).mkdir()
    asyncio.run(ready(folder))
    for _ in range(3):
        if killed(folder, fate.randrange(1, STEPS)):
            check(folder, over=False)
    assert not killed(folder, 1 << 30)
    check(folder, over=True)
