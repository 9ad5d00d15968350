"""The spool: opaque names, a closed door, and plaintext that goes as soon as it may."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from callguard.recording import spool
from callguard.recording.spool import Release, Spool, SpoolEntryMissing, SpoolError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def ready(folder: Path) -> Spool:
    made = Spool(folder, floor=1)
    made.prepare()
    return made


def test_a_missing_folder_is_made_for_this_user_alone(folder: Path) -> None:
    before = os.umask(0)
    try:
        Spool(folder, floor=1).prepare()
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o7777 == 0o700


def test_a_shared_folder_admits_the_group_and_no_more(folder: Path) -> None:
    shared = Spool(folder, floor=1, shared_group=True)
    shared.prepare()
    assert folder.stat().st_mode & 0o7777 == 0o2770
    shared.prepare()
    with pytest.raises(SpoolError, match="must be 0700"):
        Spool(folder, floor=1).prepare()


@pytest.mark.parametrize("mode", [0o755, 0o701, 0o770, 0o740])
def test_a_folder_that_others_can_enter_is_refused(folder: Path, mode: int) -> None:
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(SpoolError, match=f"mode {mode:04o}; it must be 0700"):
        Spool(folder, floor=1).prepare()


def test_a_folder_that_is_none_or_leads_elsewhere_is_refused(folder: Path, tmp_path: Path) -> None:
    folder.write_bytes(b"")
    with pytest.raises(SpoolError, match="not a folder"):
        Spool(folder, floor=1).prepare()
    link = tmp_path / "link"
    link.symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(SpoolError, match="not a folder"):
        Spool(link, floor=1).prepare()
    with pytest.raises(SpoolError, match="cannot prepare spool entry folder"):
        Spool(folder / "below", floor=1).prepare()


def test_names_are_opaque_and_never_repeat(ready: Spool) -> None:
    names = {ready.new_name() for _ in range(1000)}
    assert len(names) == 1000
    for name in names:
        stem, _, extension = name.partition(".")
        assert len(bytes.fromhex(stem)) == 16
        assert extension == "sln"
        assert ready.path(name).parent == ready.folder
    assert ready.new_name("sln16").endswith(".sln16")


@pytest.mark.parametrize("extension", ["", "S", "../x", "a b", "sln,b", "toolonger"])
def test_an_extension_that_asterisk_could_misread_is_refused(ready: Spool, extension: str) -> None:
    with pytest.raises(ValueError, match="extension"):
        ready.new_name(extension)


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "/x", ".x", "a\0", "a\n"])
def test_a_name_that_leads_elsewhere_is_refused(ready: Spool, name: str) -> None:
    for act in (ready.path, ready.open, ready.remove):
        with pytest.raises(SpoolError, match="not the name of a spool entry"):
            act(name)


MOUNTS = """\
1 0 {other} / / rw - ext4 /dev/vda rw
malformed line
2 1 {device} / /run/x rw,nosuid shared:5 master:1 - {kind} none rw,size=1g
"""


@pytest.mark.parametrize(
    ("kind", "in_memory"), [("tmpfs", True), ("ramfs", True), ("ext4", False), ("tmpfsx", False)]
)
def test_the_mount_table_tells_memory_from_disk(
    ready: Spool, tmp_path: Path, kind: str, in_memory: bool
) -> None:
    device = ready.folder.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    table = tmp_path / "mounts"
    table.write_text(MOUNTS.format(other="4095:1", device=number, kind=kind))
    assert ready.is_in_memory(table) is in_memory


def test_what_cannot_be_told_is_taken_for_a_disk(ready: Spool, tmp_path: Path) -> None:
    assert not ready.is_in_memory(tmp_path / "none")
    (tmp_path / "empty").write_text("")
    assert not ready.is_in_memory(tmp_path / "empty")
    assert not Spool(tmp_path / "gone", floor=1).is_in_memory()


def test_the_systems_own_mount_table_is_understood() -> None:
    table = Path("/proc/self/mountinfo").read_text()
    on_top = {line.split()[4]: " - tmpfs " in line for line in table.splitlines()}
    memory = [Path(point) for point, is_tmpfs in on_top.items() if is_tmpfs]
    seen = [point for point in memory if os.access(point, os.X_OK)]
    assert all(Spool(point, floor=1).is_in_memory() for point in seen)
    assert not Spool(Path("/proc"), floor=1).is_in_memory()


def test_room_is_free_space_at_or_above_the_floor(folder: Path) -> None:
    folder.mkdir()
    status = os.statvfs(folder)
    assert Spool(folder, floor=0).has_room()
    assert Spool(folder, floor=1).has_room()
    assert not Spool(folder, floor=status.f_blocks * status.f_frsize + 1).has_room()
    assert not Spool(folder / "gone", floor=0).has_room()


def test_an_entry_is_read_while_it_grows(ready: Spool) -> None:
    name = ready.new_name()
    with ready.path(name).open("wb") as asterisk:
        asterisk.write(b"abcdef")
        asterisk.flush()
        with ready.open(name) as entry:
            assert entry.size() == 6
            assert entry.read(2, 3) == b"cde"
            assert entry.read(4, 100) == b"ef"
            assert entry.read(6, 10) == b""
            asterisk.write(b"ghi")
            asterisk.flush()
            assert entry.size() == 9
            assert entry.read(6, 10) == b"ghi"


def test_a_folder_of_another_user_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever owns it can put there what they like, and read all that comes."""
    folder.mkdir(mode=0o700)
    owner = folder.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    if owner == 0:  # root's own folder is nobody's trap
        Spool(folder, floor=1).prepare()
        os.chown(folder, 65_534, -1)
    with pytest.raises(SpoolError, match="belongs to another user"):
        Spool(folder, floor=1).prepare()


