"""A run over a list: how it fails, and what a restart makes of one that was cut off."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import Connection

from callguard.storage.database import Database
from callguard.storage.journal import Journal
from callguard.storage.schema import scrubs
from callguard.web import scrub_job, scrub_process
from callguard.web.scrub_api import PATH
from callguard.web.scrub_job import Job
from tests.clock import HandClock
from tests.databases import clock, database, journal
from tests.gate.preflights import rows
from tests.web.doors import open_doors, two_tenants
from tests.web.scrub_place import (
    HANG,
    LIST,
    SPLIT,
    Place,
    Script,
    comes,
    known,
    limits,
    place,
    script,
)

__all__ = ["clock", "database", "journal", "limits", "place", "script"]

REFUSE = """
import sys
print("callguard: in.csv: there is no column of numbers", file=sys.stderr)
sys.exit(1)
"""
HALF = """
import os, pathlib, sys
(pathlib.Path(sys.argv[2]) / "list.csv").write_bytes(pathlib.Path(sys.argv[1]).read_bytes())
os.kill(os.getpid(), 9)
"""
BABBLE = "print('x' * 3_000_000)"
MUTTER = "print('done')"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (REFUSE, "in.csv: there is no column of numbers"),
        (BABBLE, "the scrub said more than it should at its end"),
        (MUTTER, "the scrub did not say what it did"),
        (HALF, "the scrub ended with status -9"),
    ],
)
async def test_a_scrub_that_fails_says_why_and_leaves_no_list(
    place: Place, text: str, reason: str
) -> None:
    place.script.text = text
    job_id = await place.sent()
    told = await place.over(job_id, "failed")
    assert (told["reason"], told["files"]) == (reason, [])
    assert place.files() == [job_id]
    place.script.text = SPLIT
    await place.over(await place.sent())


async def test_what_a_run_made_is_durable_before_it_is_said_to_be_done(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    write, fsync = scrub_job.write, os.fsync

    def noting(connection: Connection, job: Job) -> None:
        order.append(job.state)
        write(connection, job)

    def syncing(descriptor: int) -> None:
        folder = Path(f"/proc/self/fd/{descriptor}").readlink()
        if (folder / "out").is_dir():
            order.append("synced")
        fsync(descriptor)

    monkeypatch.setattr(scrub_job, "write", noting)
    monkeypatch.setattr(os, "fsync", syncing)
    await place.over(await place.sent())
    assert order == ["running", "synced", "done"]


async def test_a_scrubber_that_is_broken_takes_nothing_else_down(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Sequence[str]:
        raise KeyError("secret")

    monkeypatch.setattr(place.script, "command", broken)
    told = await place.over(await place.sent(), "failed")
    assert told["reason"] == "the scrub broke: KeyError"
    monkeypatch.undo()
    await place.over(await place.sent())


async def test_a_program_that_is_not_there_is_a_failed_scrub(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place.script, "command", lambda *_: ["/nowhere/callguard"])
    told = await place.over(await place.sent(), "failed")
    assert told["reason"] == "No such file or directory"


async def test_a_run_that_says_nothing_for_too_long_is_ended(
    place: Place, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrub_process, "SILENT_S", 0.2)
    place.script.text = HANG
    job_id = await place.sent()
    await comes(lambda: place.state(job_id), lambda told: told["progress"]["rows"] == 3)
    clock.advance(seconds=1)
    told = await place.over(job_id, "failed")
    assert told["reason"].startswith("it said nothing for")


class TestARestart:
    async def test_begins_a_run_anew_that_was_cut_off(
        self, tmp_path: Path, database: Database, journal: Journal, clock: HandClock, script: Script
    ) -> None:
        two_tenants(database, clock)
        script.text = HANG
        everything = (tmp_path, database, journal, clock)
        async with open_doors(*everything, scrubber=script) as doors:
            place = Place(doors, script, tmp_path / "scrubs")
            job_id = await place.sent()
            await comes(lambda: place.state(job_id), lambda told: told["progress"]["rows"] == 3)
        assert rows(doors.gate, scrubs)[0]["state"] == "running"
        script.text = SPLIT
        async with open_doors(*everything, scrubber=script) as doors:
            place = Place(doors, script, tmp_path / "scrubs")
            told = await comes(lambda: known(place, job_id), lambda told: told == "done")
            assert told == "done"
            assert not [name for name in place.files() if "run-" in name]
        async with open_doors(*everything, scrubber=script) as doors:
            place = Place(doors, script, tmp_path / "scrubs")
            await comes(lambda: known(place, job_id), lambda told: told == "done")
            assert (await place.doors.ask("GET", f"{PATH}/{job_id}"))[1]["summary"] == {"rows": 3}
        assert script.begun == [job_id, job_id]

    async def test_leaves_no_task_of_the_one_before(
        self, tmp_path: Path, database: Database, journal: Journal, clock: HandClock, script: Script
    ) -> None:
        two_tenants(database, clock)
        before = asyncio.all_tasks()
        async with open_doors(tmp_path, database, journal, clock, scrubber=script) as doors:
            place = Place(doors, script, tmp_path / "scrubs")
            await place.over(await place.sent())
        for _ in range(3):
            await asyncio.sleep(0)
        left = [task.get_coro() for task in asyncio.all_tasks() - before]
        assert [coro for coro in left if "Event.wait" in getattr(coro, "__qualname__", "")] == []

    async def test_removes_the_list_of_a_scrub_that_had_ended(
        self, tmp_path: Path, database: Database, journal: Journal, clock: HandClock, script: Script
    ) -> None:
        two_tenants(database, clock)
        everything = (tmp_path, database, journal, clock)
        async with open_doors(*everything, scrubber=script) as doors:
            place = Place(doors, script, tmp_path / "scrubs")
            job_id = await place.sent()
            await place.over(job_id)
            files = place.files()
        (tmp_path / "scrubs" / job_id / "in.csv").write_bytes(LIST)
        async with open_doors(*everything, scrubber=script) as doors:
            place = Place(doors, script, tmp_path / "scrubs")
            await comes(lambda: asyncio.sleep(0, place.files()), lambda found: found == files)

    async def test_removes_what_expired_meanwhile_and_what_belongs_to_nobody(
        self, tmp_path: Path, database: Database, journal: Journal, clock: HandClock, script: Script
    ) -> None:
        two_tenants(database, clock)
        everything = (tmp_path, database, journal, clock)
        async with open_doors(*everything, scrubber=script) as doors:
            place = Place(doors, script, tmp_path / "scrubs")
            await place.over(await place.sent())
        (tmp_path / "scrubs" / "stray").mkdir()
        (tmp_path / "scrubs" / "stray" / "in.csv").write_bytes(LIST)
        clock.advance(days=7)
        async with open_doors(*everything, scrubber=script) as doors:
            place = Place(doors, script, tmp_path / "scrubs")
            await comes(lambda: asyncio.sleep(0, place.files()), lambda found: found == [])
            await comes(
                lambda: asyncio.sleep(0, rows(doors.gate, scrubs)), lambda found: found == []
            )
