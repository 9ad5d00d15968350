"""The end of a contract, from the day on which it was asked for to its certificate."""

import asyncio
from collections.abc import Collection
from datetime import date, datetime, timedelta

import pytest
from sqlalchemy import select, update

from callguard.audit.log import first_broken
from callguard.ids import uuid7
from callguard.policy.span import Span
from callguard.recording.keyring import Followed
from callguard.recording.keys import MasterKey, UnwrapError
from callguard.retention.at_end import AtEnd
from callguard.retention.erasures.forgetting import forget_again
from callguard.retention.termination import archive as archiving
from callguard.retention.termination.asking import confirm, withdraw
from callguard.retention.termination.sources import FOLLOWS, TABLES
from callguard.storage.schema import (
    archives,
    erasure_mark,
    erasures,
    exports,
    holds,
    opt_outs,
    purges,
    recordings,
    tenant_endpoints,
    tenant_keys,
    tenant_places,
    tenants,
    terminations,
)
from callguard.tenants.directory import TenantDirectory
from callguard.tenants.tenant import TenantError
from tests.databases import ledger_of
from tests.retention.termination.life import LONDON, MASTER, NEW_YORK, YEARS, Life, floor

MONTH = 30
NONE = dict.fromkeys(TABLES, 0)


async def test_a_contract_that_ends_leaves_an_archive_and_a_certificate(life: Life) -> None:
    life.live().ends()
    assert await life.advance() == []
    assert life.now_is().state == "waiting"
    assert await life.night(MONTH) == ["acme"]
    said = life.certificate()
    assert life.left() == NONE
    assert {(one["class"], one["rows"], one["basis"]) for one in said["archives"]} == {
        ("call_record", 1, "16 CFR 310.5 (call_record)"),
        ("opt_out", 1, "16 CFR 310.5 (opt_out)"),
    }
    assert all(one["destroyed_at"] for one in said["keys"])
    assert life.name()[0] == "acme"
    with life.database.reading() as connection:
        assert first_broken(connection) is None


async def test_no_number_of_a_subject_is_found_after_the_end(life: Life) -> None:
    life.live().ends(choice="return")
    await life.advance()
    assert NEW_YORK.encode() in life.bytes_of()
    assert await life.night(MONTH) == ["acme"]
    found = life.bytes_of()
    assert NEW_YORK[1:].encode() not in found
    assert LONDON[1:].encode() not in found
    assert "Łąka".encode() not in found


async def test_what_a_law_wants_is_in_the_archive_and_nothing_else(life: Life) -> None:
    life.live().ends()
    await life.night(MONTH)
    with life.database.reading() as connection:
        found = {row.data_class: row for row in archiving.listed(connection, life.now)}
    [record] = archiving.opened(found["call_record"], life.store, MASTER)
    assert record["fields"].keys() == {"called", "caller", "started_at"}
    assert record["fields"]["called"] == NEW_YORK
    [wish] = archiving.opened(found["opt_out"], life.store, MASTER)
    assert wish["fields"]["subject"] == NEW_YORK
    begun = life.now - timedelta(days=MONTH)
    assert found["call_record"].expires_at == YEARS.after(begun)


async def test_an_archive_is_gone_at_its_instant(life: Life) -> None:
    life.live().ends()
    await life.night(MONTH)
    until = YEARS.after(life.now - timedelta(days=MONTH))
    life.clock.advance((until - life.now).total_seconds() - 1)
    with life.database.reading() as connection:
        assert len(archiving.listed(connection, life.now)) == 2
    await life.purge()
    assert len(life.rows(select(archives))) == 2
    life.clock.advance(1)
    with life.database.reading() as connection:
        assert archiving.listed(connection, life.now) == []
    await life.purge()
    assert life.rows(select(archives)) == []
    assert list(life.store.names()) == []


async def test_every_class_is_there_a_second_before_its_end_and_gone_at_it(life: Life) -> None:
    life.live().law = ()
    classes = sorted(set(TABLES) - {"list", "export"} - FOLLOWS)
    days = {name: 5 + 4 * (number % 2) for number, name in enumerate(classes)}
    for name, after in days.items():
        life.chooses(name, AtEnd("delete", Span(days=after)))
    life.ends()
    await life.advance()
    begun = life.now
    for day in sorted(set(days.values())):
        now = (begun + timedelta(days=day) - life.now).total_seconds()
        for seconds, gone in ((now - 1, False), (1, True)):
            life.clock.advance(seconds)
            await life.advance()
            left = life.left()
            for name in (name for name, after in days.items() if after == day):
                assert (left[name] == 0) is gone, name


