"""A list goes with its hold and its time: one that is held is neither swept nor removed, nobody
sees one whose time is over, and what is removed stays removed."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from callguard.config import Scrubs
from callguard.retention.holds.covering import HeldError
from callguard.retention.purging.clock_sense import confirm
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from callguard.storage.schema import holds, scrubs
from callguard.web.scrub_job import Job
from callguard.web.scrub_jobs import ScrubJobs
from tests.clock import HandClock
from tests.databases import clock, database, journal, tenant
from tests.recording.playback.vault import hold
from tests.retention.rows import put

__all__ = ["clock", "database", "journal", "tenant"]


async def test_a_held_list_stays_hidden_until_it_is_released(
    tmp_path: Path, database: Database, journal: Journal, clock: HandClock, tenant: str
) -> None:
    scrubber: Any = cast("Any", None)
    jobs = ScrubJobs(
        tmp_path / "scrubs", Scrubs(reserve_bytes=0), database, journal, clock, scrubber
    )
    name = put(database, "list", 1, clock.now())
    kept = tmp_path / "scrubs" / name / "may-call"
    kept.parent.mkdir(parents=True)
    kept.write_text("+44\n")
    clock.advance(-1)
    await jobs._load()
    job = jobs.get(name)
    assert job is not None
    hold(database, clock.now(), tenant_id="acme")
    with pytest.raises(HeldError, match="a hold keeps this list"):
        await jobs.cancel(job, "test")
    clock.advance(2)
    assert (await jobs.sweep(), kept.exists(), jobs.get(name)) == (0, True, None)
    with database.writing() as connection:
        connection.execute(holds.update().values(released_at=clock.now()))
    assert (await jobs.sweep(), kept.exists()) == (1, False)
    with database.reading() as connection:
        assert connection.execute(scrubs.select()).all() == []


def a_list(
    tmp_path: Path, database: Database, journal: Journal, clock: HandClock
) -> tuple[ScrubJobs, str, Path]:
    """One that is over in a second, with a file."""
    scrubber: Any = cast("Any", None)
    folder = tmp_path / "scrubs"
    jobs = ScrubJobs(folder, Scrubs(reserve_bytes=0), database, journal, clock, scrubber)
    name = put(database, "list", 1, clock.now() + timedelta(seconds=1), at=clock.now())
    kept = folder / name / "may-call"
    kept.parent.mkdir(parents=True)
    kept.write_text("+44\n")
    return jobs, name, kept


@pytest.mark.parametrize("door", ["removed", "swept"])
async def test_a_hold_that_comes_while_a_list_goes_keeps_it_whole(
    tmp_path: Path,
    database: Database,
    journal: Journal,
    clock: HandClock,
    tenant: str,
    monkeypatch: pytest.MonkeyPatch,
    door: str,
) -> None:
    jobs, name, kept = a_list(tmp_path, database, journal, clock)
    await jobs._load()
    job = jobs.get(name)
    assert job is not None
    write = journal.write

    async def late(*arguments: Any, **more: Any) -> Any:
        hold(database, clock.now(), tenant_id="acme")
        return await write(*arguments, **more)

    monkeypatch.setattr(journal, "write", late)
    if door == "removed":
        with pytest.raises(HeldError):
            await jobs.cancel(job, "test")
    else:
        clock.advance(2)
        assert await jobs.sweep() == 0
    with database.reading() as connection:
        assert [row.state for row in connection.execute(scrubs.select())] == ["done"]
    assert kept.exists()


async def test_no_list_goes_while_the_clock_is_not_believed(
    tmp_path: Path, database: Database, journal: Journal, clock: HandClock, tenant: str
) -> None:
    jobs, _, kept = a_list(tmp_path, database, journal, clock)
    await jobs._load()
    assert await jobs.sweep() == 0
    clock._now += timedelta(days=9)  # a person, or a time server
    assert (await jobs.sweep(), kept.exists()) == (0, True)
    with database.writing() as connection:
        confirm(connection, clock.now(), "test", "it is right")
    assert (await jobs.sweep(), kept.exists()) == (1, False)


async def test_a_hold_that_comes_while_a_list_is_removed_keeps_it_from_every_door(
    tmp_path: Path,
    database: Database,
    journal: Journal,
    clock: HandClock,
    tenant: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A sweep, and another who removes it too, find a removal that is not certain yet."""
    jobs, name, kept = a_list(tmp_path, database, journal, clock)
    await jobs._load()
    job = jobs.get(name)
    assert job is not None
    write = journal.write
    others: list[asyncio.Task[Job]] = []

    async def late(*arguments: Any, **more: Any) -> Any:
        monkeypatch.setattr(journal, "write", write)
        others.append(asyncio.create_task(jobs.cancel(job, "other")))
        assert await jobs.sweep() == 0
        hold(database, clock.now(), tenant_id="acme")
        return await write(*arguments, **more)

    monkeypatch.setattr(journal, "write", late)
    with pytest.raises(HeldError):
        await jobs.cancel(job, "test")
    with pytest.raises(HeldError):
        await others[0]
    assert kept.exists()
    found = jobs.get(name)
    assert found is not None
    assert found.state == "done"


async def test_a_held_list_whose_time_is_over_keeps_no_other_waiting(
    tmp_path: Path, database: Database, journal: Journal, clock: HandClock, tenant: str
) -> None:
    jobs, name, _ = a_list(tmp_path, database, journal, clock)
    other = put(database, "list", 2, clock.now() + timedelta(days=1), at=clock.now())
    with database.writing() as connection:
        connection.execute(scrubs.update().values(state="queued"))
    hold(database, clock.now(), tenant_id="acme")
    await jobs._load()
    first = jobs._next()
    assert first is not None
    assert first.id == min(name, other) == name
    clock.advance(2)
    assert await jobs.sweep() == 0
    first = jobs._next()
    assert first is not None
    assert first.id == other


async def test_what_was_removed_while_the_lists_of_before_were_read_stays_removed(
    tmp_path: Path,
    database: Database,
    journal: Journal,
    clock: HandClock,
    tenant: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jobs, _, _ = a_list(tmp_path, database, journal, clock)
    incoming = jobs.begin(None)
    await incoming.write(b"number\n")
    job = await jobs.add(incoming, "acme", {}, "test")
    read = database.read

    async def slowly(query: Any, **more: Any) -> Any:
        found = await read(query, **more)
        monkeypatch.setattr(database, "read", read)
        await jobs.cancel(job, "test")
        return found

    monkeypatch.setattr(database, "read", slowly)
    await jobs._load()
    found = jobs.get(job.id)
    assert found is not None
    assert found.state == "cancelled"
