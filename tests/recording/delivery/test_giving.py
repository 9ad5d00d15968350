"""What leaves here because its tenant has it, and what must not."""

import asyncio
import hashlib
import shutil
import sqlite3
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, update

from callguard.recording.delivery import attempt, store
from callguard.recording.delivery import giver as giver_module
from callguard.recording.delivery.places import PlaceError, read_place
from callguard.recording.recipients import digest_of
from callguard.recording.store.objects import ObjectStoreError
from callguard.retention.erasures.forgetting import forget_again
from callguard.retention.erasures.ledger import DELIVERED, LedgerError
from callguard.storage.database import Database
from callguard.storage.schema import audit, deliveries, erasures, holds, recordings
from tests.recording.delivery.house import CALL, Deliveries, broken, header

AGAIN_S = attempt.LOOK_AGAIN.total_seconds()
FILE = header("r1") + b"sealed" * 9


def assert_here(house: Deliveries) -> None:
    row = house.recording()
    assert (row.state, row.header) == ("sealed", header("r1"))
    assert house.store.exists("r1")
    assert "recording.give_away" not in house.actions()


def assert_gone(house: Deliveries) -> None:
    row = house.recording()
    assert (row.state, row.header, row.wrapped_file_key) == ("delivered", None, None)
    assert list(house.store.names()) == []
    (tombstone,) = house.rows(erasures)
    assert (tombstone.data_class, tombstone.object_id) == (DELIVERED, "r1")
    assert tombstone.done_at is not None
    assert [line.erasure.object_id for line in house.ledger.lines()] == ["r1"]
    assert house.actions().count("recording.give_away") == 1


async def test_what_is_confirmed_and_not_to_be_kept_goes(house: Deliveries) -> None:
    far = house.place(keep=False)
    house.sealed()
    await house.deliver()
    assert far.holds == {"r1.age": FILE}
    assert_gone(house)
    assert house.delivery().state == "confirmed"
    await house.deliver(2)
    assert_gone(house)
    assert far.tries == 1


async def test_what_is_to_be_kept_stays(house: Deliveries) -> None:
    house.place()
    house.sealed()
    await house.deliver(2)
    assert_here(house)


async def test_what_was_sent_and_not_confirmed_stays_and_that_is_an_alarm(
    house: Deliveries,
) -> None:
    house.place(keep=False).confirms = False
    house.sealed()
    await house.deliver()
    house.clock.advance(11)
    await house.deliver()
    assert_here(house)
    (alarm,) = house.courier.alarms
    assert alarm.startswith("acme: theirs: recordings that stay here")


async def test_it_goes_only_once_every_place_has_it(house: Deliveries) -> None:
    house.place("one", keep=False)
    house.place("two", keep=False).fault = broken()
    house.place("archive").fault = broken()
    house.sealed()
    await house.deliver()
    assert_here(house)
    assert house.delivery("one").reason == "kept: archive does not have it yet"
    house.far["two"].fault = None
    house.clock.advance(10)
    await house.deliver()
    assert_here(house)
    house.far["archive"].fault = None
    house.clock.advance(60)
    await house.deliver(2)
    assert_gone(house)
    assert all(far.holds == {"r1.age": FILE} for far in house.far.values())


async def test_two_places_that_confirm_at_once_give_it_away_once(house: Deliveries) -> None:
    for name in ("one", "two"):
        house.place(name, keep=False)
    house.sealed()
    await house.deliver()
    assert_gone(house)


@pytest.mark.parametrize(
    "hold",
    [
        {},
        {"tenant_id": "acme"},
        {"call_id": CALL},
        {"subject": "+442079460000"},
        {"tenant_id": "acme", "subject": "+442079460000", "call_id": CALL},
    ],
)
async def test_a_hold_keeps_it_until_it_is_released(
    house: Deliveries, hold: dict[str, str]
) -> None:
    now = house.clock.now()
    with house.database.writing() as connection:
        said = {"id": "h1", "reason": "a case", "author": "test", "at": now}
        connection.execute(insert(holds).values({**said, **hold}))
    far = house.place(keep=False)
    house.sealed()
    await house.deliver()
    assert_here(house)
    assert house.delivery().reason == "kept: a hold stands"
    with house.database.writing() as connection:
        connection.execute(update(holds).values(released_at=now))
    house.clock.advance(AGAIN_S - 1)
    await house.deliver()
    assert_here(house)
    house.clock.advance(1)
    await house.deliver()
    assert_gone(house)
    assert far.tries == 1


async def test_a_hold_on_something_else_keeps_nothing(house: Deliveries) -> None:
    with house.database.writing() as connection:
        said = {"id": "h1", "reason": "a case", "author": "test", "at": house.clock.now()}
        connection.execute(insert(holds).values(**said, call_id="another"))
    house.place(keep=False)
    house.sealed()
    await house.deliver()
    assert_gone(house)