async def test_credentials_lists_and_synchronised_contacts_go_on_the_day(life: Life) -> None:
    life.live().ends()
    await life.advance()
    for table in (tenant_endpoints, tenant_places):
        assert life.rows(select(table)) == []
    assert list(life.places.scrubs.iterdir()) == []
    left = life.left()
    assert (left["list"], left["contact"], left["verdict"]) == (0, 1, 2)


async def test_another_tenant_keeps_everything(life: Life) -> None:
    life.live().live("other").ends()
    before = life.left("other") | {"list": 0}  # a week is over
    await life.advance()
    await life.night(MONTH)
    assert life.left("other") == before
    assert (life.places.scrubs / "list-other" / "in.csv").exists()
    [key] = life.rows(select(tenant_keys).where(tenant_keys.c.tenant_id == "other"))
    assert key.wrapped_identity is not None


async def test_a_record_whose_own_time_is_shorter_goes_then(life: Life) -> None:
    life.live().ends()
    soon = life.now + timedelta(days=3)
    with life.database.writing() as connection:
        connection.execute(update(recordings).values(expires_at=soon))
    await life.advance()
    assert {row.expires_at for row in life.rows(select(recordings))} == {soon}


async def test_recordings_that_a_law_wants_stay_sealed_as_they_are(life: Life) -> None:
    life.law = (floor("recording"),)
    life.live()
    with life.database.writing() as connection:
        connection.execute(update(recordings).values(expires_at=YEARS.after(life.now)))
    life.ends()
    until = YEARS.after(life.now)
    await life.advance()
    dates = sorted(row.expires_at for row in life.rows(select(recordings)))
    assert dates == [life.now + timedelta(days=MONTH), until]
    await life.night(MONTH)
    [kept] = life.rows(select(recordings))
    assert (kept.expires_at, kept.state, kept.header is None) == (until, "sealed", False)
    assert "recording" in str(life.now_is().steps["waits"])
    [key] = life.rows(select(tenant_keys))
    assert key.wrapped_identity is not None
    life.clock.advance((until - life.now).total_seconds())
    await life.purge()
    assert await life.advance() == ["acme"]


async def test_what_is_kept_for_a_reason_stays_until_its_end(life: Life) -> None:
    life.live().chooses(
        "contact", AtEnd("keep", until=date(2027, 3, 1), basis="contract 3.8, disputes")
    )
    life.chooses("call_record", AtEnd("archive", Span(months=24), basis="contract 3.8, disputes"))
    life.law = ()
    life.ends()
    await life.advance()
    await life.night(MONTH)
    left = life.left()
    assert (left["contact"], left["call_record"], left["verdict"]) == (1, 0, 0)
    with life.database.reading() as connection:
        found = archiving.listed(connection, life.now)
    assert {row.basis for row in found} == {"contract 3.8, disputes"}
    begun = life.now - timedelta(days=MONTH)
    ends = [Span(months=12).after(begun), Span(months=24).after(begun)]  # its own time was shorter
    assert [row.expires_at for row in found] == ends
    life.clock.advance(days=120)
    assert life.left()["contact"] == 0
    await life.purge()
    assert await life.advance() == ["acme"]


async def test_a_planned_end_can_be_withdrawn_until_its_day(life: Life) -> None:
    day = life.now + timedelta(days=10)
    life.live().ends(day)
    directory = TenantDirectory(clock=life.clock)
    life.clock.advance(-1, days=10)
    assert await life.advance() == []
    with life.database.writing() as connection:
        directory.refresh(connection)
        assert directory.serving("acme") is not None
        withdraw(connection, "acme", at=life.now, actor="test")
        directory.refresh(connection)
    life.clock.advance(days=100)
    assert directory.by_endpoint("PJSIP/acme1-1") is not None
    assert await life.advance() == []
    life.ends()
    with (
        life.database.writing() as connection,
        pytest.raises(TenantError, match="is not withdrawn"),
    ):
        withdraw(connection, "acme", at=life.now, actor="test")


