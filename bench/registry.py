"""A registry as large as that of the United States: taken into use, opened, asked.

The import is the real one (``callguard.optout.registry.importing``), of made-up files
(``bench.registry_data``), in a process of its own whose peak memory is told. A slice of the same
numbers then goes into a SQLite table and a Redis set in the same run, beside this format.

Needs 6 GB of disk for the while, under ``CALLGUARD_BENCH_FOLDER`` or the temporary folder;
``CALLGUARD_BENCH_NUMBERS`` makes a smaller list of it. With ``CALLGUARD_BENCH_KEEP`` the made-up
files stay and are found again.
"""

import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bench.registry_data import CODES, LISTED, NUMBERS, write
from bench.registry_peers import Figures, redis_set, sqlite_table
from callguard.config import Registries, RegistryList
from callguard.optout.registry.contract import Format
from callguard.optout.registry.importing import import_list
from callguard.optout.registry.outcome import Before, Outcome
from callguard.optout.registry.reading import Asked
from callguard.optout.registry.shelf import Shelf
from callguard.optout.registry.snapshot import Snapshot, current
from callguard.optout.registry.sources import open_sources
from callguard.policy.numbers import Number

NAME = "us-dnc"
SLICE = 3_000_000
SLICE_CODES = 4
ASKED = 100_000

LINE = len("201,5550123\n")

IMPORT_RATE = 15e6
BYTES_A_NUMBER = 2.0
OPEN_MS = 10.0
LOOK_UP_US = 0.5
MEMORY_MB = 300
ZIPPED = 12_000_000
ZIPPED_CODES = 16


_A = TypeVar("_A")


class _NoLedger:
    """An import that is entered nowhere: what the database costs is measured elsewhere."""

    def before(self, registry: str) -> Before | None:
        return None

    def settle(self, registry: Path, at: datetime) -> str | None:
        return None

    def taken(self, outcome: Outcome, at: datetime) -> None:
        pass

    def refused(self, outcome: Outcome, at: datetime) -> None:
        pass


