"""Three files out of one: every row in exactly one of them, in its order, byte for byte."""

import csv
import errno
import fcntl
import io
import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callguard.optout.scrub.contract import Outcome, ScrubError, Summary
from callguard.optout.scrub.output import paths_of
from callguard.optout.scrub.splitting import Asked, Progress, split
from tests.optout.scrub.simple import LastDigit

NUMBER = st.one_of(
    st.from_regex(r"\A(\+1|1)?[2-9][0-9]{2}[2-9][0-9]{6}\Z"),
    st.from_regex(r"\A\([2-9][0-9]{2}\) [2-9][0-9]{2}-[0-9]{4}\Z"),
    st.from_regex(r"\A\+44 ?20 ?7946 ?0[0-9]{3}\Z"),
    st.sampled_from(["", "911", "n/a", "011442079460123", "tel:+12025550120", "2025550129 x1"]),
)
NAME = st.text(st.sampled_from('aב,;" \n'), max_size=6)
ROWS = st.lists(st.tuples(NAME, NUMBER), max_size=25)
anywhere = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing need be durable."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def run(data: bytes, folder: Path, block: int = 64, **asked: object) -> tuple[Summary, list[bytes]]:
    out = folder / "out.csv"
    how = Asked(**asked)  # type: ignore[arg-type] # as the caller has them
    summary = split(io.BytesIO(data), out, LastDigit(), asked=how, block=block)
    return summary, [path.read_bytes() for path in paths_of(out)]


def cells(data: bytes, delimiter: str = ",") -> list[list[str]]:
    text = io.StringIO(data.decode(), newline="")
    return [row for row in csv.reader(text, delimiter=delimiter) if row]


@pytest.mark.usefixtures("quick")
@anywhere
@given(ROWS, st.integers(1, 300), st.sampled_from(["\n", "\r\n"]), st.sampled_from(",;\t"))
def test_each_row_stands_once_in_the_file_of_its_outcome(
    tmp_path: Path, rows: list[tuple[str, str]], block: int, ending: str, delimiter: str
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=ending)
    writer.writerow(["name", "phone"])
    writer.writerows(rows)
    summary, files = run(text.getvalue().encode(), tmp_path, block, delimiter=delimiter)
    judge = LastDigit()
    for outcome, data in zip(Outcome, files, strict=True):
        mine = [list(row) for row in rows if judge.wanted(row[1]) is outcome]
        got = cells(data, delimiter)
        assert [row[:2] for row in got[1:]] == mine
        assert summary.outcomes[outcome] == len(mine)
        assert all(len(row) == (2 if outcome is Outcome.MAY_CALL else 4) for row in got)
    assert summary.rows == len(rows)


@pytest.mark.usefixtures("quick")
@anywhere
@given(ROWS, st.integers(1, 300))
def test_who_may_be_called_is_there_byte_for_byte(
    tmp_path: Path, rows: list[tuple[str, str]], block: int
) -> None:
    judge = LastDigit()
    lines = [
        (f'"{name.replace(chr(34), chr(34) * 2)}",{number},\r\n'.encode(), number)
        for name, number in rows
    ]
    data = b"name,phone,\n" + b"".join(line for line, _ in lines)
    _, files = run(data, tmp_path, block)
    wanted = [line for line, number in lines if judge.wanted(number) is Outcome.MAY_CALL]
    assert files[0] == b"name,phone,\n" + b"".join(wanted)


def test_why_a_row_is_held_back_stands_in_two_more_columns(tmp_path: Path) -> None:
    data = b"phone,name\r\n2025550121,Ann\r\n2025550125,Bob\r\nno,Cem\r\n2025550129,Dan"
    summary, files = run(data, tmp_path)
    assert files[0] == b"phone,name\r\n"
    heading = b"phone,name,callguard_reason,callguard_rule\r\n"
    assert files[1] == heading + (
        b'2025550121,Ann,"it is ""odd"", and listed",test.odd test.listed\r\n'
    )
    assert files[2] == heading + (
        b"2025550125,Bob,nobody knows,test.unknown\r\n"
        b"no,Cem,this is no telephone number that can be looked up,scrub.number\r\n"
        b"2025550129,Dan,it is 12025550129,test.alone\n"
    )
    assert summary.by_rule == {
        "test.odd": 1,
        "test.listed": 1,
        "test.unknown": 1,
        "test.alone": 1,
        "scrub.number": 1,
    }
    assert summary.not_numbers == 1