async def test_no_call_is_taken_from_its_instant_on(life: Life) -> None:
    life.live().ends(life.now + timedelta(days=1))
    directory = TenantDirectory(clock=life.clock)
    with life.database.reading() as connection:
        directory.refresh(connection)
    life.clock.advance(-0.001, days=1)
    assert directory.by_number("+442079460999") is not None
    life.clock.advance(0.001)
    assert directory.by_number("+442079460999") is None
    assert directory.by_endpoint("PJSIP/acme1-1") is None
    assert directory.serving("acme") is None
    assert directory.get("acme") is not None
    assert directory.has_line("PJSIP/acme1-1")


async def test_the_end_is_asked_for_once(life: Life) -> None:
    life.live().ends()
    with pytest.raises(TenantError, match="already"):
        life.ends()
    await life.night(MONTH)
    with pytest.raises(TenantError, match="for good"):
        life.ends()
    with pytest.raises(TenantError, match="no tenant nobody"):
        life.ends(tenant="nobody")


async def test_a_hold_suspends_the_end_and_its_release_lets_it_go_on(life: Life) -> None:
    life.live().ends()
    await life.advance()
    hold = str(uuid7(life.now))
    with life.database.writing() as connection:
        values = {"tenant_id": "acme", "subject": NEW_YORK, "reason": "a claim", "author": "test"}
        connection.execute(holds.insert().values(id=hold, at=life.now, **values))
    assert await life.night(MONTH) == []
    assert hold in str(life.now_is().steps["waits"])
    assert life.rows(select(archives)) == []
    assert len(life.rows(select(recordings))) == 1
    with life.database.writing() as connection:
        connection.execute(update(holds).values(released_at=life.now, released_by="test"))
    assert await life.night() == ["acme"]
    assert {row.data_class for row in life.rows(select(archives))} == {"call_record", "opt_out"}
    assert life.rows(select(holds)) == []


async def test_a_recording_in_progress_is_let_finish(life: Life) -> None:
    life.live()
    with life.database.writing() as connection:
        connection.execute(update(recordings).values(state="recording", expires_at=None))
    life.ends(choice="return")
    await life.advance()
    now = life.now_is()
    assert (now.state, now.steps["waits"]) == ("ended", "recordings in progress")
    assert len(life.rows(select(tenant_endpoints))) == 1
    with life.database.writing() as connection:
        connection.execute(update(recordings).values(state="sealed"))
    await life.advance()
    assert life.now_is().state == "waiting"
    assert life.now_is().steps["package"]["recordings"] == 2  # type: ignore[index]


async def test_rows_that_come_after_the_end_go_with_the_others(life: Life) -> None:
    life.live().ends()
    await life.advance()
    life.clock.advance(60)
    with life.database.writing() as connection:
        life._call(connection, "acme", LONDON)
    assert await life.night(MONTH) == ["acme"]
    assert life.left() == NONE


async def test_a_clock_that_is_not_believed_ends_nothing(life: Life) -> None:
    life.live().ends(life.now + timedelta(days=400))
    life.clock.advance(days=500)
    rooms = life.rooms(clock_fault=lambda _: "the clock went on by 500 days")
    assert await rooms.advance(life.now) == []
    assert rooms.faults == {"acme": "the clock went on by 500 days"}
    assert life.now_is().state == "planned"


async def test_two_at_once_do_it_once(life: Life) -> None:
    life.live().live("other")
    life.ends()
    life.ends(tenant="other")
    one, two = life.rooms(), life.rooms()
    await asyncio.gather(one.advance(life.now), two.advance(life.now))
    life.clock.advance(days=MONTH)
    for _ in range(2):
        await asyncio.gather(*(room.advance(life.now, again=True) for room in (one, two)))
        await life.purge()
    await asyncio.gather(*(room.advance(life.now, again=True) for room in (one, two)))
    assert len(life.rows(select(purges).where(purges.c.kind == "terminate"))) == 2
    assert sum(row.rows for row in life.rows(select(archives))) == 4
    assert (one.faults, two.faults) == ({}, {})
    assert life.now_is().state == "finished"


async def test_certificates_add_up(life: Life) -> None:
    before = life.live().left()
    life.ends()
    await life.advance()
    await life.night(MONTH)
    taken = life.taken()
    for name, count in before.items():
        assert taken.get(name, 0) == count, name
    said = life.certificate()["classes"]
    assert {name: said.get(name, {}).get("found", 0) for name in before} == before
    assert said["verdict"] == {"found": 2}
    assert said["list"] == {"found": 1, "taken": 1}
    assert life.certificate()["classes"]["opt_out"] == {"archived": 1, "found": 2, "taken": 2}


