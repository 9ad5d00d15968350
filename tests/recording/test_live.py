"""Sealing while the call runs, and what closes a recording whose spool, part or row went away."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection, select, update

from callguard.recording import age
from callguard.recording import live as live_module
from callguard.recording import sealer as sealer_module
from callguard.recording.ending import ending_name
from callguard.recording.erasure import Eraser
from callguard.recording.formats import FORMATS
from callguard.recording.part import Part
from callguard.recording.progress import HELD_BY_ASTERISK, part_size
from callguard.recording.recipients import digest_of
from callguard.recording.recorder import OpenRecording
from callguard.recording.spool import SpoolError
from callguard.recording.store.folder import FolderWriter
from callguard.recording.store.objects import ObjectStoreError
from callguard.recording.wav import WavFormat
from callguard.retention.erasures.ledger import ErasureLedger
from callguard.retention.schedule import for_days
from callguard.storage.schema import recording_events, recordings
from callguard.tenants.store import NewTenant
from callguard.tenants.tenant import TenantSettings
from tests.recording.conftest import CALL_ID, House, own_key
from tests.recording.test_sealer import at_work, check_sealed, drain, row_of, until

T = TypeVar("T")
CHUNK = age.CHUNK_SIZE
HEADER = 44
AUDIO = bytes(range(1, 252)) * 1_100  # 276,100 bytes without a zero: four chunks and a rest


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "RETRY_S", (0.001,))
    monkeypatch.setattr(sealer_module, "SETTLE_S", 0.001)
    monkeypatch.setattr(live_module, "ROUND_S", 0.001)


def write(house: House, opened: OpenRecording, audio: bytes) -> None:
    with house.spool.path(opened.spool_name).open("ab") as file:
        file.write(audio)


def plaintext_of(house: House, opened: OpenRecording) -> int:
    """Bytes of sound that lie in the spool; no byte of it is zero."""
    data = house.spool.path(opened.spool_name).read_bytes()
    return len(data) - data.count(0)


def events(house: House) -> list[tuple[str, str | None]]:
    with house.database.reading() as connection:
        found = connection.execute(select(recording_events).order_by(recording_events.c.at))
        return [(row.kind, row.reason) for row in found]


async def told(house: House) -> list[tuple[str, str | None]]:
    """The events, once there are any: nobody waits for them to be written."""
    await until(lambda: events(house) != [])
    return events(house)


def eraser(house: House) -> Eraser:
    ledger = ErasureLedger(house.spool.folder.parent / "erasures.ledger")
    return Eraser(house.clock, house.journal, house.spool, house.store, ledger)


async def test_what_was_said_is_sealed_and_gone_from_the_spool_while_it_runs(house: House) -> None:
    opened = await house.recorded(b"")
    parts = []
    for start in range(0, len(AUDIO), 32 * 1024):
        write(house, opened, AUDIO[start : start + 32 * 1024])
        await house.sealer.live.round()
        assert plaintext_of(house, opened) <= CHUNK
        parts.append(house.store.part(opened.id).stat().st_size if house.store.parts() else 0)
    assert parts == sorted(parts)
    assert parts[-1] == part_size(4)
    assert row_of(house, opened.id).state == "recording"
    house.sealer.ended(opened)
    await drain(house)
    check_sealed(house, opened.id, AUDIO)
    assert row_of(house, opened.id).missing_bytes is None
    assert house.sealer.failures == 0


async def test_many_are_sealed_in_one_round_and_no_file_stays_open(house: House) -> None:
    many = [await house.recorded(AUDIO) for _ in range(40)]
    threads = threading.active_count()
    before = open_files()
    await house.sealer.live.round()
    assert len(house.store.parts()) == 40
    assert {house.store.part(r.id).stat().st_size for r in many} == {part_size(4)}
    assert open_files() <= before + 2  # the database's
    assert threading.active_count() <= threads + live_module.THREADS + 1


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_the_next_process_goes_on_where_the_last_one_was(house: House) -> None:
    opened = await house.recorded(AUDIO[:200_000])
    await house.sealer.live.round()
    house.restart()
    write(house, opened, AUDIO[200_000:])
    await house.sealer.live.round()
    assert house.store.part(opened.id).stat().st_size == part_size(4)
    house.sealer.ended(opened)
    await drain(house)
    check_sealed(house, opened.id, AUDIO)


async def test_one_whose_end_was_durable_is_closed_whatever_the_pbx_tells(house: House) -> None:
    opened = await house.recorded(AUDIO)
    with house.database.writing() as connection:
        connection.execute(update(recordings).values(plain_bytes=HEADER + len(AUDIO)))
    house.restart()
    async with at_work(house):
        await until(lambda: house.recorder.in_progress() == ())
    check_sealed(house, opened.id, AUDIO)


async def test_a_round_that_finds_an_end_durable_seals_no_more_of_it(house: House) -> None:
    opened = await house.recorded(AUDIO)
    with house.database.writing() as connection:
        connection.execute(update(recordings).values(plain_bytes=1000))
    await house.sealer.live.round()
    await house.sealer.live.round()
    assert house.store.parts() == []
    assert house.sealer.has_ended(opened.id)


async def test_two_processes_never_give_one_recording_two_ends(house: House) -> None:
    """Two last chunks of different length would be sealed under one nonce."""
    opened = await house.recorded(AUDIO)
    before = row_of(house, opened.id)
    with house.database.writing() as connection:  # by the other process, since it was read
        connection.execute(update(recordings).values(plain_bytes=1000))
    payload = house.sealer.live.payload(opened)
    with pytest.raises(SpoolError, match="as it was"):
        await house.sealer._closer._first_end(before, payload, HEADER + len(AUDIO))
    assert row_of(house, opened.id).plain_bytes == 1000


async def test_audio_after_a_durable_end_is_named_missing_and_said(house: House) -> None:
    opened = await house.recorded(AUDIO)
    kept = 100_000
    with house.database.writing() as connection:
        connection.execute(update(recordings).values(plain_bytes=HEADER + kept))
    house.restart()
    house.sealer.ended(opened)
    await drain(house)
    check_sealed(house, opened.id, AUDIO[:kept])
    assert row_of(house, opened.id).missing_bytes == len(AUDIO) - kept
    assert await told(house) == [("cut", "11.0 s of its audio are missing")]
    assert house.recorder.faults == {"recording_cut": 1}


async def test_a_lost_spool_leaves_what_was_sealed_and_says_how_much_is_missing(
    house: House,
) -> None:
    opened = await house.recorded(AUDIO)
    await house.sealer.live.round()
    house.spool.remove(opened.spool_name)
    house.sealer.ended(opened)
    await drain(house)
    kept = 4 * CHUNK - HEADER
    check_sealed(house, opened.id, AUDIO[:kept])
    row = row_of(house, opened.id)
    assert row.missing_bytes == len(AUDIO) - kept + HELD_BY_ASTERISK
    assert await told(house) == [("cut", "at most 3.0 s of its audio are missing")]
    assert house.recorder.faults == {"recording_cut": 1}


async def test_after_a_power_cut_at_most_a_chunk_and_a_burst_are_missing(house: House) -> None:
    opened = await house.recorded(AUDIO)
    await house.sealer.live.round()
    house.spool.remove(opened.spool_name)
    house.restart()
    house.sealer.ended(opened)
    await drain(house)
    check_sealed(house, opened.id, AUDIO[: 4 * CHUNK - HEADER])
    assert row_of(house, opened.id).missing_bytes == CHUNK + 32 * 1024
    assert await told(house) == [("cut", "at most 6.2 s of its audio are missing")]


@pytest.mark.parametrize("how", ["removed", "exchanged", "cut back"])
async def test_an_entry_that_goes_while_it_is_written_is_told_of_at_once(
    house: House, how: str
) -> None:
    opened, good = await house.recorded(AUDIO), await house.recorded(AUDIO)
    for one in (opened, good):
        house.recorder.running(f"/var/spool/callguard/{one.spool_name}", "0x1")
    lost: list[str] = []
    live = house.sealer.live
    live.lost_entries.on_lost = lambda recording: lost.append(recording.id)
    await live.round()
    path = house.spool.path(opened.spool_name)
    held = path.open("ab")  # as Asterisk holds it: its inode is not given to another file
    if how == "cut back":
        held.truncate(1000)
    else:
        path.unlink()
    if how == "exchanged":
        path.write_bytes(bytes(len(AUDIO)) + b"of somebody else" * 20_000)
    for _ in range(3):
        house.clock.advance(1)
        await live.round()
    assert lost == [opened.id]
    assert house.recorder.faults == {"spool_entry_gone": 1}
    assert live.lost_entries.alarm is not None
    held.close()
    house.sealer.ended(opened)
    house.clock.advance(6)
    async with at_work(house):
        await until(lambda: row_of(house, opened.id).state == "sealed")
    row = row_of(house, opened.id)
    kept_audio = 4 * CHUNK - HEADER
    assert row.plain_bytes == 4 * CHUNK
    assert row.missing_bytes == len(AUDIO) - kept_audio + HELD_BY_ASTERISK + 9 * 16000
    assert lost == [opened.id]
    house.clock.advance(3600)
    assert house.sealer.live.lost_entries.alarm is None


async def test_an_entry_that_asterisk_has_yet_to_make_is_no_alarm(house: House) -> None:
    opened = await house.recorded(None)
    lost: list[str] = []
    live = house.sealer.live
    live.lost_entries.on_lost = lambda recording: lost.append(recording.id)
    house.clock.advance(60)
    await live.round()  # nothing says yet that it runs
    house.recorder.running(f"/var/spool/callguard/{opened.spool_name}", "0x1")
    await live.round()
    house.clock.advance(4.9)
    await live.round()
    assert lost == []
    house.clock.advance(0.2)
    await live.round()
    assert lost == [opened.id]


async def test_an_entry_that_went_with_an_ended_or_erased_recording_is_no_alarm(
    house: House,
) -> None:
    ended, erased = await house.recorded(AUDIO), await house.recorded(AUDIO)
    for one in (ended, erased):
        house.recorder.running(f"/var/spool/callguard/{one.spool_name}", "0x1")
    await house.sealer.live.round()
    house.sealer.ended(ended)
    house.spool.remove(ended.spool_name)
    assert await eraser(house).erase(erased, by="subject", keep=for_days(30))
    await house.sealer.live.round()
    assert house.recorder.faults == {}


async def test_after_a_restart_time_bounds_what_a_lost_entry_can_have_held(house: House) -> None:
    """Asterisk may have gone on writing it all the time."""
    opened = await house.recorded(AUDIO)
    await house.sealer.live.round()
    house.spool.remove(opened.spool_name)
    house.restart()
    house.clock.advance(60)
    house.sealer.ended(opened)
    await drain(house)
    kept = 4 * CHUNK - HEADER
    assert row_of(house, opened.id).missing_bytes == 60 * 16000 - kept
    assert await told(house) == [("cut", "at most 43.7 s of its audio are missing")]


async def test_a_cut_that_is_taken_up_again_is_still_at_most(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = await house.recorded(AUDIO)
    await house.sealer.live.round()
    house.spool.remove(opened.spool_name)
    house.restart()
    with monkeypatch.context() as patch:
        patch.setattr(house.store, "before", ObjectStoreError("the disk is full"))
        with pytest.raises(ObjectStoreError):
            await house.sealer._close(opened)
    house.restart()
    house.clock.advance(3600)
    house.sealer.ended(opened)
    await drain(house)
    assert await told(house) == [("cut", "at most 6.2 s of its audio are missing")]


async def test_while_the_database_is_down_what_has_its_key_is_sealed_on(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = await house.recorded(AUDIO)
    await house.sealer.live.round()
    new = await house.recorded(AUDIO)
    write(house, known, AUDIO)

    async def down(*_: object, **__: object) -> None:
        raise TimeoutError

    with monkeypatch.context() as patch:
        patch.setattr(house.database, "read", down)
        await house.sealer.live.round()
    assert house.store.part(known.id).stat().st_size == part_size(8)
    assert house.store.parts() == [known.id]
    await house.sealer.live.round()
    assert house.store.part(new.id).stat().st_size == part_size(4)


async def test_a_spool_that_is_away_is_not_a_spool_that_lost_its_entries(house: House) -> None:
    opened = await house.recorded(AUDIO)
    await house.sealer.live.round()
    away = house.spool.folder.with_name("away")
    house.spool.folder.rename(away)
    house.sealer.ended(opened)
    async with at_work(house):
        await until(lambda: house.sealer.failures >= 2)
        assert row_of(house, opened.id).state == "recording"
        away.rename(house.spool.folder)
        await until(lambda: house.sealer.backlog == 0)
    check_sealed(house, opened.id, AUDIO)


async def test_a_part_that_somebody_removed_is_begun_anew_and_said(house: House) -> None:
    opened = await house.recorded(AUDIO)
    await house.sealer.live.round()
    house.store.delete([opened.id])
    write(house, opened, AUDIO)
    await house.sealer.live.round()
    assert (house.store.parts(), house.sealer.behind) == ([], 1)
    house.clock.advance(1)
    await house.sealer.live.round()
    assert (house.store.parts(), house.sealer.behind) == ([opened.id], 0)
    house.sealer.ended(opened)
    await drain(house)
    gone = 4 * CHUNK - HEADER
    check_sealed(house, opened.id, bytes(gone) + AUDIO[gone:] + AUDIO)
    assert house.recorder.faults == {"part_lost": 1, "recording_cut": 1}
    missing = row_of(house, opened.id).missing_bytes
    assert isinstance(missing, int)
    assert gone <= missing < gone + 4096


async def test_a_part_removed_just_before_the_end_is_begun_anew_too(house: House) -> None:
    opened = await house.recorded(AUDIO)
    await house.sealer.live.round()
    house.store.delete([opened.id])
    house.sealer.ended(opened)
    await drain(house)
    gone = 4 * CHUNK - HEADER
    check_sealed(house, opened.id, bytes(gone) + AUDIO[gone:])


# --- failing and erased ---------------------------------------------------------------------------


async def test_one_that_cannot_be_sealed_waits_and_holds_up_no_other(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "RETRY_S", (5.0, 50.0))
    bad, good = await house.recorded(AUDIO), await house.recorded(AUDIO)
    writer_of, tried = house.store.writer, []

    def full(name: str, *, resume: bool = False) -> FolderWriter:
        if name == bad.id:
            tried.append(house.clock.monotonic())
            raise ObjectStoreError("no space left on device")
        return writer_of(name, resume=resume)

    live = house.sealer.live
    with monkeypatch.context() as patch:
        patch.setattr(house.store, "writer", full)
        for _ in range(61):
            await live.round()
            house.clock.advance(1)
        assert (house.sealer.behind, len(tried), house.sealer.failures) == (1, 3, 3)
        assert tried[1] - tried[0] == 5
        assert tried[2] - tried[1] == 50
        assert house.store.parts() == [good.id]
        assert plaintext_of(house, bad) == len(AUDIO)
    house.clock.advance(60)
    await live.round()
    assert house.sealer.behind == 0
    assert plaintext_of(house, bad) < CHUNK


async def test_a_key_that_does_not_unwrap_is_a_failure_of_that_recording_alone(
    house: House,
) -> None:
    bad, good = await house.recorded(AUDIO), await house.recorded(AUDIO)
    with house.database.writing() as connection:
        broken = update(recordings).where(recordings.c.id == bad.id)
        connection.execute(broken.values(wrapped_file_key=b"CGW1garbled"))
    await house.sealer.live.round()
    assert house.store.parts() == [good.id]
    assert house.sealer.behind == 1


async def test_a_round_that_fails_is_followed_by_another(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = await house.recorded(AUDIO)
    read, broken = house.database.read, [True]

    async def once(query: Callable[[Connection], T], **named: Any) -> T:
        if broken and broken.pop():
            raise TimeoutError
        return await read(query, **named)

    monkeypatch.setattr(house.database, "read", once)
    async with at_work(house):
        await until(lambda: house.store.parts() == [opened.id])


async def test_the_key_is_dropped_when_it_is_closed(house: House) -> None:
    opened = await house.recorded(AUDIO)
    live = house.sealer.live
    payload = live.payload(opened)
    await live.round()
    while_it_ran = payload.has_key
    house.sealer.ended(opened)
    await drain(house)
    assert (while_it_ran, payload.has_key) == (True, False)
    assert live.payload(opened) is not payload


async def test_the_loop_never_waits_for_what_a_thread_is_sealing(house: House) -> None:
    opened = await house.recorded(AUDIO)
    payload = house.sealer.live.payload(opened)
    payload._lock.acquire()
    late = threading.Timer(1.0, payload._lock.release)
    late.start()
    sealing = asyncio.create_task(house.sealer.live.round())
    await until(lambda: payload.has_key)
    waited = not payload._lock.locked()
    late.cancel()
    late.join()
    if payload._lock.locked() and not waited:
        payload._lock.release()
    await sealing
    assert not waited
    assert house.store.parts() == [opened.id]


@pytest.mark.parametrize("when", ["before its part", "between two rounds"])
async def test_one_that_is_erased_while_it_runs_leaves_nothing_behind(
    house: House, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    opened = await house.recorded(AUDIO[:150_000])
    live, loop = house.sealer.live, asyncio.get_running_loop()

    async def erase() -> None:
        assert await eraser(house).erase(opened, by="subject", keep=for_days(30))

    if when == "before its part":
        open_part = Part.open

        def late(self: Part, *, create: bool) -> Any:
            asyncio.run_coroutine_threadsafe(erase(), loop).result(5)
            return open_part(self, create=create)

        with monkeypatch.context() as patch:
            patch.setattr(Part, "open", late)
            await live.round()
    else:
        await live.round()
        assert house.store.parts() == [opened.id]
        await erase()
        write(house, opened, AUDIO)  # Asterisk goes on in a file that came back
        await live.round()
    await live.round()
    assert (house.store.parts(), list(house.store.names())) == ([], [])
    house.sealer.ended(opened)
    await drain(house)
    assert (house.store.parts(), list(house.store.names()), house.plaintext()) == ([], [], [])
    assert row_of(house, opened.id).state == "erasing"
    assert house.sealer.failures == 0


async def test_a_copy_of_a_last_chunk_goes_with_an_erased_recording(house: House) -> None:
    opened = await house.recorded(AUDIO)
    await house.sealer.live.round()
    house.store.put(ending_name(opened.id), [b"sealed"])
    assert await eraser(house).erase(opened, by="subject", keep=for_days(30))
    house.sealer.ended(opened)
    await drain(house)
    assert list(house.store.names()) == []


async def test_whether_it_is_written_is_never_asked_while_this_process_has_it_open(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own descriptor would count as a writer, and its own lease refuse it the file."""
    opened = await house.recorded(AUDIO)
    seen: list[bool | None] = []
    has_writer, sync = house.spool.has_writer, FolderWriter.sync
    syncing = threading.Event()

    def slow(writer: FolderWriter) -> None:
        syncing.set()
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0.05), loop).result(5)
        sync(writer)

    def told(name: str) -> bool | None:
        seen.append(has_writer(name))
        return seen[-1]

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(FolderWriter, "sync", slow)
    monkeypatch.setattr(house.spool, "has_writer", told)
    sealing = asyncio.create_task(house.sealer.live.round())
    assert await asyncio.to_thread(syncing.wait, 5)
    await house.sealer._settle(opened)
    await sealing
    assert seen == [False]


