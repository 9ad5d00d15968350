"""Of a hold that was released nothing is kept for good: its row goes when a case would be over."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import select, update

from callguard.retention.holds.ending import ReleasedHolds
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from callguard.storage.schema import holds
from callguard.tenants.directory import TenantDirectory
from tests.clock import HandClock
from tests.recording.playback.vault import hold

SECOND = timedelta(seconds=1)


async def test_a_released_hold_goes_three_years_later_and_one_that_stands_never(
    database: Database, journal: Journal, clock: HandClock, tenant: str
) -> None:
    let_go = hold(database, clock.now(), tenant_id="acme", subject="+442079460123")
    clock.advance(1)
    stands = hold(database, clock.now(), subject="+442079460123")
    released = datetime(2026, 2, 28, 12, tzinfo=UTC)
    with database.writing() as connection:
        connection.execute(update(holds).where(holds.c.id == let_go).values(released_at=released))
    tenants = TenantDirectory()
    with database.reading() as connection:
        tenants.refresh(connection)
    room, over = ReleasedHolds(journal.write, tenants.get), datetime(2029, 2, 28, 12, tzinfo=UTC)
    assert (await room.due(over - SECOND), await room.take(over - SECOND)) == ([], {"hold": 0})
    [due] = await room.due(over)
    assert (due.data_class, due.tenant, due.count, due.oldest) == ("hold", "acme", 1, over)
    assert await room.take(over) == {"hold": 1}
    assert await room.take(over) == {"hold": 0}
    with database.reading() as connection:
        assert connection.execute(select(holds.c.id)).scalars().all() == [stands]
