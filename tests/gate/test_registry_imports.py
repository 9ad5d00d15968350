"""A list imported beside a running service: taken up, referred to, kept for as long as that, and
put in use at the start where the import was killed."""

import asyncio
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import delete

from callguard.follower import REFRESH_S
from callguard.optout.registry import importing
from callguard.optout.registry.snapshot import current
from callguard.storage.database import Database
from callguard.storage.schema import calls
from tests.gate.test_registries import BOSTON, NEXT, WASHINGTON, sells, under
from tests.harness.virtual import current_clock, virtual_time
from tests.house import House, furnish, house, serving, simulated_pbx
from tests.optout.registry.desk import Desk

LISTED = date(2026, 2, 20)


def desk_of(folder: Path, database: Database) -> Desk:
    return Desk(folder, database, current_clock(), "us-dnc")  # type: ignore[arg-type] # a clock


def imported(desk: Desk, *numbers: str) -> str:
    """A list of the area code 202; the digest of its snapshot."""
    more = [f"+1202556{n:04}" for n in range(100)]
    path = desk.listed([int(number[1:]) for number in (*numbers, *more)])
    covers = desk.asked().settings.model_copy(update={"covers": ("+1202",)})
    outcome = desk.imports(path, settings=covers, day=LISTED)
    assert outcome.state == "taken", outcome.reason
    assert outcome.digest is not None
    return outcome.digest


@virtual_time
async def test_what_a_call_was_decided_by_is_kept_as_long_as_the_call(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        under(home)
        desk = desk_of(tmp_path, home.service.database)
        first = imported(desk, WASHINGTON)
        await _taken_up(home, first)
        said, row, _ = await sells(home, WASHINGTON)
        assert (said, row["registries"]) == ("block", {"us-dnc": first})
        second = imported(desk, NEXT)
        await _taken_up(home, second)
        said, row, _ = await sells(home, NEXT)
        assert (said, row["registries"]) == ("block", {"us-dnc": second})
        await asyncio.sleep(120)
        await home.service._drop_snapshots()
        assert (desk.registry / first).is_dir()
        with home.service.database.writing() as connection:
            connection.execute(delete(calls))
        await home.service._drop_snapshots()
        assert not (desk.registry / first).exists()
        assert (await sells(home, NEXT))[0] == "block"


@virtual_time
async def test_an_import_that_was_killed_counts_from_the_next_start(tmp_path: Path) -> None:
    settings, _ = furnish(tmp_path)
    database = Database(settings.database_url)
    desk = desk_of(tmp_path, database)
    imported(desk, WASHINGTON)
    await asyncio.sleep(1)  # rows of one instant have no order
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importing, "make_current", _die)
        with pytest.raises(KeyboardInterrupt):
            imported(desk, NEXT, BOSTON.replace("617", "202"))
    database.close()
    entered = desk.rows()[-1].digest
    assert current(desk.registry) != entered
    pbx = simulated_pbx(tmp_path)
    async with pbx, serving(settings, pbx) as service:
        assert service.shelf.status()[0].digest == entered == current(desk.registry)


async def _taken_up(home: House, digest: str) -> None:
    for _ in range(100):
        await asyncio.sleep(REFRESH_S)
        if any(status.digest == digest for status in home.service.shelf.status()):
            return
    raise AssertionError("the list was not taken up")


def _die(*_: object) -> None:
    raise KeyboardInterrupt
