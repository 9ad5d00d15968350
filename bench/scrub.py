"""How fast a calling list is split: rows a second of one core, and whether memory stays flat.

The list is of the United States, numbers in the ways that people write them, with a slice of a
national registry, opt-outs, contacts and attempts beside it; some of its rows are of people of
whom something is kept. The command runs in a process of its own. The same run splits a slice with
a loop over Python's ``csv`` and sets, and another with joins in SQLite.
"""

import csv
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import insert

from callguard.contacts.contact import Contact
from callguard.optout.registry.builder import Builder
from callguard.optout.registry.contract import Batch, Coverage
from callguard.optout.registry.snapshot import Draft, make_current, write
from callguard.policy.area_codes import codes_of
from callguard.policy.facts import GivenConsent
from callguard.storage.database import Database
from callguard.storage.migrate import upgrade
from callguard.storage.schema import attempts, contacts, opt_outs
from callguard.tenants.store import NewTenant, OwnKey, add
from callguard.tenants.tenant import TenantSettings

ROWS = int(os.environ.get("BENCH_ROWS", "10000000"))
FEW = min(1_000_000, ROWS)
SLICE = 300_000
LISTED = 25_000_000
OPT_OUTS, CONTACTS, ATTEMPTS = 100_000, 50_000, 50_000
TARGET = 1_000_000
TARGET_GROWTH_MB = 32.0
AT = datetime(2026, 3, 10, 18, 0, tzinfo=UTC)
"""A Tuesday at which it is day in every state."""

STATES = "CA TX FL NY PA IL OH GA NC MI NJ VA WA AZ TN MA IN MO MD WI CO MN SC AL LA KY OR OK CT UT"
FORMATS = (
    ("+1{0}{1}{2}", 0.35),
    ("{0}{1}{2}", 0.25),
    ("1{0}{1}{2}", 0.10),
    ("({0}) {1}-{2}", 0.20),
    ("{0}-{1}-{2}", 0.07),
    ("{0}.{1}.{2}", 0.03),
)
NAMES = ("Ann Lee", "Bob Stone", "Carla Diaz", "D. O'Neil", "Eve Adams", "Fay Wu", "Gus Hall")
CITIES = ("Albany", "Boise", "Chico", "Dover", "Erie", "Fargo", "Gary")


def numbers_of(rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Numbers of every exchange of the larger states."""
    areas = [int(code) for state in STATES.split() for code in codes_of(f"US-{state}")]
    area = rng.choice(np.array(areas, np.int64), count)
    return 10**10 + area * 10**7 + rng.integers(2_000_000, 10_000_000, count)


def write_list(path: Path, rows: int, known: NDArray[np.int64]) -> None:
    """A list of so many rows; all that is known of is somewhere in its first million."""
    rng = np.random.default_rng(7)
    shares = np.array([share for _, share in FORMATS])
    with path.open("w", encoding="utf-8") as file:
        file.write("id,name,phone,city,balance\n")
        for first in range(0, rows, 100_000):
            count = min(100_000, rows - first)
            numbers = numbers_of(rng, count)
            part = known[first // 10 : first // 10 + count // 10]
            numbers[rng.permutation(count)[: len(part)]] = part
            forms = rng.choice(len(FORMATS), count, p=shares).tolist()
            lines = []
            for place, (number, form) in enumerate(zip(numbers.tolist(), forms, strict=True)):
                text = str(number)
                phone = FORMATS[form][0].format(text[1:4], text[4:7], text[7:])
                name, city = NAMES[place % 7], CITIES[place % 5]
                lines.append(f"{first + place},{name},{phone},{city},{place % 977}.50\n")
            file.write("".join(lines))


def furnish(folder: Path) -> NDArray[np.int64]:
    """The database, the registry and the settings; returns the numbers of which anything is
    kept."""
    rng = np.random.default_rng(11)
    (folder / "callguard.toml").write_text(f'data = "{folder}"\nhome_region = "US"\n')
    database = Database(f"sqlite:///{folder / 'callguard.db'}")
    upgrade(database)
    settings = TenantSettings(home_region="US", shown_number="+12025550101")
    own = OwnKey("pq", "age1pq1unused", b"unused")
    known = numbers_of(rng, OPT_OUTS + CONTACTS + ATTEMPTS)
    subjects = [f"+{number}" for number in known.tolist()]
    minute = timedelta(minutes=1)
    consent = GivenConsent("marketing", AT - timedelta(days=30), proof="form")
    with database.writing() as connection:
        new = NewTenant("bench", "Bench", settings, own)
        add(connection, new, at=AT, actor="bench")
        wished = [
            {
                "tenant_id": "bench",
                "subject": subject,
                "standing": True,
                "purposes": [],
                "channels": [],
                "way": "line",
                "actor": "bench",
                "at": AT - (1 + place) * minute,
            }
            for place, subject in enumerate(subjects[:OPT_OUTS])
        ]
        connection.execute(insert(opt_outs), wished)
        rest = subjects[OPT_OUTS:]
        kept = [
            {
                "tenant_id": "bench",
                "subject": subject,
                "known": Contact(
                    consents=(GivenConsent("marketing", AT - place * minute, proof="form"),)
                    if place % 2
                    else (consent,)
                ).stored(),
                "updated_at": AT,
            }
            for place, subject in enumerate(dict.fromkeys(rest[:CONTACTS]))
        ]
        connection.execute(insert(contacts), kept)
        called = [
            {
                "subject": subject,
                "at": AT - (1 + place) * minute,
                "call_id": str(place),
                "tenant_id": "bench",
                "purpose": "marketing",
                "channel": "voice",
            }
            for place, subject in enumerate(rest[CONTACTS:])
        ]
        connection.execute(insert(attempts), called)
    database.close()
    registry = folder / "registries" / "us-dnc"
    (registry / "work").mkdir(parents=True)
    with Builder(registry / "work", None) as builder:
        builder.restart()
        for _ in range(LISTED // 1_000_000):
            builder.add(Batch(numbers_of(rng, 1_000_000), None, 0))
        built = builder.finish()
    draft = Draft("us-dnc", AT.date(), AT.isoformat(), Coverage(("+1",)), ())
    make_current(registry, write(registry, draft, built).digest)
    return known


def own_memory(process: int) -> float:
    """Megabytes that a process holds and that are of no file."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    held = (line.split()[1] for line in lines if line.startswith("RssAnon:"))
    return int(next(held, "0")) / 1024


class Run:
    """One run of the command: its summary, seconds of processor and of the wall, and the most
    memory of its own that it held. Pages of the registry's files are not its own."""

    def __init__(self, folder: Path, source: Path) -> None:
        command = ("scrub", str(source), str(folder / "out.csv"), "--tenant", "bench")
        options = ("--config", str(folder / "callguard.toml"), "--at", AT.isoformat(), "--json")
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "callguard", *command, *options], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        self.peak_mb = 0.0
        while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
            self.peak_mb = max(self.peak_mb, own_memory(process.pid))
            time.sleep(0.05)
        _, status, usage = ended
        said = process.stdout.read()
        self.wall = time.perf_counter() - began
        assert status == 0, said
        self.summary = json.loads(said)
        self.processor = usage.ru_utime + usage.ru_stime
        self.resident_mb = usage.ru_maxrss / 1024


