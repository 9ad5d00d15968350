"""Copies of the erasure ledger: never ahead, never different, and what heals a lost one."""

import os
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from callguard.retention.erasures import copies as ledger_copies
from callguard.retention.erasures.copies import CopiedLedger
from callguard.retention.erasures.forgetting import forget_again, rebuild
from callguard.retention.erasures.ledger import RECORDING, Erasure, ErasureLedger, LedgerError
from callguard.storage.database import Database
from tests.clock import HandClock

AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def erasure(number: int) -> Erasure:
    return Erasure(RECORDING, f"recording-{number}", f"payload-{number}", AT)


@pytest.fixture
def paths(tmp_path: Path) -> tuple[Path, Path, Path]:
    """The ledger and two copies, in folders of their own."""
    for name in ("data", "one", "two"):
        (tmp_path / name).mkdir()
    data, one, two = (tmp_path / name / "erasures.ledger" for name in ("data", "one", "two"))
    return data, one, two


@pytest.fixture
def ledger(paths: tuple[Path, Path, Path]) -> CopiedLedger:
    return CopiedLedger(paths[0], paths[1:])


def add(ledger: ErasureLedger, *numbers: int) -> None:
    ledger.append([erasure(number) for number in numbers], ledger.end())


def told(path: Path) -> bytes:
    return path.read_bytes()


def test_every_line_goes_to_every_copy(
    ledger: CopiedLedger, paths: tuple[Path, Path, Path]
) -> None:
    add(ledger, 1, 2)
    add(ledger, 3)
    assert told(paths[0]) == told(paths[1]) == told(paths[2])
    assert told(paths[0]).count(b"\n") == 4
    assert ledger.copy_faults == ()


def test_a_copy_that_cannot_be_written_stops_nothing_and_catches_up(
    ledger: CopiedLedger, paths: tuple[Path, Path, Path]
) -> None:
    add(ledger, 1)
    paths[1].rename(paths[1].with_name("away"))
    paths[1].mkdir()
    add(ledger, 2)
    assert len(ledger.copy_faults) == 1
    assert str(paths[1]) in ledger.copy_faults[0]
    assert told(paths[2]) == told(paths[0])
    paths[1].rmdir()
    paths[1].with_name("away").rename(paths[1])
    add(ledger, 3)
    assert told(paths[1]) == told(paths[0])
    assert not ledger.copy_faults


def test_a_copy_on_a_disk_that_hangs_is_not_waited_for(
    ledger: CopiedLedger, paths: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    add(ledger, 1)
    let_go, real = threading.Event(), ledger_copies._copy

    def hang(*arguments: object) -> int:
        if threading.current_thread() is ledger._at_work[paths[1]]:
            let_go.wait(10)
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(ledger_copies, "_copy", hang)
    monkeypatch.setattr(ledger_copies, "PATIENCE_S", 0.05)
    add(ledger, 2)
    assert "did not answer" in ledger.copy_faults[0]
    assert told(paths[2]) == told(paths[0])
    let_go.set()
    ledger._at_work[paths[1]].join()
    add(ledger, 3)
    assert told(paths[1]) == told(paths[0])


def test_a_torn_line_of_a_copy_is_cut_off(
    ledger: CopiedLedger, paths: tuple[Path, Path, Path]
) -> None:
    add(ledger, 1)
    with paths[1].open("ab") as file:
        file.write(b'{"at":"2026')
    add(ledger, 2)
    assert told(paths[1]) == told(paths[0])


def test_a_copy_is_not_ahead_of_what_is_durable(
    ledger: CopiedLedger, paths: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    add(ledger, 1)
    real, order = os.fsync, list[str]()

    def seen(descriptor: int) -> None:
        order.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", seen)
    add(ledger, 2)
    assert order[:2] == [str(paths[0])] * 2  # as it is written, and before it is copied
    assert set(order[2:]) <= {str(paths[0]), str(paths[1]), str(paths[2])}


@pytest.mark.parametrize("lost", ["missing", "older", "torn"])
def test_a_ledger_that_was_lost_or_is_older_is_healed_from_a_copy(
    ledger: CopiedLedger, paths: tuple[Path, Path, Path], database: Database, lost: str
) -> None:
    clock = HandClock()
    add(ledger, 1)
    old = told(paths[0])
    add(ledger, 2, 3)
    whole = told(paths[0])
    if lost == "missing":
        paths[0].unlink()
    else:
        paths[0].write_bytes(old + (b'{"at"' if lost == "torn" else b""))
    paths[2].unlink()
    done = forget_again(database, ledger, clock, actor="test")
    assert done.applied == 3
    assert told(paths[0]) == told(paths[1]) == told(paths[2]) == whole


def test_a_fork_is_a_fault(
    ledger: CopiedLedger, paths: tuple[Path, Path, Path], database: Database
) -> None:
    add(ledger, 1)
    alone = ErasureLedger(paths[0])
    before = told(paths[1])
    add(alone, 2)
    other = ErasureLedger(paths[1])
    add(other, 7, 8)
    for shorter, longer in ((paths[0], paths[1]), (paths[1], paths[0])):
        with pytest.raises(LedgerError, match="different erasures"):
            forget_again(database, CopiedLedger(shorter, [longer]), HandClock(), actor="test")
    assert told(paths[1]) != before


def test_a_damaged_copy_heals_nothing(ledger: CopiedLedger, paths: tuple[Path, Path, Path]) -> None:
    add(ledger, 1, 2, 3)
    whole = told(paths[0])
    paths[0].unlink()
    paths[2].unlink()
    paths[1].write_bytes(whole.replace(b"recording-2", b"recording-9"))
    with pytest.raises(LedgerError, match="damaged at line 3"):
        ledger.heal()


def test_a_copy_of_another_ledger_is_told_and_left_alone(
    ledger: CopiedLedger, paths: tuple[Path, Path, Path]
) -> None:
    add(ledger, 1)
    paths[1].unlink()
    add(ErasureLedger(paths[1]), 9)
    other = told(paths[1])
    add(ledger, 2)
    assert "is no copy" in ledger.copy_faults[0]
    assert told(paths[1]) == other


def test_rebuilding_takes_what_the_copies_still_know_and_makes_them_anew(
    ledger: CopiedLedger, paths: tuple[Path, Path, Path], database: Database
) -> None:
    add(ledger, 1, 2)
    paths[0].write_bytes(b"nothing\n")
    rebuild(database, ledger, HandClock(), actor="test", reason="the disk broke")
    assert {line.erasure.object_id for line in ledger.lines()} == {"recording-1", "recording-2"}
    assert told(paths[0]) == told(paths[1]) == told(paths[2])
    assert len(list(paths[1].parent.iterdir())) == 2  # the old one is kept aside
