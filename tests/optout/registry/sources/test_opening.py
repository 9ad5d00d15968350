"""Files as they come: plain, gzipped, zipped, damaged."""

import contextlib
import gzip
import hashlib
import os
import struct
import threading
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from callguard.config import RegistryList
from callguard.optout.registry.contract import RegistryError
from callguard.optout.registry.sources import open_sources, opening
from callguard.optout.registry.sources.lines import ahead
from tests.optout.registry.sources.texts import read_files, read_text, zip_of

TEXT = b"".join(b"201,%07d\n" % (2_000_000 + 7 * n) for n in range(20_000))
NUMBERS = [12_012_000_000 + 7 * n for n in range(20_000)]


def refused(path: Path) -> str:
    with pytest.raises(RegistryError) as error:
        read_files([path], "us-dnc", block=4096)
    said = str(error.value)
    assert said.startswith(path.name)
    assert said.isprintable()
    return said


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("block", [1000, 1 << 20])
def test_an_archive_is_read_like_the_files_in_it(tmp_path: Path, method: int, block: int) -> None:
    cut = 12 * 7777
    members = {"lists/": b"", "lists/a.txt": TEXT[:cut], "b.txt": TEXT[cut:], ".DS_Store": b"\0"}
    members |= {"__MACOSX/lists/._a.txt": b"\0"}
    path = zip_of(tmp_path / "list.zip", members, method)
    with pytest.raises(RegistryError, match=r"is for \+1201, as is"):
        read_files([path], "us-dnc", block=block)  # both halves are of one area code
    path = zip_of(tmp_path / "one.zip", {"lists/": b"", "lists/a.txt": TEXT, ".x": b"\0"}, method)
    read = read_files([path], "us-dnc", block=block)
    assert read.numbers == NUMBERS
    assert read.source.name == "one.zip:lists/a.txt"
    assert read.source.size == len(TEXT)
    assert read.source.digest() == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_members_of_an_archive_come_one_after_another(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "e.zip", {"a": b"+12015550123\n", "b": b"+12015550124\n"})
    read = read_files([path], "e164")
    assert read.numbers == [12015550123, 12015550124]
    assert [source.name for source in read.sources] == ["e.zip:a", "e.zip:b"]
    assert len({source.digest() for source in read.sources}) == 1


