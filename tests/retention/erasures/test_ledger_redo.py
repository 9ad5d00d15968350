"""A batch that a power cut left torn heals by itself; what was taken back does not come again."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from callguard.retention.erasures import redo as ledger_redo
from callguard.retention.erasures.ledger import RECORDING, Erasure, ErasureLedger, LedgerError

AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
PAGE = ledger_redo.PAGE


def erasures(first: int, count: int) -> list[Erasure]:
    return [Erasure(RECORDING, f"r-{n}", f"r-{n}", AT) for n in range(first, first + count)]


@pytest.fixture
def ledger(tmp_path: Path) -> ErasureLedger:
    made = ErasureLedger(tmp_path / "erasures.ledger")
    made.append(erasures(0, 3), None)
    return made


TORN: dict[str, Callable[[bytes, int], bytes]] = {
    "nothing of it": lambda raw, start: raw[:start],
    "its beginning": lambda raw, start: raw[: start + 2_000],
    "a page of zeros in it": lambda raw, _: raw[:PAGE] + bytes(PAGE) + raw[2 * PAGE :],
    "only its last page": lambda raw, start: (
        raw[:start] + bytes(len(raw) - start - 500) + raw[-500:]
    ),
}


@pytest.mark.parametrize("how", TORN)
def test_a_torn_batch_heals(ledger: ErasureLedger, how: str) -> None:
    start = ledger.path.stat().st_size
    ledger.append(erasures(3, 100), ledger.end())
    whole = ledger.path.read_bytes()
    ledger.path.write_bytes(TORN[how](whole, start))
    ledger.heal()
    assert ledger.path.read_bytes() == whole
    assert sum(1 for _ in ledger.lines()) == 103


def test_a_batch_that_failed_and_was_taken_back_does_not_come_again(
    ledger: ErasureLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ledger.path.read_bytes()

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(LedgerError, match="No space left"):
            ledger.append(erasures(3, 100), ledger.end())
    ledger.heal()
    assert ledger.path.read_bytes() == before


def test_what_followed_a_batch_is_left_alone(ledger: ErasureLedger) -> None:
    ledger.append(erasures(3, 100), ledger.end())
    ledger.append(erasures(200, 1), ledger.end())
    raw = bytearray(ledger.path.read_bytes())
    raw[2 * PAGE] ^= 1
    ledger.path.write_bytes(raw)
    ledger.heal()
    assert ledger.path.read_bytes() == raw


def test_another_ledger_is_left_alone(ledger: ErasureLedger) -> None:
    ledger.append(erasures(3, 100), ledger.end())
    ledger.path.unlink()
    ledger.append(erasures(500, 4), None)
    other = ledger.path.read_bytes()
    ledger.heal()
    assert ledger.path.read_bytes() == other


def test_a_redo_that_was_cut_off_is_none(ledger: ErasureLedger) -> None:
    ledger.append(erasures(3, 100), ledger.end())
    whole, redo = ledger.path.read_bytes(), ledger_redo.path_of(ledger.path)
    redo.write_bytes(redo.read_bytes()[:-10])
    ledger.heal()
    assert ledger.path.read_bytes() == whole


def test_a_line_within_a_page_needs_none(ledger: ErasureLedger) -> None:
    assert not ledger_redo.path_of(ledger.path).exists()
    assert [path.name for path in ledger.path.parent.iterdir()] == [ledger.path.name]
