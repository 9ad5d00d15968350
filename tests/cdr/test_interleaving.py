"""Any order of writing, rotating, reading and restarting leaves every record there once."""

import os
import tempfile
from functools import partial
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from callguard.cdr.keeper import CallRecordKeeper
from callguard.cdr.record import from_event
from callguard.cdr.store import keep
from callguard.cdr.tail import Cursor
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from callguard.storage.schema import call_records, cdr_cursors
from callguard.tenants.directory import TenantDirectory
from tests.cdr.kept import cursor_of, kept
from tests.cdr.lines import append, event, line
from tests.clock import HandClock

Step = tuple[str, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(("write", "half", "rotate", "read", "restart", "event", "truncate")),
        st.integers(1, 4),
    ),
    max_size=14,
)


class World:
    """A file that is written and rotated, and a keeper that looks now and then."""

    def __init__(
        self, folder: Path, keeper: CallRecordKeeper, database: Database, journal: Journal
    ) -> None:
        self.journal = journal
        self.file = folder / "callguard.csv"
        self.keeper = keeper
        self.database = database
        self.cursor: Cursor | None = None
        self.next = 1
        self.half = ""
        self.unread = False

    async def act(self, step: str, number: int) -> None:
        match step:
            case "write":
                for _ in range(number):
                    append(self.file, self.half or line(self.next))
                    self.half, self.next = "", self.next + 1
                self.unread = True
            case "half" if not self.half:
                text = line(self.next)
                cut = len(text) * number // 5
                with self.file.open("a", encoding="utf-8") as handle:
                    handle.write(text[:cut])
                self.half = text[cut:]
            case "rotate" if self.file.exists() and not self.half and self.cursor:
                for old in range(20, 0, -1):
                    place = self.file.with_name(f"callguard.csv.{old}")
                    if place.exists():
                        place.rename(self.file.with_name(f"callguard.csv.{old + 1}"))
                self.file.rename(self.file.with_name("callguard.csv.1"))
            case "truncate" if self.file.exists() and not self.unread and not self.half:
                os.truncate(self.file, 0)  # after a copy: nothing unread, or it would be lost,
                await self.look()  # and seen before it ends at the same byte again
            case "read":
                await self.look()
            case "restart":
                self.cursor = cursor_of(self.database)
            case "event" if self.next > 1:
                record = from_event(dict(event(min(number, self.next - 1)).headers))
                work = partial(keep, pbx="east", record=record, tenants=lambda _: None)
                await self.journal.write(work)
            case _:
                pass

    async def look(self) -> None:
        self.cursor = await self.keeper.catch_up(self.file, self.cursor)
        self.unread = False


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(STEPS)
async def test_no_interleaving_loses_or_doubles_a_record(
    database: Database, clock: HandClock, steps: list[Step]
) -> None:
    with database.writing() as connection:
        connection.execute(delete(call_records))
        connection.execute(delete(cdr_cursors))
    journal = Journal(database, clock)
    journal.start()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "callguard.csv"
        keeper = CallRecordKeeper("east", file, database, journal, TenantDirectory())
        world = World(file.parent, keeper, database, journal)
        for step in steps:
            await world.act(*step)
        if world.half:
            await world.act("write", 1)
        if not file.exists():
            await world.act("write", 1)
        await world.look()
    await journal.close()
    assert kept(database) == list(range(1, world.next))
    assert keeper.counts.bad == 0
