"""Lists to be scrubbed, and the doors they come in by: with a program of the test in place of the
scrub."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from callguard.config import Scrubs
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from callguard.web.scrub_api import PATH, CommandScrubber
from callguard.web.scrub_job import Job
from tests.clock import HandClock
from tests.gate.preflights import PARTY
from tests.web.doors import TOKEN, Doors, open_doors, two_tenants

CSV = {"Content-Type": "text/csv"}
BEARER = {"Authorization": f"Bearer {TOKEN}"}
LIST = f"number\n{PARTY}\n+442079460150\n".encode()
WHERE = f"{PATH}?tenant=acme"

SPLIT = """
import json, pathlib, sys
source, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
lines = source.read_text().splitlines()
print(json.dumps({"rows": 1, "bytes": 7}), file=sys.stderr, flush=True)
for name in ("list.csv", "list.must-not.csv", "list.cannot-tell.csv"):
    (out / name).write_text(name + "\\n")
    (out / name).chmod(0o644)
print(json.dumps({"rows": len(lines), "files": {"a": str(out)}}))
"""
HANG = """
import json, os, pathlib, subprocess, sys, time
print(json.dumps({"rows": 3, "bytes": 9}), file=sys.stderr, flush=True)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path(sys.argv[1]).with_name("pids").write_text(f"{os.getpid()} {child.pid}")
time.sleep(600)
"""


@dataclass
class Script:
    """Scrubs with a program of the test."""

    text: str = SPLIT
    begun: list[str] = field(default_factory=list)

    def command(self, job: Job, source: Path, out: Path) -> Sequence[str]:
        self.begun.append(job.id)
        return [sys.executable, "-c", self.text, str(source), str(out)]

    def progress(self, line: str) -> tuple[int, int] | None:
        return CommandScrubber(None).progress(line)


@dataclass
class Place:
    """The doors with a script, and how to open them again."""

    doors: Doors
    script: Script
    folder: Path

    async def send(self, body: bytes = LIST, query: str = "tenant=acme") -> tuple[int, Any]:
        return await self.doors.ask("POST", f"{PATH}?{query}", body, **CSV)

    async def sent(self) -> str:
        status, answer = await self.send()
        assert status == 202, answer
        return str(answer["id"])

    async def state(self, job_id: str) -> Any:
        status, answer = await self.doors.ask("GET", f"{PATH}/{job_id}")
        assert status == 200
        return answer

    async def over(self, job_id: str, state: str = "done") -> Any:
        """What is told of a list once it has come to that state."""
        return await comes(lambda: self.state(job_id), lambda told: told["state"] == state)

    def files(self) -> list[str]:
        return sorted(str(p.relative_to(self.folder)) for p in self.folder.rglob("*"))


async def comes(look: Callable[[], Any], enough: Callable[[Any], bool]) -> Any:
    async with asyncio.timeout(15):
        while not enough(seen := await look()):
            await asyncio.sleep(0.01)
    return seen


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def limits() -> Scrubs:
    return Scrubs(reserve_bytes=0)


@pytest.fixture
async def place(
    tmp_path: Path,
    database: Database,
    journal: Journal,
    clock: HandClock,
    script: Script,
    limits: Scrubs,
) -> AsyncIterator[Place]:
    two_tenants(database, clock)
    async with open_doors(
        tmp_path, database, journal, clock, scrubber=script, scrubs=limits
    ) as doors:
        yield Place(doors, script, tmp_path / "scrubs")


async def known(place: Place, job_id: str) -> str:
    """The state of a list, once the lists of before are read."""
    status, answer = await place.doors.ask("GET", f"{PATH}/{job_id}")
    return str(answer["state"]) if status == 200 else ""
