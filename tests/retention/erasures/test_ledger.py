"""The erasure ledger: what is durable, what is torn, what is damaged."""

import errno
import json
import multiprocessing
import os
import stat
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callguard.retention.erasures import ledger as ledger_module
from callguard.retention.erasures.ledger import (
    BEGINNING,
    RECORDING,
    TENANT_KEY,
    Erasure,
    ErasureLedger,
    LedgerError,
    Mark,
)
from callguard.retention.erasures.lines import FIRST_LINE, LineError, compose, parse, read

AT = datetime(2026, 11, 22, 8, 15, tzinfo=UTC)


def erasure(number: int) -> Erasure:
    return Erasure(RECORDING, f"recording-{number}", f"payload-{number}", AT)


@pytest.fixture
def ledger(tmp_path: Path) -> ErasureLedger:
    return ErasureLedger(tmp_path / "erasures.ledger")


def ids(ledger: ErasureLedger) -> list[str]:
    return [line.erasure.object_id for line in ledger.lines()]


def end(ledger: ErasureLedger) -> Mark:
    found = ledger.end()
    assert found is not None
    return found


def test_it_is_written_as_the_format_says(ledger: ErasureLedger) -> None:
    ledger.append([Erasure(TENANT_KEY, "acme/1/0123456789abcdef", None, AT)], None)
    assert ledger.path.read_bytes() == (
        b'{"format":"callguard-erasures","version":1}\n'
        b'{"at":"2026-11-22T08:15:00.000000Z","class":"tenant_key","id":"acme/1/0123456789abcdef",'
        b'"payload":null,"previous":"a2ba6a10f1f8a3d8f0f36e4ac10f5dd1","sequence":1}\n'
    ).replace(b"a2ba6a10f1f8a3d8f0f36e4ac10f5dd1", BEGINNING.digest.encode())


def test_only_its_owner_reads_it(ledger: ErasureLedger) -> None:
    ledger.append([erasure(1)], None)
    assert stat.S_IMODE(ledger.path.stat().st_mode) == 0o600


def test_lines_are_found_again_and_after_a_place(ledger: ErasureLedger) -> None:
    assert (ledger.end(), ids(ledger)) == (None, [])
    assert ledger.append([erasure(1), erasure(2)], None) == 2
    mark = end(ledger)
    assert (mark.sequence, mark.position) == (2, ledger.path.stat().st_size)
    assert ledger.append([erasure(3)], mark) == 1
    assert ids(ledger) == ["recording-1", "recording-2", "recording-3"]
    (line,) = ledger.after(mark)
    assert (line.erasure, line.mark) == (erasure(3), ledger.end())
    assert [ledger.holds(place) for place in (BEGINNING, mark, end(ledger))] == [True] * 3


def test_what_has_a_line_gets_no_second_one(ledger: ErasureLedger) -> None:
    ledger.append([erasure(1)], None)
    mark = end(ledger)
    assert [ledger.append([erasure(2), erasure(2)], mark) for _ in range(3)] == [1, 0, 0]
    assert ledger.append([erasure(2)], None) == 0
    assert ids(ledger) == ["recording-1", "recording-2"]


def test_nothing_asked_makes_no_file(ledger: ErasureLedger) -> None:
    assert ledger.append([], None) == 0
    assert not ledger.path.exists()


TORN = (b"{", b'{"at":"2026-11-22T08:15:00.0', b"\0" * 70_000, b"\xff")


@pytest.mark.parametrize("torn", TORN, ids=range(len(TORN)))
def test_a_torn_last_line_was_never_said(ledger: ErasureLedger, torn: bytes) -> None:
    ledger.append([erasure(1)], None)
    mark = end(ledger)
    with ledger.path.open("ab") as file:
        file.write(torn)
    assert (ledger.end(), ids(ledger)) == (mark, ["recording-1"])
    ledger.append([erasure(2)], mark)
    assert ids(ledger) == ["recording-1", "recording-2"]