def test_an_entry_has_a_writer_until_every_writer_has_closed_it(ready: Spool) -> None:
    name = ready.new_name()
    with ready.path(name).open("wb") as asterisk:
        with ready.path(name).open("ab"):
            assert ready.has_writer(name) is True
        assert ready.has_writer(name) is True
        asterisk.write(b"x")
    assert ready.has_writer(name) is False
    with ready.path(name).open("rb"):
        assert ready.has_writer(name) is False


def test_asking_for_a_writer_leaves_no_lease_behind(ready: Spool) -> None:
    """One that stayed would hold up whoever opens the entry to write, and signal this process."""
    path = ready.path(_entry(ready, b"x"))
    assert ready.has_writer(path.name) is False
    leases = [line for line in Path("/proc/locks").read_text().splitlines() if "LEASE" in line]
    assert not any(f":{path.stat().st_ino} " in line for line in leases)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EINVAL, errno.ENOLCK])
def test_where_the_system_grants_no_lease_the_writer_is_unknown(
    ready: Spool, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    name = _entry(ready, b"x")

    def refuse(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    assert ready.has_writer(name) is None


def test_an_entry_that_is_not_there_has_no_writer_to_tell_of(ready: Spool) -> None:
    with pytest.raises(SpoolEntryMissing, match="there is none"):
        ready.has_writer(ready.new_name())


def _entry(ready: Spool, data: bytes) -> str:
    name = ready.new_name()
    ready.path(name).write_bytes(data)
    return name


def test_released_plaintext_is_gone_and_the_rest_stays(ready: Spool) -> None:
    name = _entry(ready, b"s" * 100_000)
    before = ready.path(name).stat().st_blocks
    with ready.open(name) as entry:
        assert entry.release(0, 65_492) is Release.PUNCHED
        assert entry.size() == 100_000
        assert entry.read(0, 65_492) == bytes(65_492)
        assert entry.read(65_492, 100_000) == b"s" * 34_508
    assert ready.path(name).stat().st_blocks < before


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.ENOSYS])
def test_where_no_hole_can_be_punched_the_plaintext_is_overwritten(
    ready: Spool, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(spool, "_fallocate", refuse)
    name = _entry(ready, b"s" * 200_000)
    with ready.open(name) as entry:
        assert entry.release(10, 150_000) is Release.ZEROED
        assert entry.read(0, 200_000) == b"s" * 10 + bytes(150_000) + b"s" * 49_990
        assert entry.release(190_000, 50_000) is Release.ZEROED
        assert entry.size() == 200_000


def test_a_library_without_fallocate_counts_as_a_system_without_holes(
    ready: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "_LIBC", object())
    name = _entry(ready, b"secret")
    with ready.open(name) as entry:
        assert entry.release(0, 6) is Release.ZEROED
        assert entry.read(0, 6) == bytes(6)


def test_plaintext_that_will_not_go_is_reported(ready: Spool) -> None:
    path = ready.path(_entry(ready, b"secret"))
    descriptor = os.open(path, os.O_RDONLY)  # a hole needs write access: the kernel says EBADF
    with (
        spool.SpoolEntry(path.name, descriptor) as entry,
        pytest.raises(SpoolError, match=r"cannot release spool entry .*: Bad file descriptor"),
    ):
        entry.release(0, 6)
    assert path.read_bytes() == b"secret"


@pytest.mark.parametrize(("offset", "length"), [(-1, 5), (0, 0), (0, -5)])
def test_a_hole_without_length_is_a_mistake_of_the_caller(
    ready: Spool, offset: int, length: int
) -> None:
    with (
        ready.open(_entry(ready, b"x")) as entry,
        pytest.raises(ValueError, match="a hole has a length"),
    ):
        entry.release(offset, length)


def test_removing_is_for_good_and_may_be_repeated(ready: Spool) -> None:
    name = _entry(ready, b"x")
    assert ready.remove(name) is True
    assert ready.remove(name) is False
    with pytest.raises(SpoolEntryMissing, match="there is none"):
        ready.open(name)


def test_an_entry_may_be_closed_twice(ready: Spool) -> None:
    entry = ready.open(_entry(ready, b"x"))
    entry.close()
    entry.close()
    with pytest.raises(SpoolError, match="Bad file descriptor"):
        entry.size()


def test_only_regular_files_are_opened(ready: Spool, tmp_path: Path) -> None:
    os.mkfifo(ready.folder / "pipe")
    with pytest.raises(SpoolError, match="not a regular file"):
        ready.open("pipe")
    (tmp_path / "outside").write_bytes(b"not ours")
    (ready.folder / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(SpoolError, match="cannot open"):
        ready.open("link")


def test_orphans_are_whatever_no_recording_accounts_for(ready: Spool) -> None:
    names = sorted(_entry(ready, b"x") for _ in range(3))
    (ready.folder / "left-by-someone.wav").write_bytes(b"x")
    assert ready.orphans(names) == ["left-by-someone.wav"]
    assert ready.orphans([]) == sorted([*names, "left-by-someone.wav"])
    with pytest.raises(SpoolError, match="there is none"):
        Spool(ready.folder / "gone", floor=1).orphans([])
