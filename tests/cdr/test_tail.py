"""Following files: whole lines, from where reading stopped, whatever happened to the files."""

import bz2
import gzip
import lzma
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, update

from callguard.cdr import tail as tail_module
from callguard.cdr.family import Family, Head, Member
from callguard.cdr.record import from_line
from callguard.cdr.tail import Cursor, Tail, read_cursor, write_cursor
from callguard.storage.database import Database
from callguard.storage.schema import cdr_cursors
from tests.cdr.lines import START, append, line

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "callguard.csv"


@pytest.fixture
def tail(file: Path) -> Tail:
    return Tail(Family(file, from_line))


def text(number: int) -> str:
    """The line of the ``number``-th call, which ended so many seconds after the first."""
    return line(number, end=f"{START + number:.6f}")


def write(file: Path, *numbers: int) -> None:
    append(file, *(text(number) for number in numbers))


def numbers_of(lines: list[str]) -> list[object]:
    """Which calls they are; what is no record stands for itself, shortened."""
    whole = {text(number): number for number in range(1, 60)}
    return [whole.get(one, one[:12]) for one in lines]


def read(tail: Tail, cursor: Cursor | None = None) -> tuple[list[object], Cursor | None]:
    """All that is new."""
    found: list[str] = []
    for _ in range(200):
        piece = tail.piece(cursor)
        if piece is None:
            return numbers_of(found), cursor
        found += piece.lines
        cursor = piece.cursor
    raise AssertionError("it reads for ever")


def add(path: Path, data: bytes) -> None:
    with path.open("ab") as handle:
        handle.write(data)


def inode(path: Path) -> int:
    return path.stat().st_ino


def rotate(file: Path) -> Path:
    """Renames as logrotate does: .1 is the youngest."""
    for number in range(9, 0, -1):
        for end in ("", *PACKERS):
            old = file.with_name(f"{file.name}.{number}{end}")
            if old.exists():
                old.rename(file.with_name(f"{file.name}.{number + 1}{end}"))
    return file.rename(file.with_name(f"{file.name}.1"))


def pack(path: Path, end: str = ".gz") -> Path:
    packed = path.with_name(path.name + end)
    packed.write_bytes(PACKERS[end](path.read_bytes()))
    path.unlink()
    return packed


def test_a_file_that_is_not_there_or_empty_has_nothing(file: Path, tail: Tail) -> None:
    assert tail.piece(None) is None
    file.touch()
    assert tail.piece(None) is None
    assert Tail(Family(file.parent / "absent" / "callguard.csv", from_line)).piece(None) is None


def test_a_folder_in_its_place_is_an_error(file: Path, tail: Tail) -> None:
    file.mkdir()
    with pytest.raises(OSError, match="no file"):
        tail.piece(None)


def test_a_half_written_line_waits_for_its_end(file: Path, tail: Tail) -> None:
    write(file, 1)
    half = f"{text(2)}\n".encode()
    add(file, half[:30])
    found, cursor = read(tail)
    assert found == [1]
    assert read(tail, cursor) == ([], cursor)
    add(file, half[30:])
    write(file, 3)
    assert read(tail, cursor)[0] == [2, 3]


def test_a_letter_written_in_two_halves_is_whole(file: Path, tail: Tail) -> None:
    write(file, 1)
    word = "שלום\n".encode()
    add(file, word[:3])
    _, cursor = read(tail)
    add(file, word[3:])
    assert read(tail, cursor)[0] == ["שלום"]


ODD = {
    "bytes that are no text": b"a\xffb\n",
    "bytes of nothing": b"\0" * 50 + b"\n",
    "another encoding": "שלום".encode("utf-16") + b"\n",
    "lines that are empty": b"\n\n \n",
}


@pytest.mark.parametrize("data", ODD.values(), ids=ODD.keys())
@pytest.mark.parametrize("place", ["before", "between"])
def test_what_is_no_record_does_not_stop_the_reading(
    file: Path, tail: Tail, data: bytes, place: str
) -> None:
    if place == "between":
        write(file, 1)
    add(file, data)
    write(file, 2, 3)
    found, cursor = read(tail)
    assert [n for n in found if isinstance(n, int)] == ([1] if place == "between" else []) + [2, 3]
    assert cursor is not None
    assert cursor.position == file.stat().st_size


def test_only_a_line_feed_ends_a_line(file: Path, tail: Tail) -> None:
    write(file, 1)
    add(file, "one\u2028still\x0bone\x85\n".encode())
    assert len(read(tail)[0]) == 2


def test_pieces_are_cut_at_line_ends(
    file: Path, tail: Tail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail_module, "PIECE", 700)
    write(file, *range(1, 30))
    assert read(tail)[0] == list(range(1, 30))