def by_python(source: Path, known: set[int]) -> float:
    """Rows a second of a loop that knows only how a US number is written, and one set."""
    began = time.process_time()
    rows = 0
    with source.open(newline="") as file, (source.parent / "plain.csv").open("w") as out:
        kept = csv.writer(out)
        for row in csv.reader(file):
            digits = "".join(filter(str.isdigit, row[2]))
            if digits and int(digits if len(digits) == 11 else f"1{digits}") not in known:
                kept.writerow(row)
            rows += 1
    return rows / (time.process_time() - began)


def by_sqlite(source: Path, folder: Path, known: NDArray[np.int64]) -> float:
    """Rows a second of a join, with the list put into a table first."""
    began = time.process_time()
    table = sqlite3.connect(folder / "join.db")
    table.execute("CREATE TABLE known (number INTEGER PRIMARY KEY)")
    table.execute("CREATE TABLE list (id INTEGER, number INTEGER, line TEXT)")
    loaded = time.process_time()
    table.executemany("INSERT OR IGNORE INTO known VALUES (?)", ((n,) for n in known.tolist()))
    began += time.process_time() - loaded

    def lines() -> Iterator[tuple[int, int, str]]:
        with source.open(newline="") as file:
            next(file)
            for place, row in enumerate(csv.reader(file)):
                digits = "".join(filter(str.isdigit, row[2]))
                number = int(digits if len(digits) == 11 else f"1{digits}")
                yield place, number, ",".join(row)

    table.executemany("INSERT INTO list VALUES (?,?,?)", lines())
    asked = "SELECT line FROM list LEFT JOIN known USING (number) WHERE known.number IS NULL"
    with (folder / "joined.csv").open("w") as out:
        rows = sum(out.write(f"{line}\n") > 0 for (line,) in table.execute(f"{asked} ORDER BY id"))
    table.commit()
    total = table.execute("SELECT count(*) FROM list").fetchone()[0]
    table.close()
    assert 0 < rows <= total
    return float(total) / (time.process_time() - began)


def main() -> int:
    """Prints the figures; 1 if one is missed."""
    folder = Path(tempfile.mkdtemp(prefix="callguard-scrub-"))
    try:
        return _measured(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _measured(folder: Path) -> int:
    known = furnish(folder)
    runs = {}
    source = folder / "list.csv"
    for rows in dict.fromkeys((FEW, ROWS)):
        write_list(source, rows, known)
        runs[rows] = run = Run(folder, source)
        rate, wall = rows / run.processor, rows / run.wall
        size = source.stat().st_size / rows
        print(
            f"{rows:>10} rows of {size:.0f} B: {rate / 1e6:.2f} M rows/s a core, "
            f"{wall / 1e6:.2f} M rows/s by the clock, {run.peak_mb:.0f} MB "
            f"({run.resident_mb:.0f} with the registry's pages)"
        )
        print(f"{'':>10} {json.dumps(run.summary['outcomes'])}, repeats {run.summary['repeats']}")
    with source.open() as file, (folder / "slice.csv").open("w") as part:
        for line, _ in zip(file, range(SLICE), strict=False):
            part.write(line)
    small = folder / "slice.csv"
    plain, joined = by_python(small, set(known.tolist())), by_sqlite(small, folder, known)
    print(f"plain csv and one set, {SLICE} rows: {plain / 1e6:.2f} M rows/s")
    print(f"a join in SQLite, {SLICE} rows: {joined / 1e6:.2f} M rows/s")
    rate = ROWS / runs[ROWS].processor
    growth = runs[ROWS].peak_mb - runs[FEW].peak_mb
    figures = {
        f"{rate / 1e6:.2f} M rows/s a core, at least {TARGET / 1e6:g}": rate >= TARGET,
        f"memory grew by {growth:.0f} MB from {FEW} to {ROWS} rows, at most "
        f"{TARGET_GROWTH_MB:g}": growth <= TARGET_GROWTH_MB,
    }
    for told, reached in figures.items():
        print(f"{'reached' if reached else 'MISSED ':8} {told}")
    return 0 if all(figures.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