class _Clock:
    """The day after the list's own, so that it may be imported on any day."""

    def now(self) -> datetime:
        return datetime.combine(LISTED + timedelta(days=1), datetime.min.time(), UTC)

    def monotonic(self) -> float:
        return time.monotonic()


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import came to; ``processor`` is seconds of all its threads, ``peak`` in bytes."""

    numbers: int
    seconds: float
    processor: float
    peak: int
    size: int

    @property
    def rate(self) -> float:
        return self.numbers / self.seconds


def imported(files: Path, registry: Path) -> Imported:
    """Imports all files of a folder in a process of its own."""
    command = [sys.executable, "-m", "bench.registry", str(files), str(registry)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return Imported(**json.loads(done.stdout))


def run_import(files: Path, registry: Path) -> Imported:
    """Imports them in this process."""
    list_format: Format = "us-dnc"
    asked = Asked(tuple(sorted(files.iterdir())), list_format, RegistryList(), Registries())
    began, worked = time.perf_counter(), time.process_time()
    outcome = import_list(registry, asked, ledger=_NoLedger(), clock=_Clock())
    took, work = time.perf_counter() - began, time.process_time() - worked
    if outcome.state != "taken" or outcome.digest is None:
        raise SystemExit(f"the import was refused: {outcome.reason}")
    size = sum(path.stat().st_size for path in (registry / outcome.digest).iterdir())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Imported(outcome.figures.count, took, work, peak, size)


def numbers_in(files: Iterable[Path]) -> NDArray[np.int64]:
    """All numbers of some files."""
    sources = open_sources(sorted(files), RegistryList(), "us-dnc")
    return np.concatenate([batch.numbers for source in sources for batch in source.batches()])


def made(folder: Path, count: int, codes: int, *, zipped: bool = False) -> list[Path]:
    """The made-up files; those that are there already are taken."""
    if folder.is_dir() and len(list(folder.iterdir())) == codes:
        return sorted(folder.iterdir())
    return write(folder, count, codes, zipped=zipped)


def some(files: list[Path], rng: np.random.Generator) -> list[int]:
    """Numbers of the list, in no order and of all its files."""
    found = []
    for path in files:
        with path.open("rb") as file:
            for line in rng.integers(0, path.stat().st_size // LINE, -(-ASKED // len(files))):
                file.seek(int(line) * LINE)
                found.append(int(b"1" + file.read(LINE).replace(b",", b"")))
    return [found[place] for place in rng.permutation(len(found))]


def others(files: list[Path], snapshot: Snapshot, rng: np.random.Generator) -> list[int]:
    """Numbers of its area codes that it does not hold, in no order."""
    codes = np.array([int(path.name.split("_")[1]) for path in files])
    drawn = rng.choice(codes, 4 * ASKED) * 10_000_000 + rng.integers(2_000_000, 10**7, 4 * ASKED)
    drawn += 10_000_000_000
    found: list[int] = drawn[~snapshot.holds_many(drawn)][:ASKED].tolist()
    return found


def microseconds(ask: Callable[[_A], object], of: Sequence[_A]) -> float:
    """What one question costs, without the loop around it; the best of three rounds."""
    best = float("inf")
    gc.disable()
    for _ in range(3):
        began = time.perf_counter()
        for one in of:
            ask(one)
        asked = time.perf_counter()
        for _one in of:
            pass
        best = min(best, (asked - began) - (time.perf_counter() - asked))
    gc.enable()
    return best / len(of) * 1e6


def peers(folder: Path) -> None:
    """Prints what a slice of the list comes to in each way of keeping it."""
    files = made(folder / "slice", SLICE, SLICE_CODES)
    ours = imported(folder / "slice", folder / "others" / "slice")
    numbers = numbers_in(files)
    rng = np.random.default_rng(2)
    asked = rng.choice(numbers, ASKED // 4).tolist()
    snapshot = opened(folder / "others" / "slice")
    look_up = microseconds(snapshot.holds, asked)
    snapshot.close()
    told = [("callguard", Figures(ours.rate, ours.size / len(numbers), look_up))]
    told.append(("SQLite, WITHOUT ROWID", sqlite_table(folder, numbers, asked)))
    redis = redis_set(folder, numbers, asked)
    if redis is not None:
        told.append(("Redis set, own socket", redis))
    heads = (("load M/s", 18), ("B/number", 16), ("look-up us", 18))
    print(f"\n{f'a slice of {SLICE / 1e6:g} M numbers':28}", *(f"{h:>{wide}}" for h, wide in heads))
    first = told[0][1]
    for name, found in told:
        figures = (
            (found.rate / 1e6, first.rate / found.rate, 18),
            (found.size, found.size / first.size, 16),
            (found.look_up, found.look_up / first.look_up, 18),
        )
        print(f"{name:28}", *(f"{f'{a:.3g} ({b:.3g} x)':>{wide}}" for a, b, wide in figures))
    print("(callguard reads and checks its text files; the others are given numbers. x: how many")
    print("times better callguard is.)")
    if redis is None:
        print("Redis is not installed here; it is left out")


def opened(registry: Path) -> Snapshot:
    """The snapshot in use."""
    digest = current(registry)
    assert digest is not None, "it was just imported"
    return Snapshot.open(registry / digest)


def opening(registry: Path) -> float:
    """Milliseconds until a snapshot can be asked; the median of nine."""
    times = []
    for _ in range(9):
        began = time.perf_counter()
        snapshot = opened(registry)
        times.append(time.perf_counter() - began)
        snapshot.close()
    return statistics.median(times) * 1e3


def main() -> int:
    """Prints all figures; 1 if one is missed."""
    kept = os.environ.get("CALLGUARD_BENCH_KEEP")
    count = int(os.environ.get("CALLGUARD_BENCH_NUMBERS", NUMBERS))
    codes = max(1, min(CODES, count // 10_000))
    with tempfile.TemporaryDirectory(dir=os.environ.get("CALLGUARD_BENCH_FOLDER")) as temporary:
        folder = Path(temporary)
        texts = Path(kept) if kept else folder / "texts"
        began = time.perf_counter()
        files = made(texts, count, codes)
        took = time.perf_counter() - began
        print(f"{count:,} numbers in {len(files)} files, made up in {took:.0f} s", flush=True)
        registry = folder / "registries" / NAME
        plain = imported(texts, registry)
        made(folder / "zipped", min(ZIPPED, count), min(ZIPPED_CODES, codes), zipped=True)
        zipped = imported(folder / "zipped", folder / "others" / "zipped")
        reached = tell(plain, zipped, registry, files)
        peers(folder)
    return 0 if reached else 1


def tell(plain: Imported, zipped: Imported, registry: Path, files: list[Path]) -> bool:
    """Prints each figure beside its target; whether all are reached."""
    rng = np.random.default_rng(1)
    snapshot = opened(registry)
    hits, misses = some(files, rng), others(files, snapshot, rng)
    hit, miss = microseconds(snapshot.holds, hits), microseconds(snapshot.holds, misses)
    if not all(snapshot.holds(number) for number in hits) or any(map(snapshot.holds, misses)):
        raise SystemExit("the snapshot does not hold what was imported")
    shelf = Shelf(registry.parent)
    mixed = [
        Number("", f"+{number}", e164=f"+{number}") for number in hits[:20_000] + misses[:20_000]
    ]
    answer = microseconds(shelf.answers, mixed)
    size, peak, open_ms = plain.size / plain.numbers, plain.peak / 1e6, opening(registry)
    least = f"at least {IMPORT_RATE / 1e6:g}"
    figures = {
        f"import, plain: {plain.rate / 1e6:.1f} M/s, {least}": plain.rate >= IMPORT_RATE,
        f"import, zipped: {zipped.rate / 1e6:.1f} M/s, {least}": zipped.rate >= IMPORT_RATE,
        f"on disk: {size:.2f} B a number, at most {BYTES_A_NUMBER:g}": size <= BYTES_A_NUMBER,
        f"opens in {open_ms:.2f} ms, at most {OPEN_MS:g}": open_ms <= OPEN_MS,
        f"look-up of a hit: {hit:.2f} us, at most {LOOK_UP_US:g}": hit <= LOOK_UP_US,
        f"look-up of a miss: {miss:.2f} us, at most {LOOK_UP_US:g}": miss <= LOOK_UP_US,
        f"peak memory of the import: {peak:.0f} MB, at most {MEMORY_MB}": peak <= MEMORY_MB,
    }
    print()
    for told, reached in figures.items():
        print(f"{'reached' if reached else 'MISSED ':8} {told}")
    print(f"{'':8} the gate, asking one registry: {answer:.2f} us a number")
    work = plain.numbers / plain.processor / 1e6
    print(f"{'':8} the import in processor time, on a busy machine too: {work:.1f} M/s")
    snapshot.close()
    return all(figures.values())


if __name__ == "__main__":
    print(json.dumps(asdict(run_import(Path(sys.argv[1]), Path(sys.argv[2])))))
