"""Whether a record is there until its instant and gone from then on, asked of those who read it
and of the purge."""

from calendar import monthrange
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

from sqlalchemy import Connection, delete, select, update

from callguard.cdr.reading import Wanted, newest
from callguard.contacts.contact import NOTHING_KNOWN, Contact
from callguard.contacts.store import read
from callguard.policy.span import Span
from callguard.recording.playback.reading import listed
from callguard.recording.store.folder import FolderStore
from callguard.retention.purging.purge import Surroundings, purge
from callguard.storage.alive import alive
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from callguard.storage.schema import contacts, leases
from tests.clock import HandClock
from tests.databases import ledger_of
from tests.retention.rows import EVERY, left, put, put_recording

SECOND = timedelta(seconds=1)


def by_calendar(since: datetime, span: Span, zone: tzinfo = UTC) -> datetime:
    """When a span is over, worked out apart from the code: by the clock on the wall."""
    wall = since.astimezone(zone).replace(tzinfo=None)
    months = wall.year * 12 + wall.month - 1 + span.months
    year, month = divmod(months, 12)
    day = min(wall.day, monthrange(year, month + 1)[1])
    later = wall.replace(year=year, month=month + 1, day=day) + timedelta(days=span.days)
    return later.replace(tzinfo=zone).astimezone(UTC)


def _calls(connection: Connection, _: str, now: datetime) -> bool:
    return bool(newest(connection, Wanted(), now, 10))


def _contact(connection: Connection, name: str, now: datetime) -> bool:
    return read(connection, "acme", name, now) != NOTHING_KNOWN


def _row(data_class: str) -> Callable[[Connection, str, datetime], bool]:
    table = EVERY[data_class]

    def there(connection: Connection, _: str, now: datetime) -> bool:
        return connection.execute(select(table).where(alive(table, now))).first() is not None

    return there


READERS: dict[str, Callable[[Connection, str, datetime], bool]] = {
    **{data_class: _row(data_class) for data_class in EVERY},
    "call_record": _calls,
    "contact": _contact,
    "recording": lambda connection, name, now: (
        name in {row.id for row in listed(connection, now=now)}
    ),
}


async def assert_lasts(
    database: Database,
    journal: Journal,
    folder: Path,
    data_class: str,
    until: datetime,
    number: int = 1,
) -> None:
    """A row that is kept until then is there one second before, for whoever reads it and after a
    purge, and gone one second after."""
    store = FolderStore(folder / "objects")
    with database.writing() as connection:  # the one before may have ended later than this begins
        connection.execute(delete(leases))
    if data_class == "recording":
        name = put_recording(database, store, number, until)
    else:
        name = put(database, data_class, number, until)
    if data_class == "contact":
        known = Contact(kind="business").stored()
        with database.writing() as connection:
            connection.execute(update(contacts).values(known=known))
    for now, there in ((until - SECOND, True), (until + SECOND, False)):
        with database.reading() as connection:
            assert READERS[data_class](connection, name, now) is there
        certificate = await purge(
            journal.write,
            store,
            ledger_of(database),
            HandClock(now),
            actor="test",
            around=Surroundings(exports=folder / "exports"),
        )
        assert certificate.counts[data_class] == int(not there)
        assert left(database, EVERY)[data_class] == int(there)
