"""A list that a hold keeps is neither swept nor removed, and nobody sees it once its time is
over."""

from pathlib import Path
from typing import Any, cast

import pytest

from callguard.config import Scrubs
from callguard.retention.holds.covering import HeldError
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
