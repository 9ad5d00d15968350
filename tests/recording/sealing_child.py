"""A process that seals, to be killed: the real sealer over a real spool, store and database.

It tells a file of its own of every chunk before it is sealed, so that what all lives sealed under
one nonce can be compared, and ends itself at the step that it is told to.
"""

import asyncio
import hashlib
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import structlog

from callguard.clock import SystemClock
from callguard.recording import age, live, sealer
from callguard.recording.keys import MasterKey
from callguard.recording.recorder import Recorder
from callguard.recording.sealer import Sealer
from callguard.recording.spool import Spool, SpoolEntry
from callguard.recording.store.folder import FolderStore, FolderWriter
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from callguard.tenants.directory import TenantDirectory

MASTER = MasterKey(bytes(range(32)))
FOLDERS = {"east": PurePosixPath("/var/spool/callguard")}


@dataclass(frozen=True, slots=True)
class Death:
    """Before or after the n-th time that a step is taken; ``halfway`` only of a write."""

    step: str
    when: str
    time: int = 1


STEPS: dict[str, tuple[type, str]] = {
    "write": (FolderWriter, "write"),
    "sync": (FolderWriter, "sync"),
    "release": (SpoolEntry, "release"),
    "commit": (FolderWriter, "commit"),
    "row": (Journal, "write"),
    "remove": (Spool, "remove"),
}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _arm(death: Death) -> None:
    owner, method = STEPS[death.step]
    original: Callable[..., Any] = getattr(owner, method)
    taken = 0

    def due(when: str) -> bool:
        return death.when == when and taken == death.time

    def step(self: Any, *args: Any, **named: Any) -> Any:
        nonlocal taken
        taken += 1
        if due("before"):
            die()
        if due("halfway"):
            original(self, args[0][: len(args[0]) // 2])
            die()
        result = original(self, *args, **named)
        if due("after"):
            die()
        return result

    async def awaited(self: Any, *args: Any, **named: Any) -> Any:
        nonlocal taken
        taken += 1
        if due("before"):
            die()
        result = await original(self, *args, **named)
        if due("after"):
            die()
        return result

    setattr(owner, method, awaited if death.step == "row" else step)


def _tell_of_nonces(file: Path) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    seal = age.PayloadSealer.seal_chunk

    def told(self: age.PayloadSealer, plaintext: bytes, *, last: bool) -> bytes:
        digest = hashlib.sha256(plaintext).hexdigest()
        line = f"{self.nonce.hex()} {self.next_index} {last:d} {digest}\n"
        os.write(descriptor, line.encode())
        return seal(self, plaintext, last=last)

    age.PayloadSealer.seal_chunk = told  # type: ignore[assignment,method-assign]  # in this process


def seal(root: Path, death: Death | None, *, quick: bool = True) -> None:
    """Seals what is in progress until ``root / "ended"`` is there and nothing is left."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    if quick:
        live.ROUND_S = sealer.SETTLE_S = 0.002
        live.RETRY_S = (0.01, 0.01, 0.01, 0.01)
    _tell_of_nonces(root / "nonces")
    if death is not None:
        _arm(death)
    asyncio.run(_seal(root))


async def _seal(root: Path) -> None:
    clock = SystemClock()
    database = Database(f"sqlite:///{root / 'callguard.db'}")
    journal = Journal(database, clock)
    journal.start()
    spool, store = Spool(root / "spool", floor=0), FolderStore(root / "objects")
    tenants = TenantDirectory()
    recorder = Recorder(clock, journal, spool, MASTER, FOLDERS)
    with database.reading() as connection:
        tenants.refresh(connection)
        recorder.load(connection)
    running = Sealer(clock, database, journal, spool, store, MASTER, tenants, recorder)
    task = asyncio.create_task(running.run())
    while recorder.in_progress():
        if (root / "ended").exists():
            for recording in recorder.in_progress():
                running.ended(recording)
        await asyncio.sleep(0.002)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await journal.close()
    database.close()
