"""A snapshot stays for as long as a decision that is kept refers to it."""

import os
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, insert, update

from callguard.ids import uuid7
from callguard.optout.registry import shelving
from callguard.optout.registry.contract import RegistryError
from callguard.optout.registry.lock import Busy, only_one
from callguard.optout.registry.shelving import dropped, kept, put_away, spent, sweep
from callguard.storage.database import Database
from callguard.storage.schema import calls, registry_imports, scrubs
from tests.clock import HandClock
from tests.databases import add_tenant
from tests.optout.registry.desk import DAY, Desk

BASE = range(442071230000, 442071230500)


@pytest.fixture
def desk(tmp_path: Path, database: Database, clock: HandClock) -> Desk:
    """With three lists, of a day each; the last is in use."""
    add_tenant(database, clock)
    made = Desk(tmp_path, database, clock)
    for day in range(3):
        files = made.listed(BASE[: 500 - day])
        assert made.imports(files, day=DAY + timedelta(days=day)).state == "taken"
        clock.advance(days=1)
    return made


def digests(desk: Desk) -> list[str]:
    return [row.digest for row in desk.rows()]


def call(desk: Desk, at: datetime, registries: dict[str, str] | None) -> str:
    name = str(uuid7(at))
    values = dict.fromkeys(("uniqueid", "subject", "caller", "called"), name)
    values |= {"id": name, "pbx": "east", "direction": "outbound", "verdict": "allow"}
    lists: dict[str, object] = {name: [] for name in ("reasons", "obligations", "findings")}
    with desk.database.writing() as connection:
        connection.execute(
            insert(calls).values(**values, **lists, registries=registries, decided_at=at)
        )
    return name


def droppable(desk: Desk) -> list[str]:
    with desk.database.reading() as connection:
        return [gone.digest for gone in spent(connection, desk.clock.now())]


def test_what_no_call_refers_to_may_go_and_what_is_in_use_stays(desk: Desk) -> None:
    assert droppable(desk) == digests(desk)[:2]


def test_what_a_call_refers_to_stays_until_the_call_is_forgotten(desk: Desk) -> None:
    first, second, _ = desk.rows()
    name = call(desk, first.at + timedelta(hours=5), {"gb-tps": first.digest})
    assert droppable(desk) == [second.digest]
    with desk.database.writing() as connection:
        connection.execute(delete(calls).where(calls.c.id == name))
    assert droppable(desk) == [first.digest, second.digest]


@pytest.mark.parametrize("registries", [None, {"us-dnc": "a" * 64}, {"gb-tps": "a" * 64}])
def test_calls_that_asked_something_else_keep_nothing(
    desk: Desk, registries: dict[str, str] | None
) -> None:
    for row in desk.rows():
        call(desk, row.at + timedelta(hours=5), registries)
    assert droppable(desk) == digests(desk)[:2]


def test_a_call_just_after_the_next_list_came_still_counts(desk: Desk) -> None:
    first, second, _ = desk.rows()
    for seconds in (5, 30):
        later = first.replaced_at + timedelta(seconds=seconds)
        call(desk, later, {"gb-tps": second.digest})
    call(desk, first.replaced_at + timedelta(seconds=59), {"gb-tps": first.digest})
    assert droppable(desk) == []


def test_a_call_dated_before_the_list_by_a_clock_set_back_still_counts(desk: Desk) -> None:
    first, second, _ = desk.rows()
    call(desk, first.at - timedelta(hours=23), {"gb-tps": first.digest})
    assert droppable(desk) == [second.digest]


def test_a_list_that_came_while_the_clock_was_ahead_is_kept_for_its_calls(desk: Desk) -> None:
    first, second, _ = desk.rows()
    with desk.database.writing() as connection:
        connection.execute(
            update(registry_imports)
            .where(registry_imports.c.id == first.id)
            .values(at=first.at + timedelta(days=365))
        )
    call(desk, first.at + timedelta(hours=5), {"gb-tps": first.digest})
    call(desk, second.at + timedelta(hours=5), {"gb-tps": second.digest})
    assert droppable(desk) == []


def test_a_service_that_stayed_with_the_old_list_is_believed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelving, "PAGE", 3)
    first, second, third = desk.rows()
    for hours in range(1, 20):
        call(desk, first.at + timedelta(hours=hours), {"us-dnc": "a" * 64})
    call(desk, first.replaced_at + timedelta(hours=30), {"gb-tps": first.digest})
    call(desk, first.replaced_at + timedelta(hours=31), {"gb-tps": third.digest})
    assert droppable(desk) == [second.digest]


