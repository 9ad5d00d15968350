"""Managed folders: what is due goes on its second, and nothing else; nobody leads callguard out."""

import asyncio
import os
import socket
import stat
import threading
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert

from callguard.config import Asterisk
from callguard.policy.span import Span
from callguard.retention.alone import alone
from callguard.retention.at_end import AtEnd
from callguard.retention.folders.locking import MARK
from callguard.retention.folders.own import own_places
from callguard.retention.folders.removing import Outcome, take
from callguard.retention.folders.root import FolderError, Root, refuse_system
from callguard.retention.folders.walk import File
from callguard.storage.schema import audit, cdr_cursors, holds
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


async def test_no_link_is_followed_wherever_it_leads(rooms: Rooms) -> None:
    folder = rooms.folder()
    put(folder / "real.tif")
    links = {
        "file": rooms.outside / "secret.txt",
        "folder": rooms.outside / "deep",
        "dangling": rooms.base / "nowhere",
        "loop": folder / "loop",
        "etc": Path("/etc"),
        "up": Path(".."),
        "sibling": folder / "real.tif",
    }
    for name, target in links.items():
        (folder / name).symlink_to(target)
        os.utime(folder / name, (WRITTEN.timestamp(),) * 2, follow_symlinks=False)
    assert await rooms.take() == {"fax": 1}
    assert set(names(folder)) == set(links)
    found = await rooms.faults()
    assert sorted(found) == sorted(f"{name}: it is a link, and stays" for name in links)


@pytest.mark.parametrize("how", ["itself", "above"])
async def test_a_root_reached_by_a_link_is_refused(rooms: Rooms, how: str) -> None:
    put(rooms.outside / "old" / "x.tif")
    link = rooms.base / "link"
    link.symlink_to(rooms.outside)
    if how == "itself":
        link.unlink()
        link.symlink_to(rooms.outside / "old")
    rooms.folder(path=link if how == "itself" else link / "old")
    folders = rooms.made()
    before = pictured(rooms.outside)
    assert await folders.take(DUE) == {}
    assert pictured(rooms.outside) == before
    (alarm,) = folders.alarms
    assert "is a link, or is reached by one" in alarm
    assert str(rooms.outside / "old") in alarm


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/", "system"),
        ("/etc", "system"),
        ("/etc/cron.d", "system"),
        ("/var/spool/asterisk", "system"),
        ("/proc/self", "system"),
        ("/srv/../etc", "does not name"),
        ("//etc/cron.d", "does not name"),
        ("/{base}/data", "does not name"),
        ("{base}/data", "callguard's data"),
        ("{base}/data/deep", "callguard's data"),
        ("{base}", "callguard's data"),
        ("{base}/spool", "the spool"),
        ("{base}/objects/x", "the store of recordings"),
        ("{base}/gone", "is not there"),
        ("{base}/outside/secret.txt", "is no folder"),
    ],
)
async def test_what_is_not_for_governing_is_refused(rooms: Rooms, path: str, reason: str) -> None:
    rooms.folder(path=Path(path.format(base=rooms.base)))
    folders = rooms.made()
    assert await folders.take(DUE) == {}
    (alarm,) = folders.alarms
    assert alarm.startswith("folder fax: ")
    assert reason in alarm
    assert await folders.due(DUE) == []


@pytest.mark.parametrize("title", ["the database", "the manager's secret"])
async def test_a_folder_that_holds_a_file_of_callguards_is_refused(
    rooms: Rooms, title: str
) -> None:
    folder = rooms.folder()
    own = put(folder / "own")
    settings: dict[str, dict[str, object]] = {
        "the database": {"database": f"sqlite:///{own}"},
        "the manager's secret": {"asterisk": (Asterisk(secret_file=own),)},
    }
    own_now = own_places(rooms.settings.model_copy(update=settings[title]), rooms.folders[0])
    with pytest.raises(FolderError, match=f"is, holds or lies in {title}"):
        refuse_system(folder, own_now)