@pytest.mark.parametrize("size", range(len(FIRST_LINE)))
def test_a_ledger_torn_in_its_first_line_is_none_yet(ledger: ErasureLedger, size: int) -> None:
    ledger.path.write_bytes(FIRST_LINE[:size])
    assert (ledger.end(), ids(ledger)) == (None, [])
    with pytest.raises(LedgerError, match="not the one"):
        ledger.append([erasure(1)], BEGINNING)
    ledger.append([erasure(1)], None)
    assert ids(ledger) == ["recording-1"]


def cut(lines: list[bytes]) -> list[bytes]:
    return lines[:2] + lines[3:]


def reordered(lines: list[bytes]) -> list[bytes]:
    return [lines[0], lines[2], lines[1], *lines[3:]]


def edited(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], lines[2].replace(b"recording-2", b"recording-7"), *lines[3:]]


def doubled(lines: list[bytes]) -> list[bytes]:
    return [*lines[:3], lines[2], *lines[3:]]


def spaced(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], lines[2].replace(b",", b", "), *lines[3:]]


def long(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], b'"' + b"x" * 2_000 + b'"\n', *lines[3:]]


def headless(lines: list[bytes]) -> list[bytes]:
    return lines[1:]


def newer(lines: list[bytes]) -> list[bytes]:
    return [lines[0].replace(b"1", b"2"), *lines[1:]]


@pytest.mark.parametrize("damage", [cut, reordered, edited, doubled, spaced, long, headless, newer])
def test_a_damaged_ledger_is_refused(
    ledger: ErasureLedger, damage: Callable[[list[bytes]], list[bytes]]
) -> None:
    ledger.append([erasure(number) for number in range(1, 6)], None)
    lines = ledger.path.read_bytes().splitlines(keepends=True)
    ledger.path.write_bytes(b"".join(damage(lines)))
    with pytest.raises(LedgerError, match=str(ledger.path)):
        ids(ledger)
    assert "recording-4" in [one.object_id for one in ledger.readable()]


def test_a_cut_behind_a_whole_line_is_seen_by_whoever_knew_more(ledger: ErasureLedger) -> None:
    ledger.append([erasure(1), erasure(2)], None)
    mark = end(ledger)
    lines = ledger.path.read_bytes().splitlines(keepends=True)
    ledger.path.write_bytes(b"".join(lines[:2]))
    assert not ledger.holds(mark)
    for forbidden in (lambda: ledger.append([erasure(3)], mark), lambda: list(ledger.after(mark))):
        with pytest.raises(LedgerError, match="is not the one that the database knows"):
            forbidden()


def test_a_missing_ledger_is_not_begun_anew(ledger: ErasureLedger) -> None:
    for forbidden in (
        lambda: ledger.append([erasure(1)], BEGINNING),
        lambda: list(ledger.after(BEGINNING)),
    ):
        with pytest.raises(LedgerError, match="is missing"):
            forbidden()
    assert not ledger.path.exists()


