"""Managed folders: what is due goes on its second, and nothing else."""

import asyncio
import os
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from callguard.policy.span import Span
from callguard.retention.alone import alone
from callguard.retention.at_end import AtEnd
from callguard.retention.folders.locking import MARK
from callguard.retention.folders.removing import Outcome, take
from callguard.retention.folders.root import FolderError
from callguard.retention.folders.walk import File
from callguard.storage.schema import audit
from tests.retention.folders.conftest import (
    CLASSES,
    DUE,
    SECOND,
    WRITTEN,
    Rooms,
    names,
    pictured,
    put,
)


@pytest.mark.parametrize("data_class", CLASSES)
async def test_a_file_is_there_a_second_before_its_time_and_gone_at_it(
    rooms: Rooms, data_class: str
) -> None:
    folder = rooms.folder("files", data_class)
    put(folder / "a" / "one.tif", b"12345")
    put(folder / "a" / "new.tif", at=WRITTEN + 2 * SECOND)
    assert await rooms.take(DUE - SECOND) == {data_class: 0}
    assert names(folder) == ["a/new.tif", "a/one.tif"]
    (due,) = await rooms.made().due(DUE)
    expected = {"class": data_class, "tenant": "acme", "count": 1, "bytes": 5}
    assert due.as_json() == expected | {"oldest": DUE.isoformat()}
    assert await rooms.take(DUE) == {data_class: 1}
    assert names(folder) == ["a/new.tif"]
    assert await rooms.take(DUE + SECOND) == {data_class: 0}


async def test_the_certificate_counts_and_names_nothing(rooms: Rooms) -> None:
    folder = rooms.folder()
    for n in range(3):
        put(folder / f"fax-3361234567{n}.tif", b"1234567")
    assert await rooms.take() == {"fax": 3}
    (found,) = rooms.certificates()
    assert (found["taken"], found["files"], found["bytes"]) == (3, 3, 21)
    assert found["finished"]
    assert found["tenants"] == {"acme": 3}
    assert "under_way" not in found
    assert len(found["sha256"]) == 64
    assert found["sha256"] != "0" * 64
    assert "3361234567" not in str({k: v for k, v in found.items() if k != "sha256"})
    with rooms.database.reading() as connection:
        rows = connection.execute(audit.select().where(audit.c.action == "purge.folder")).all()
    assert len(rows) == 1


async def test_a_look_and_a_run_with_nothing_due_leave_no_trace(rooms: Rooms) -> None:
    folder = rooms.folder()
    put(folder / "one.tif")
    before = pictured(folder)
    await rooms.made().look(DUE)
    await rooms.take(DUE - SECOND)
    assert pictured(folder) == before
    assert rooms.certificates() == []


async def test_only_names_that_count_go(rooms: Rooms) -> None:
    folder = rooms.folder(files=["*.tif", "fax[0-9]*.pdf"])
    for name in ("one.tif", "fax1.pdf", "faxes.pdf", "one.TIF", "readme"):
        put(folder / name)
    assert await rooms.take() == {"fax": 2}
    assert names(folder) == ["faxes.pdf", "one.TIF", "readme"]


@pytest.mark.parametrize(
    "name",
    [
        "הקלטה-מספר-1.wav",
        "two\nlines.wav",
        "\x1b[2Jclear.wav",
        os.fsdecode(b"caf\xe9-\xff.wav"),
        "-rf",
        " ",
        "x" * 255,
        "*",
    ],
    ids=["hebrew", "newline", "escape", "no-utf-8", "option", "space", "long", "star"],
)
async def test_any_name_goes_and_is_told_safely(rooms: Rooms, name: str) -> None:
    folder = rooms.folder(quiet_s=0)
    put(folder / name / name)
    os.utime(folder / name / name, (0, 0))  # which is told
    for line in await rooms.faults(WRITTEN + timedelta(hours=1)):
        assert line.isprintable()
        assert line.encode()
    assert await rooms.take(datetime.now(UTC) + timedelta(days=31)) == {"fax": 1}
    assert names(folder) == []


