"""Looking numbers up in a bits file."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callguard.optout.registry import bitmap as module
from callguard.optout.registry.bitmap import Bitmap
from callguard.optout.registry.calling_codes import agrees, calling_code, calling_codes
from callguard.optout.registry.contract import GROUP, RegistryError
from tests.optout.registry.making import build, numbers_of

EDGES = (
    12010000000, 12010009999, 12010010000, 12019999999, 12020000000, 12019990000, 12150001234,
    19999999999, 10000000000, 13135550100, 12345, 10000, 19999, 1234567, 9999999 // 5, 19999999,
    123456789, 199999999, 1000000000, 1999999999, 123456789012345, 199999999999999,
)  # fmt: skip
"""Numbers of calling code 1 about the edges of leaves, groups and lengths."""

ODD = (-1, 0, 1, 9, 44, 9999, 44123, 442079460123, 10**15, 2**62, -(2**63), 2**63 - 1)
NUMBERS = st.one_of(
    st.sampled_from(EDGES),
    st.integers(12010000000, 12010030000),
    st.integers(12000000000, 13999999999),
    st.integers(10**14, 2 * 10**14 - 1),
)


def opened(folder: Path, numbers: list[int]) -> Bitmap:
    built = build(folder, numbers)
    return Bitmap.open(built.folder / "1.bits")


@given(st.sets(NUMBERS, min_size=1, max_size=60), st.lists(NUMBERS, max_size=60))
def test_it_holds_what_was_put_in_and_nothing_else(numbers: set[int], others: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bitmap = opened(Path(folder), sorted(numbers))
        near = [number + step for number in numbers for step in (-1, 1, GROUP, -GROUP, 10_000)]
        probes = [*numbers, *others, *near, *EDGES, *ODD]
        assert bitmap.count == len(numbers)
        assert [number for number in probes if bitmap.holds(number)] == [
            number for number in probes if number in numbers
        ]
        many = bitmap.holds_many(np.array(probes, np.int64))
        assert many.tolist() == [number in numbers for number in probes]
        assert numbers_of(bitmap.file.read_bytes()) == sorted(numbers)
        bitmap.check_counts()
        bitmap.close()


@given(st.sets(NUMBERS, min_size=1, max_size=40), NUMBERS, NUMBERS)
def test_it_counts_what_lies_between_two_numbers(numbers: set[int], low: int, high: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bitmap = opened(Path(folder), sorted(numbers))
        assert bitmap.count_between(low, high) == sum(low <= each < high for each in numbers)
        for digits in (1, 2, 4, 6, 11):
            prefix = str(high)[:digits]
            begin = sum(str(each).startswith(prefix) for each in numbers)
            assert bitmap.count_prefix(f"+{prefix}") == begin
        bitmap.close()


@pytest.mark.parametrize("span", [1, 1 << 12])
def test_many_are_found_alike_where_groups_lie_near_and_far(
    tmp_path: Path, span: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SPAN", span)
    monkeypatch.setattr(module, "_CHUNK", 100)
    random = np.random.default_rng(4)
    numbers = random.integers(12010000000, 12300000000, 3000)
    bitmap = opened(tmp_path, numbers.tolist())
    probes = np.concatenate((numbers, numbers + 1, random.integers(0, 10**15, 500), np.array(ODD)))
    wanted = [bitmap.holds(number) for number in probes.tolist()]
    assert bitmap.holds_many(probes).tolist() == wanted
    assert sum(wanted) >= 3000


def test_many_numbers_of_any_integer_kind_are_taken(tmp_path: Path) -> None:
    bitmap = opened(tmp_path, [12345, 12010009999])
    assert bitmap.holds_many(np.array([12345, 5], np.int32)).tolist() == [True, False]
    assert bitmap.holds_many(np.array([12010009999, 2**64 - 1], np.uint64)).tolist() == [
        True,
        False,
    ]
    assert bitmap.holds_many(np.zeros(0, np.int64)).tolist() == []


def test_after_closing_it_says_so_and_never_no(tmp_path: Path) -> None:
    bitmap = opened(tmp_path, [12010000000])
    bitmap.close()
    bitmap.close()
    for ask in (
        lambda: bitmap.holds(12010000000),
        lambda: bitmap.holds(5),
        lambda: bitmap.holds_many(np.array([12010000000])),
        lambda: bitmap.count_between(0, 10**15),
        bitmap.counts,
        bitmap.sha256,
        lambda: bitmap.leaves(1201),
    ):
        with pytest.raises(RegistryError, match="is closed"):
            ask()


def test_closing_leaves_those_who_still_look_at_the_bytes_unharmed(tmp_path: Path) -> None:
    bitmap = opened(tmp_path, [12010000000])
    view = np.frombuffer(bitmap._map, np.uint8)
    bitmap.close()
    assert view[16] == 1


def test_it_outlives_its_folder(tmp_path: Path) -> None:
    bitmap = opened(tmp_path, [12010000000])
    digest = bitmap.sha256()
    bitmap.file.unlink()
    assert bitmap.holds(12010000000)
    assert bitmap.sha256() == digest


@given(st.integers(0, 10**15 + 10), st.sampled_from([1, 7, 20, 44, 49, 350, 972, 998]))
def test_every_number_has_the_calling_code_it_begins_with(number: int, code: int) -> None:
    assert calling_codes(np.array([number])).tolist() == [calling_code(number)]
    if calling_code(number):
        assert str(number).startswith(str(calling_code(number)))
        assert agrees(number // GROUP, calling_code(number))
    if number // GROUP >= 100:
        assert agrees(number // GROUP, code) == (
            str(number).startswith(str(code)) and number < 10**15
        )


@pytest.mark.parametrize("code", [1, 7, 44, 350, 998])
def test_a_short_group_agrees_with_the_codes_of_the_numbers_it_may_hold(code: int) -> None:
    may = {
        number // GROUP
        for zeros in range(13)
        for number in (code * 10**zeros, (code + 1) * 10**zeros - 1)
        if 10**4 <= number < 10**9
    }
    whole = {group for group in range(min(may), max(may) + 1) if str(group).startswith(str(code))}
    assert {group for group in range(100) if agrees(group, code)} == may | whole
