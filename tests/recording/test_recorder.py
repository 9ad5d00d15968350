"""The recorder: no file for Asterisk before its key is durable, and a counted reason if none."""

import sqlite3
from dataclasses import replace
from pathlib import PurePosixPath

import pytest
from sqlalchemy import Row, select

from callguard.recording import age, recorder
from callguard.recording.events import Kind, RecordingEvent, as_row
from callguard.recording.keys import KeyStoreError, unwrap_file_key
from callguard.recording.recorder import OpenRecording, Recorder, read_open
from callguard.recording.spool import Spool
from callguard.retention.schedule import for_days
from callguard.storage.schema import recording_events, recordings
from callguard.tenants.store import NewTenant
from callguard.tenants.tenant import TenantSettings
from tests.cdr.told import put_call
from tests.law import DEBTOR, DEBTS, YEARS
from tests.recording.conftest import CALL_ID, MASTER, House, own_key


def rows(house: House) -> list[Row[tuple[object, ...]]]:
    with house.database.reading() as connection:
        return list(connection.execute(select(recordings)))


async def begin(house: House, pbx: str = "east") -> str | None:
    return await house.recorder.begin(house.tenant(), CALL_ID, pbx, "1.1")


async def test_key_and_header_are_durable_before_the_file_is_named(house: House) -> None:
    path = await begin(house)
    assert path is not None
    assert house.database.url.database is not None
    with sqlite3.connect(house.database.url.database) as other:
        query = "SELECT id, header, wrapped_file_key, state, spool_name FROM recordings"
        ((name, header, wrapped, state, spool_name),) = other.execute(query).fetchall()
    other.close()
    assert state == "recording"
    assert path == f"/var/spool/callguard/{spool_name}"
    with house.database.reading() as connection:
        own = connection.exec_driver_sql("SELECT wrapped_identity FROM tenant_keys").scalar_one()
    identity = age.parse_identity(MASTER.unwrap(own, b"tenant-identity\x00acme\x001").decode())
    file_key = unwrap_file_key(MASTER, wrapped, name)
    assert age.unwrap(age.parse_header(header), [identity]) == file_key
    assert file_key not in header + wrapped


async def test_the_file_name_says_nothing_and_is_never_the_same(house: House) -> None:
    names = {str(await begin(house)) for _ in range(20)}
    assert len(names) == 20
    for name in names:
        assert CALL_ID not in name
        assert "acme" not in name
        assert PurePosixPath(name).suffix == ".sln"


async def refused(house: House, fault: str, pbx: str = "east") -> None:
    assert await begin(house, pbx) is None
    assert house.recorder.faults == {fault: 1}
    assert rows(house) == []
    assert house.recorder.in_progress() == ()
    assert house.plaintext() == []


async def test_an_asterisk_that_is_unknown_records_nothing(house: House) -> None:
    await refused(house, "unknown_pbx", pbx="west")


async def test_a_full_spool_records_nothing(house: House) -> None:
    full = Spool(house.spool.folder, floor=1 << 62)
    folders = {"east": PurePosixPath("/var/spool/callguard")}
    house.recorder = Recorder(house.clock, house.journal, full, MASTER, folders)
    await refused(house, "spool_full")


async def test_nothing_is_recorded_that_the_store_could_not_keep(house: House) -> None:
    folders = {"east": PurePosixPath("/var/spool/callguard")}
    house.recorder = Recorder(
        house.clock, house.journal, house.spool, MASTER, folders, store_has_room=lambda: False
    )
    await refused(house, "store_full")


@pytest.mark.parametrize("kind", ["none", "mixed", "garbled"])
async def test_a_tenant_whose_keys_cannot_be_used_is_not_recorded(house: House, kind: str) -> None:
    recipients = {
        "none": (),
        "mixed": (own_key("acme").recipient, own_key("acme", "pq").recipient),
        "garbled": ("age1garbled",),
    }[kind]
    tenant = replace(house.tenant(), recipients=recipients)
    assert await house.recorder.begin(tenant, CALL_ID, "east", "1.1") is None
    assert house.recorder.faults == {"key_missing": 1}
    assert rows(house) == []


async def test_a_wrapper_that_fails_records_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bytes:
        raise KeyStoreError("the key service is away")

    monkeypatch.setattr(recorder, "wrap_file_key", fail)
    await refused(house, "key_missing")


async def test_a_database_that_is_locked_records_nothing(house: House) -> None:
    assert house.database.url.database is not None
    locker = sqlite3.connect(house.database.url.database, isolation_level=None)
    locker.execute("BEGIN IMMEDIATE")
    folders = {"east": PurePosixPath("/var/spool/callguard")}
    house.recorder = Recorder(house.clock, house.journal, house.spool, MASTER, folders, 0.05)
    assert await begin(house) is None
    assert house.recorder.faults == {"not_durable": 1}
    assert house.recorder.in_progress() == ()
    locker.execute("ROLLBACK")
    locker.close()


async def test_a_tenant_that_is_not_in_the_database_is_not_recorded(house: House) -> None:
    nobody = replace(house.tenant(), id="nobody")
    assert await house.recorder.begin(nobody, CALL_ID, "east", "1.1") is None
    assert house.recorder.faults == {"not_durable": 1}


