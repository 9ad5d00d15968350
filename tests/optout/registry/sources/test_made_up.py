"""The made-up registry that the bench imports."""

import re
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from bench.registry_data import CODES, NUMBERS, area_codes, numbers_of, shares, write
from tests.optout.registry.sources.texts import read_files


def test_it_is_as_large_as_the_real_one() -> None:
    found = shares(NUMBERS, CODES)
    assert sum(found.values()) == NUMBERS == 258_500_000
    assert len(found) == CODES == 350
    assert min(found.values()) * 3 < max(found.values())


@pytest.mark.parametrize(("count", "codes"), [(1, 1), (350, 350), (9_999, 7), (16_000_000, 3)])
def test_it_has_as_many_numbers_as_were_asked_for(count: int, codes: int) -> None:
    found = shares(count, codes)
    assert (sum(found.values()), len(found)) == (count, codes)
    assert min(found.values()) >= 1


@pytest.mark.parametrize("count", [1, 1_000, 700_000, 5_000_000])
def test_the_numbers_of_a_code_are_valid_sorted_and_all_different(count: int) -> None:
    found = numbers_of(201, count)
    assert len(found) == count
    assert (np.diff(found) > 0).all()
    exchanges = np.unique(found // 10_000)
    assert exchanges.min() >= 200
    assert exchanges.max() <= 999
    assert not (exchanges % 100 == 11).any()
    assert len(exchanges) <= 0.8 * 792


def test_area_codes_are_such_as_the_plan_allows() -> None:
    codes = area_codes()
    assert len(set(codes)) == 350
    assert {201, 212, 305, 907} <= set(codes)
    assert not any(code % 100 == 11 or not 200 <= code <= 999 for code in codes)
    with pytest.raises(ValueError, match="900 area codes"):
        area_codes(900)


@pytest.mark.parametrize("zipped", [False, True])
def test_the_files_are_read_as_the_registry_s_own(tmp_path: Path, zipped: bool) -> None:
    paths = write(tmp_path, 5_000, 4, listed=date(2026, 11, 1), zipped=zipped)
    assert all(re.match(r"2026-11-1_[0-9]{3}_[0-9a-f-]{36}\.txt", path.name) for path in paths)
    read = read_files(paths, "us-dnc")
    wanted = [
        10**10 + code * 10**7 + number
        for code, share in shares(5_000, 4).items()
        for number in numbers_of(code, share).tolist()
    ]
    assert read.numbers == wanted
    assert read.tally.bad_lines == 0


def test_one_seed_makes_one_registry(tmp_path: Path) -> None:
    first, again, other = (
        [(path.name, path.read_bytes()) for path in write(tmp_path / str(n), 500, 3, seed)]
        for n, seed in enumerate((1, 1, 2))
    )
    assert first == again
    assert {name for name, _ in first}.isdisjoint(name for name, _ in other)
    assert [text for _, text in first] != [text for _, text in other]
