"""Numbers in any order become bits files; the last word on each counts."""

import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callguard.optout.registry import builder as module
from callguard.optout.registry import spill as spill_module
from callguard.optout.registry.bitmap import Bitmap
from callguard.optout.registry.builder import Builder, Built
from callguard.optout.registry.calling_codes import calling_code
from callguard.optout.registry.contract import GROUP, RegistryError
from callguard.optout.registry.snapshot import Snapshot
from tests.optout.registry.making import batch, build, numbers_of, snapshot

NUMBERS = st.one_of(
    st.sampled_from(
        (
            12010000000, 12010009999, 12010010000, 12019999999, 12020000000, 441234567, 44123,
            442079460123, 44999999, 45000000, 49999999, 43000000, 3501234567, 35012345, 19999,
            998999999999999, 972501234567, 79161234567, 10000, 7123456, 9989999999,
        )
    ),
    st.integers(12010000000, 12010030000),
    st.integers(4400000, 4499999),
    st.integers(44000000, 49999999).filter(lambda number: calling_code(number) > 0),
)  # fmt: skip
CHANGES = st.lists(st.tuples(NUMBERS, st.booleans()), max_size=50)


def held(built: Built) -> list[int]:
    """Everything that the finished files hold, by the slow reader."""
    return sorted(
        number for name in built.files for number in numbers_of((built.folder / name).read_bytes())
    )


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many flushes, many chunks, for few numbers."""
    monkeypatch.setattr(module, "_TOGETHER", 7)
    monkeypatch.setattr(module, "_CHUNK", 5)


@settings(max_examples=60)
@given(
    st.lists(NUMBERS, max_size=40),
    st.lists(CHANGES, max_size=4),
    st.sampled_from([1, 7, 1 << 21]),
    st.sampled_from([0, 200_000]),
)
def test_changes_over_a_base_give_what_a_set_would(
    before: list[int], changes: list[list[tuple[int, bool]]], together: int, few: int
) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.object(module, "_TOGETHER", together),
        patch.object(module, "_CHUNK", max(3, together // 8)),
        patch.object(module, "_FEW", few),
    ):
        registry = Path(folder)
        base = Snapshot.open(registry / snapshot(registry, before).digest)
        with Builder(registry / "work", base) as builder:
            for each in changes:
                removed = [gone for _, gone in each] if any(gone for _, gone in each) else None
                builder.add(batch([number for number, _ in each], removed))
            built = builder.finish()
        base.close()
        last = {number: gone for each in changes for number, gone in each}
        given_, gone = {n for n in last if not last[n]}, {n for n in last if last[n]}
        after = (set(before) | given_) - gone
        assert held(built) == sorted(after)
        assert built.count == len(after)
        assert built.added == len(given_ - set(before))
        assert built.already == len(given_ & set(before))
        assert built.removed == len(gone & set(before))
        assert built.missing == len(gone - set(before))
        assert sum(built.groups.values()) == built.count
        assert built.groups == {
            group: sum(number // GROUP == group for number in after)
            for group in {number // GROUP for number in after}
        }
        assert set(built.files) == {f"{calling_code(number)}.bits" for number in after}
        prefixes = ("+1", "+1201", "+12010", "+44", "+4", "+3", "+4499", "+98")
        assert built.counts(prefixes) == {
            prefix: sum(f"+{number}".startswith(prefix) for number in after) for prefix in prefixes
        }
        for name in built.files:
            Bitmap.open(built.folder / name).close()


def test_order_and_batches_make_no_difference_to_the_bytes(tmp_path: Path) -> None:
    random = np.random.default_rng(7)
    numbers = random.integers(12010000000, 12400000000, 20_000)
    first = build(tmp_path / "a", numbers.tolist())
    with patch.object(module, "_TOGETHER", 999), patch.object(module, "_FEW", 0):
        second = build(tmp_path / "b", [*numbers[::-1].tolist(), *numbers[:500].tolist()])
    assert first.files == second.files
    assert first.count == len(set(numbers.tolist()))


def test_a_million_numbers_of_one_group_in_random_order_are_all_there(tmp_path: Path) -> None:
    random = np.random.default_rng(8)
    numbers = random.integers(12010000000, 12020000000, 1_000_000)
    gone = np.zeros(len(numbers), np.bool_)
    gone[::3] = True
    with Builder(tmp_path, None) as builder:
        builder.add(batch(numbers, gone))
        built = builder.finish()
    last = dict(zip(numbers.tolist(), gone.tolist(), strict=True))
    bitmap = Bitmap.open(built.folder / "1.bits")
    assert bitmap.numbers(1201).tolist() == sorted(n for n, removed in last.items() if not removed)
    bitmap.close()


def test_scattered_numbers_take_room_for_their_leaves_only(tmp_path: Path) -> None:
    numbers = [12010000000 + step * 10_000_000 for step in range(100)]
    built = build(tmp_path, numbers)
    size = (built.folder / "1.bits").stat().st_size
    assert size == 16 + 100 * 1250 + 0 + 100 * 4012 + 24


def test_nothing_at_all_gives_no_file(tmp_path: Path) -> None:
    built = build(tmp_path, [])
    assert (built.count, built.files, built.groups) == (0, {}, {})


def test_a_code_whose_every_number_was_removed_has_no_file(tmp_path: Path) -> None:
    base = Snapshot.open(tmp_path / snapshot(tmp_path, [12010000000, 442079460123]).digest)
    with Builder(tmp_path / "work", base) as builder:
        builder.add(batch([442079460123], [True]))
        built = builder.finish()
    base.close()
    assert set(built.files) == {"1.bits"}
    assert not (built.folder / "44.bits").exists()


@pytest.mark.parametrize(
    "number", [-1, 0, 5, 9999, 2025550123, 42123456, 999123456789, 10**15, 2**62, 12345678901234567]
)
@pytest.mark.parametrize("beside", [[], [12010000000] * 200, [44123, 12010000000]])
def test_what_is_no_number_is_refused_and_shown_masked(
    tmp_path: Path, number: int, beside: list[int]
) -> None:
    if calling_code(number):
        number = 21012345678
    with Builder(tmp_path, None) as builder:
        builder.add(batch([*beside, number]))
        with pytest.raises(RegistryError, match="no number of any country") as caught:
            builder.finish()
        if number > 10**6:
            assert str(number) not in str(caught.value)


def test_numbers_all_over_the_world_come_to_an_end_not_to_the_end_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = [440000000000 + step * GROUP for step in range(50)]
    monkeypatch.setattr(spill_module, "MOST_GROUPS", 49)
    with Builder(tmp_path, None) as builder:
        builder.add(batch(numbers))
        with pytest.raises(RegistryError, match="too many groups"):
            builder.finish()
    monkeypatch.setattr(spill_module, "MOST_RUNS", 49)
    with Builder(tmp_path, None) as builder:
        builder.add(batch(numbers))
        with pytest.raises(RegistryError, match="too many groups"):
            builder.finish()


def test_progress_tells_of_every_group(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    with Builder(tmp_path, None) as builder:
        builder.add(batch([12010000000, 12020000000, 442079460123]))
        builder.finish(lambda done, of: told.append((done, of)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_it_goes_on_from_its_last_checkpoint(tmp_path: Path, small: None) -> None:
    numbers = list(range(12010000000, 12010000100))
    with Builder(tmp_path, None) as builder:
        assert builder.resumed() is None
        builder.add(batch(numbers[:40]))
        builder.checkpoint({"offset": 40, "name": "רשימה"})
        builder.add(batch([12019999999] * 30))
    with Builder(tmp_path, None) as builder:
        assert builder.resumed() == {"offset": 40, "name": "רשימה"}
        builder.add(batch(numbers[40:]))
        assert held(builder.finish()) == numbers
        assert held(builder.finish()) == numbers


def test_a_state_that_could_not_be_read_back_is_not_taken(tmp_path: Path) -> None:
    with Builder(tmp_path, None) as builder:
        builder.checkpoint({"offset": 1})
        with pytest.raises(RegistryError, match="too large"):
            builder.checkpoint({"offset": "x" * (1 << 24)})
    with Builder(tmp_path, None) as builder:
        assert builder.resumed() == {"offset": 1}


def test_what_came_after_the_checkpoint_is_cut_off(tmp_path: Path, small: None) -> None:
    with Builder(tmp_path, None) as builder:
        builder.add(batch(range(12010000000, 12010000010)))
        builder.checkpoint({})
        lengths = [(tmp_path / name).stat().st_size for name in ("spill", "runs")]
        builder.add(batch(range(12020000000, 12020000100)))
    assert (tmp_path / "spill").stat().st_size > lengths[0] == 40
    Builder(tmp_path, None).close()
    assert [(tmp_path / name).stat().st_size for name in ("spill", "runs")] == lengths


def test_an_old_checkpoint_is_not_found_again_after_another_import(
    tmp_path: Path, small: None
) -> None:
    base = Snapshot.open(tmp_path / snapshot(tmp_path, [12010000000]).digest)
    with Builder(tmp_path / "work", None) as builder:
        builder.add(batch(range(12010000001, 12010000008)))
        builder.checkpoint({})
    with Builder(tmp_path / "work", base) as builder:
        builder.add(batch(range(12020000000, 12020000014)))
    with Builder(tmp_path / "work", None) as builder:
        assert builder.resumed() is None
        assert held(builder.finish()) == []
    base.close()


def test_removals_of_one_batch_do_not_reach_into_the_next(tmp_path: Path, small: None) -> None:
    with Builder(tmp_path, None) as builder:
        builder.add(batch(range(12010000000, 12010000007), [True] * 7))
        builder.add(batch(range(12010000000, 12010000006)))
        builder.add(batch([12010000000], [True]))
        assert held(builder.finish()) == list(range(12010000001, 12010000006))


def test_after_a_failed_write_nothing_more_is_taken_nor_built(
    tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write

    def half(descriptor: int, data: memoryview) -> int:
        real(descriptor, data[: len(data) // 2])
        raise OSError(errno.EIO, "Input/output error")

    with Builder(tmp_path, None) as builder:
        builder.add(batch(range(12010000000, 12010000007)))
        builder.checkpoint({})
        with monkeypatch.context() as broken:
            broken.setattr(os, "write", half)
            with pytest.raises(RegistryError, match="spill: cannot be written: Input/output"):
                builder.add(batch(range(12020000000, 12020000008)))
        for more in (
            lambda: builder.add(batch(range(12020000000, 12020000008))),
            lambda: builder.checkpoint({}),
            builder.finish,
        ):
            with pytest.raises(RegistryError, match="failed or was closed"):
                more()
    with Builder(tmp_path, None) as builder:
        assert held(builder.finish()) == list(range(12010000000, 12010000007))


def test_without_a_checkpoint_nothing_is_resumed(tmp_path: Path, small: None) -> None:
    with Builder(tmp_path, None) as builder:
        builder.add(batch(range(12010000000, 12010000100)))
    with Builder(tmp_path, None) as builder:
        assert builder.resumed() is None
        builder.add(batch([12020000000]))
        assert held(builder.finish()) == [12020000000]


def test_a_checkpoint_against_another_base_is_not_gone_on_from(tmp_path: Path) -> None:
    base = Snapshot.open(tmp_path / snapshot(tmp_path, [12010000000]).digest)
    with Builder(tmp_path / "work", None) as builder:
        builder.add(batch([12010000001]))
        builder.checkpoint({})
    with Builder(tmp_path / "work", base) as builder:
        assert builder.resumed() is None
        assert held(builder.finish()) == [12010000000]
    base.close()


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"[]", b"null", b'{"version":2}', b"[" * 100_000, b"\xff",
     b'{"version":1,"base":5}',
     b'{"version":1,"base":null,"numbers":-4,"runs":1,"state":{}}',
     b'{"version":1,"base":null,"numbers":true,"runs":1,"state":{}}',
     b'{"version":1,"base":null,"numbers":2,"runs":1,"state":{}}',
     b'{"version":1,"base":null,"numbers":400,"runs":1,"state":{}}',
     b'{"version":1,"base":null,"numbers":3,"runs":400,"state":{}}',
     b'{"version":1,"base":null,"numbers":3,"runs":9999999999999999,"state":{}}',
     b'{"version":1,"base":null,"numbers":3,"runs":1,"state":[]}'],
)  # fmt: skip
def test_a_checkpoint_that_does_not_fit_means_a_new_beginning(
    tmp_path: Path, damage: bytes
) -> None:
    with Builder(tmp_path, None) as builder:
        builder.add(batch([12010000001, 12010000002, 12010000003]))
        builder.checkpoint({"offset": 3})
    (tmp_path / "checkpoint.json").write_bytes(damage)
    with Builder(tmp_path, None) as builder:
        assert builder.resumed() is None
        assert held(builder.finish()) == []


def test_a_damaged_spill_is_told_and_not_built(tmp_path: Path) -> None:
    for few in (0, 1000):
        with Builder(tmp_path, None) as builder, patch.object(module, "_FEW", few):
            builder.restart()
            builder.add(batch([12010000001]))
            builder.checkpoint({})
            (tmp_path / "spill").write_bytes(b"\xff\xff\xff\x7f")
            with pytest.raises(RegistryError, match="damaged"):
                builder.finish()
            (tmp_path / "spill").write_bytes(b"\1")
            with pytest.raises(RegistryError, match="shorter"):
                builder.finish()


def test_a_damaged_base_does_not_get_a_new_digest(tmp_path: Path) -> None:
    manifest = snapshot(tmp_path, [12010000000, 12020000000])
    file = tmp_path / manifest.digest / "1.bits"
    data = bytearray(file.read_bytes())
    data[17] ^= 1
    file.write_bytes(data)
    base = Snapshot.open(tmp_path / manifest.digest)
    with Builder(tmp_path / "work", base) as builder:
        builder.add(batch([12010000005]))
        with pytest.raises(RegistryError, match="digest differs"):
            builder.finish()
    base.close()


def test_discarding_leaves_what_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    builder = Builder(tmp_path, None)
    builder.add(batch([12010000001]))
    builder.checkpoint({})
    builder.finish()
    builder.discard()
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]
    with pytest.raises(RegistryError, match="closed"):
        builder.checkpoint({})


def test_a_folder_that_cannot_be_used_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "work").touch()
    with pytest.raises(RegistryError, match="work: cannot be opened"):
        Builder(tmp_path / "work", None)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "spill").symlink_to("/dev/null")
    with pytest.raises(RegistryError, match="cannot be opened"):
        Builder(tmp_path / "other", None)


SPILLING = """
import resource, sys
from pathlib import Path
import numpy as np
from callguard.optout.registry.builder import Builder
from callguard.optout.registry.contract import Batch, RegistryError
work, most = Path(sys.argv[1]), int(sys.argv[2])

def most_memory():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))

before = most_memory()
random = np.random.default_rng(1)
builder = Builder(work, None)
if most:
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
try:
    for _ in range(24):
        builder.add(Batch(random.integers(12010000000, 12510000000, 1 << 18), None, 0))
    built = builder.finish()
    print(built.count, most_memory() - before)
except RegistryError as error:
    print(error)
"""


def run(work: Path, most: int) -> str:
    done = subprocess.run(
        [sys.executable, "-c", SPILLING, str(work), str(most)],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def test_memory_does_not_grow_with_the_list(tmp_path: Path) -> None:
    count, kilobytes = run(tmp_path, 0).split()
    assert int(count) > 6_000_000
    assert int(kilobytes) < 170_000


@pytest.mark.parametrize(("most", "what"), [(20_000_000, "spill"), (30_000_000, "1.bits")])
def test_a_write_that_stops_in_the_middle_is_one_line(tmp_path: Path, most: int, what: str) -> None:
    told = run(tmp_path, most)
    assert told.endswith(f"{what}: cannot be written: File too large")
    assert "\n" not in told