# --- formats --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
async def test_a_recording_is_coded_as_the_tenant_wishes(house: House, name: str) -> None:
    coding = FORMATS[name]
    settings = TenantSettings(recording_format=name)  # type: ignore[arg-type]  # one of them
    tenant = house.add(NewTenant("other", "Other", settings, own_key("other")))
    path = await house.recorder.begin(tenant, CALL_ID, "east", "1.1")
    assert path is not None
    assert path.endswith(f".{coding.extension}")
    assert house.recorder.monitor_options(path) == coding.options
    opened = house.recorder.by_file(path)
    assert opened is not None
    row = row_of(house, opened.id)
    assert (row.encoding, row.keyed_for) == (name, digest_of(tenant.recipients))
    write(house, opened, AUDIO)
    house.restart()
    assert [r.encoding for r in house.recorder.in_progress()] == [name]
    await house.sealer.live.round()
    house.sealer.ended(opened)
    await drain(house)
    row = row_of(house, opened.id)
    assert (row.state, row.plain_bytes) == ("sealed", len(coding.wav.header()) + len(AUDIO))


async def test_a_slow_format_is_given_longer_to_be_silent(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """µ-law fills a burst of 32 KiB in four seconds: a pause of three is no end."""
    settings = TenantSettings(recording_format="ulaw-8000-1")
    house.add(NewTenant("law", "Law", settings, own_key("law")))
    opened = await house.recorded(b"\x01", "law")
    looks: list[str] = []

    def blind(name: str) -> tuple[bool | None, int]:
        house.clock.advance(1)
        looks.append(name)
        return None, 1

    monkeypatch.setattr(house.sealer, "_look", blind)
    house.sealer.ended(opened)
    await drain(house)
    assert len(looks) >= 5


async def test_a_coding_that_this_version_does_not_know_is_left_alone(house: House) -> None:
    opened, other = await house.recorded(AUDIO), await house.recorded(AUDIO)
    with house.database.writing() as connection:
        strange = update(recordings).where(recordings.c.id == opened.id)
        connection.execute(strange.values(encoding="opus-48000-2"))
    house.restart()
    await house.sealer.live.round()
    assert house.store.parts() == [other.id]
    (strange_one,) = (r for r in house.recorder.in_progress() if r.id == opened.id)
    with pytest.raises(SpoolError, match="opus-48000-2"):
        await house.sealer._close(strange_one)
    assert plaintext_of(house, opened) == len(AUDIO)


def test_the_headers_of_all_formats_are_whole_samples() -> None:
    assert {len(c.wav.header()) % 2 for c in FORMATS.values()} == {0}
    assert len(WavFormat().header()) == HEADER
