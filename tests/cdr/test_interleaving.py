"""Any order of writing, rotating, packing, truncating, reading and restarting leaves every record
there once; with sequences in the file and without."""

import gzip
import os
import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from callguard.cdr.keeper import CallRecordKeeper
from callguard.cdr.lines import Layout
from callguard.cdr.master import from_master
from callguard.cdr.record import from_event, from_line
from callguard.cdr.source import CallRecordSource
from callguard.cdr.store import keep, prepare
from callguard.cdr.tail import Cursor
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from callguard.storage.schema import call_records, cdr_cursors
from callguard.tenants.directory import TenantDirectory
from tests.cdr.kept import cursor_of, house, rows
from tests.cdr.lines import START, append, at, event, line, master
from tests.clock import HandClock

LONG = bool(int(os.environ.get("CALLGUARD_LONG", "0")))
ACTS = (
    *("write", "write", "event", "early event", "half", "rotate", "pack", "read", "restart"),
    *("copy and truncate", "truncate", "older state"),
)
STEPS = st.lists(st.tuples(st.sampled_from(ACTS), st.integers(1, 4)), max_size=16)

Step = tuple[str, int]
Made = Callable[[int], str]


def channel_of(number: int) -> dict[str, str]:
    """Every third record is like the one before it, as ForkCDR makes them."""
    twin = number - 1 if number % 3 == 0 else number
    shown = f"{at(twin - 0.25):%Y-%m-%d %H:%M:%S}"
    return {"uniqueid": f"1795176000.{twin}", "end": shown, "duration": str(twin)}


def exact(number: int) -> str:
    fields = channel_of(number) | {"end": f"{START + number:.6f}"}
    return line(number, **fields)


def plain(number: int) -> str:
    return master(number, **channel_of(number))


def told(number: int) -> dict[str, str]:
    fields = channel_of(number)
    times = {"EndTime": fields["end"], "Duration": fields["duration"]}
    return dict(event(number, UniqueID=fields["uniqueid"], **times).headers)


class World:
    """A file that is written and rotated, and a keeper that looks now and then."""

    def __init__(
        self, keeper: CallRecordKeeper, file: Path, made: Made, database: Database, journal: Journal
    ) -> None:
        self.keeper, self.file, self.made = keeper, file, made
        self.database, self.journal = database, journal
        self.cursor: Cursor | None = None
        self.next = 1
        self.half = ""
        self.unread = False
        self.events: set[int] = set()

    async def act(self, step: str, number: int) -> None:
        match step:
            case "write":
                for _ in range(number):
                    append(self.file, self.half or self.made(self.next))
                    self.half, self.next = "", self.next + 1
                self.unread = True
            case "half" if not self.half:
                text = self.made(self.next)
                cut = len(text) * number // 5
                with self.file.open("a", encoding="utf-8") as handle:
                    handle.write(text[:cut])
                self.half = text[cut:]
            case "rotate" if self.whole:
                self.file.rename(self.make_room())
            case "pack" if self.whole:
                rotated = self.file.rename(self.make_room())
                packed = rotated.with_name(f"{rotated.name}.gz")
                packed.write_bytes(gzip.compress(rotated.read_bytes()))
                rotated.unlink()
            case "copy and truncate" if self.whole:
                shutil.copy(self.file, self.make_room())
                os.truncate(self.file, 0)
            case "truncate" if self.whole and not self.unread:
                os.truncate(self.file, 0)
            case "older state" if self.whole and not self.unread and self.cursor:
                await self.go_back()
            case "read":
                await self.look()
            case "restart":
                self.cursor = cursor_of(self.database)
            case "event" if self.next > 1:
                await self.tell(min(number, self.next - 1))
            case "early event":
                await self.tell(self.next)
            case _:
                pass

    @property
    def whole(self) -> bool:
        """Whether something can be done with the file; ForkCDR's two records come in one instant,
        so nothing is between them."""
        written = self.file.exists() and self.file.stat().st_size > 0
        return written and not self.half and self.next % 3 != 0

    def make_room(self) -> Path:
        for old in range(20, 0, -1):
            for end in ("", ".gz"):
                place = self.file.with_name(f"cdr.csv.{old}{end}")
                if place.exists():
                    place.rename(self.file.with_name(f"cdr.csv.{old + 1}{end}"))
        return self.file.with_name("cdr.csv.1")

    async def go_back(self) -> None:
        """To what the file was before its last line; that line was read."""
        lines = self.file.read_text("utf-8").splitlines(keepends=True)
        if len(lines) > 1:
            self.file.write_text("".join(lines[:-1]), "utf-8")
            await self.look()

    async def tell(self, number: int) -> None:
        self.events.add(number)
        here = house()
        record = from_event(told(number))
        await self.journal.write(
            lambda c: keep(c, "east", prepare(c, "east", [record], here), here)
        )

    async def look(self) -> None:
        self.cursor = await self.keeper.catch_up(self.cursor)
        self.unread = False

    async def settle(self) -> None:
        """All that AMI told of is in the file too, and was read."""
        missing = max(self.events, default=0) - self.next + 1
        await self.act("write", max(missing, 1))
        await self.look()


@pytest.mark.parametrize(
    ("made", "layout"), [(exact, from_line), (plain, partial(from_master, zone=UTC))]
)
@settings(
    max_examples=1_000 if LONG else 30,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=STEPS)
async def test_no_interleaving_loses_or_doubles_a_record(
    database: Database,
    clock: HandClock,
    made: Made,
    layout: Layout,
    steps: list[Step],
) -> None:
    with database.writing() as connection:
        connection.execute(delete(call_records))
        connection.execute(delete(cdr_cursors))
    journal = Journal(database, clock)
    journal.start()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "cdr.csv"
        source = CallRecordSource(file, layout)
        tenants = TenantDirectory()
        keeper = CallRecordKeeper("east", source, database, journal, tenants, clock)
        world = World(keeper, file, made, database, journal)
        for step in steps:
            await world.act(*step)
        await world.settle()
    await journal.close()
    found = rows(database)
    assert len(found) == world.next - 1
    told_of = sorted(row.duration_s for row in found)
    expected = sorted(int(channel_of(number)["duration"]) for number in range(1, world.next))
    assert told_of == expected
    assert {row.source for row in found} == {"file"}
    assert keeper.counts.bad == 0
    assert world.events <= {row.sequence for row in found}
