"""callguard's full durable gate, as a server for the bench: AGI in, policy, one commit, AGI out."""

import asyncio
import tempfile
from collections.abc import Callable, Coroutine
from multiprocessing.connection import Connection
from pathlib import Path, PurePosixPath
from typing import NoReturn, cast

import structlog
import uvloop

from callguard.agi import AgiLimits, AgiServer, AgiSession
from callguard.clock import SystemClock
from callguard.config import Agi
from callguard.consent.prompts import PromptLibrary
from callguard.gate.dialogue import answer
from callguard.gate.policy import Policy
from callguard.gate.room import Gate, Recordings
from callguard.optout.image import OptOutImage
from callguard.policy.packs import shipped_packs
from callguard.service.upkeep import spare_the_old
from callguard.storage.attempts import LocalAttempts
from callguard.storage.database import Database
from callguard.storage.dictation import Dictation
from callguard.storage.grouped import GroupedReads
from callguard.storage.journal import Journal
from callguard.storage.migrate import upgrade
from callguard.tenants.directory import TenantDirectory
from callguard.tenants.store import NewTenant, OwnKey, add
from callguard.tenants.tenant import TenantSettings


class _NoRecordings:
    """The bench asks for verdicts only."""

    def __getattr__(self, name: str) -> NoReturn:
        raise AssertionError(f"nothing is recorded here: {name}")


def serve(pipe: Connection) -> None:
    """Serves until the process is terminated; sends the bound port through ``pipe``."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    with tempfile.TemporaryDirectory(prefix="callguard-bench-") as folder:
        uvloop.run(_serve(pipe, Path(folder)))


Beside = Callable[[Database, Journal], Coroutine[None, None, None]]
"""What else the same process does meanwhile."""


async def _serve(pipe: Connection, folder: Path) -> None:
    await serve_beside(pipe, folder, None)


async def serve_beside(pipe: Connection, folder: Path, beside: Beside | None) -> None:
    """The gate on a database of that folder, which is made if there is none."""
    clock = SystemClock()
    database = Database(f"sqlite:///{folder / 'bench.db'}")
    upgrade(database)
    with database.writing() as connection:
        own = OwnKey("pq", "unused", b"unused")
        new = NewTenant("bench", "Bench", TenantSettings(record=False), own)
        add(connection, new, at=clock.now(), actor="bench")
    tenants = TenantDirectory()
    with database.reading() as connection:
        tenants.refresh(connection)
    journal = Journal(database, clock, Dictation(str(folder / "bench.db")))
    reads = GroupedReads(database, inline=database.reader())
    gate = Gate(
        clock=clock,
        database=database,
        journal=journal,
        tenants=tenants,
        opt_outs=OptOutImage(),
        policy=Policy(rule for pack in shipped_packs() for rule in pack.rules),
        attempts=LocalAttempts(reads, clock),
        reads=reads,
        prompts=PromptLibrary(),
        prompt_folders={"bench": PurePosixPath("/prompts")},
        recordings=cast(Recordings, _NoRecordings()),
        home_region="DE",
    )

    async def handle(session: AgiSession) -> None:
        await answer(gate, session)
        # Nobody hangs up here, and calls that never end would pile up.
        gate.calls.end("bench", session.env.values["agi_uniqueid"])

    server = AgiServer(handler=handle, limits=AgiLimits(), allow=Agi().networks)
    spare_the_old()
    writer = journal.start()
    pipe.send(await server.start("127.0.0.1", 0))
    if beside is None:
        await writer
        return
    async with asyncio.TaskGroup() as group:
        group.create_task(beside(database, journal))
        await writer