@pytest.mark.parametrize("step", ["pwrite", "fsync", "ftruncate"])
def test_a_full_disk_leaves_the_ledger_as_it_was(
    ledger: ErasureLedger, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    ledger.append([erasure(1)], None)
    before = ledger.path.read_bytes()
    real = getattr(os, step)

    class Full:
        failed = False

        def __getattr__(self, name: str) -> object:
            return self.fail if name == step and not self.failed else getattr(os, name)

        def fail(self, descriptor: int, *arguments: object) -> None:
            self.failed = True
            if step == "pwrite":
                real(descriptor, b'{"at', arguments[1])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(ledger_module, "os", Full())
    with pytest.raises(LedgerError, match="cannot be written: No space left on device"):
        ledger.append([erasure(2)], end(ledger))
    assert ledger.path.read_bytes() == before
    ledger.append([erasure(2)], end(ledger))
    assert ids(ledger) == ["recording-1", "recording-2"]


def test_a_writer_that_stands_still_is_not_waited_for_for_ever(
    ledger: ErasureLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "LOCK_S", 0.05)
    ledger.append([erasure(1)], None)
    with (
        ledger.writing(create=False),
        pytest.raises(LedgerError, match="by another process"),
    ):
        ledger.append([erasure(2)], None)
    assert ledger.append([erasure(2)], None) == 1


def test_what_is_no_file_of_ours_is_refused(ledger: ErasureLedger) -> None:
    ledger.path.symlink_to(ledger.path.with_name("other"))
    with pytest.raises(LedgerError, match="cannot be read"):
        ledger.end()
    with pytest.raises(LedgerError, match="cannot be written"):
        ledger.append([erasure(1)], None)
    ledger.path.unlink()
    ledger.path.mkdir()
    with pytest.raises(LedgerError, match="is not a regular file"):
        ledger.end()
    ledger.path.rmdir()
    os.mkfifo(ledger.path)
    with pytest.raises(LedgerError, match="is not a regular file"):
        ledger.end()


def _write_some(path: Path, writer: int) -> None:
    ledger = ErasureLedger(path)
    for number in range(25):
        ledger.append([erasure(1_000 * writer + number)], None)


def test_two_writers_at_once_leave_one_whole_chain(ledger: ErasureLedger) -> None:
    fork = multiprocessing.get_context("fork")
    writers = [fork.Process(target=_write_some, args=(ledger.path, n)) for n in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(30)
        assert writer.exitcode == 0
    found = ids(ledger)
    assert len(found) == len(set(found)) == 75


NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=120)
LINES = st.builds(
    Erasure,
    st.sampled_from(["recording", "delivered", "tenant_key", "other"]),
    NAMES,
    st.none() | NAMES,
    st.datetimes(timezones=st.just(UTC)).filter(lambda at: at.year >= 1000),
)


@given(LINES)
def test_a_line_is_read_as_it_was_written(one: Erasure) -> None:
    raw, mark = compose(one, BEGINNING)
    line = parse(raw[:-1], BEGINNING)
    assert (line.erasure, line.mark) == (one, mark)
    assert mark.position == BEGINNING.position + len(raw)


def test_instants_of_any_zone_are_written_in_utc() -> None:
    there = AT.astimezone(timezone(timedelta(hours=5, minutes=30)))
    raw, _ = compose(Erasure(RECORDING, "r", None, there), BEGINNING)
    assert json.loads(raw)["at"] == "2026-11-22T08:15:00.000000Z"


@given(st.binary(max_size=300) | LINES.map(lambda one: compose(one, BEGINNING)[0][1:-1]))
def test_what_is_no_line_is_refused_and_nothing_else_happens(raw: bytes) -> None:
    with pytest.raises(LineError):
        read(raw)


@pytest.mark.parametrize(
    "wrong",
    [
        Erasure("Recording", "r", None, AT),
        Erasure(RECORDING, "", None, AT),
        Erasure(RECORDING, "a b", None, AT),
        Erasure(RECORDING, "r", "", AT),
        Erasure(RECORDING, "r" * 201, None, AT),
        Erasure(RECORDING, "r\n", None, AT),
        Erasure(RECORDING, "\N{HEBREW LETTER ALEF}", None, AT),
    ],
)
def test_a_name_that_is_none_is_not_written(ledger: ErasureLedger, wrong: Erasure) -> None:
    with pytest.raises(LedgerError, match="takes no such line"):
        ledger.append([wrong], None)
    assert ids(ledger) == []


def test_no_reader_takes_for_written_what_a_writer_takes_back(
    ledger: ErasureLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that had applied it would be ahead of the ledger, and nothing more be erased."""
    ledger.append([Erasure(RECORDING, "one", "one", AT)], None)
    before, seen = end(ledger), list[str]()

    def read() -> None:
        seen.extend(line.erasure.object_id for line in ledger.after(before))

    reader = threading.Thread(target=read)

    def failing(descriptor: int) -> None:
        reader.start()
        reader.join(0.05)
        raise OSError(errno.EIO, "gone")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", failing)
        with pytest.raises(LedgerError):
            ledger.append([Erasure(RECORDING, "two", "two", AT)], before)
    reader.join()
    assert seen == []
    assert ids(ledger) == ["one"]