def test_a_gzipped_file_is_read_like_the_plain_one(tmp_path: Path) -> None:
    path = tmp_path / "2026-11-1_201_x.txt.gz"
    path.write_bytes(gzip.compress(TEXT[:1200]) + gzip.compress(TEXT[1200:]))
    read = read_files([path], "us-dnc", block=1000)
    assert read.numbers == NUMBERS
    assert read.source.covers == ("+1201",)
    assert read.source.digest() == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_digest_is_of_the_file_as_it_lies_there_read_or_not(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(TEXT)
    digest = hashlib.sha256(TEXT).hexdigest()
    assert read_files([path], "us-dnc", block=999).source.digest() == digest
    for source in open_sources([path], RegistryList(), "us-dnc"):
        assert source.digest() == digest
    for source in open_sources([path], RegistryList(), "us-dnc", 4096):
        next(source.batches())
        assert source.digest() == digest


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_an_archive_that_was_cut_off_is_refused(tmp_path: Path, share: float) -> None:
    for path, raw in (
        (tmp_path / "list.zip", zip_of(tmp_path / "whole", {"a": TEXT}).read_bytes()),
        (tmp_path / "list.gz", gzip.compress(TEXT)),
    ):
        path.write_bytes(raw[: int(len(raw) * share)])
        said = refused(path)
        assert "cut off" in said or "its beginning is lost" in said


def test_a_flipped_bit_in_an_archive_is_refused(tmp_path: Path) -> None:
    whole = zip_of(tmp_path / "whole", {"a": TEXT}).read_bytes()
    for raw, name in ((whole, "list.zip"), (gzip.compress(TEXT), "list.gz")):
        for at in range(60, len(raw) - 200, len(raw) // 17):
            path = tmp_path / name
            path.write_bytes(raw[:at] + bytes((raw[at] ^ 4,)) + raw[at + 1 :])
            refused(path)


def test_a_wrong_check_sum_is_refused_at_the_end(tmp_path: Path) -> None:
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        path = zip_of(tmp_path / "list.zip", {"a": TEXT}, method)
        right, wrong = zlib.crc32(TEXT), zlib.crc32(TEXT) ^ 1
        path.write_bytes(
            path.read_bytes().replace(struct.pack("<I", right), struct.pack("<I", wrong))
        )
        assert "CRC" in refused(path)
    path = tmp_path / "list.gz"
    raw = gzip.compress(TEXT)
    path.write_bytes(raw[:-8] + struct.pack("<I", wrong) + raw[-4:])
    assert "CRC" in refused(path)


def test_what_unpacks_to_more_than_a_list_can_have_is_refused(tmp_path: Path) -> None:
    bomb = b"201,5550123\n" * 4_000_000
    path = zip_of(tmp_path / "bomb.zip", {"a": bomb})
    assert "would unpack to 48000000 bytes" in refused(path)
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(bomb))
    assert "unpacks to more than a list can have" in refused(path)


def test_what_unpacks_to_more_than_the_archive_says_is_refused(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "list.zip", {"a": TEXT})
    raw = path.read_bytes()
    path.write_bytes(raw.replace(struct.pack("<I", len(TEXT)), struct.pack("<I", 1200)))
    assert "damaged or cut off" in refused(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_archives_that_nobody_packs_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.zip"
    assert "holds no file" in refused(zip_of(path, {}))
    assert "holds no file" in refused(zip_of(path, {"folder/": b"", ".hidden": b"x"}))
    assert "packed in a way" in refused(zip_of(path, {"a": TEXT}, zipfile.ZIP_BZIP2))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", TEXT)
        archive.writestr("a", TEXT)
    assert "two files of one name" in refused(path)
    zip_of(path, {"a": TEXT})
    raw = bytearray(path.read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        raw[raw.index(mark) + flags] |= 1
    path.write_bytes(raw)
    assert "is encrypted" in refused(path)
    path.write_bytes(TEXT)
    assert "cut off" in refused(path)
    inner = zip_of(tmp_path / "inner", {"a": TEXT}).read_bytes()
    refused(zip_of(path, {"inner.zip": inner}))


def test_an_archive_of_too_many_files_or_too_large_a_directory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = zip_of(tmp_path / "list.zip", {f"{n}": b"+12015550123\n" for n in range(50)})
    monkeypatch.setattr(opening, "MAX_MEMBERS", 49)
    assert "holds 50 files, at most 49" in refused(path)
    monkeypatch.setattr(opening, "_DIRECTORY", 1000)
    assert "directory is too large" in refused(path)


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    folder, pipe = tmp_path / "folder", tmp_path / "pipe"
    folder.mkdir()
    os.mkfifo(pipe)
    assert "is no file" in refused(folder)
    assert "is no file" in refused(pipe)
    assert "No such file" in refused(tmp_path / "missing")


def test_names_are_shown_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "li\nst\x1b[0m\u202e.txt"
    path.write_bytes(b"1\n")
    with pytest.raises(RegistryError) as error:
        read_files([path], "us-dnc")
    assert str(error.value).startswith(r"li\nst\x1b[0m\u202e.txt, line 1")


def test_a_file_given_twice_is_refused(tmp_path: Path) -> None:
    path, copy, link = tmp_path / "a.txt", tmp_path / "b.txt", tmp_path / "c.txt"
    path.write_bytes(b"+12015550123\n")
    copy.write_bytes(path.read_bytes())
    link.symlink_to(path)
    for twice in ([path, path], [path, link]):
        with pytest.raises(RegistryError, match="is given twice"):
            open_sources(twice, RegistryList(), "e164")
    with pytest.raises(RegistryError, match=r"b\.txt: is the same file as a\.txt"):
        read_files([path, copy], "e164")
    archive, other = (zip_of(tmp_path / f"{n}.zip", {"x": b"+12015550124\n"}) for n in (1, 2))
    other.write_bytes(archive.read_bytes())
    with pytest.raises(RegistryError, match=r"2\.zip:x: is the same file as 1\.zip"):
        read_files([archive, other], "e164")


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    for name in ("list.txt", "list.gz"):
        path = tmp_path / name
        path.write_bytes(gzip.compress(TEXT) if name.endswith("gz") else TEXT)
        sources = open_sources([path], RegistryList(), "us-dnc", 4096)
        batches = next(sources).batches()
        next(batches)
        os.utime(path, (1, 1))
        with pytest.raises(RegistryError, match="changed while it was read"):
            list(batches)


def test_no_file_at_all_is_refused() -> None:
    with pytest.raises(RegistryError, match="no file is named"):
        open_sources([], RegistryList(), "e164")


def test_only_one_file_is_open_at_a_time_and_none_behind_the_last(tmp_path: Path) -> None:
    paths = []
    for code in range(300, 310):
        paths.append(tmp_path / f"2026-11-1_{code}_x.txt")
        paths[-1].write_bytes(b"%d,5550123\n" % code)
    most = 0
    for source in open_sources(paths, RegistryList(), "us-dnc"):
        for _ in source.batches():
            most = max(most, _open_under(tmp_path))
    assert most == 1
    assert _open_under(tmp_path) == 0


def _open_under(folder: Path) -> int:
    """How many files of a folder this process holds open."""
    found = 0
    for link in os.listdir("/proc/self/fd"):  # noqa: PTH208 - links without targets
        with contextlib.suppress(OSError):
            found += os.readlink(f"/proc/self/fd/{link}").startswith(str(folder))  # noqa: PTH115
    return found


def test_whoever_stops_halfway_leaves_no_thread(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(TEXT)
    sources = open_sources([path], RegistryList(), "us-dnc", 1000)
    batches = next(sources).batches()
    next(batches)
    batches.close()
    sources.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("list")]


def test_what_is_read_ahead_keeps_its_order_and_its_faults() -> None:
    assert list(ahead(iter(range(100)))) == list(range(100))

    def failing() -> Iterator[int]:
        yield 1
        raise RegistryError("no more")

    items = ahead(failing())
    assert next(items) == 1
    with pytest.raises(RegistryError, match="no more"):
        next(items)


def test_a_line_without_an_end_is_given_up_soon(tmp_path: Path) -> None:
    began = time.monotonic()
    path = tmp_path / "list.txt"
    with path.open("wb") as file:
        file.write(TEXT)
        file.truncate(8 << 30)
    assert "line 20001: is longer than" in refused(path)
    assert time.monotonic() - began < 5


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="is empty"):
        read_text(tmp_path, b"", "e164")
    assert "is empty" in refused(zip_of(tmp_path / "list.zip", {"a": b""}))