async def test_the_newest_opt_out_gives_its_number_to_no_other(life: Life) -> None:
    life.live().ends()
    await life.night(MONTH)
    [row] = life.rows(select(opt_outs))
    assert (row.seq, row.subject) == (2, "")


async def test_deletion_waits_for_the_receipt_that_was_asked_for(life: Life) -> None:
    life.live().ends(choice="return", confirm=True)
    await life.advance()
    assert life.now_is().state == "returned"
    assert len(life.rows(select(tenant_endpoints))) == 1
    with life.database.writing() as connection:
        confirm(connection, "acme", at=life.now, actor="test")
    await life.advance()
    assert life.rows(select(tenant_endpoints)) == []


async def test_a_package_lies_no_longer_than_was_promised_however_long_it_waited(
    life: Life,
) -> None:
    life.live().chooses("export", AtEnd("delete", Span(days=20)))
    life.ends(choice="return")
    life.clock.advance(days=1)  # while the service was down
    await life.advance()
    [row] = life.rows(select(exports))
    assert row.expires_at == life.now_is().ends_at + timedelta(days=20)


async def test_who_asks_late_has_three_days_for_the_package(life: Life) -> None:
    life.live().ends(life.now - timedelta(days=90), choice="return")
    await life.advance()
    [row] = life.rows(select(exports))
    assert row.expires_at == life.now + timedelta(days=3)


async def test_a_call_under_way_is_waited_for_though_the_end_was_long_ago(life: Life) -> None:
    life.live()
    with life.database.writing() as connection:
        connection.execute(update(recordings).values(state="recording", expires_at=None))
    life.ends(life.now - timedelta(days=MONTH - 1), choice="return")
    await life.advance()
    assert life.now_is().state == "ended"
    life.clock.advance(days=2)  # nobody calls for so long: they cannot be sealed
    await life.advance()
    damaged = life.now_is().steps["package"]["damaged"]  # type: ignore[index]
    assert list(damaged.values()) == ["it was never sealed"] * 2


async def test_who_asks_again_after_the_clock_went_back_is_heard(life: Life) -> None:
    life.live().ends(life.now + timedelta(days=9))
    with life.database.writing() as connection:
        withdraw(connection, "acme", at=life.now, actor="test")
    life.clock.advance(-3600)
    again = life.ends()
    assert life.now_is().id == again.id
    assert await life.night(MONTH) == ["acme"]


async def test_what_held_one_up_is_told_no_longer_once_another_process_ended_it(
    life: Life,
) -> None:
    life.live().ends()
    rooms = life.rooms(clock_fault=lambda _: "the clock went back")
    await rooms.advance(life.now)
    assert rooms.faults
    await life.night(MONTH)
    await rooms.advance(life.now)
    assert rooms.faults == {}


async def test_no_promise_waits_for_a_receipt(life: Life) -> None:
    life.live().ends(choice="return", confirm=True)
    await life.advance()
    assert await life.night(MONTH) == ["acme"]


async def test_the_package_is_gone_when_its_time_is_over(life: Life) -> None:
    life.live().ends(choice="return")
    await life.advance()
    [row] = life.rows(select(exports))
    assert [one.name for one in life.places.exports.glob("*.tar")] == [f"{row.id}.tar"]
    life.clock.advance(-1, days=MONTH)
    await life.purge()
    await life.advance()
    assert len(list(life.places.exports.glob("*.tar"))) == 1
    life.clock.advance(1)
    with life.database.writing() as connection:
        values = {"id": "h", "tenant_id": "acme", "reason": "a claim", "author": "test"}
        connection.execute(holds.insert().values(at=life.now, **values))
    await life.advance()
    assert len(list(life.places.exports.glob("*.tar"))) == 1, "a hold keeps it"
    with life.database.writing() as connection:
        connection.execute(update(holds).values(released_at=life.now, released_by="test"))
    await life.advance()
    assert list(life.places.exports.glob("*.tar")) == []
    assert life.rows(select(exports)) == []