def test_a_row_without_the_column_cannot_be_told_and_an_empty_line_is_no_row(
    tmp_path: Path,
) -> None:
    data = b"name,phone\nAnn,2025550120\n\nBob\nCem,2025550120,more,still\n\r\n"
    for block in (10, 4096):
        summary, files = run(data, tmp_path, block)
        assert files[0] == b"name,phone\nAnn,2025550120\nCem,2025550120,more,still\n"
        assert cells(files[2])[1:] == [["Bob", "the row has no such column", "scrub.column"]]
        assert (summary.rows, summary.blank_lines) == (3, 2)


def test_a_byte_order_mark_stays_at_the_beginning(tmp_path: Path) -> None:
    _, files = run(b"\xef\xbb\xbfphone\n2025550120\n2025550121\n", tmp_path, 5)
    assert files[0] == b"\xef\xbb\xbfphone\n2025550120\n"
    assert files[1].startswith(b"\xef\xbb\xbfphone,callguard_reason")


@pytest.mark.parametrize("data", [b"", b"phone\n", b"phone", b"\xef\xbb\xbfphone\r\n"])
def test_a_list_with_nobody_on_it_gives_three_files_with_nobody(
    tmp_path: Path, data: bytes
) -> None:
    summary, files = run(data, tmp_path)
    assert summary.rows == 0
    assert files[0] == data
    assert len(files) == 3


def test_a_list_without_a_heading_gets_none(tmp_path: Path) -> None:
    summary, files = run(b"2025550120\n2025550121\n", tmp_path)
    assert (summary.header, files[0]) == (False, b"2025550120\n")
    assert files[1].startswith(b"2025550121,")


def test_numbers_that_come_again_are_told_and_kept(tmp_path: Path) -> None:
    data = b"phone\n2025550120\n+1 202 555 0120\n(202) 555-0120\n911\n911\nn/a\nn/a\n"
    summary, files = run(data, tmp_path)
    assert summary.repeats == 3
    assert files[0].count(b"0120") == 3


def test_names_in_hebrew_and_quotes_in_the_middle_of_a_field_stay_as_they_are(
    tmp_path: Path,
) -> None:
    data = 'שם,טלפון\nדנה כהן,2025550120\n5" צינור,2025550120\n"א""ב",2025550120\n'.encode()
    for block in (7, 4096):
        _, files = run(data, tmp_path, block)
        assert files[0] == data


def test_progress_is_told_in_rows_and_bytes(tmp_path: Path) -> None:
    data = b"phone\n" + b"2025550120\n" * 1000
    told: list[Progress] = []
    split(io.BytesIO(data), tmp_path / "o.csv", LastDigit(), progress=told.append, block=1000)
    assert [one.bytes for one in told] == sorted(one.bytes for one in told)
    assert told[-1] == Progress(1000, len(data))
    assert len(told) > 5


