"""The courier: nothing due is forgotten, nothing erased is sent, and what fails is told."""

import asyncio
import hashlib
import json
from datetime import timedelta

import pytest
from sqlalchemy import delete, update

from callguard.recording.delivery import attempt, store
from callguard.recording.delivery.parcel import Parcel, Receipt
from callguard.recording.delivery.retrying import STUCK_AFTER
from callguard.recording.delivery.turns import AT_ONE_PLACE
from callguard.recording.store.objects import ObjectStoreError
from callguard.recording.tombstones import set_mark
from callguard.storage.schema import audit, calls, deliveries, recordings
from callguard.tenants.directory import TenantDirectory
from tests.databases import add_tenant
from tests.law import DEBTOR, DEBTS, YEARS
from tests.recording.delivery.house import SUBJECT, Deliveries, Far, broken, header

HOUR = 3600


async def test_a_sealed_recording_is_sent_as_an_age_file_and_proved(house: Deliveries) -> None:
    far = house.place()
    house.sealed()
    await house.deliver()
    data = header("r1") + b"sealed" * 9
    assert far.holds == {"r1.age": data}
    row = house.delivery()
    assert (row.state, row.attempts, row.next_at, row.reason) == ("confirmed", 1, None, None)
    assert (row.sha256, row.bytes) == (hashlib.sha256(data).hexdigest(), len(data))
    assert row.expires_at >= house.recording().expires_at
    (entry,) = [one for one in house.rows(audit) if one.action == "recording.deliver"]
    said = json.loads(entry.details)
    assert (said["place"], said["kind"], said["sha256"]) == ("theirs", "https", row.sha256)
    assert (said["bytes"], said["confirmed"]) == (len(data), True)
    assert said["answer"].isprintable()
    assert len(said["answer"]) == 200
    assert house.recording().state == "sealed"
    await house.deliver(3)
    assert far.tries == 1


async def test_a_delivery_is_told_of_as_long_as_the_law_of_its_subject_wants(
    house: Deliveries,
) -> None:
    house.change(calls, purpose=DEBTOR.purpose)
    house.tenants = TenantDirectory([DEBTS])
    with house.database.reading() as connection:
        house.tenants.refresh(connection)
    house.restart()
    house.place()
    house.sealed()
    await house.deliver()
    assert house.delivery().expires_at.year == house.clock.now().year + YEARS


async def test_what_was_sealed_before_the_place_was_added_stays(house: Deliveries) -> None:
    house.sealed("before")
    house.clock.advance(1)
    far = house.place()
    house.sealed("after")
    await house.deliver()
    assert [*far.holds] == ["after.age"]


async def test_only_the_tenants_own_recordings_go_to_its_places(house: Deliveries) -> None:
    add_tenant(house.database, house.clock, "other")
    far = house.place()
    house.sealed("mine")
    house.sealed("theirs", tenant="other")
    await house.deliver()
    assert [*far.holds] == ["mine.age"]


async def test_what_a_crash_left_is_sent_by_the_next_process(house: Deliveries) -> None:
    far = house.place()
    house.sealed()
    house.clock.advance(days=30)
    house.restart()  # nobody ever looked
    await house.deliver()
    assert house.delivery().state == "confirmed"
    # Killed between the place's confirmation and the row: once more, the same bytes.
    before = dict(far.holds)
    with house.database.writing() as connection:
        connection.execute(update(deliveries).values(state="sending", next_at=house.clock.now()))
    house.restart()
    await house.deliver()
    assert (far.tries, far.holds) == (2, before)
    assert house.delivery().state == "confirmed"


async def test_a_recording_that_is_sealed_in_between_is_found_at_once_and_a_late_one_later(
    house: Deliveries,
) -> None:
    far = house.place()
    await house.deliver()
    house.sealed("now")
    await house.deliver()
    assert [*far.holds] == ["now.age"]
    house.sealed("late")
    house.clock.advance(HOUR)  # as where its date was an hour ago: the clock had been set
    await house.deliver()
    assert [*far.holds] == ["now.age", "late.age"]


