"""A file has its name once it is whole; otherwise there is none, and nothing is left of it."""

import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from callguard.cdr.export import ExportError, check_place, write_whole


def names(folder: Path) -> list[str]:
    return [one.name for one in folder.iterdir()]


PIECES = [b"one,", b"two\r\n"]


@pytest.fixture(params=["nameless", "named"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With nameless files, and on a file system that has none."""
    if request.param == "named":
        monkeypatch.setattr("callguard.cdr.export.whole_file._OWN_FILES", Path("/nowhere"))
    return str(request.param)


def test_it_is_written_for_its_owner_alone(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "קובץ\nof calls.csv"
    write_whole(out, PIECES)
    assert out.read_bytes() == b"one,two\r\n"
    assert out.stat().st_mode & 0o777 == 0o600
    assert names(tmp_path) == [out.name]


def test_it_takes_the_place_of_another_only_when_told_to(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "calls.csv"
    out.write_bytes(b"old")
    with pytest.raises(ExportError, match="exists already; --force"):
        write_whole(out, PIECES)
    assert out.read_bytes() == b"old"
    write_whole(out, PIECES, force=True)
    assert out.read_bytes() == b"one,two\r\n"
    assert out.stat().st_mode & 0o777 == 0o600
    assert names(tmp_path) == [out.name]


def test_one_that_came_meanwhile_is_not_replaced(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "calls.csv"

    def pieces() -> Iterator[bytes]:
        yield b"ours"
        out.write_bytes(b"theirs")

    with pytest.raises(ExportError, match="exists already"):
        write_whole(out, pieces())
    assert out.read_bytes() == b"theirs"
    assert names(tmp_path) == [out.name]


@pytest.mark.parametrize("force", [False, True])
def test_what_breaks_off_leaves_nothing(tmp_path: Path, kind: str, force: bool) -> None:
    out = tmp_path / "calls.csv"
    if force:
        out.write_bytes(b"old")

    def pieces() -> Iterator[bytes]:
        yield b"half"
        raise LookupError("the database is gone")

    with pytest.raises(LookupError):
        write_whole(out, pieces(), force=force)
    assert names(tmp_path) == ([out.name] if force else [])
    assert not force or out.read_bytes() == b"old"


def test_a_disk_that_fills_is_one_line_and_no_file(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "calls.csv"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(ExportError) as error:
            write_whole(out, [bytes(70_000)] * 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(error.value) == f"{out} was not written: {os.strerror(errno.EFBIG)}"
    assert names(tmp_path) == []


def test_a_disk_that_is_full_only_when_synced_is_one_line_and_no_file(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("callguard.cdr.export.whole_file.os.fsync", full)
    with pytest.raises(ExportError, match="No space left on device"):
        write_whole(tmp_path / "calls.csv", PIECES)
    assert names(tmp_path) == []


_DYING = """
import sys, os, signal
from pathlib import Path
from callguard.cdr.export import write_whole
def pieces():
    yield b"half"
    os.kill(os.getpid(), signal.SIGKILL)
write_whole(Path(sys.argv[1]), pieces(), force=True)
"""


def test_killed_in_its_middle_it_leaves_no_file(tmp_path: Path) -> None:
    out = tmp_path / "calls.csv"
    done = subprocess.run([sys.executable, "-c", _DYING, str(out)], check=False, timeout=20)
    assert done.returncode == -signal.SIGKILL
    assert names(tmp_path) == []


def test_nothing_but_a_regular_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "aim").write_bytes(b"aim")
    (tmp_path / "link").symlink_to("aim")
    for place in (tmp_path, tmp_path / "link", Path("/dev/null")):
        with pytest.raises(ExportError, match="no regular file"):
            check_place(place, force=True)
    with pytest.raises(ExportError, match="there is no folder"):
        check_place(tmp_path / "nowhere" / "calls.csv")
    with pytest.raises(ExportError, match="name too long"):
        check_place(tmp_path / ("x" * 300))


def test_a_folder_that_may_not_be_written_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object, **__: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("callguard.cdr.export.whole_file.os.open", denied)
    with pytest.raises(ExportError, match="Permission denied"):
        write_whole(tmp_path / "calls.csv", PIECES)