def test_the_list_itself_is_never_written_to(tmp_path: Path) -> None:
    source = tmp_path / "list.csv"
    source.write_bytes(b"phone\n2025550120\n")
    (tmp_path / "alias.csv").symlink_to(source)
    (tmp_path / "x.must-not.csv").hardlink_to(source)
    for out in ("list.csv", "alias.csv", "x.csv"):
        with source.open("rb") as file, pytest.raises(ScrubError, match="is the list itself"):
            split(file, tmp_path / out, LastDigit(), path=source)
    assert source.read_bytes() == b"phone\n2025550120\n"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class Breaks(io.BytesIO):
    """Cannot be read to its end."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() > 100_000:
            raise OSError(errno.EIO, "the disk is broken")
        return super().read(size)


@pytest.mark.parametrize("unnamed", [True, False])
def test_a_failure_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unnamed: bool
) -> None:
    if not unnamed:
        monkeypatch.delattr(os, "O_TMPFILE")
    (tmp_path / "out.csv").write_text("of yesterday")
    data = b"phone\n" + b"2025550120\n" * 20_000
    with pytest.raises(OSError, match="broken"):
        split(Breaks(data), tmp_path / "out.csv", LastDigit(), block=10_000)
    assert names(tmp_path) == ["out.csv"]
    assert (tmp_path / "out.csv").read_text() == "of yesterday"
    with pytest.raises(ScrubError, match="never closed"):
        split(io.BytesIO(data + b'"202'), tmp_path / "out.csv", LastDigit(), block=10_000)
    assert names(tmp_path) == ["out.csv"]
    split(io.BytesIO(data), tmp_path / "out.csv", LastDigit())
    assert names(tmp_path) == ["out.cannot-tell.csv", "out.csv", "out.must-not.csv"]


@pytest.mark.parametrize("at", ["fsync", "link", "flock"])
def test_a_failure_at_the_very_end_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(fcntl if at == "flock" else os, at, full)
    with pytest.raises(OSError, match="no space"):
        split(io.BytesIO(b"phone\n2025550120\n"), tmp_path / "out.csv", LastDigit())
    assert names(tmp_path) == []


def _limited(folder: Path, result: "multiprocessing.Queue[str]") -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
    try:
        data = b"phone\n" + b"2025550120\n" * 100_000
        split(io.BytesIO(data), folder / "out.csv", LastDigit())
        result.put("written")
    except OSError as error:
        result.put(str(error.errno))


def test_a_file_that_may_grow_no_further_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    spawning = multiprocessing.get_context("spawn")
    result: multiprocessing.Queue[str] = spawning.Queue()
    process = spawning.Process(target=_limited, args=(tmp_path, result))
    process.start()
    assert result.get(timeout=60) == str(errno.EFBIG)
    process.join()
    assert names(tmp_path) == []


SLOWLY = """
import sys
from pathlib import Path
from callguard.optout.scrub.splitting import split
from tests.optout.scrub.simple import LastDigit
split(sys.stdin.buffer, Path(sys.argv[1]), LastDigit(), block=64 * 1024)
"""


def test_a_run_that_is_killed_leaves_nothing_under_any_name(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SLOWLY, str(tmp_path / "out.csv")], stdin=subprocess.PIPE
    )
    pipe = process.stdin
    assert pipe is not None
    pipe.write(b"phone\n" + b"2025550120\n" * 200_000)
    pipe.flush()
    process.kill()
    assert process.wait() == -signal.SIGKILL
    pipe.close()
    assert not any(path.exists() for path in paths_of(tmp_path / "out.csv"))


def _one_of_two(folder: Path, last: int, barrier: Callable[[], int]) -> None:
    ended: list[int] = []

    class Waits(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            found = super().read(size)
            if not found and not ended:
                ended.append(barrier())
            return found

    rows = b"".join(b"202555%04d\n" % number for number in range(100 + last, 9999, 10))
    rows += b"".join(b"20255%d0001\n" % number for number in (1, 2, 3))
    source: BinaryIO = Waits(b"phone\n" + rows * (1 + last))
    split(source, folder / "out.csv", LastDigit())


def test_two_runs_at_once_leave_the_three_files_of_one_of_them(tmp_path: Path) -> None:
    forking = multiprocessing.get_context("fork")
    for turn in range(3):
        folder = tmp_path / str(turn)
        folder.mkdir()
        barrier = forking.Barrier(2)
        runs = [
            forking.Process(target=_one_of_two, args=(folder, last, barrier.wait))
            for last in (0, 5)
        ]
        for one in runs:
            one.start()
        for one in runs:
            one.join(60)
            assert one.exitcode == 0
        assert len(names(folder)) == 3
        files = [path.read_bytes().count(b"\n") for path in paths_of(folder / "out.csv")]
        # Of the first, numbers that end in 0, of the second in 5; three others, once or six times.
        assert files in ([991, 4, 1], [1, 19, 5941]), json.dumps(files)
