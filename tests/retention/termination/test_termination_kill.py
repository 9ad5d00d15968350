"""kill -9 at any step of a termination: whoever comes next goes on, nothing goes before its time,
nothing is left behind, and what was archived is archived once. ``CALLGUARD_KILLS`` is how often."""

import asyncio
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, event, func, select

from callguard.retention.termination import archive as archiving
from callguard.retention.termination import termination as termination_module
from callguard.storage.database import Database
from callguard.storage.schema import archives, calls, purges, tenant_endpoints
from tests.clock import HandClock
from tests.killing import Fate
from tests.retention.termination.conftest import carelessly
from tests.retention.termination.life import MASTER, NEW_YORK, Life
from tests.schema import upgrade

T = TypeVar("T")
RUNS = int(os.environ.get("CALLGUARD_KILLS", "2"))
STEPS = {"day": 66, "month": 195}


def life_of(folder: Path, fate: Fate) -> Life:
    database = Database(f"sqlite:///{folder / 'callguard.db'}")
    event.listen(database.engine, "connect", carelessly)

    async def write(work: Callable[[Connection], T], /) -> T:
        fate.passes()
        with database.writing() as connection:
            result = work(connection)
            fate.passes()  # not committed yet
        fate.passes()
        return result

    return Life(database, write, HandClock(), folder)


def child(folder: Path, steps: int, days: int) -> None:
    fate = Fate(steps)
    life = life_of(folder, fate)
    for name in ("put", "delete"):
        fate.around(life.store, name)
    fate.around(termination_module, "build")
    asyncio.run(life.advance())
    if days:
        asyncio.run(life.night(days))


def killed(folder: Path, steps: int, days: int) -> bool:
    pid = os.fork()
    if pid == 0:
        try:
            child(folder, steps, days)
            os._exit(0)
        except BaseException:
            os._exit(1)
    status = os.waitpid(pid, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def ready(folder: Path) -> None:
    folder.mkdir()
    life = life_of(folder, Fate(0))
    upgrade(life.database)
    life.live().ends(choice="return")
    life.database.close()


def check(folder: Path, days: int) -> None:
    life = life_of(folder, Fate(0))
    package = life.now_is().steps.get("package")
    if package is None:  # nothing goes before the package is whole
        assert len(life.rows(select(tenant_endpoints))) == 1
        assert len(life.rows(select(calls))) == 2
    asyncio.run(life.advance())
    assert days or life.left()["verdict"] == 2  # nothing early
    life.clock.advance(3600)  # whoever led a purge is known to be gone by then
    asyncio.run(life.night(30))
    assert life.now_is().state == "finished"
    assert [one.name for one in life.places.exports.iterdir()] == [".terminations.lock"]
    rows = life.rows(select(archives))
    assert sorted((row.data_class, row.rows, row.state) for row in rows) == [
        ("call_record", 1, "sealed"),
        ("opt_out", 1, "sealed"),
    ]
    assert set(life.store.names()) == {row.id for row in rows}
    for row in rows:
        [record] = archiving.opened(row, life.store, MASTER)
        assert NEW_YORK in record["fields"].values()
    taken = life.taken()
    for name in ("verdict", "call_record", "recording", "consent", "attempt", "contact"):
        assert taken[name] == 2, name
    said = life.certificate()["classes"]
    for name in ("verdict", "call_record", "recording", "consent", "attempt", "contact"):
        assert said[name]["found"] == 2, name
    ends = select(func.count()).select_from(purges).where(purges.c.kind == "terminate")
    assert life.rows(ends)[0][0] == 1
    assert NEW_YORK[1:].encode() not in life.bytes_of()
    life.database.close()


def test_whoever_comes_next_goes_on(tmp_path: Path) -> None:
    chance, died = random.Random(5), 0
    ready(tmp_path / "before")
    for run in range(RUNS):
        folder = tmp_path / str(run)
        shutil.copytree(tmp_path / "before", folder)
        days = 30 * (run % 2)
        died += killed(folder, chance.randrange(1, STEPS["month" if days else "day"]), days)
        check(folder, days)
        shutil.rmtree(folder)
    assert died >= RUNS // 2