async def test_a_service_looks_at_once_and_then_at_the_roots(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callguard.retention.folders.governing.ROOTS_S", 0.01)
    folder = rooms.folder("vm", "voicemail", layout="voicemail")
    lock = put(folder / "default" / "100" / "INBOX" / ".lock", MARK)
    folders = rooms.made()
    running = asyncio.create_task(folders.run())
    async with asyncio.timeout(5):
        while lock.exists():
            await asyncio.sleep(0.005)
        folder.rename(rooms.base / "away")
        while not any("is not there" in one for one in folders.alarms):
            await asyncio.sleep(0.005)
    running.cancel()


async def test_a_failing_file_keeps_none_of_the_others(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = rooms.folder()
    for name in ("a.tif", "b.tif", "c.tif"):
        put(folder / name)

    def taken(fd: int, file: File) -> Outcome:
        if file.name == "b.tif":
            raise PermissionError(13, "Permission denied")
        return take(fd, file)

    monkeypatch.setattr("callguard.retention.folders.taking.take", taken)
    assert await rooms.take() == {"fax": 2}
    assert names(folder) == ["b.tif"]
    assert rooms.certificates()[0]["taken"] == 2


@pytest.mark.parametrize(
    ("mtime", "fault"),
    [
        (0, "it has no time"),
        (-1, "it has no time"),
        (2**34, "its time lies in the future"),
        (4_500_000_000, "its time lies in the future"),
    ],
)
async def test_a_time_that_cannot_be_is_told_and_the_kernels_counts(
    rooms: Rooms, mtime: int, fault: str
) -> None:
    folder = rooms.folder()
    path = put(folder / "odd.tif")
    os.utime(path, (mtime, mtime))
    entered = datetime.fromtimestamp(path.stat().st_ctime_ns // 1000 / 1e6, UTC)
    assert await rooms.faults(entered + timedelta(hours=2)) == [f"odd.tif: {fault}"]
    assert await rooms.take(entered + timedelta(days=30) - SECOND) == {"fax": 0}
    assert await rooms.take(entered + timedelta(days=30) + SECOND) == {"fax": 1}


async def test_each_tenant_has_its_own_time_and_a_stranger_none(rooms: Rooms) -> None:
    rooms.tenant("long", retention={"voicemail": Span(days=60)})
    owners = {"sales": "acme", "support": "long", "ghosts": "nobody"}
    folder = rooms.folder("vm", "voicemail", tenants=owners)
    for name in (*owners, "unknown"):
        put(folder / name / "one.wav")
    put(folder / "loose.wav")
    assert await rooms.take() == {"voicemail": 1}
    assert names(folder) == ["ghosts/one.wav", "loose.wav", "support/one.wav", "unknown/one.wav"]
    assert sorted(await rooms.faults()) == [
        ".: the settings do not say which tenant's it is",
        "ghosts: there is no tenant nobody, so nothing of its goes",
        "unknown: the settings do not say which tenant's it is",
    ]
    assert await rooms.take(WRITTEN + timedelta(days=60)) == {"voicemail": 1}


async def test_the_end_of_a_contract_shortens_and_never_lengthens(rooms: Rooms) -> None:
    ended = WRITTEN + timedelta(days=2)
    week = {"fax": AtEnd("delete", Span(days=7))}
    rooms.tenants["acme"] = replace(rooms.tenants["acme"], ended_at=ended, at_end=week)
    folder = rooms.folder()
    put(folder / "one.tif")
    assert await rooms.take(ended + timedelta(days=7) - SECOND) == {"fax": 0}
    assert await rooms.take(ended + timedelta(days=7)) == {"fax": 1}
    put(folder / "two.tif", at=WRITTEN - timedelta(days=25))  # its own time comes first
    assert await rooms.take(WRITTEN + timedelta(days=5)) == {"fax": 1}


async def test_folders_that_were_emptied_go_where_that_is_wanted(rooms: Rooms) -> None:
    kept, gone = rooms.folder("kept"), rooms.folder("gone", remove_empty=True)
    for folder in (kept, gone):
        put(folder / "2026" / "11" / "one.tif")
        put(folder / "2026" / "12" / "new.tif", at=WRITTEN + timedelta(days=1))
        (folder / "always").mkdir()
    assert await rooms.take() == {"fax": 2}
    assert (kept / "2026" / "11").is_dir()
    assert not (gone / "2026" / "11").exists()
    assert (gone / "2026" / "12" / "new.tif").exists()
    assert (gone / "always").is_dir()
    assert await rooms.take(DUE + timedelta(days=1)) == {"fax": 2}
    assert [path.name for path in gone.iterdir()] == ["always"]


async def test_only_one_process_takes_at_a_time(rooms: Rooms) -> None:
    put(rooms.folder() / "one.tif")
    another = alone(rooms.base / "data" / "folders.lock")
    with another, pytest.raises(FolderError, match="another process"):
        await rooms.take()
    assert await rooms.take() == {"fax": 1}


async def test_a_run_that_is_cancelled_stops_before_what_it_stands_on_is_closed(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = rooms.folder()
    for n in range(60):
        put(folder / f"{n}.tif")
    begun, ended = threading.Event(), threading.Event()

    def slow(fd: int, file: File) -> Outcome:
        begun.set()
        ended.wait(0.01)
        return take(fd, file)

    monkeypatch.setattr("callguard.retention.folders.taking.take", slow)
    running = asyncio.create_task(rooms.take())
    await asyncio.to_thread(begun.wait, 5)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    left = names(folder)
    assert 0 < len(left) < 60
    monkeypatch.undo()
    assert await rooms.take() == {"fax": 0}  # all were counted by the run that was cut short
    assert names(folder) == []
    assert sum(one["taken"] for one in rooms.certificates()) == 60