@pytest.mark.parametrize("size", [699, 700, 701, 1399, 1400, 1401, 1_000_000])
def test_a_line_longer_than_a_piece_is_one_bad_line(
    file: Path, tail: Tail, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(tail_module, "PIECE", 700)
    write(file, 1)
    add(file, b"x" * size + b"\n")
    write(file, 2)
    found, cursor = read(tail)
    assert (found[0], found[-1], len(found)) == (1, 2, 3)
    assert cursor is not None
    assert cursor.position == file.stat().st_size


def test_a_line_longer_than_a_piece_waits_for_its_end(
    file: Path, tail: Tail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail_module, "PIECE", 700)
    write(file, 1)
    add(file, b"x" * 2_000)
    found, cursor = read(tail)
    assert found == [1]
    add(file, b"\n")
    write(file, 2)
    assert read(tail, cursor)[0][-1] == 2


def test_rubbish_before_the_first_record_is_no_reason_to_wait(file: Path, tail: Tail) -> None:
    add(file, b"rubbish\n" * 10_000)
    write(file, 1)
    assert read(tail)[0][-1] == 1


# --- rotation ---


def test_files_rotated_between_two_looks_are_read_in_the_order_of_their_writing(
    file: Path, tail: Tail
) -> None:
    write(file, 1)
    _, cursor = read(tail)
    for number in range(2, 8):
        write(file, number)
        old = rotate(file)
        os.utime(old, (1000, 1000))  # what a backup or a copy does to times
    assert read(tail, cursor)[0] == [2, 3, 4, 5, 6, 7]
    write(file, 8)
    assert read(tail, cursor)[0] == [2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("end", PACKERS)
def test_packed_files_are_read_from_where_reading_stopped(
    file: Path, tail: Tail, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail_module, "PIECE", 700)
    write(file, 1, 2)
    _, cursor = read(tail)
    write(file, 3, 4, 5, 6)
    pack(rotate(file), end)
    write(file, 7)
    pack(rotate(file), end)
    write(file, 8)
    found, after = read(tail, cursor)
    assert found == [3, 4, 5, 6, 7, 8]
    pack(rotate(file), end)
    write(file, 9)
    assert read(tail, after)[0] == [9]


@pytest.mark.parametrize("name", ["callguard.csv-saved", "callguard.csv.zz"])
@pytest.mark.parametrize("after", [0, 1])
def test_a_copy_that_ends_sooner_keeps_nothing_of_the_rest_from_us(
    file: Path, tail: Tail, name: str, after: int
) -> None:
    write(file, 1, 2)
    if after == 0:
        shutil.copy(file, file.with_name(name))
    write(file, 3)
    _, cursor = read(tail)
    write(file, 4)
    if after == 1:
        shutil.copy(file, file.with_name(name))
    write(file, 5)
    pack(rotate(file))
    write(file, 6)
    assert read(tail, cursor)[0] == [4, 5, 6]
    assert read(tail)[0] == [1, 2, 3, 4, 5, 6]


def test_a_damaged_packed_file_gives_what_is_whole_of_it(file: Path, tail: Tail) -> None:
    write(file, *range(1, 30))
    packed = pack(rotate(file))
    data = packed.read_bytes()
    packed.write_bytes(data[: len(data) - 20])
    write(file, 31)
    found, _ = read(tail)
    assert found[-1] == 31
    assert [n for n in found if isinstance(n, int)][:3] == [1, 2, 3]


def test_what_nobody_can_unpack_is_passed_over_and_said_once(
    file: Path, tail: Tail, capfd: pytest.CaptureFixture[str]
) -> None:
    file.with_name("callguard.csv.1.zst").write_bytes(b"\x28\xb5\x2f\xfd")
    write(file, 1)
    assert read(tail)[0] == [1]
    read(tail)
    assert capfd.readouterr().out.count("call_record_file_not_readable") == 1


def test_the_first_look_takes_the_backlog_the_oldest_first(file: Path, tail: Tail) -> None:
    write(file, 1, 2)
    pack(rotate(file))
    write(file, 3)
    dated = rotate(file).rename(file.with_name("callguard-20261120.csv"))
    write(file, 4)
    shutil.copy(dated, file.with_name("callguard.csv.copy"))
    assert read(tail)[0] == [1, 2, 3, 4]
    without = Tail(Family(file, from_line), backlog=False)
    assert read(without)[0] == [4]


def test_other_files_beside_it_are_none_of_them(file: Path, tail: Tail) -> None:
    for name in ("callguard.csvx", "callguard-old.csv", "other.csv.1", "my-callguard.csv"):
        write(file.with_name(name), 1)
    file.with_name("callguard.csv.d").mkdir()
    write(file, 2)
    assert read(tail)[0] == [2]


def test_names_with_a_pattern_in_them_are_names(tmp_path: Path) -> None:
    file = tmp_path / "call[1]*\n.csv"
    write(file, 1)
    rotate(file)
    write(file, 2)
    assert read(Tail(Family(file, from_line)))[0] == [1, 2]


def test_the_last_line_of_a_rotated_file_needs_no_end(file: Path, tail: Tail) -> None:
    write(file, 1)
    add(file, text(2).encode())
    _, cursor = read(tail)
    rotate(file)
    assert read(tail, cursor) == ([], cursor)
    write(file, 3)
    assert read(tail, cursor)[0] == [2, 3]


def test_a_renamed_file_is_kept_in_sight_until_the_next_one_is_begun(
    file: Path, tail: Tail
) -> None:
    write(file, 1)
    _, cursor = read(tail)
    old = rotate(file)
    assert read(tail, cursor) == ([], cursor)
    file.touch()  # logrotate: create
    write(old, 2)
    found, cursor = read(tail, cursor)
    assert found == [2]
    write(file, 3)
    assert read(tail, cursor)[0] == [3]


def test_what_is_written_while_the_next_file_is_begun_is_read(
    file: Path, tail: Tail, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(file, 1)
    _, cursor = read(tail)
    old = rotate(file)
    write(file, 3)
    look, late = Family.head, [(2, 4)]

    def write_first(family: Family, member: Member) -> Head | None:
        if member.path == file and late:
            write(old, *late.pop())  # Asterisk had it open still
        return look(family, member)

    monkeypatch.setattr(Family, "head", write_first)
    assert read(tail, cursor)[0] == [2, 4, 3]


def test_copying_and_truncating_loses_nothing_that_was_copied(file: Path, tail: Tail) -> None:
    write(file, 1)
    _, cursor = read(tail)
    write(file, 2)
    shutil.copy(file, file.with_name("callguard.csv.1"))
    os.truncate(file, 0)
    found, cursor = read(tail, cursor)
    assert found == [2]
    write(file, 3)
    found, cursor = read(tail, cursor)
    assert found == [3]


@pytest.mark.parametrize("before", [1, 3])
def test_a_file_that_was_emptied_is_read_from_its_start(
    file: Path, tail: Tail, before: int
) -> None:
    write(file, *range(1, before + 1))
    _, cursor = read(tail)
    os.truncate(file, 0)
    assert read(tail, cursor) == ([], cursor)
    write(file, 11, 12)  # shorter than before, and longer
    found, cursor = read(tail, cursor)
    assert found == [11, 12]
    assert read(tail, cursor) == ([], cursor)


def test_another_file_that_got_the_inode_is_another_file(file: Path, tail: Tail) -> None:
    write(file, 1)
    _, cursor = read(tail)
    size = file.stat().st_size
    file.write_text(f"{text(2)}\n")
    assert file.stat().st_size == size
    assert read(tail, cursor)[0] == [2]


def test_a_file_brought_back_from_a_backup_is_read_on(file: Path, tail: Tail) -> None:
    write(file, 1, 2)
    _, cursor = read(tail)
    write(file, 3)
    shutil.copy(file, file.with_name("saved"))
    file.unlink()
    file.with_name("saved").rename(file)
    assert read(tail, cursor)[0] == [3]


def test_an_older_state_of_the_file_is_read_again_as_such(file: Path, tail: Tail) -> None:
    write(file, 1, 2)
    saved = file.read_bytes()
    _, cursor = read(tail)
    write(file, 3, 5)
    _, cursor = read(tail, cursor)
    file.write_bytes(saved)
    write(file, 4)
    assert cursor is not None
    again = tail.piece(cursor)
    assert again is not None
    assert again.cursor.position == 0
    piece = tail.piece(again.cursor)
    assert piece is not None
    assert (numbers_of(list(piece.lines)), piece.again) == ([1, 2, 4], True)
    write(file, 6)
    after = tail.piece(piece.cursor)
    assert after is not None
    assert (numbers_of(list(after.lines)), after.again) == ([6], False)


def test_after_a_file_that_is_gone_comes_the_one_that_is_there(file: Path, tail: Tail) -> None:
    write(file, 1)
    _, cursor = read(tail)
    file.unlink()
    assert read(tail, cursor) == ([], cursor)
    write(file, 2)
    piece = tail.piece(cursor)
    assert piece is not None
    assert piece.cursor.again == file.stat().st_size, "it may have some of the other's"
    assert read(tail, cursor)[0] == [2]


# --- the cursor ---


def test_a_cursor_is_kept_and_replaced(database: Database) -> None:
    def put(connection: Connection, position: int) -> Cursor:
        head = Head(32_503_679_999_000_000, "f" * 32)
        cursor = Cursor(1 << 60, position, head, 1 << 40)
        write_cursor(connection, "east", cursor)
        return cursor

    with database.writing() as connection:
        assert read_cursor(connection, "east") is None
        put(connection, 1)
        last = put(connection, 1 << 40)
    with database.reading() as connection:
        assert read_cursor(connection, "east") == last
        assert read_cursor(connection, "west") is None


def test_a_cursor_from_before_heads_were_kept_goes_on(
    file: Path, tail: Tail, database: Database
) -> None:
    write(file, 1, 2)
    size = file.stat().st_size
    with database.writing() as connection:
        write_cursor(connection, "east", Cursor(inode(file), size // 2))
        connection.execute(update(cdr_cursors).values(head=None))
        cursor = read_cursor(connection, "east")
    found, after = read(tail, cursor)
    assert found == [2]
    assert after is not None
    assert after.head is not None
    rotate(file)
    write(file, 3)
    assert read(tail, cursor)[0] == [2, 3]
