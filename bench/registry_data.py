"""A made-up National Do Not Call Registry, as large as the real one and of its shape.

One flat file an area code, ``AAA,NNNNNNN`` a line, sorted. The area codes are the real ones of the
United States, filled up with unused ones; three quarters of the valid exchanges of each are given
out, and of these it lists more or fewer numbers, by code and by exchange. The real registry had
258.5 million numbers on 30 September 2025 (Federal Trade Commission, data book of that year).
"""

import uuid
import zipfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from callguard.policy.area_codes import states_of

NUMBERS = 258_500_000
CODES = 350
SEED = 2025
LISTED = date(2026, 11, 1)

GIVEN_OUT = 0.75
"""The share of the valid exchanges that have subscribers."""

FULLEST = 0.9
"""Most of an exchange that is listed."""

_LINES = 10_000
_TOLL_FREE = {800, 822, 833, 844, 855, 866, 877, 888}


def _valid(code: int) -> bool:
    """Whether three digits can be an area code or an exchange: NXX, but no N11."""
    return 200 <= code <= 999 and code % 100 != 11


def area_codes(count: int = CODES) -> list[int]:
    """So many area codes in their order: real ones first, then unused ones."""
    valid = [code for code in range(200, 1000) if _valid(code) and code not in _TOLL_FREE]
    real = [code for code in valid if states_of(f"+1{code}5550100")]
    rest = [code for code in valid if code not in set(real) and code // 10 % 10 != 9]
    if not 1 <= count <= len(real) + len(rest):
        raise ValueError(f"{count} area codes: there are 1 to {len(real) + len(rest)}")
    return sorted((real + rest)[:count])


def shares(count: int, codes: int, seed: int = SEED) -> dict[int, int]:
    """How many of ``count`` numbers each area code has."""
    rng = np.random.default_rng([seed, 0])
    listed = area_codes(codes)
    room = int(_given_out_count() * _LINES * FULLEST)
    if not codes <= count <= room * codes:
        raise ValueError(f"{count} numbers do not lie in {codes} area codes")
    weight = np.clip(rng.lognormal(0, 0.6, codes), 0.1, 4)
    found = np.minimum(weight / weight.sum() * count, room).astype(np.int64).clip(1)
    while left := count - int(found.sum()):
        open_ = np.flatnonzero(found < room if left > 0 else found > 1)
        step = left // len(open_) if left > 0 else -(-left // len(open_))
        if step == 0:
            found[open_[: abs(left)]] += 1 if left > 0 else -1
        else:
            found[open_] = np.clip(found[open_] + step, 1, room)
    return dict(zip(listed, found.tolist(), strict=True))


def numbers_of(code: int, count: int, seed: int = SEED) -> NDArray[np.int64]:
    """The last seven digits of the numbers that are listed of an area code, sorted."""
    rng = np.random.default_rng([seed, code])
    valid = np.array([exchange for exchange in range(200, 1000) if _valid(exchange)])
    exchanges = np.sort(rng.choice(valid, _given_out_count(), replace=False))
    room = len(exchanges) * _LINES
    density = np.clip(rng.beta(4, 4, len(exchanges)) * 2 * count / room, 0, FULLEST)
    density = np.minimum(density * (count / room / max(density.mean(), 1e-9)), 1)
    drawn = np.frombuffer(rng.bytes(2 * room), np.uint16).reshape(-1, _LINES)
    taken = (drawn < (density * 65_535)[:, None].astype(np.uint16)).reshape(-1)
    over = int(np.count_nonzero(taken)) - count
    if over:
        changing = np.flatnonzero(taken if over > 0 else ~taken)
        taken[rng.choice(changing, abs(over), replace=False)] = over < 0
    places = np.flatnonzero(taken)
    found: NDArray[np.int64] = exchanges[places // _LINES] * _LINES + places % _LINES
    return found


def text_of(code: int, numbers: NDArray[np.int64]) -> bytes:
    """The numbers as the lines of a flat file."""
    rows = np.empty((len(numbers), 3), "<u4")
    rows[:, 0] = int.from_bytes(f"{code},".encode(), "little")
    rows[:, 1] = _FOUR[numbers // 1_000]
    rows[:, 2] = _THREE[numbers % 1_000]
    return rows.tobytes()


def texts(
    count: int = NUMBERS, codes: int = CODES, seed: int = SEED, listed: date = LISTED
) -> Iterator[tuple[str, bytes]]:
    """Each file's name and text."""
    for code, share in shares(count, codes, seed).items():
        guid = uuid.UUID(bytes=np.random.default_rng([seed, code, 1]).bytes(16), version=4)
        name = f"{listed.year}-{listed.month}-{listed.day}_{code}_{guid}.txt"
        yield name, text_of(code, numbers_of(code, share, seed))


def write(
    folder: Path,
    count: int = NUMBERS,
    codes: int = CODES,
    seed: int = SEED,
    listed: date = LISTED,
    *,
    zipped: bool = False,
) -> list[Path]:
    """Writes the files into a folder, each in a zip archive of its own if so wished."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, text in texts(count, codes, seed, listed):
        path = folder / (f"{name}.zip" if zipped else name)
        if zipped:
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr(name, text)
        else:
            path.write_bytes(text)
        paths.append(path)
    return paths


def _given_out_count() -> int:
    return round(GIVEN_OUT * sum(_valid(exchange) for exchange in range(200, 1000)))


def _words(ending: str, digits: int) -> NDArray[np.uint32]:
    text = "".join(f"{value:0{digits}d}{ending}" for value in range(10**digits))
    return np.frombuffer(text.encode(), "<u4")


_FOUR = _words("", 4)
_THREE = _words("\n", 3)
