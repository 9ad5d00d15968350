"""A list that a hold keeps is neither swept nor removed, and nobody sees it once its time is
over."""

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
