"""A purge that dies at any step: what it began is hidden and unreadable, and the next ends it."""

import os
import random
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import Connection, event, select

from callguard.audit.log import first_broken
from callguard.recording.store.folder import FolderStore
from callguard.recording.store.objects import ObjectStoreError
from callguard.retention.purging import pace as pace_module
from callguard.retention.purging import run as run_module
from callguard.retention.purging.clock_sense import ClockSense
from callguard.retention.purging.further import Due
from callguard.retention.purging.leader import LEASE_S, PURGE, BusyError, leader
from callguard.retention.purging.purge import Surroundings, purge
from callguard.storage.database import Database
from callguard.storage.schema import erasures, recordings
from tests.clock import HandClock
from tests.databases import ledger_of
from tests.retention.rows import EVERY, certified, left, open_tombstones, put, put_recording

T = TypeVar("T")
ROWS = 3
STEPS = 43
KILLS = int(os.environ.get("CALLGUARD_KILLS", "6"))


class Killed(BaseException):
    """The process ended here."""


class Mortal:
    """A database and a store that die at one of their steps, before it or after it."""

    def __init__(self, database: Database, store: FolderStore, step: int, *, after: bool) -> None:
        self._database = database
        self._store = store
        self._at = step
        self._after = after
        self.steps = 0
        self._dead = False

    def _die(self, *, after: bool) -> None:
        if after == self._after:
            self.steps += 1
            self._dead = self._dead or self.steps == self._at
        if self._dead:  # nor does anything else of this process go on
            raise Killed

    async def write(self, work: Callable[[Connection], T], /) -> T:
        self._die(after=False)
        with self._database.writing() as connection:
            result = work(connection)
        self._die(after=True)
        return result

    def delete(self, names: Iterable[str]) -> int:
        self._die(after=False)
        found = self._store.delete(names)
        self._die(after=True)
        return found


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "objects")


def fill(database: Database, store: FolderStore, now: datetime) -> Path:
    """Rows of every class with their files, half of which are due; the folder of the exports."""
    exports = store.objects_folder.parent / "exports"
    exports.mkdir()
    for number in range(2 * ROWS):
        expires = now if number < ROWS else now + timedelta(days=1)
        for data_class in EVERY:
            if data_class == "recording":
                put_recording(database, store, number, expires)
            else:
                put(database, data_class, number, expires, at=now)
        (exports / f"export-{number}.csv").write_bytes(b"rows")
    return exports


def leads(database: Database, clock: HandClock) -> bool:
    with database.reading() as connection:
        return leader(connection, PURGE, clock.now()) is not None


def unreadable(database: Database) -> None:
    """No recording has lost its header without a tombstone, or has a tombstone and a header."""
    with database.reading() as connection:
        tombs = set(connection.execute(select(erasures.c.object_id)).scalars())
        for row in connection.execute(select(recordings)):
            assert (row.header is None) == (row.id in tombs) == (row.state == "erasing")


def steps_to_die_at() -> list[tuple[int, bool]]:
    """A few at random, or each of them where many are asked for."""
    every = [(step, after) for step in range(1, STEPS) for after in (False, True)]
    return every if len(every) <= KILLS else random.Random(KILLS).sample(every, KILLS)


@pytest.fixture
def quick(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small steps; and nobody cuts the power here, where many syncs would take their time."""
    monkeypatch.setattr(pace_module, "MOST", 2)
    monkeypatch.setattr(run_module, "LOT", 3)
    event.listen(database.engine, "connect", lambda c, _: c.execute("PRAGMA synchronous=OFF"))
    database.engine.dispose()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("step", "after"),
    steps_to_die_at(),
    ids=lambda value: value if isinstance(value, int) else ["before", "after"][value],
)
async def test_a_purge_killed_at_any_step_is_finished_by_the_next(
    database: Database, clock: HandClock, store: FolderStore, tenant: str, step: int, after: bool
) -> None:
    exports = fill(database, store, clock.now())
    around = Surroundings(exports=exports, sense=ClockSense(clock))
    ledger, mortal = ledger_of(database), Mortal(database, store, step, after=after)
    with pytest.raises(Killed):
        await purge(mortal.write, mortal, ledger, clock, actor="test", around=around)  # type: ignore[arg-type]  # delete is all it asks
    unreadable(database)
    alive, begun = Mortal(database, store, 0, after=False), open_tombstones(database)
    if leads(database, clock):
        with pytest.raises(BusyError, match="test on "):
            await purge(alive.write, store, ledger, clock, actor="next", around=around)
    clock.advance(LEASE_S)
    last = await purge(alive.write, store, ledger, clock, actor="next", around=around)
    assert last.resumed == begun
    assert left(database, EVERY) == dict.fromkeys(EVERY, ROWS)  # what is not due yet
    assert open_tombstones(database) == 0
    assert sorted(store.names()) == sorted(f"recording-{n}" for n in range(ROWS, 2 * ROWS))
    assert sorted(file.name for file in exports.iterdir()) == [
        f"export-{n}.csv" for n in range(ROWS, 2 * ROWS)
    ]
    assert certified(database) == dict.fromkeys(EVERY, ROWS)
    with database.reading() as connection:
        assert first_broken(connection) is None


@pytest.mark.usefixtures("quick")
async def test_a_whole_purge_has_that_many_steps(
    database: Database, clock: HandClock, store: FolderStore, tenant: str
) -> None:
    """So that the test above dies at every one of them."""
    exports, mortal = fill(database, store, clock.now()), Mortal(database, store, 0, after=False)
    around = Surroundings(exports=exports, sense=ClockSense(clock))
    await purge(mortal.write, mortal, ledger_of(database), clock, actor="test", around=around)  # type: ignore[arg-type]  # delete is all it asks
    assert mortal.steps == STEPS - 1


class BrokenStore(FolderStore):
    """A store that deletes nothing."""

    def delete(self, names: Iterable[str]) -> int:
        raise ObjectStoreError("the store is away")


class Room:
    """A further room."""

    name, asked = "room", 0

    async def due(self, now: datetime) -> list[Due]:
        return []

    async def take(self, now: datetime) -> dict[str, int]:
        self.asked += 1
        return {}


async def test_a_store_that_fails_keeps_no_header_and_no_other_row(
    database: Database, clock: HandClock, store: FolderStore, tmp_path: Path, tenant: str
) -> None:
    for number, data_class in enumerate(EVERY):
        put(database, data_class, number, clock.now())
    room = Room()
    around = Surroundings(exports=tmp_path / "exports", further=(room,))
    alive, ledger = Mortal(database, store, 0, after=False), ledger_of(database)
    broken = BrokenStore(tmp_path / "objects")
    for _ in range(2):  # the second is let in at once: one that fails holds up no other
        with pytest.raises(ObjectStoreError, match="away"):
            await purge(alive.write, broken, ledger, clock, actor="test", around=around)
        unreadable(database)
        rest = {"recording": 1, "archive": 1}
        assert left(database, EVERY) == {**dict.fromkeys(EVERY, 0), **rest}
    assert room.asked == 2
    certificate = await purge(alive.write, store, ledger, clock, actor="test", around=around)
    assert certificate.resumed == 2
    assert certified(database) == dict.fromkeys(EVERY, 1)
    assert left(database, EVERY) == dict.fromkeys(EVERY, 0)
