"""Nobody leads callguard out of a managed folder: links, what is exchanged, what is no file."""

import os
import socket
import stat
from contextlib import suppress
from pathlib import Path

import pytest

from callguard.config import Asterisk
from callguard.retention.folders.own import own_places
from callguard.retention.folders.root import FolderError, Root, refuse_system
from tests.retention.folders.conftest import DUE, WRITTEN, Rooms, names, pictured, put


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


async def test_a_folder_too_deep_is_told(rooms: Rooms) -> None:
    folder = rooms.folder()
    put(folder.joinpath(*["d"] * 16) / "last.tif")
    put(folder.joinpath(*["d"] * 17) / "hidden.tif")
    assert await rooms.take() == {"fax": 1}
    (line,) = await rooms.faults()
    assert "more than 16 folders deep" in line