async def test_recordings_in_progress_are_found_by_channel_call_and_file(house: House) -> None:
    first = await house.recorded(None)
    path = await house.recorder.begin(house.tenant(), "other", "east", "2.2")
    assert path is not None
    second = house.recorder.by_file(f"/elsewhere/{PurePosixPath(path).name}")
    assert second is not None
    assert house.recorder.on_channel("east", "1.1") == (first,)
    assert house.recorder.on_channel("west", "1.1") == ()
    assert house.recorder.of_call("other") == (second,)
    assert house.recorder.by_file("/var/spool/callguard/other.sln") is None
    house.recorder.done(first.id)
    house.recorder.done(first.id)
    assert house.recorder.in_progress() == (second,)


async def test_the_next_process_takes_up_what_was_in_progress(house: House) -> None:
    opened = await house.recorded(b"\x00\x01")
    house.restart()
    assert house.recorder.in_progress() == (replace(opened, running=True),)
    with house.database.reading() as connection:
        assert read_open(connection) == [replace(opened, running=True)]
    assert house.plaintext() == [opened.spool_name]


async def test_plaintext_of_a_closed_recording_goes_when_the_next_process_starts(
    house: House,
) -> None:
    opened = await house.recorded(b"\x00\x01")
    (house.spool.folder / "lease").write_text("")
    (house.spool.folder / "stranger.sln").write_text("")
    with house.database.writing() as connection:
        connection.execute(recordings.update().values(state="sealed"))
    house.restart()
    assert opened.spool_name not in house.plaintext()
    assert house.plaintext() == ["lease", "stranger.sln"]  # not ours to judge: an alarm


async def test_a_tenant_with_only_outside_keys_is_recorded_for_them(house: House) -> None:
    outside = age.X25519Identity(bytes(range(1, 33)))
    new = NewTenant("out", "Out", TenantSettings(), None, [str(outside.recipient)])
    house.add(new)
    opened = await house.recorded(None, "out")
    (row,) = (row for row in rows(house) if row.id == opened.id)
    assert age.unwrap(age.parse_header(row.header), [outside]) == unwrap_file_key(
        MASTER, row.wrapped_file_key, row.id
    )


def events(house: House) -> list[tuple[str, str]]:
    with house.database.reading() as connection:
        found = connection.execute(select(recording_events).order_by(recording_events.c.id))
        return [(row.kind, row.by) for row in found]


async def test_what_somebody_wished_is_taken_up_by_the_next_process(house: House) -> None:
    """Of each recording the last wish holds."""
    wishes: dict[str, tuple[Kind, ...]] = {
        "nothing": ("started", "silenced"),
        "paused": ("resumed", "paused", "heard"),
        "resumed": ("paused", "resumed"),
        "stopped": ("paused", "stopped"),
    }
    ids = {}
    for name, kinds in wishes.items():
        opened = await house.recorded(b"\x00\x01")
        ids[name] = opened.id
        for kind in kinds:
            house.clock.advance(1)
            told = RecordingEvent(opened.id, CALL_ID, "acme", kind, "agent", house.clock.now())
            await house.journal.insert(as_row(told, for_days(30)))
    house.restart()
    assert [n for n, id_ in ids.items() if house.recorder.is_paused(id_)] == ["paused"]
    assert list(house.recorder.to_stop) == [ids["stopped"]]
    house.recorder.done(ids["paused"])
    assert not house.recorder.is_paused(ids["paused"])


async def test_a_recording_of_a_paused_conversation_begins_paused_durably(house: House) -> None:
    path = await house.recorder.begin(house.tenant(), CALL_ID, "east", "1.1", paused=True)
    assert path is not None
    opened = house.recorder.by_file(path)
    assert opened is not None
    assert house.recorder.is_paused(opened.id)
    assert events(house) == [("paused", "callguard")]
    house.restart()
    assert house.recorder.is_paused(opened.id)


async def test_its_evidence_is_kept_as_long_as_the_law_of_its_subject_wants(house: House) -> None:
    tenant = replace(house.tenant(), limits=(DEBTS,))
    assert await house.recorder.begin(tenant, CALL_ID, "east", "1.1", paused=True, concern=DEBTOR)
    with house.database.reading() as connection:
        (kept,) = connection.execute(select(recording_events.c.expires_at)).scalars()
    assert kept.year == house.clock.now().year + YEARS
    put_call(
        house.database,
        id=CALL_ID,
        subject=DEBTOR.subject,
        purpose=DEBTOR.purpose,
        direction=DEBTOR.direction,
    )
    house.restart()
    assert [one.concern for one in house.recorder.in_progress()] == [DEBTOR]


async def test_who_follows_a_recording_hears_that_it_was_closed(house: House) -> None:
    opened = await house.recorded(b"\x00\x01")
    assert not opened.running
    known = house.recorder.running(opened.spool_name, "0x1")
    closed: list[OpenRecording] = []
    house.recorder.on_done = closed.append
    house.recorder.done(opened.id)
    house.recorder.done(opened.id)
    assert closed == [known] == [replace(opened, running=True, monitor="0x1")]
    assert house.recorder.running(opened.spool_name, "0x2") is None
