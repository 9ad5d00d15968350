"""Rotation on a schedule: who is due, what is unfinished, and one that fails."""

from datetime import timedelta
from unittest.mock import patch

import pytest
from sqlalchemy import update

from callguard.recording.keyring import Keyring
from callguard.recording.keys import MasterKey
from callguard.recording.rekeying import scheduled_rotation
from callguard.recording.rekeying.scheduled_rotation import ScheduledRotation
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from callguard.storage.schema import tenant_keys
from tests.clock import HandClock
from tests.recording.rekeying.keyed_rows import add_keyed, keys_of, means, opened, put


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduled_rotation, "PAUSE_S", 0.0)


def schedule(
    database: Database, clock: HandClock, days: int, **otherwise: object
) -> ScheduledRotation:
    return ScheduledRotation(means(database, clock, **otherwise), days)


async def test_a_key_is_replaced_on_the_day_and_not_before(
    database: Database, clock: HandClock
) -> None:
    add_keyed(database, clock)
    before = put(database, clock, 30)
    yearly = schedule(database, clock, 30)
    clock.advance(days=30, seconds=-1)
    assert await yearly.look() == []
    clock.advance(1)
    [done] = await yearly.look()
    assert (done.version, done.rewritten, done.dropped) == (2, 30, ())
    assert opened(database) == before
    assert await yearly.look() == []


async def test_a_key_that_was_made_while_the_clock_was_wrong_is_replaced_once(
    database: Database, clock: HandClock
) -> None:
    add_keyed(database, clock)
    with database.writing() as connection:
        ahead = clock.now() + timedelta(days=3_650)
        connection.execute(update(tenant_keys).values(created_at=ahead))
    yearly = schedule(database, clock, 30)
    assert [one.version for one in await yearly.look()] == [2]
    assert await yearly.look() == []


async def test_a_tenant_without_a_key_of_its_own_is_left(
    database: Database, clock: HandClock
) -> None:
    outside = add_keyed(database, clock, "other").present
    add_keyed(database, clock, own=False, outside=outside)
    clock.advance(days=40)
    assert [one.tenant for one in await schedule(database, clock, 30).look()] == ["other"]


async def test_a_rotation_that_was_cut_off_is_gone_on_with(
    database: Database, clock: HandClock
) -> None:
    add_keyed(database, clock)
    put(database, clock, 4)
    clock.advance(days=30)
    daily = schedule(database, clock, 30)
    with (
        patch(
            "callguard.recording.rekeying.rotation.rewrap_all", side_effect=OSError("no more disk")
        ),
    ):
        assert await daily.look() == []
    assert daily.faults == {"acme": "no more disk"}
    assert len(keys_of(database).replaced) == 1
    [done] = await daily.look()
    assert (done.continued, done.version, done.rewritten) == (True, 2, 4)
    assert daily.faults == {}


async def test_one_tenants_fault_keeps_no_other_from_rotating(
    database: Database, clock: HandClock
) -> None:
    add_keyed(database, clock, "broken")
    add_keyed(database, clock, "whole")
    with database.writing() as connection:
        wrapped = MasterKey(bytes(32)).wrap(b"?", b"?")
        connection.execute(
            update(tenant_keys)
            .where(tenant_keys.c.tenant_id == "broken")
            .values(wrapped_identity=wrapped)
        )
    clock.advance(days=30)
    daily = schedule(database, clock, 30)
    assert [one.tenant for one in await daily.look()] == ["whole"]
    assert list(daily.faults) == ["broken"]


async def test_it_writes_through_the_journal(
    database: Database, clock: HandClock, journal: Journal
) -> None:
    add_keyed(database, clock)
    before = put(database, clock, 50)
    clock.advance(days=30)
    [done] = await schedule(database, clock, 30, write=journal.write).look()
    assert done.rewritten == 50
    assert opened(database) == before
    assert journal.state().commits >= 3


async def test_without_days_it_does_nothing_and_ends(database: Database, clock: HandClock) -> None:
    nobody = Keyring(MasterKey(bytes(32)), MasterKey(bytes(32)))
    await schedule(database, clock, 0, keyring=nobody).run()
    assert timedelta(seconds=scheduled_rotation.LOOK_S) == timedelta(days=1)
