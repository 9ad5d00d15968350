"""A purge that dies at any step: what it began is hidden and unreadable, and the next ends it."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import Connection, event, select

from callguard.recording.store.folder import FolderStore
from callguard.recording.store.objects import ObjectStoreError
from callguard.retention import purge as purge_module
from callguard.retention.purge import purge
from callguard.storage.database import Database
from callguard.storage.schema import erasures, recordings
from tests.clock import HandClock
from tests.databases import ledger_of
from tests.retention.rows import CLASSES, certified, left, open_tombstones, put, put_recording

T = TypeVar("T")
ROWS = 3


class Killed(BaseException):
    """The process ended here."""


class Mortal:
    """A database and a store that die at one of their steps, before it or after it."""

    def __init__(self, database: Database, store: FolderStore, step: int, *, after: bool) -> None:
        self._database = database
        self._store = store
        self._left = step
        self._after = after
        self.killed = False

    def _die(self, *, after: bool) -> None:
        if after == self._after:
            self._left -= 1
            if self._left == 0:
                self.killed = True
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


def unreadable(database: Database) -> None:
    """No recording has lost its header without a tombstone, or has a tombstone and a header."""
    with database.reading() as connection:
        tombs = set(connection.execute(select(erasures.c.object_id)).scalars())
        for row in connection.execute(select(recordings)):
            assert (row.header is None) == (row.id in tombs) == (row.state == "erasing")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_purge_killed_at_any_step_is_finished_by_the_next(
    database: Database,
    clock: HandClock,
    store: FolderStore,
    tenant: str,
    monkeypatch: pytest.MonkeyPatch,
    after: bool,
) -> None:
    monkeypatch.setattr(purge_module, "ROWS", 2)
    monkeypatch.setattr(purge_module, "RECORDINGS", 2)
    # Nobody cuts the power here, and thousands of syncs would take their time.
    event.listen(database.engine, "connect", lambda c, _: c.execute("PRAGMA synchronous=OFF"))
    database.engine.dispose()
    step, number, taken = 0, 0, 0
    while True:
        step += 1
        clock.advance(1)
        for data_class in CLASSES:
            for _ in range(ROWS):
                number += 1
                if data_class == "recording":
                    put_recording(database, store, number, clock.now())
                else:
                    put(database, data_class, number, clock.now())
        taken += ROWS
        mortal = Mortal(database, store, step, after=after)
        try:
            await purge(mortal.write, mortal, ledger_of(database), clock, actor="test")  # type: ignore[arg-type]  # delete is all it asks
        except Killed:
            unreadable(database)
            alive = Mortal(database, store, 0, after=False)
            begun = open_tombstones(database)
            finished = await purge(alive.write, store, ledger_of(database), clock, actor="test")
            assert finished.resumed == begun
        assert left(database) == dict.fromkeys(CLASSES, 0)
        assert open_tombstones(database) == 0
        assert list(store.names()) == []
        assert certified(database) == dict.fromkeys(CLASSES, taken)
        if not mortal.killed:
            break
    assert step > 15


class BrokenStore(FolderStore):
    """A store that deletes nothing."""

    def delete(self, names: Iterable[str]) -> int:
        raise ObjectStoreError("the store is away")


async def test_a_store_that_fails_keeps_no_header_and_no_other_row(
    database: Database, clock: HandClock, store: FolderStore, tmp_path: Path, tenant: str
) -> None:
    for number, data_class in enumerate(CLASSES):
        put(database, data_class, number, clock.now())
    alive = Mortal(database, store, 0, after=False)
    broken = BrokenStore(tmp_path / "objects")
    for _ in range(2):
        with pytest.raises(ObjectStoreError, match="away"):
            await purge(alive.write, broken, ledger_of(database), clock, actor="test")
        unreadable(database)
        assert left(database) == {**dict.fromkeys(CLASSES, 0), "recording": 1}
    certificate = await purge(alive.write, store, ledger_of(database), clock, actor="test")
    assert certificate.resumed == 1
    assert certified(database) == dict.fromkeys(CLASSES, 1)
    assert left(database)["recording"] == 0
