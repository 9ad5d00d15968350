"""Following a file: whole lines, from where reading stopped, whatever happened to the file."""

import gzip
import os
from pathlib import Path

import pytest
from sqlalchemy import Connection

from callguard.cdr import tail
from callguard.cdr.tail import (
    Cursor,
    Piece,
    following,
    locate,
    read_cursor,
    read_piece,
    write_cursor,
)
from callguard.storage.database import Database


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "callguard.csv"


def read(path: Path, cursor: Cursor | None = None) -> tuple[list[str], Cursor | None]:
    """All that is new."""
    found: list[str] = []
    while piece := read_piece(path, cursor):
        found += piece.lines
        cursor = piece.cursor
    return found, cursor


def add(path: Path, data: bytes) -> None:
    with path.open("ab") as handle:
        handle.write(data)


def inode(path: Path) -> int:
    return path.stat().st_ino


def test_a_file_that_is_not_there_has_nothing(file: Path) -> None:
    assert read_piece(file, None) is None
    assert locate(file, 1) is None
    assert following(file, 1, ()) is None
    assert locate(file.parent / "absent" / "callguard.csv", 1) is None


def test_an_empty_file_has_nothing(file: Path) -> None:
    file.touch()
    assert read_piece(file, None) is None


def test_a_half_written_line_waits_for_its_end(file: Path) -> None:
    add(file, b"one\ntw")
    found, cursor = read(file)
    assert found == ["one"]
    add(file, b"o")
    assert read(file, cursor) == ([], cursor)
    add(file, b"\nthree\n")
    found, _ = read(file, cursor)
    assert found == ["two", "three"]


def test_a_letter_written_in_two_halves_is_whole(file: Path) -> None:
    word = "שלום\n".encode()
    add(file, word[:3])
    assert read_piece(file, None) is None
    add(file, word[3:])
    assert read(file)[0] == ["שלום"]


def test_bytes_that_are_no_text_do_not_stop_the_reading(file: Path) -> None:
    add(file, b"a\xffb\nnext\n")
    assert read(file)[0] == ["a\ufffdb", "next"]


def test_empty_lines_are_passed_over(file: Path) -> None:
    add(file, b"\n\none\n\n \n")
    piece = read_piece(file, None)
    assert piece == Piece(("one",), Cursor(inode(file), 9))


def test_only_a_line_feed_ends_a_line(file: Path) -> None:
    add(file, "one\u2028still\x0bone\x85\n".encode())
    assert len(read(file)[0]) == 1


def test_pieces_are_cut_at_line_ends(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "PIECE", 16)
    lines = [f"line {n}" for n in range(40)]
    add(file, "".join(f"{text}\n" for text in lines).encode())
    assert read(file)[0] == lines


@pytest.mark.parametrize("size", [15, 16, 17, 31, 32, 33, 100])
def test_a_line_longer_than_a_piece_is_one_bad_line(
    file: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(tail, "PIECE", 16)
    add(file, b"before\n" + b"x" * size + b"\nafter\n")
    found, cursor = read(file)
    assert (found[0], found[-1], len(found)) == ("before", "after", 3)
    assert cursor == Cursor(inode(file), file.stat().st_size)


def test_a_line_longer_than_a_piece_waits_for_its_end(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "PIECE", 16)
    add(file, b"x" * 100)
    assert read_piece(file, None) is None
    add(file, b"\nafter\n")
    assert len(read(file)[0]) == 2


def test_an_emptied_file_is_read_from_its_start(file: Path) -> None:
    add(file, b"one\ntwo\n")
    _, cursor = read(file)
    os.truncate(file, 0)
    found, seen = read(file, cursor)
    assert (found, seen) == ([], Cursor(inode(file), 0))
    add(file, b"3\nfour\n")  # as long as before
    assert read(file, seen)[0] == ["3", "four"]


def test_an_emptied_file_that_has_grown_past_the_position_is_read_from_its_start(
    file: Path,
) -> None:
    add(file, b"one\n")
    _, cursor = read(file)
    os.truncate(file, 0)
    add(file, b"another line\n")
    assert read(file, cursor)[0] == ["another line"]


def test_a_file_is_read_only_with_its_own_cursor(file: Path) -> None:
    add(file, b"one\n")
    assert read_piece(file, Cursor(inode(file) + 1, 0)) is None


def test_a_renamed_file_is_found_by_its_inode(file: Path) -> None:
    add(file, b"one\n")
    number = inode(file)
    assert locate(file, number) == file
    old = file.rename(file.with_name("callguard.csv-20261120"))
    assert locate(file, number) == old
    old.rename(file.with_name("other.csv"))
    assert locate(file, number) is None


def test_names_with_a_pattern_in_them_are_names(tmp_path: Path) -> None:
    file = tmp_path / "call[1]*.csv"
    add(file, b"one\n")
    number = inode(file)
    old = file.rename(tmp_path / "call[1]*.csv.1")
    assert locate(file, number) == old


def rotate(file: Path, mtime: int) -> int:
    """Renames as logrotate does (.1 is the youngest); returns the inode of what was renamed."""
    for number in range(9, 0, -1):
        old = file.with_name(f"{file.name}.{number}")
        if old.exists():
            old.rename(file.with_name(f"{file.name}.{number + 1}"))
    moved = file.rename(file.with_name(f"{file.name}.1"))
    os.utime(moved, (mtime, mtime))
    return inode(moved)


def test_files_rotated_since_come_in_the_order_of_their_writing(file: Path) -> None:
    numbers = []
    for number in range(4):
        add(file, f"{number}\n".encode())
        numbers.append(rotate(file, 1000 + number))
    assert following(file, numbers[0], ()) is None  # the next one is not begun
    add(file, b"4\n")
    order, done = [numbers[1]], {numbers[1]}
    while further := following(file, order[-1], done):
        assert further.position == 0
        order.append(further.inode)
        done.add(further.inode)
    assert order == [*numbers[1:], inode(file)]


def test_files_of_one_instant_are_all_read(file: Path) -> None:
    numbers = []
    for number in range(3):
        add(file, f"{number}\n".encode())
        numbers.append(rotate(file, 1000))
    add(file, b"3\n")
    here, done = numbers[0], {numbers[0]}
    while further := following(file, here, done):
        here = further.inode
        done.add(here)
    assert done == {*numbers, inode(file)}


def test_compressed_files_are_not_read(file: Path) -> None:
    add(file, b"one\n")
    first = rotate(file, 1000)
    packed = file.with_name("callguard.csv.0.gz")
    packed.write_bytes(gzip.compress(b"zero\n"))
    assert locate(file, inode(packed)) is None
    add(file, b"two\n")
    assert following(file, first, {first}) == Cursor(inode(file), 0)


def test_after_a_file_that_is_gone_comes_the_one_that_is_there(file: Path) -> None:
    add(file, b"two\n")
    gone = inode(file) + 1
    assert following(file, gone, ()) == Cursor(inode(file), 0)
    assert following(file, inode(file), ()) is None


def test_a_cursor_is_kept_and_replaced(database: Database) -> None:
    def put(connection: Connection, position: int) -> None:
        write_cursor(connection, "east", Cursor(1 << 60, position))

    with database.writing() as connection:
        assert read_cursor(connection, "east") is None
        put(connection, 1)
        put(connection, 1 << 40)
    with database.reading() as connection:
        assert read_cursor(connection, "east") == Cursor(1 << 60, 1 << 40)
        assert read_cursor(connection, "west") is None
