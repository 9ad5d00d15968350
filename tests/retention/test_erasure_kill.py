"""kill -9 at any step of erasing: what was acknowledged is gone for good, what was not is whole and
readable or gone, and after the restart database and ledger agree."""

import asyncio
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection, select

from callguard.recording.spool import Spool
from callguard.recording.store.folder import FolderStore
from callguard.retention.erase import erase_recording
from callguard.retention.erasures import ledger as ledger_module
from callguard.retention.erasures.forgetting import forget_again, verify
from callguard.retention.purging import pace as pace_module
from callguard.retention.purging.purge import finish_erasures, purge
from callguard.retention.schedule import for_days
from callguard.storage.database import Database
from callguard.storage.schema import erasures, recordings
from tests.clock import HandClock
from tests.databases import add_tenant, ledger_of
from tests.killing import Fate
from tests.retention.rows import certified, open_tombstones, put_recording
from tests.schema import upgrade

T = TypeVar("T")
RUNS = int(os.environ.get("CALLGUARD_KILLS", "6"))
RECORDINGS = 5
STEPS = {"erase": 60, "purge": 60}


class FatefulOs:
    """The ``os`` of the ledger."""

    def __init__(self, fate: Fate) -> None:
        self.pwrite, self.fsync, self.ftruncate = os.pwrite, os.fsync, os.ftruncate
        for name in ("pwrite", "fsync", "ftruncate"):
            fate.around(self, name)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


def writer_of(database: Database, fate: Fate) -> Any:
    async def write(work: Callable[[Connection], T], /) -> T:
        fate.passes()
        with database.writing() as connection:
            result = work(connection)
            fate.passes()  # not committed yet
        fate.passes()
        return result

    return write


def child(folder: Path, what: str, steps: int, told: int) -> None:
    """Erases until its time has come, and says what it was told is erased."""
    fate = Fate(steps)
    clock, database = HandClock(), Database(f"sqlite:///{folder / 'callguard.db'}")
    clock.advance(days=1)
    store, spool = FolderStore(folder / "objects"), Spool(folder / "spool", floor=0)
    ledger, write = ledger_of(database), writer_of(database, fate)
    vars(ledger_module)["os"] = FatefulOs(fate)
    fate.around(store, "delete")
    if what == "purge":
        pace_module.MOST = 2
        asyncio.run(purge(write, store, ledger, clock, actor="test"))
        os.write(told, b"all\n")
        return
    with database.reading() as connection:
        ids = list(connection.execute(select(recordings.c.id).order_by(recordings.c.id)).scalars())
    for one in ids:
        erasing = erase_recording(
            write, ledger, spool, store, clock, one, keep=for_days(30), actor="test", reason="asked"
        )
        asyncio.run(erasing)
        os.write(told, f"{one}\n".encode())


def killed(folder: Path, what: str, steps: int) -> tuple[bool, set[str]]:
    """Whether the child was killed, and what it had acknowledged."""
    reading, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            child(folder, what, steps, told)
            os._exit(0)
        except BaseException:
            os._exit(1)
    os.close(told)
    with os.fdopen(reading) as said:
        acknowledged = set(said.read().split())
    status = os.waitpid(pid, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status), acknowledged


def ready(folder: Path) -> set[str]:
    folder.mkdir()
    clock, database = HandClock(), Database(f"sqlite:///{folder / 'callguard.db'}")
    upgrade(database)
    add_tenant(database, clock)
    store = FolderStore(folder / "objects")
    Spool(folder / "spool", floor=0).prepare()
    names = {put_recording(database, store, n, clock.now()) for n in range(RECORDINGS)}
    database.close()
    return names


def check(folder: Path, names: set[str], acknowledged: set[str]) -> None:
    clock, database = HandClock(), Database(f"sqlite:///{folder / 'callguard.db'}")
    store, ledger = FolderStore(folder / "objects"), ledger_of(database)
    forget_again(database, ledger, clock, actor="test")
    verify(database, ledger)
    with database.reading() as connection:
        tombs = set(connection.execute(select(erasures.c.object_id)).scalars())
        rows = {row.id: row for row in connection.execute(select(recordings))}
    assert {line.erasure.object_id for line in ledger.lines()} == tombs
    assert acknowledged - {"all"} <= tombs
    assert "all" not in acknowledged or tombs == names
    for name in names:
        if name in tombs:
            assert name not in rows or (rows[name].header, rows[name].state) == (None, "erasing")
        else:
            assert (rows[name].header, store.read(name)) == (b"header", b"sealed")
    assert certified(database)["recording"] == len(tombs)
    asyncio.run(finish_erasures(writer_of(database, Fate(0)), store, clock))
    assert set(store.names()) == names - tombs
    assert open_tombstones(database) == 0
    assert forget_again(database, ledger, clock, actor="test").applied == 0
    database.close()


@pytest.mark.parametrize("what", STEPS)
def test_whatever_is_killed_is_whole_or_gone_for_good(tmp_path: Path, what: str) -> None:
    chance, died = random.Random(len(what)), 0
    for run in range(RUNS):
        folder = tmp_path / str(run)
        names = ready(folder)
        dead, acknowledged = killed(folder, what, chance.randrange(1, STEPS[what]))
        died += dead
        check(folder, names, acknowledged)
    assert died >= RUNS // 3