async def test_a_backup_of_before_the_end_forgets_the_tenant_too(life: Life) -> None:
    life.live().ends()
    await life.advance()
    with life.database.writing() as connection:  # as it was before anybody asked
        for table in (terminations, purges, erasures, erasure_mark):
            connection.execute(table.delete())
        connection.execute(update(tenants).values(ends_at=None))
    ledger = ledger_of(life.database)
    assert forget_again(life.database, ledger, life.clock, actor="test").applied == 1
    now = life.now_is()
    assert (now.state, now.choice, now.ends_at) == ("planned", "delete", life.now)
    assert await life.night(MONTH) == ["acme"]
    assert life.left() == NONE


async def test_what_a_ledger_names_twice_ends_once(life: Life) -> None:
    life.live().ends()
    await life.advance()
    await life.night(MONTH)
    ledger = ledger_of(life.database)
    with life.database.writing() as connection:
        connection.execute(erasure_mark.delete())
        connection.execute(erasures.delete())
    forget_again(life.database, ledger, life.clock, actor="test")
    assert life.now_is().state == "finished"
    assert len(life.rows(select(terminations))) == 1


async def test_archives_follow_the_master_key(life: Life) -> None:
    life.live().ends()
    await life.night(MONTH)
    new = MasterKey(bytes(range(32)))
    rooms = life.rooms()
    rooms.wrapper = Followed(new, MASTER)
    for _ in range(2):
        await rooms.take(life.now)
        with life.database.reading() as connection:
            found = archiving.listed(connection, life.now)
        for row in found:
            [record] = archiving.opened(row, life.store, new)
            assert NEW_YORK in record["fields"].values()
            with pytest.raises(UnwrapError):
                list(archiving.opened(row, life.store, MASTER))


async def test_a_damaged_archive_holds_up_its_own_end_alone(life: Life) -> None:
    life.live().ends()
    await life.night(MONTH - 1)
    life.clock.advance(days=1)
    await life.advance()
    with life.database.writing() as connection:  # as a crash leaves one, and a disk that is worn
        connection.execute(update(archives).values(state="marking", header=None))
    rooms = life.rooms()
    assert await rooms.advance(life.now) == []
    assert "has been erased" in rooms.faults["acme"]


async def test_a_damaged_archive_keeps_no_other_from_the_new_key(life: Life) -> None:
    life.live().ends()
    await life.night(MONTH)
    first, second = sorted(row.id for row in life.rows(select(archives)))
    with life.database.writing() as connection:
        connection.execute(update(archives).where(archives.c.id == first).values(header=b"?"))
    new = MasterKey(bytes(range(32)))
    rooms = life.rooms()
    rooms.wrapper = Followed(new, MASTER)
    await rooms.take(life.now)
    [row] = life.rows(select(archives).where(archives.c.id == second))
    assert list(archiving.opened(row, life.store, new))


async def test_an_archive_opens_in_no_other_place(life: Life) -> None:
    life.live().ends()
    await life.night(MONTH)
    one, two = life.rows(select(archives))
    with life.database.writing() as connection:
        connection.execute(update(archives).values(header=one.header))
    [row] = life.rows(select(archives).where(archives.c.id == two.id))
    with pytest.raises(archiving.ArchiveError, match="another's"):
        list(archiving.opened(row, life.store, MASTER))


async def test_files_of_the_tenant_go_too_and_are_waited_for(life: Life) -> None:
    class Folders:
        def __init__(self) -> None:
            self.files = {"voicemail": 2, "fax": 1}

        async def take_all(
            self, tenant: str, now: datetime, classes: Collection[str]
        ) -> dict[str, int]:
            assert (tenant, "call_record" in classes) == ("acme", False)  # a law wants these
            taken = {name: self.files.pop(name) for name in ("voicemail",) if name in self.files}
            return taken if set(taken) <= set(classes) else {}

        async def left(self, tenant: str, now: datetime) -> dict[str, int]:
            return self.files

    folders = Folders()
    life.live().ends()
    await life.advance(elsewhere=folders)
    assert folders.files == {"voicemail": 2, "fax": 1}
    await life.night(MONTH - 1)
    life.clock.advance(days=1)
    await life.advance(elsewhere=folders)
    await life.purge()
    assert await life.advance(elsewhere=folders) == []
    assert life.now_is().steps["waits"] == "files: fax"
    folders.files.clear()
    assert await life.advance(elsewhere=folders) == ["acme"]
    assert life.certificate()["classes"]["voicemail_file"] == {"taken": 2}
