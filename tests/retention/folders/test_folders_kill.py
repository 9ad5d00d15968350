"""kill -9 at random moments of a run over managed folders: nothing goes early, nothing is
forgotten, no lock stays, and all certificates together count each thing once."""

import asyncio
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection

from callguard.config import Folder, Settings
from callguard.policy.span import Span
from callguard.retention.folders import governing as governing_module
from callguard.retention.folders import locking as locking_module
from callguard.retention.folders import removing as removing_module
from callguard.retention.folders.governing import ManagedFolders
from callguard.storage.database import Database
from callguard.tenants.tenant import Tenant, TenantSettings
from tests.clock import HandClock
from tests.databases import add_tenant
from tests.killing import Fate
from tests.retention.folders.conftest import DUE, SECOND, WRITTEN, Rooms, names, put, put_message
from tests.schema import upgrade

T = TypeVar("T")
RUNS = int(os.environ.get("CALLGUARD_KILLS", "2"))
STEPS = 120
FAXES, MESSAGES, YOUNG = 9, 6, 3
ACME = Tenant(
    "acme", "acme", TenantSettings(), (), {"fax": Span(days=30), "voicemail": Span(days=30)}
)


class FatefulOs:
    """The ``os`` of what takes files away and locks."""

    def __init__(self, fate: Fate) -> None:
        self._fate = fate

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in ("unlink", "link", "open", "write"):
            return real

        def fated(*arguments: Any, **named: Any) -> Any:
            self._fate.passes()
            result = real(*arguments, **named)
            self._fate.passes()
            return result

        return fated


def folders_of(base: Path, database: Database, fate: Fate) -> ManagedFolders:
    async def write(work: Callable[[Connection], T], /) -> T:
        fate.passes()
        with database.writing() as connection:
            result = work(connection)
            fate.passes()  # not committed yet
        fate.passes()
        return result

    fax = Folder(name="fax", path=base / "fax", data_class="fax", tenant="acme")
    spool = Folder(
        name="vm", path=base / "vm", data_class="voicemail", tenant="acme", layout="voicemail"
    )
    settings = Settings(data=base / "data", folders=(fax, spool))
    tenants = {"acme": ACME}
    return ManagedFolders(settings, database, write, tenants.get, HandClock(DUE), actor="test")


def child(base: Path, steps: int) -> None:
    fate = Fate(steps)
    governing_module.BATCH = 4
    for module in (removing_module, locking_module):
        vars(module)["os"] = FatefulOs(fate)
    database = Database(f"sqlite:///{base / 'callguard.db'}")
    asyncio.run(folders_of(base, database, fate).take(DUE))


def killed(base: Path, steps: int) -> bool:
    pid = os.fork()
    if pid == 0:
        try:
            child(base, steps)
            os._exit(0)
        except BaseException:
            os._exit(1)
    status = os.waitpid(pid, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def test_a_run_that_is_killed_is_finished_and_counted_once(tmp_path: Path) -> None:
    chance, died = random.Random(7), 0
    for run in range(RUNS):
        base = tmp_path / str(run)
        base.mkdir()
        database = Database(f"sqlite:///{base / 'callguard.db'}")
        upgrade(database)
        add_tenant(database, HandClock())
        for n in range(FAXES):
            put(base / "fax" / f"{n % 2}" / f"{n}.tif")
        for n in range(YOUNG):
            put(base / "fax" / f"young-{n}.tif", at=WRITTEN + SECOND)
            put_message(base / "vm" / "default" / "100" / "INBOX", 50 + n, WRITTEN + SECOND)
        for n in range(MESSAGES):
            put_message(base / "vm" / "default" / f"10{n % 2}" / "INBOX", n)
        while killed(base, chance.randrange(1, STEPS)):
            died += 1
            young = [name for name in names(base / "fax") if "young" in name]
            assert len(young) == YOUNG
        asyncio.run(folders_of(base, database, Fate(0)).take(DUE))
        assert len(names(base / "fax")) == YOUNG
        assert len(names(base / "vm")) == 3 * YOUNG  # and no lock
        certificates = Rooms.certificates(Rooms(base, database))
        assert all(one["finished"] for one in certificates)
        taken = dict.fromkeys(("fax", "voicemail"), 0)
        for one in certificates:
            taken[one["class"]] += one["taken"]
        assert taken == {"fax": FAXES, "voicemail": MESSAGES}
        database.close()
    assert died >= RUNS // 2
