"""kill -9 at any moment of a purge of every class: nothing went early, nothing is forgotten by the
next, and the certificates of both add up to what went."""

import asyncio
import os
import random
import signal
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select, update

from callguard.audit.log import first_broken
from callguard.recording.store.folder import FolderStore
from callguard.retention.erasures import ledger as ledger_module
from callguard.retention.erasures.forgetting import forget_again
from callguard.retention.purging import pace as pace_module
from callguard.retention.purging import run as run_module
from callguard.retention.purging.clock_sense import ClockSense
from callguard.retention.purging.leader import LEASE_S
from callguard.retention.purging.purge import Surroundings, purge
from callguard.storage.database import Database
from callguard.storage.schema import (
    call_records,
    call_statistics,
    holds,
    purges,
    recordings,
    tenant_retention,
)
from tests.clock import HandClock
from tests.databases import add_tenant, ledger_of
from tests.killing import Fate
from tests.retention.rows import EVERY, certified, left, open_tombstones, put, put_recording
from tests.retention.test_erasure_kill import FatefulOs, writer_of
from tests.schema import upgrade

RUNS = int(os.environ.get("CALLGUARD_KILLS", "3"))
DUE, LATER, HELD = 4, 2, 1
STEPS = 190
"""About as many as a whole purge passes."""


def ready(folder: Path) -> None:
    """Of every class what is due, what is not yet, and what a hold keeps; statistics wanted."""
    clock, database = HandClock(), Database(f"sqlite:///{folder / 'callguard.db'}")
    upgrade(database)
    add_tenant(database, clock)
    add_tenant(database, clock, "held")
    now = clock.now()
    with database.writing() as connection:
        for tenant in ("acme", "held"):
            wanted = {"tenant_id": tenant, "data_class": "call_record", "anonymise": True}
            connection.execute(insert(tenant_retention).values(wanted))
        said = {"id": "h", "tenant_id": "held", "reason": "r", "author": "a", "at": now}
        connection.execute(insert(holds).values(said))
    store = FolderStore(folder / "objects")
    (folder / "exports").mkdir()
    sorts = [("acme", now)] * DUE + [("acme", now + timedelta(days=2))] * LATER
    for number, (tenant, expires) in enumerate([*sorts, *[("held", now)] * HELD]):
        for name in EVERY:
            if name == "recording":
                put_recording(database, store, number, expires, tenant=tenant)
            else:
                put(database, name, number, expires, tenant=tenant, at=now)
        (folder / "exports" / f"export-{number}.csv").write_bytes(b"rows")
    database.close()


def around_of(folder: Path, clock: HandClock) -> Surroundings:
    return Surroundings(exports=folder / "exports", sense=ClockSense(clock))


def child(folder: Path, steps: int) -> None:
    fate, clock = Fate(steps), HandClock()
    database, store = (
        Database(f"sqlite:///{folder / 'callguard.db'}"),
        FolderStore(folder / "objects"),
    )
    vars(ledger_module)["os"] = FatefulOs(fate)
    fate.around(store, "delete")
    pace_module.MOST, run_module.LOT = 2, 3
    write, around = writer_of(database, fate), around_of(folder, clock)
    asyncio.run(purge(write, store, ledger_of(database), clock, actor="test", around=around))


def killed(folder: Path, steps: int) -> bool:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            child(folder, steps)
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert status == 0
    return False


def check_what_is_there(database: Database) -> None:
    """Nothing of what is not due, or held, has gone; what has, is in the certificate."""
    counts = left(database, EVERY)
    assert all(number >= LATER + HELD for number in counts.values())
    with database.reading() as connection:
        own = recordings.c
        whole = connection.execute(select(own.id).where(own.header.is_not(None))).all()
        assert len(whole) >= LATER + HELD
        counted = connection.execute(select(func.sum(call_statistics.c.calls))).scalar() or 0
        records = select(func.count()).select_from(call_records)
        assert counted == DUE + LATER + HELD - connection.execute(records).scalar_one()
    said = certified(database)
    for name, number in counts.items():
        if name not in ("recording", "archive", "export"):  # these stay a little, unreadable
            assert said[name] == DUE + LATER + HELD - number


def check(folder: Path, *, dead: bool) -> None:
    clock, database = HandClock(), Database(f"sqlite:///{folder / 'callguard.db'}")
    store, ledger = FolderStore(folder / "objects"), ledger_of(database)
    write = writer_of(database, Fate(0))
    forget_again(database, ledger, clock, actor="test")
    check_what_is_there(database)
    clock.advance(LEASE_S)
    around = around_of(folder, clock)
    made = asyncio.run(purge(write, store, ledger, clock, actor="test", around=around))
    check_what_is_there(database)
    assert left(database, EVERY) == dict.fromkeys(EVERY, LATER + HELD)
    assert certified(database) == dict.fromkeys(EVERY, DUE)
    assert made.tally.held == dict.fromkeys(EVERY, HELD)
    assert made.tally.holds == {"h"}
    kept = range(DUE, DUE + LATER + HELD)
    assert set(store.names()) == {f"recording-{n}" for n in kept}
    assert {file.name for file in (folder / "exports").iterdir()} == {
        f"export-{n}.csv" for n in kept
    }
    assert open_tombstones(database) == 0
    with database.reading() as connection:
        assert first_broken(connection) is None
        cut_short = purges.c.finished_at.is_(None) & (purges.c.kind == "purge")
        assert len(connection.execute(select(purges.c.id).where(cut_short)).all()) <= dead
    with database.writing() as connection:
        connection.execute(update(holds).values(released_at=clock.now(), released_by="test"))
    asyncio.run(purge(write, store, ledger, clock, actor="test", around=around))
    assert left(database, EVERY) == dict.fromkeys(EVERY, LATER)
    database.close()


@pytest.mark.parametrize("run", range(RUNS))
def test_a_purge_that_is_killed_at_any_moment(tmp_path: Path, run: int) -> None:
    ready(tmp_path)
    steps = random.Random(run).randrange(1, STEPS)
    check(tmp_path, dead=killed(tmp_path, steps))


def test_a_whole_purge_passes_about_that_many_steps(tmp_path: Path) -> None:
    """So that the test above dies in all of it, and rarely behind it."""
    for name, steps, dead in (("dies", STEPS - 60, True), ("lives", 2 * STEPS, False)):
        (tmp_path / name).mkdir()
        ready(tmp_path / name)
        assert killed(tmp_path / name, steps) == dead