async def test_a_confirmation_of_another_header_is_none_and_the_new_one_is_sent(
    house: Deliveries,
) -> None:
    far, other = house.place("one", keep=False), house.place("two", keep=False)
    other.fault = broken()
    house.sealed()
    await house.deliver()
    house.change(recordings, header=header("other-keys"))
    other.fault = None
    house.clock.advance(10)
    await house.deliver()
    # The place of the old header was sent the new one before anything went.
    assert far.tries == 2
    assert far.holds == other.holds == {"r1.age": header("other-keys") + b"sealed" * 9}
    assert_gone(house)


async def test_a_header_that_is_rewritten_while_it_is_sent_keeps_it_here(
    house: Deliveries,
) -> None:
    far = house.place(keep=False)
    house.sealed()

    def rewrite() -> None:
        far.during = None
        house.change(recordings, header=header("new"))

    far.during = rewrite
    await house.courier.look()
    while house.courier._under_way:
        await asyncio.wait([*house.courier._under_way])
    assert far.holds == {"r1.age": FILE}
    row = house.recording()
    assert (row.state, row.header) == ("sealed", header("new"))
    await house.deliver()
    assert far.holds == {"r1.age": header("new") + b"sealed" * 9}
    assert_gone(house)


@pytest.mark.parametrize(("column", "value"), [("payload_sha256", "0" * 64), ("sealed_bytes", 1)])
async def test_a_confirmation_of_other_bytes_gives_nothing_away(
    house: Deliveries, column: str, value: object
) -> None:
    with house.database.writing() as connection:
        said = {"id": "h1", "reason": "a case", "author": "test", "at": house.clock.now()}
        connection.execute(insert(holds).values(said))
    house.place(keep=False)
    house.sealed()
    await house.deliver()
    house.change(recordings, **{column: value})
    house.change(holds, released_at=house.clock.now())
    house.clock.advance(AGAIN_S)
    await house.deliver()
    assert_here(house)
    assert house.delivery().reason == "kept: theirs confirmed other bytes than those here"


async def test_a_place_added_or_made_anew_since_does_not_count(house: Deliveries) -> None:
    house.place("one", keep=False).fault = broken()
    house.sealed()
    await house.deliver()
    with house.database.writing() as connection:
        store.remove(connection, "acme", "one", at=house.clock.now(), actor="test")
    house.clock.advance(10)
    house.place("one", keep=False).fault = None
    house.clock.advance(1000)
    await house.deliver(2)
    assert_here(house)


