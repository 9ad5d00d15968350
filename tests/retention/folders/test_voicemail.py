"""Voice messages go whole, on their second, under Asterisk's lock; greetings never by their age."""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert

from callguard.retention.folders import locking, voicemail
from callguard.retention.folders.locking import MARK, FolderBusyError, locked
from callguard.retention.folders.walk import File
from callguard.storage.schema import holds
from tests.retention.folders.conftest import DUE, SECOND, WRITTEN, Rooms, names, put, put_message


@pytest.fixture
def spool(rooms: Rooms) -> Path:
    return rooms.folder("vm", "voicemail", layout="voicemail")


@contextmanager
def folder_of(path: Path) -> Iterator[int]:
    path.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


async def test_a_message_goes_whole_on_its_second_though_its_files_were_copied_since(
    rooms: Rooms, spool: Path
) -> None:
    inbox = spool / "default" / "100" / "INBOX"
    put_message(inbox, 0)
    put_message(inbox, 1, WRITTEN + SECOND)
    put(inbox / "msg0000intro.wav")
    assert await rooms.take(DUE - SECOND) == {"voicemail": 0}
    assert len(names(inbox)) == 7
    assert await rooms.take(DUE) == {"voicemail": 1}
    assert names(inbox) == ["msg0001.gsm", "msg0001.txt", "msg0001.wav"]
    (found,) = rooms.certificates()
    assert (found["taken"], found["files"]) == (1, 4)
    assert await rooms.take(DUE + SECOND) == {"voicemail": 1}
    assert names(spool) == []


async def test_greetings_passwords_and_other_things_of_a_mailbox_stay(
    rooms: Rooms, spool: Path
) -> None:
    mailbox = spool / "default" / "100"
    stay = ["busy.wav", "greet.gsm", "secret.conf", "temp.WAV", "unavail.wav"]
    for name in stay:
        put(mailbox / name, at=WRITTEN - timedelta(days=900))
    put(mailbox / "INBOX" / "note.wav", at=WRITTEN - timedelta(days=900))
    put(mailbox / "INBOX" / "msg12.txt", at=WRITTEN - timedelta(days=900))
    put(mailbox / "tmp" / "Ab3dE.wav")  # the caller hung up as Asterisk crashed
    put_message(mailbox / "Old", 3)
    assert await rooms.take() == {"voicemail": 2}
    assert names(mailbox) == ["INBOX/msg12.txt", "INBOX/note.wav", *stay]


async def test_sound_without_a_text_goes_by_its_own_time(rooms: Rooms, spool: Path) -> None:
    put(spool / "default" / "100" / "INBOX" / "msg0000.wav")
    assert await rooms.take(DUE - SECOND) == {"voicemail": 0}
    assert await rooms.take(DUE) == {"voicemail": 1}


@pytest.mark.parametrize("told", ["", "origtime=0", "origtime=soon", "origtime=99999999999", "\0"])
async def test_a_text_that_says_no_time_is_not_believed(
    rooms: Rooms, spool: Path, told: str
) -> None:
    put(spool / "default" / "100" / "INBOX" / "msg0000.txt", told.encode())
    assert await rooms.take(DUE - SECOND) == {"voicemail": 0}
    assert await rooms.take(DUE) == {"voicemail": 1}


async def test_a_hold_on_the_caller_keeps_the_message_and_no_other(
    rooms: Rooms, spool: Path
) -> None:
    inbox = spool / "default" / "100" / "INBOX"
    for number, caller in enumerate(("+33612345678", "0612345678", "+33699999999", "Unknown")):
        put_message(inbox, number, caller=caller)
    row = {"id": "h", "reason": "court", "author": "x", "at": WRITTEN, "subject": "+33612345678"}
    with rooms.database.writing() as connection:
        connection.execute(insert(holds).values(row))
    assert await rooms.take() == {"voicemail": 1}
    assert {name[:7] for name in names(inbox)} == {"msg0000", "msg0001", "msg0003"}


async def test_a_message_that_got_another_number_meanwhile_stays_whole(
    rooms: Rooms, spool: Path
) -> None:
    inbox = spool / "default" / "100" / "INBOX"
    put_message(inbox, 0)
    put_message(inbox, 1, WRITTEN + timedelta(days=3))

    def renumbered() -> None:
        for ending in ("gsm", "txt", "wav"):
            (inbox / f"msg0001.{ending}").rename(inbox / f"msg0000.{ending}")

    rooms.before_write = renumbered
    assert await rooms.take() == {"voicemail": 0}
    assert names(inbox) == ["msg0000.gsm", "msg0000.txt", "msg0000.wav"]
    assert await rooms.take(DUE + timedelta(days=3)) == {"voicemail": 1}