async def test_a_failure_is_tried_again_later_and_later(house: Deliveries) -> None:
    far = house.place()
    far.fault = broken("down\nfor maintenance")
    house.sealed()
    waits = []
    for _ in range(12):
        await house.deliver()
        row = house.delivery()
        assert (row.state, row.reason) == ("waiting", "down for maintenance")
        waits.append((row.next_at - house.clock.now()).total_seconds())
        before = far.tries
        house.clock.advance(waits[-1] - 0.5)
        await house.deliver()
        assert far.tries == before
        house.clock.advance(0.5)
    assert waits == [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]
    far.fault = None
    await house.deliver()
    assert house.delivery().state == "confirmed"


async def test_after_a_day_it_is_stuck_and_the_alarm_stands_until_it_arrives(
    house: Deliveries,
) -> None:
    far = house.place()
    far.fault = broken()
    house.sealed()
    await house.deliver()
    assert house.alarms() == ()
    house.clock.advance(STUCK_AFTER.total_seconds())
    await house.deliver()
    row = house.delivery()
    assert row.state == "stuck"
    assert row.next_at - house.clock.now() == timedelta(hours=1)
    house.clock.advance(11)
    await house.deliver()
    alarm = "acme: theirs: recordings that could not be delivered: 1: it is down"
    assert (house.alarms(), house.courier.stuck) == ((alarm,), 1)
    house.restart()
    await house.deliver()
    assert house.alarms() == (alarm,)
    tries = far.tries
    for _ in range(2):
        house.clock.advance(HOUR)
        await house.deliver()
    assert far.tries == tries + 2
    assert house.delivery().state == "stuck"
    far.fault = None
    house.clock.advance(HOUR)
    await house.deliver()
    house.clock.advance(11)
    await house.deliver()
    assert house.delivery().state == "confirmed"
    assert (house.alarms(), house.courier.stuck) == ((), 0)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"state": "erasing", "header": None}, "the recording was erased"),
        ({"state": "delivered", "header": None}, "the recording is no longer here"),
        ({"expires_at": "now"}, "the recording has expired"),
        (None, "the recording was erased"),
    ],
)
async def test_what_was_erased_or_has_expired_is_not_sent(
    house: Deliveries, values: dict[str, object] | None, reason: str
) -> None:
    far = house.place()
    far.fault = broken()
    house.sealed()
    await house.deliver()
    far.fault = None
    if values is None:
        with house.database.writing() as connection:
            connection.execute(delete(recordings))
    else:
        now = {"expires_at": house.clock.now()} if "expires_at" in values else {}
        house.change(recordings, **{**values, **now})
    house.clock.advance(10)
    await house.deliver()
    row = house.delivery()
    assert (row.state, row.reason, row.next_at) == ("closed", reason, None)
    assert far.tries == 1
    assert far.holds == {}


async def test_an_expired_recording_gets_no_row(house: Deliveries) -> None:
    house.place()
    house.sealed()
    house.clock.advance(days=366)
    await house.deliver()
    assert house.rows(deliveries) == []


async def test_what_is_erased_while_it_is_sent_never_arrives_whole(house: Deliveries) -> None:
    far = house.place()
    house.sealed(payload=b"x" * 700_000)
    pieces = Parcel.pieces

    async def erased(self: Parcel) -> object:
        async for piece in pieces(self):
            yield piece
            house.change(recordings, state="erasing", header=None)
            house.store.delete(["r1"])

    house_patch = pytest.MonkeyPatch()
    house_patch.setattr(Parcel, "pieces", erased)
    await house.deliver()
    house_patch.undo()
    assert far.holds == {}
    assert (house.delivery().state, house.delivery().reason) == (
        "closed",
        "the recording was erased",
    )


async def test_a_header_that_is_rewritten_meanwhile_is_sent_whole_or_not_at_all(
    house: Deliveries,
) -> None:
    far = house.place()
    house.sealed()
    far.during = lambda: house.change(recordings, header=header("others-which-is-longer"))
    await house.deliver()
    assert far.holds["r1.age"] == header("r1") + b"sealed" * 9
    assert house.delivery().sha256 == hashlib.sha256(far.holds["r1.age"]).hexdigest()