def test_what_was_replaced_just_now_waits(desk: Desk) -> None:
    desk.imports(desk.listed(BASE[:496]), day=DAY + timedelta(days=3))
    assert droppable(desk) == digests(desk)[:2]
    desk.clock.advance(61)
    assert droppable(desk) == digests(desk)[:3]


def test_what_a_scrub_refers_to_stays(desk: Desk) -> None:
    first, second, _ = desk.rows()
    with desk.database.writing() as connection:
        connection.execute(
            insert(scrubs).values(
                id=str(uuid7(first.at)),
                tenant_id="acme",
                state="done",
                asked={},
                actor="test",
                at=first.at,
                summary={"registries": {"gb-tps": first.digest}},
                expires_at=first.at,
            )
        )
    assert droppable(desk) == [second.digest]


def drop(desk: Desk) -> list[str]:
    """As the purge does it."""
    now, gone = desk.clock.now(), []
    with desk.database.reading() as connection:
        found = list(spent(connection, now))
    for one in found:
        if put_away(desk.registry, one.digest):
            with desk.database.writing() as connection:
                dropped(connection, one, at=now, actor="callguard")
            gone.append(one.digest)
    with desk.database.reading() as connection:
        there = kept(connection, desk.name)
    sweep(desk.registry, there, now)
    return gone


def test_a_dropped_snapshot_is_gone_and_entered(desk: Desk) -> None:
    first, second, third = digests(desk)
    assert drop(desk) == [first, second]
    names = {path.name for path in desk.registry.iterdir()}
    assert names == {"current", "lock", third}
    assert [row.dropped_at for row in desk.rows()] == [desk.clock.now(), desk.clock.now(), None]
    assert desk.acts()[-2:] == ["registry.drop", "registry.drop"]
    assert drop(desk) == []


def test_the_snapshot_in_use_stays_whatever_the_records_say(desk: Desk) -> None:
    with desk.database.writing() as connection:
        connection.execute(update(registry_imports).values(replaced_at=desk.clock.now()))
    desk.clock.advance(days=1)
    assert drop(desk) == digests(desk)[:2]
    assert len(desk.numbers()) == 498


def test_nothing_goes_while_the_snapshot_in_use_cannot_be_opened(desk: Desk) -> None:
    first, second, third = digests(desk)
    manifest = desk.registry / third / "manifest.json"
    data = manifest.read_bytes()
    manifest.write_bytes(b"x")
    with pytest.raises(RegistryError):
        drop(desk)
    assert {first, second, third} <= {path.name for path in desk.registry.iterdir()}
    manifest.write_bytes(data)
    assert drop(desk) == [first, second]


def test_a_drop_that_was_cut_short_is_ended_by_the_next(desk: Desk) -> None:
    first, second, third = digests(desk)
    assert put_away(desk.registry, first)
    assert {path.name for path in desk.registry.iterdir()} >= {f"trash-{first}", second, third}
    assert drop(desk) == [first, second]
    assert {path.name for path in desk.registry.iterdir()} == {"current", "lock", third}


def test_nothing_is_taken_away_while_an_import_runs(desk: Desk) -> None:
    with only_one(desk.registry):
        with pytest.raises(Busy):
            put_away(desk.registry, digests(desk)[0])
        with pytest.raises(Busy):
            sweep(desk.registry, frozenset(), desk.clock.now())


def test_what_was_left_lying_goes_after_a_week(desk: Desk) -> None:
    work, orphan = desk.registry / "work", desk.registry / ("0" * 64)
    for folder in (work, orphan):
        folder.mkdir()
        (folder / "file").write_text("x")

    def left(days: float) -> set[str]:
        now = desk.clock.now()
        touched = (now - timedelta(days=days)).timestamp()
        for path in (work, orphan, work / "file", orphan / "file"):
            os.utime(path, (touched, touched))
        sweep(desk.registry, frozenset(digests(desk)), now)
        return {path.name for path in desk.registry.iterdir()} - set(digests(desk))

    assert left(6.9) == {"current", "lock", "work", "0" * 64}
    assert left(7.1) == {"current", "lock"}
    assert len(desk.numbers()) == 498