@pytest.mark.parametrize("step", ["ledger", "store"])
async def test_what_fails_on_the_way_is_an_alarm_and_is_done_later(
    house: Deliveries, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    house.place(keep=False)
    house.sealed()

    tries = 0

    def fail(*_: object) -> int:
        nonlocal tries
        tries += 1
        raise LedgerError("no room") if step == "ledger" else ObjectStoreError("no room")

    with monkeypatch.context() as patch:
        if step == "ledger":
            patch.setattr(house.ledger, "enter", fail)
        else:
            patch.setattr(house.store, "delete", fail)
        await house.deliver()
        await house.deliver()
    assert house.alarms() == ("recordings cannot be delivered: no room",)
    assert tries == 1
    if step == "ledger":
        assert_here(house)
    else:
        assert house.recording().header is None
    house.clock.advance(giver_module.FINISH_S)
    await house.deliver(2)
    assert_gone(house)
    assert house.alarms() == ()


@pytest.mark.parametrize("step", ["after the ledger", "after the header"])
async def test_a_crash_on_the_way_is_made_good_by_the_next_process(
    house: Deliveries, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    house.place(keep=False)
    house.sealed()

    class Killed(BaseException):
        pass

    real, died = house.ledger.enter, list[str]()

    def die_behind(*given: Any) -> int:
        real(*given)
        return die()

    def die(*_: object) -> int:
        died.append(step)
        raise Killed

    with monkeypatch.context() as patch:
        if step == "after the ledger":
            patch.setattr(house.ledger, "enter", die_behind)
        else:
            patch.setattr(house.store, "delete", die)
        await house.courier.look()
        while house.courier._under_way:
            await asyncio.wait([*house.courier._under_way])
    assert died == [step]
    house.restart()
    forget_again(house.database, house.ledger, house.clock, actor="test")
    await house.deliver()
    assert house.actions().count("recording.give_away") == 1
    row = house.recording()
    assert (row.state, row.header) == ("delivered", None)
    assert list(house.store.names()) == []
    assert all(one.done_at is not None for one in house.rows(erasures))


async def test_a_restored_backup_gives_it_away_again(house: Deliveries) -> None:
    house.place(keep=False)
    house.sealed()
    with sqlite3.connect(house.folder / "callguard.db") as now:
        with sqlite3.connect(house.folder / "backup.db") as then:
            now.backup(then)
        then.close()
    now.close()
    shutil.copytree(house.folder / "objects", house.folder / "old")
    await house.deliver()
    assert_gone(house)
    shutil.copytree(house.folder / "old", house.folder / "objects", dirs_exist_ok=True)
    restored = Database(f"sqlite:///{house.folder / 'backup.db'}")
    forget_again(restored, house.ledger, house.clock, actor="test")
    from callguard.storage.journal import Journal

    journal = Journal(restored, house.clock)
    journal.start()
    far = house.far
    again = Deliveries(house.clock, restored, journal, house.store, house.ledger, house.folder, far)
    await again.deliver(2)
    row = again.recording()
    assert (row.state, row.header) == ("delivered", None)
    assert list(again.store.names()) == []
    assert far["theirs"].tries == 1
    await journal.close()
    restored.close()


async def test_an_expired_one_is_left_to_the_purge(house: Deliveries) -> None:
    far = house.place(keep=False)
    house.sealed()
    far.during = lambda: house.change(recordings, expires_at=house.clock.now())
    await house.deliver()
    assert house.recording().state == "sealed"
    assert house.delivery().next_at is None
    assert house.rows(erasures) == []


def test_mail_may_not_be_the_only_one_to_have_it(house: Deliveries) -> None:
    values = {"host": "m", "sender": "a@b", "to": "c@d"}
    read_place("acme", "post", "mail", values, keep=True, at=house.clock.now())
    with pytest.raises(PlaceError, match="--no-keep is refused for mail"):
        read_place("acme", "post", "mail", values, keep=False, at=house.clock.now())


async def test_the_proof_names_what_was_sent_and_no_more(house: Deliveries) -> None:
    house.place(keep=False)
    house.sealed()
    await house.deliver()
    row = house.delivery()
    assert row.proof["header_sha256"] == hashlib.sha256(header("r1")).hexdigest()
    assert set(row.proof) == {"kind", "answer", "place", "header_sha256", "payload_sha256"}
    assert row.expires_at - row.begun_at >= timedelta(days=366)
    entries: Iterable[str] = [one.details for one in house.rows(audit)]
    assert not any("127.0.0.1" in one for one in entries)


@pytest.mark.parametrize("keyed_for", [digest_of(["age1pq1unused"]), None])
async def test_what_only_callguard_could_open_stays(
    house: Deliveries, keyed_for: str | None
) -> None:
    house.place(keep=False)
    house.sealed()
    house.change(recordings, keyed_for=keyed_for)
    await house.deliver()
    assert_here(house)
    assert house.delivery().state == "confirmed"
    assert "only callguard does" in house.delivery().reason
    house.change(recordings, keyed_for=digest_of(["age1pq1theirs"]))
    house.clock.advance(AGAIN_S)
    await house.deliver()
    assert_gone(house)


async def test_what_is_only_stored_is_neither_sent_nor_given_away(house: Deliveries) -> None:
    far = house.place(keep=False)
    house.sealed()
    far.during = lambda: house.restrict(since=house.clock.now())
    await house.deliver()
    assert_here(house)
    assert house.delivery().reason.startswith("kept: only stored: the subject has had")
    house.sealed("r2")
    await house.deliver()
    assert "r2.age" not in far.holds
    far.during = None
    house.restrict(since=None)
    house.clock.advance(AGAIN_S)
    await house.deliver(2)
    assert {row.state for row in house.rows(recordings)} == {"delivered"}


async def test_a_place_made_anew_by_a_clock_that_was_set_back_has_confirmed_nothing(
    house: Deliveries,
) -> None:
    house.place("one", keep=False)
    house.place("two", keep=False).fault = broken()
    house.sealed()
    await house.deliver()
    assert house.delivery("one").state == "confirmed"
    with house.database.writing() as connection:
        store.remove(connection, "acme", "one", at=house.clock.now(), actor="test")
    house.clock.advance(days=-365)
    house.place("one", keep=False)
    house.clock.advance(days=365)
    house.far["two"].fault = None
    house.clock.advance(AGAIN_S)
    await house.deliver(2)
    assert house.delivery("two").state == "confirmed"
    assert_here(house)
    assert house.delivery("two").reason == "kept: another place that was called one has it"


async def test_those_that_a_hold_keeps_keep_nothing_else_waiting(
    house: Deliveries, monkeypatch: pytest.MonkeyPatch
) -> None:
    with house.database.writing() as connection:
        said = {"id": "h1", "reason": "a case", "author": "test", "at": house.clock.now()}
        connection.execute(insert(holds).values(said))
    house.place(keep=False)
    for number in range(6):
        house.sealed(f"held{number}")
    await house.deliver()
    house.clock.advance(AGAIN_S)
    far = house.place("open")
    house.sealed("r1")
    go, considered = asyncio.Event(), list[str]()

    async def consider(recording: str) -> bool:
        considered.append(recording)
        return not await go.wait()

    monkeypatch.setattr(house.courier._giver, "consider", consider)
    await house.courier.look()
    while not far.holds:
        await asyncio.sleep(0.005)
    assert [name for name in considered if name != "r1"] == ["held0"]
    house.change(deliveries, next_at=None)
    go.set()
    await house.courier.idle()