@pytest.mark.parametrize("how", ["other bytes", "fewer bytes", "none"])
async def test_a_payload_that_is_not_what_was_sealed_is_not_sent_and_is_told_at_once(
    house: Deliveries, how: str
) -> None:
    far = house.place()
    house.sealed()
    house.store.delete(["r1"])
    if how != "none":
        house.store.put("r1", [b"Sealed" * 9 if how == "other bytes" else b"sealed"])
    await house.deliver()
    house.clock.advance(11)
    await house.deliver()
    assert far.holds == {}
    assert house.delivery().state == "stuck"
    assert house.courier.alarms[0].startswith("acme: theirs: recordings that could not be")


async def test_a_store_that_is_down_is_waited_for_as_a_place_is(
    house: Deliveries, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> bytes:
        raise ObjectStoreError("the store is away")

    house.place()
    house.sealed()
    with monkeypatch.context() as patch:
        patch.setattr(house.store, "read", away)
        await house.deliver()
    row = house.delivery()
    assert (row.state, row.reason) == ("waiting", "the store is away")
    house.clock.advance(5)
    await house.deliver()
    assert house.delivery().state == "confirmed"


async def test_nothing_is_sent_while_it_is_not_known_what_was_erased(house: Deliveries) -> None:
    far = house.place()
    house.sealed()
    with house.database.writing() as connection:
        set_mark(connection, None, "the ledger is damaged")
    await house.deliver()
    assert (far.tries, house.delivery().state) == (0, "waiting")
    assert house.delivery().reason == "the ledger is damaged"
    with house.database.writing() as connection:
        set_mark(connection, None)
    house.clock.advance(3600)
    await house.deliver()
    assert house.delivery().state == "confirmed"


async def test_without_places_it_is_looked_for_seldom(house: Deliveries) -> None:
    idle = []
    for _ in range(2):
        await house.deliver()
        idle.append(not house.courier._any)
        house.place(f"place{len(idle)}")
    assert idle == [True, False]
    house.place()
    house.sealed()
    await house.deliver()
    assert house.delivery().state == "confirmed"


async def test_one_place_that_is_down_keeps_no_other_waiting(house: Deliveries) -> None:
    down, up = house.place("down"), house.place("up")
    down.fault = broken()
    for number in range(12):
        house.sealed(f"r{number}")
    await house.deliver()
    assert len(up.holds) == 12
    assert down.tries <= AT_ONE_PLACE + 1
    before = down.tries
    house.clock.advance(6)
    await house.deliver()
    assert down.tries == before + 1


async def test_no_more_than_two_go_to_one_place_at_once(house: Deliveries) -> None:
    go, most, now = asyncio.Event(), 0, 0

    class Slow(Far):
        async def carry(self, parcel: Parcel) -> Receipt:
            nonlocal most, now
            now += 1
            most = max(most, now)
            await go.wait()
            now -= 1
            return await super().carry(parcel)

    house.place()
    house.far["theirs"] = slow = Slow()
    for number in range(7):
        house.sealed(f"r{number}")
    await house.courier.look()
    await asyncio.sleep(0.05)
    await house.courier.look()
    await asyncio.sleep(0.05)
    assert (now, slow.tries) == (2, 0)
    go.set()
    for _ in range(5):
        await house.deliver()
    assert (len(slow.holds), most) == (7, 2)


async def test_a_surprise_of_a_library_is_a_failure_like_any(house: Deliveries) -> None:
    far = house.place()
    far.fault = RuntimeError("unheard of")
    house.sealed()
    await house.deliver()
    row = house.delivery()
    assert (row.state, row.reason) == ("waiting", "RuntimeError: unheard of")


async def test_a_place_that_was_removed_gets_nothing_more(house: Deliveries) -> None:
    far = house.place()
    far.fault = broken()
    house.sealed()
    await house.deliver()
    with house.database.writing() as connection:
        at = house.clock.now()
        assert store.remove(connection, "acme", "theirs", at=at, actor="test") == 1
    assert (house.delivery().state, house.delivery().reason) == ("closed", "the place was removed")
    house.clock.advance(10)
    again = house.place()
    again.fault = None
    house.clock.advance(HOUR)
    await house.deliver()
    # Nor by a row that somebody else left open: it is of the place before.
    house.change(deliveries, state="waiting", next_at=house.clock.now())
    await house.deliver()
    assert house.delivery().state == "closed"
    assert again.holds == {}


async def test_a_place_that_cannot_be_read_any_more_is_told(house: Deliveries) -> None:
    house.place()
    house.sealed()
    with house.database.writing() as connection:
        connection.exec_driver_sql("UPDATE tenant_places SET kind = 'fax'")
    await house.deliver()
    row = house.delivery()
    assert (row.state, row.attempts) == ("stuck", 0)
    assert "'fax' is no kind of place" in row.reason


async def test_a_database_that_is_away_is_an_alarm_and_no_end(
    house: Deliveries, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*_: object, **__: object) -> object:
        raise TimeoutError

    house.place()
    house.sealed()
    with monkeypatch.context() as patch:
        patch.setattr(house.database, "read", gone)
        await house.deliver()
    assert house.alarms() == ("recordings cannot be delivered: TimeoutError",)
    await house.deliver()
    assert house.alarms() == ()
    assert house.delivery().state == "confirmed"


async def test_a_clock_that_was_set_back_delays_nothing_for_long(house: Deliveries) -> None:
    far = house.place()
    far.fault = broken()
    house.sealed()
    await house.deliver()
    house.clock.advance(-30 * 24 * HOUR)
    far.fault = None
    await house.deliver()
    assert house.delivery().state == "confirmed"


async def test_stopping_in_mid_delivery_leaves_what_the_next_process_takes_up(
    house: Deliveries,
) -> None:
    class Endless(Far):
        async def carry(self, parcel: Parcel) -> Receipt:
            await asyncio.sleep(HOUR)
            return Receipt(True, "")

    house.place()
    house.far["theirs"] = Endless()
    house.sealed()
    running = asyncio.create_task(house.courier.run())
    while not house.rows(deliveries) or house.delivery().state != "sending":
        await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    house.far["theirs"] = far = Far()
    house.restart()
    await house.deliver()
    assert [*far.holds] == ["r1.age"]


def test_an_attempt_of_a_closed_row_does_not_begin(house: Deliveries) -> None:
    with house.database.writing() as connection:
        assert attempt.begin(connection, ("r1", "theirs"), house.clock.now()) is None
        at = house.clock.now()
        assert attempt.fail(connection, ("r1", "theirs"), "x", at, 0.0, hopeless=False) == "closed"


@pytest.mark.parametrize("subject", [SUBJECT, ""])
async def test_nothing_is_sent_while_it_may_only_be_stored(house: Deliveries, subject: str) -> None:
    house.call(subject)
    house.restrict(since=house.clock.now())
    far = house.place()
    house.sealed()
    await house.deliver()
    row = house.delivery()
    assert (far.tries, row.state, row.attempts) == (0, "withheld", 0)
    assert row.reason.startswith("only stored: ")
    house.clock.advance(STUCK_AFTER.total_seconds() + 11)
    await house.deliver()
    assert (house.alarms(), far.tries) == ((), 0)
    house.call()
    house.restrict(since=None)
    far.fault = broken()
    house.clock.advance(HOUR)
    await house.deliver()
    assert (house.delivery().state, far.tries) == ("waiting", 1)


async def test_a_clock_that_is_set_back_removes_no_place(house: Deliveries) -> None:
    far = house.place()
    house.sealed()
    house.clock.advance(-60)
    await house.deliver()
    assert (house.delivery().state, [*far.holds]) == ("confirmed", ["r1.age"])


async def test_a_tenant_whose_places_keep_silent_keeps_no_other_waiting(
    house: Deliveries,
) -> None:
    class Silent(Far):
        async def carry(self, parcel: Parcel) -> Receipt:
            await asyncio.Event().wait()
            raise AssertionError

    add_tenant(house.database, house.clock, "other")
    for number in range(3):
        house.place(f"silent{number}")
        house.far[f"silent{number}"] = Silent()
    for number in range(4):
        house.sealed(f"r{number}")
    well = house.place("well", tenant="other")
    house.sealed("theirs", tenant="other")
    running = asyncio.create_task(house.courier.run())
    async with asyncio.timeout(20):
        while not well.holds:
            await asyncio.sleep(0.005)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