async def test_a_folder_in_trouble_keeps_none_of_the_others_and_its_alarm_ends(
    rooms: Rooms,
) -> None:
    rooms.folder("gone", path=rooms.base / "managed" / "gone" / "x")
    put(rooms.folder("there", "transcript") / "one.txt")
    folders = rooms.made()
    assert await folders.take(DUE) == {"transcript": 1}
    assert len(folders.alarms) == 1
    gone = rooms.base / "managed" / "gone" / "x"
    gone.mkdir()
    (gone / "link").symlink_to("/etc")
    await folders.look(DUE)
    assert folders.alarms == ("folder gone: one thing is in the way: see folder check",)
    gone.rename(rooms.base / "elsewhere")
    folders.look_at_roots()
    assert folders.alarms == (f"folder gone: {gone} is not there",)
    gone.mkdir()
    await folders.look(DUE)
    assert not folders.alarms


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


async def test_what_is_no_file_stays(rooms: Rooms) -> None:
    folder = rooms.folder()
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        inside = os.open(folder, os.O_RDONLY)
        server.bind(f"/proc/self/fd/{inside}/socket")
        os.close(inside)
        for name in ("pipe", "socket"):
            os.utime(folder / name, (WRITTEN.timestamp(),) * 2)
        there = {"pipe", "socket"}
        with suppress(PermissionError):  # only root may make one
            os.mknod(folder / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
            os.utime(folder / "null", (WRITTEN.timestamp(),) * 2)
            there.add("null")
        assert await rooms.take() == {"fax": 0}
        assert {path.name for path in folder.iterdir()} == there
        assert len(await rooms.faults()) == len(there)


async def test_of_a_hard_link_the_name_goes_and_the_content_stays(rooms: Rooms) -> None:
    folder = rooms.folder()
    kept = put(rooms.base / "kept.tif", b"twice")
    os.link(kept, folder / "one.tif")
    os.link(kept, folder / "two.tif")
    (standing,) = await rooms.made().look(DUE)
    assert standing.linked == 2
    assert await rooms.take() == {"fax": 2}
    assert names(folder) == []
    assert kept.read_bytes() == b"twice"


async def test_a_file_that_is_being_written_stays(rooms: Rooms) -> None:
    folder = rooms.folder()
    path = put(folder / "growing.wav")
    with path.open("ab"):
        assert await rooms.take() == {"fax": 0}
        assert path.exists()
    with path.open("rb"):
        assert await rooms.take() == {"fax": 1}
    assert not path.exists()


async def test_a_file_that_was_touched_a_short_while_ago_stays(rooms: Rooms) -> None:
    folder = rooms.folder(quiet_s=3600)
    path = put(folder / "restored.wav", at=WRITTEN - timedelta(days=400))
    touched = datetime.fromtimestamp(path.stat().st_ctime, UTC)
    (standing,) = await rooms.made().look(touched + timedelta(minutes=59))
    assert (standing.waiting, standing.dues) == (1, {})
    assert await rooms.take(touched + timedelta(minutes=59)) == {"fax": 0}
    assert await rooms.take(touched + timedelta(minutes=61)) == {"fax": 1}


@pytest.mark.parametrize("how", ["grows", "is another", "is a link", "is gone", "is a folder"])
async def test_what_changed_between_look_and_taking_stays(rooms: Rooms, how: str) -> None:
    folder = rooms.folder()
    path = put(folder / "in" / "one.wav")

    def change() -> None:
        if how == "grows":
            with path.open("ab") as file:
                file.write(b"more")
            os.utime(path, (WRITTEN.timestamp(),) * 2)
            return
        path.unlink(missing_ok=True)
        if how == "is another":
            put(path, b"other")
        elif how == "is a link":
            path.symlink_to(rooms.outside / "secret.txt")
        elif how == "is a folder":
            path.mkdir()

    rooms.before_write = change
    assert await rooms.take() == {"fax": 0}
    assert (path.is_symlink() or path.exists()) is (how != "is gone")
    (found,) = rooms.certificates()
    assert (found["taken"], found["files"], found["bytes"]) == (0, 0, 0)


@pytest.mark.parametrize("how", ["link", "moved out", "root moved", "root a link"])
async def test_a_folder_exchanged_between_look_and_taking_leads_nowhere(
    rooms: Rooms, how: str
) -> None:
    folder = rooms.folder()
    put(folder / "in" / "secret.txt", b"nobody's business")
    twin = rooms.base / "twin"
    put(twin / "secret.txt", b"nobody's business")
    put(twin / "in" / "secret.txt", b"nobody's business")

    def exchange() -> None:
        if how == "link":
            (folder / "in").rename(rooms.base / "aside")
            (folder / "in").symlink_to(twin)
        elif how == "moved out":
            (folder / "in").rename(rooms.base / "aside")
        else:
            folder.rename(rooms.base / "aside")
            if how == "root a link":
                folder.symlink_to(twin)
            else:
                put(folder / "in" / "secret.txt", b"another root's")

    rooms.before_write = exchange
    before = pictured(twin)
    assert await rooms.take() == {"fax": 0}
    assert pictured(twin) == before
    assert [p.read_bytes() for p in (rooms.base / "aside").rglob("secret.txt")] == [
        b"nobody's business"
    ]


async def test_a_folder_without_permission_is_told(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = rooms.folder()
    put(folder / "closed" / "one.tif")
    (folder / "closed").chmod(0)
    if os.access(folder / "closed", os.R_OK):  # whoever runs this may read everything

        def inner(root: Root, fd: int, name: str) -> int:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("callguard.retention.folders.walk.inner", inner)
    assert await rooms.take() == {"fax": 0}
    assert await rooms.faults() == ["closed: Permission denied"]
    assert await rooms.made().left("acme", DUE) == {"fax": 1}  # for all that anybody knows


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


ALL = {"33612345678.tif", "44.20.71234567.tif", "page.tif"}


def hold(rooms: Rooms, **named: object) -> None:
    row = {"id": os.urandom(18).hex(), "reason": "court", "author": "x", "at": WRITTEN, **named}
    with rooms.database.writing() as connection:
        connection.execute(insert(holds).values(row))


@pytest.mark.parametrize(
    ("named", "kept"),
    [
        ({"tenant_id": "acme"}, ALL),
        ({"subject": "+33612345678"}, {"33612345678.tif", "page.tif"}),
        ({"from_at": WRITTEN, "to_at": WRITTEN + SECOND}, ALL),
        ({"to_at": WRITTEN}, set()),
        ({"tenant_id": "other"}, set()),
        ({"released_at": WRITTEN}, set()),
    ],
    ids=["tenant", "subject", "period", "earlier", "other-tenant", "released"],
)
async def test_what_a_hold_may_cover_stays(
    rooms: Rooms, named: dict[str, object], kept: set[str]
) -> None:
    rooms.tenant("other")
    folder = rooms.folder()
    for name in ALL:
        put(folder / name)
    hold(rooms, **named)
    (standing,) = await rooms.made().look(DUE)
    assert standing.held == len(kept)
    assert await rooms.take() == {"fax": 3 - len(kept)}
    assert set(names(folder)) == kept


async def test_a_hold_that_comes_after_the_look_still_keeps(rooms: Rooms) -> None:
    folder = rooms.folder()
    put(folder / "one.tif")
    rooms.before_write = lambda: hold(rooms, tenant_id="acme")
    assert await rooms.take() == {"fax": 0}
    assert names(folder) == ["one.tif"]


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


async def test_all_of_a_tenant_goes_whatever_its_age_but_not_what_is_held(rooms: Rooms) -> None:
    rooms.tenant("beta")
    owners = {"a": "acme", "b": "beta"}
    folder = rooms.folder("vm", "voicemail", tenants=owners, layout="voicemail")
    for context in "ab":
        put(folder / context / "100" / "unavail.wav")
        put(folder / context / "100" / "INBOX" / "msg0000.wav")
    fax = rooms.folder()
    put(fax / "33612345678.tif")
    put(fax / "447700900123.tif")
    at = WRITTEN + timedelta(hours=2)
    folders = rooms.made()
    assert await folders.left("acme", at) == {"voicemail": 2, "fax": 2}
    assert await folders.take_all("acme", at, {"voicemail"}) == {"voicemail": 2}
    assert names(rooms.base / "managed" / "vm") == ["b/100/INBOX/msg0000.wav", "b/100/unavail.wav"]
    hold(rooms, subject="+33612345678")
    assert await folders.take_all("acme", at) == {"voicemail": 0, "fax": 1}
    assert await folders.left("acme", at) == {"fax": 1}
    assert names(fax) == ["33612345678.tif"]
    await folders.take_all("acme", WRITTEN)
    fax.rename(rooms.base / "away")
    with pytest.raises(FolderError, match="is not there"):
        await folders.left("acme", at)


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


def cursor(rooms: Rooms, file: Path, position: int) -> None:
    values = {"pbx": "east", "inode": file.stat().st_ino, "position": position}
    with rooms.database.writing() as connection:
        connection.execute(cdr_cursors.delete())
        connection.execute(insert(cdr_cursors).values(values))


async def test_no_call_records_go_that_are_not_read_yet(rooms: Rooms) -> None:
    folder = rooms.folder("cdr", "call_record", files=["callguard.csv*"])
    live = put(folder / "callguard.csv", b"live", WRITTEN)
    newer = put(folder / "callguard.csv.1", b"12345", WRITTEN - 10 * SECOND)
    older = put(folder / "callguard.csv.2", b"12345", WRITTEN - 20 * SECOND)
    secret = rooms.base / "secret"
    rooms.asterisk.append(Asterisk(name="east", secret_file=secret, cdr_file=live))
    assert await rooms.take() == {"call_record": 0}  # nothing was read
    cursor(rooms, older, 4)
    assert await rooms.take() == {"call_record": 0}
    cursor(rooms, older, 5)
    assert await rooms.take() == {"call_record": 1}
    assert names(folder) == ["callguard.csv", "callguard.csv.1"]
    cursor(rooms, live, 0)
    assert await rooms.take() == {"call_record": 1}
    assert names(folder) == ["callguard.csv"]
    cursor(rooms, live, 4)
    assert await rooms.take() == {"call_record": 0}
    assert not newer.exists()


@pytest.mark.parametrize("name", ["callguard.csv.1.gz", "callguard-20261120.csv"])
async def test_call_records_under_any_name_of_rotation_wait_until_they_are_read(
    rooms: Rooms, name: str
) -> None:
    folder = rooms.folder("cdr", "call_record", files=["callguard*"])
    live = put(folder / "callguard.csv", b"live", WRITTEN)
    away = put(folder / name, b"12345", WRITTEN - SECOND)
    secret = rooms.base / "secret"
    rooms.asterisk.append(Asterisk(name="east", secret_file=secret, cdr_file=live))
    cursor(rooms, away, 4)
    assert await rooms.take() == {"call_record": 0}
    cursor(rooms, live, 4)
    assert await rooms.take() == {"call_record": 1}


async def test_a_folder_too_deep_is_told(rooms: Rooms) -> None:
    folder = rooms.folder()
    put(folder.joinpath(*["d"] * 16) / "last.tif")
    put(folder.joinpath(*["d"] * 17) / "hidden.tif")
    assert await rooms.take() == {"fax": 1}
    (line,) = await rooms.faults()
    assert "more than 16 folders deep" in line


async def test_only_one_process_takes_at_a_time(rooms: Rooms) -> None:
    put(rooms.folder() / "one.tif")
    another = alone(rooms.base / "data" / "folders.lock")
    with another, pytest.raises(FolderError, match="another process"):
        await rooms.take()
    assert await rooms.take() == {"fax": 1}


async def test_a_folder_within_another_is_refused_and_one_path_twice_is_not(rooms: Rooms) -> None:
    outer = rooms.folder("outer")
    rooms.folder("inner", "recording", path=outer / "inner")
    put(outer / "inner" / "one.tif")
    folders = rooms.made()
    assert await folders.take(DUE) == {}
    assert len(folders.alarms) == 2
    rooms.folders.clear()
    rooms.folder("tif", "fax", path=outer, files=["*.tif"])
    rooms.folder("txt", "transcript", path=outer, files=["*.txt"])
    put(outer / "two.txt")
    assert await rooms.take() == {"fax": 1, "transcript": 1}


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


async def test_what_a_killed_run_counted_and_a_hold_keeps_is_not_certified(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = rooms.folder()
    for name in ("one-33612345678.tif", "two-447700900123.tif"):
        put(folder / name, b"1234567")

    def killed(fd: int, file: File) -> Outcome:
        raise RuntimeError("killed")

    monkeypatch.setattr("callguard.retention.folders.taking.take", killed)
    with pytest.raises(RuntimeError, match="killed"):
        await rooms.take()
    monkeypatch.undo()
    assert rooms.certificates()[0]["taken"] == 2
    hold(rooms, subject="+33612345678")
    assert await rooms.take() == {"fax": 0}
    assert names(folder) == ["one-33612345678.tif"]
    (first, *_) = rooms.certificates()
    told = {name: first[name] for name in ("taken", "files", "bytes", "tenants")}
    assert told == {"taken": 1, "files": 1, "bytes": 7, "tenants": {"acme": 1}}