async def test_a_folder_that_asterisk_has_locked_is_left_and_told(
    rooms: Rooms, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callguard.retention.folders.taking.WAIT_S", 0.05)
    inbox = spool / "default" / "100" / "INBOX"
    put_message(inbox, 0)
    put_message(spool / "default" / "101" / "INBOX", 0)
    put(inbox / ".lock", b"")
    folders = rooms.made()
    assert await folders.take(DUE) == {"voicemail": 1}
    assert len(names(inbox)) == 4
    assert "in the way" in folders.alarms[0]
    (told,) = await rooms.faults()
    assert told == "default/100/INBOX: a lock was left, so no message is kept there"
    (inbox / ".lock").unlink()
    assert await rooms.take() == {"voicemail": 1}
    assert names(inbox) == []


async def test_the_lock_of_a_killed_callguard_is_taken_away_by_a_look(
    rooms: Rooms, spool: Path
) -> None:
    inbox = spool / "default" / "100" / "INBOX"
    put(inbox / ".lock", MARK)
    put(inbox / ".lock-callguard-00000000", MARK)
    put(inbox / ".lock-callguard-00000001", b"")
    put(inbox / ".lock-0badcafe", b"")
    await rooms.made().look(DUE)
    assert names(inbox) == [".lock-0badcafe"]


def test_the_lock_is_what_asterisk_looks_for_and_leaves_nothing(tmp_path: Path) -> None:
    with folder_of(tmp_path / "INBOX") as fd:
        with locked(fd, 0):
            assert names(tmp_path / "INBOX") == [".lock", "lock"]
            with pytest.raises(FileExistsError):  # lockmode = lockfile
                os.link(tmp_path / "INBOX" / "lock", tmp_path / "INBOX" / ".lock")
            with (tmp_path / "INBOX" / "lock").open("w") as theirs, pytest.raises(BlockingIOError):
                fcntl.flock(theirs, fcntl.LOCK_EX | fcntl.LOCK_NB)  # lockmode = flock
            with pytest.raises(FolderBusyError), locked(fd, 0.02):
                pass
        assert names(tmp_path / "INBOX") == []


@pytest.mark.parametrize("name", [".lock", "lock"])
def test_a_lock_is_waited_for(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with folder_of(tmp_path) as fd, path.open("w") as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX)
        with pytest.raises(FolderBusyError), locked(fd, 0.02):
            pass
        assert names(tmp_path) == [name]

        def unlock() -> None:
            path.unlink()
            theirs.close()

        threading.Timer(0.05, unlock).start()
        with locked(fd, 5):
            pass
    assert names(tmp_path) == []


@pytest.mark.parametrize("how", ["link", "hard link", "pipe", "folder"])
def test_a_lock_that_is_none_is_never_touched(tmp_path: Path, how: str) -> None:
    target = put(tmp_path / "target", b"text")
    target.chmod(0o600)
    mailbox = tmp_path / "INBOX"
    mailbox.mkdir()
    for name in ("lock", ".lock"):
        if how == "link":
            (mailbox / name).symlink_to(target)
        elif how == "hard link":
            os.link(target, mailbox / name)
        elif how == "pipe":
            os.mkfifo(mailbox / name)
        else:
            (mailbox / name).mkdir()
    with folder_of(mailbox) as fd:
        with pytest.raises((FolderBusyError, OSError)), locked(fd, 0):
            pass
        if how != "folder":
            (mailbox / ".lock").unlink()
            with pytest.raises((FolderBusyError, OSError)), locked(fd, 0):
                pass
    assert [one.name for one in mailbox.iterdir() if one.name.startswith("lock")] == ["lock"]
    assert not (mailbox / ".lock").exists() or how == "folder"
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (b"text", 0o600)


def test_a_lock_of_a_living_callguard_is_not_taken_away(tmp_path: Path) -> None:
    with folder_of(tmp_path) as fd, locked(fd, 0):
        assert locking.take_away_left(fd, names(tmp_path)) == 0
        assert names(tmp_path) == [".lock", "lock"]


def file(name: str) -> File:
    return File(name, 1, 1, 1, 1, 1, 1)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("msg0000.txt", 0),
        ("msg0042.wav", 42),
        ("msg0042.WAV", 42),
        ("msg12345.gsm", 12345),
        ("msg0001intro.wav", 1),
        ("msg0001-bak.txt", 1),
        ("msg0001.txt.bak", 1),
        ("msg001.txt", None),
        ("msg00001.txt", None),
        ("msg0001", None),
        ("xmsg0001.txt", None),
        ("msg0001.txt\n", None),
        ("msg٠٠٠١.txt", None),
        ("unavail.wav", None),
        (".lock", None),
    ],
)
def test_which_names_are_of_a_message(name: str, number: int | None) -> None:
    assert voicemail.number_of(name) == number


def test_the_text_is_the_last_of_a_message_to_go() -> None:
    files = [file(n) for n in ("msg0001.txt", "msg0001.wav", "msg0000.txt", "msg0001.gsm")]
    first, second = voicemail.messages_of(files)
    assert [one.name for one in first.files] == ["msg0000.txt"]
    assert [one.name for one in second.files] == ["msg0001.gsm", "msg0001.wav", "msg0001.txt"]


@given(st.binary(max_size=300))
def test_any_text_is_read(data: bytes) -> None:
    said = voicemail.read_text(data)
    assert all(isinstance(value, str) for value in said.values())
