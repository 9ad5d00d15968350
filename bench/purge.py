"""How fast what has expired is purged, and what calls notice of it.

A database with a million call records and a hundred thousand recordings, all due at once, each
recording with its payload file. The full durable gate answers calls at an even rate, first alone,
then with the purge in the same process, as a service has it; beside that, what others do: one large
DELETE of the call records. Calls are timed from the instant at which they should have come, so
that a server that stands still is not spared. Then the cost of a row, without calls, in databases
of ten thousand rows to a million (``--long``: ten million); the median of ``TIMES`` purges.
"""

import asyncio
import math
import multiprocessing
import os
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, TypeVar, cast

import structlog
import uvloop
from sqlalchemy import Connection as DatabaseConnection
from sqlalchemy import delete, func, select

from bench.full_gate import serve_beside
from bench.load import AgiCall, environment
from callguard.clock import SystemClock
from callguard.recording.store.folder import FolderStore
from callguard.retention.erasures.ledger import ErasureLedger
from callguard.retention.purging.giving_way import GivingWay
from callguard.retention.purging.purge import Surroundings, purge
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from callguard.storage.migrate import upgrade
from callguard.storage.schema import call_records, erasures, recordings

T = TypeVar("T")

RECORDS: Final = int(os.environ.get("BENCH_RECORDS", "1000000"))
RECORDINGS: Final = int(os.environ.get("BENCH_RECORDINGS", "100000"))
RATE: Final = int(os.environ.get("BENCH_CALLS", "50"))
"""Calls a second: what a busy Asterisk places."""

IDLE_S: Final = 20.0
LONG: Final = os.environ.get("BENCH_LONG", "") not in ("", "0")
SIZES: Final = (10_000, 100_000, 1_000_000, *((10_000_000,) if LONG else ()))
TIMES: Final = {10_000: 3, 100_000: 3}
PAYLOAD: Final = b"sealed" * 170
TENANTS: Final = 20
YEAR: Final = 365 * 86_400 * 1_000_000
TARGET_S: Final = 60.0
TARGET_RATIO: Final = 2.0


def fill(folder: Path, records: int, sealed: int) -> None:
    """A database whose rows were due since an hour, and the payloads of its recordings."""
    path = folder / "bench.db"
    database = Database(f"sqlite:///{path}")
    upgrade(database)
    database.close()
    end = time.time_ns() // 1000 - YEAR - 3_600_000_000
    step = YEAR // max(records, sealed, 1) // 12
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("foreign_keys=OFF", "synchronous=OFF", "journal_mode=WAL"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO tenants (id, name, settings, created_at, updated_at)"
        " VALUES (?, ?, '{}', ?, ?)",
        [(f"t{n}", f"T{n}", end, end) for n in range(TENANTS)],
    )
    connection.executemany(_INSERT_RECORD, _records(records, end, step))
    connection.executemany(_INSERT_RECORDING, _recordings(sealed, end, step))
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    store = FolderStore(folder / "objects")
    for n in range(256):
        (store.objects_folder / f"{n:02x}").mkdir(exist_ok=True)
    for row in _recordings(sealed, end, step):
        store.path(str(row[0])).write_bytes(PAYLOAD)


_INSERT_RECORD = (
    "INSERT INTO call_records (pbx, uniqueid, sequence, linkedid, call_id, tenant_id, caller,"
    " called, channel, peer_channel, started_at, answered_at, ended_at, duration_s, billed_s,"
    " disposition, userfield, source, direction, purpose, campaign, subject, expires_at)"
    " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
)
_INSERT_RECORDING = (
    "INSERT INTO recordings (id, tenant_id, call_id, pbx, channel_uniqueid, state, spool_name,"
    " encoding, header, payload, plain_bytes, sealed_bytes, payload_sha256, started_at, ended_at,"
    " sealed_at, expires_at) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
)


def _uuid7(at: int, n: int) -> str:
    """An id as a service makes it, the same each time."""
    text = f"{at // 1000:012x}7{(n * 2654435761) % 4096:03x}8{(n * 40503) % 4096:03x}{n:012x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _records(count: int, end: int, step: int) -> Iterator[tuple[object, ...]]:
    for n in range(count):
        at = end - (count - n) * step
        call, unique = _uuid7(at, n), f"{at // 1_000_000}.{n}"
        subject, tenant = f"+4930{n % 9_999_999:07}", f"t{n % TENANTS}"
        yield (
            *("east", unique, n, unique, call, tenant, "+442079460000", subject),
            *(f"PJSIP/agent-{n:08x}", f"PJSIP/carrier-{n:08x}"),
            *(at - 60_000_000, at - 55_000_000, at, 60, 55, "ANSWERED", call, "file"),
            *("outbound", "service", f"campaign {n % 7}", subject, at + YEAR),
        )


def _recordings(count: int, end: int, step: int) -> Iterator[tuple[object, ...]]:
    for n in range(count):
        at = end - (count - n) * step
        name = _uuid7(at, n + 1_000_000_000)
        yield (
            *(name, f"t{n % TENANTS}", _uuid7(at, n), "east", f"{at // 1_000_000}.{n}", "sealed"),
            *(f"{n:032x}.sln", "pcm-8000-1", b"h" * 1_630, name, 480_044, 480_200, "0" * 64),
            *(at - 60_000_000, at, at, at + YEAR),
        )


@dataclass(frozen=True, slots=True)
class Answered:
    """Calls of one stretch, and percentiles of their time in milliseconds."""

    calls: int
    failed: int
    p50: float
    p99: float
    worst: float

    def __str__(self) -> str:
        failed = f", {self.failed} FAILED" if self.failed else ""
        return (
            f"{self.calls:6,} calls, p50 {self.p50:6.2f} ms, p99 {self.p99:7.2f} ms, worst"
            f" {self.worst:8.1f} ms{failed}"
        )


def load(pipe: Connection) -> None:
    """In a process of its own: takes ``(port, rate)``, calls until something else comes, then gives
    an ``Answered``; until None."""
    while (order := pipe.recv()) is not None:
        port, rate = order
        pipe.send(uvloop.run(_call_evenly(port, rate, pipe)))


async def _call_evenly(port: int, rate: int, pipe: Connection) -> Answered:
    loop = asyncio.get_running_loop()
    times, failed, tasks = array("d"), 0, set[asyncio.Task[None]]()
    begun, serial = time.perf_counter(), os.getpid() * 1000

    async def call(due: float, number: int) -> None:
        nonlocal failed
        done: asyncio.Future[bool] = loop.create_future()
        transport = None
        try:
            async with asyncio.timeout(10):
                transport, _ = await loop.create_connection(
                    lambda: AgiCall(environment(port, number), done), "127.0.0.1", port
                )
                failed += not await done
        except OSError:
            failed += 1
        finally:
            if transport is not None:
                transport.close()
        times.append(time.perf_counter() - due)

    n = 0
    while not pipe.poll():
        due = begun + n / rate
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        task = asyncio.create_task(call(due, serial + n))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        n += 1
    pipe.recv()
    if tasks:
        await asyncio.wait(tasks)
    ordered = sorted(times)

    def percentile(share: float) -> float:
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)] * 1000

    return Answered(len(ordered), failed, percentile(0.5), percentile(0.99), ordered[-1] * 1000)


def serve(pipe: Connection, folder: str) -> None:
    """The gate, and beside it what the pipe asks for: ``purge`` or ``delete``; answers with how
    many seconds it took."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))

    async def beside(database: Database, journal: Journal) -> None:
        while (order := await asyncio.to_thread(pipe.recv)) is not None:
            began = time.perf_counter()
            if order == "purge":
                await _purge(Path(folder), database, journal)
            else:
                await asyncio.to_thread(_delete_at_once, database)
            pipe.send(time.perf_counter() - began)

    uvloop.run(serve_beside(pipe, Path(folder), beside))


async def _purge(folder: Path, database: Database, journal: Journal | None) -> None:
    async def write(work: Callable[[DatabaseConnection], T], /) -> T:
        if journal is not None:
            return await journal.write_behind(work, timeout=60.0)
        with database.writing() as connection:
            return work(connection)

    def move_log() -> int:
        return database.checkpoint(emptying=False)

    way = GivingWay()
    if journal is not None:
        way = GivingWay(pending=lambda: journal.state().calls, move_log=move_log)
    store, ledger = FolderStore(folder / "objects"), ErasureLedger(folder / "erasures.ledger")
    around = Surroundings(way=way)
    await purge(write, store, ledger, SystemClock(), actor="bench", around=around)


def _delete_at_once(database: Database) -> None:
    """What others do at night."""
    now = SystemClock().now()
    with database.writing() as connection:
        connection.execute(delete(call_records).where(call_records.c.expires_at <= now))


def under_load(folder: Path, orders: tuple[str, ...]) -> dict[str, tuple[float, Answered]]:
    """Seconds and what calls noticed, idle first."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=serve, args=(theirs, str(folder)))
    server.start()
    calling, called = context.Pipe()
    client = context.Process(target=load, args=(called,), daemon=True)
    client.start()
    found = {}
    try:
        port = ours.recv()

        def measured(work: Callable[[], float]) -> tuple[float, Answered]:
            calling.send((port, RATE))
            took = work()
            calling.send("stop")
            return took, cast(Answered, calling.recv())

        measured(lambda: _waited(3.0))  # warm
        found["idle"] = measured(lambda: _waited(IDLE_S))
        for order in orders:

            def asked(order: str = order) -> float:
                ours.send(order)
                return float(ours.recv())

            found[order] = measured(asked)
        calling.send(None)
    finally:
        server.terminate()
        server.join(10)
        client.join(5)
    return found


def _waited(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def left(folder: Path) -> tuple[int, int, int, int]:
    """Call records, recordings, unfinished erasures and payload files that are left."""
    database = Database(f"sqlite:///{folder / 'bench.db'}")
    with database.reading() as connection:
        counts = [
            connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (call_records, recordings)
        ]
        undone = select(func.count()).select_from(erasures).where(erasures.c.done_at.is_(None))
        open_ = connection.execute(undone).scalar_one()
    database.close()
    files = sum(1 for _ in FolderStore(folder / "objects").names())
    return counts[0], counts[1], open_, files


def cost_of_a_row(folder: Path, rows: int) -> float:
    """Microseconds, of a purge that nothing else disturbs."""
    fill(folder, rows, 0)
    os.sync()
    database = Database(f"sqlite:///{folder / 'bench.db'}")
    began = time.perf_counter()
    asyncio.run(_purge(folder, database, None))
    took = time.perf_counter() - began
    database.close()
    return took / rows * 1e6


def tell(found: Mapping[str, tuple[float, Answered]], rest: tuple[int, int, int, int]) -> None:
    """Prints what calls noticed of the purge, as soon as it is known."""
    (seconds, during), idle = found["purge"], found["idle"][1]
    ratio = during.p99 / idle.p99
    print(f"  idle:                     {idle}")
    print(f"  during the purge, {seconds:5.1f} s: {during}")
    print(
        f"  left: {rest}, {seconds:.1f} s (target {TARGET_S:.0f}), p99 {ratio:.2f} x idle (target"
        f" {TARGET_RATIO:.0f}), p50 {during.p50 / idle.p50:.2f} x, load {os.getloadavg()[0]:.1f}",
        flush=True,
    )


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder of its own, gone afterwards."""
    with tempfile.TemporaryDirectory(
        prefix="callguard-bench-purge-", ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)


def main() -> int:
    """Prints what was measured; exit status 1 below the targets."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    print(
        f"{RECORDS:,} call records and {RECORDINGS:,} recordings due at once, {RATE} calls a"
        f" second, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    with scratch() as folder, scratch() as other:
        fill(folder, RECORDS, RECORDINGS)
        shutil.copy(folder / "bench.db", other)
        os.sync()  # what filling left to be written is not the calls' to wait for
        found = under_load(folder, ("purge",))
        rest = left(folder)
        tell(found, rest)
        peer = under_load(other, ("delete",))
    seconds, during = found["purge"]
    idle = found["idle"][1]
    ratio = during.p99 / idle.p99
    took, noticed = peer["delete"]
    print("what others do, the call records alone in one DELETE:")
    print(f"  idle:                     {peer['idle'][1]}")
    print(f"  meanwhile,        {took:5.1f} s: {noticed}")
    print("the cost of a row without calls, the median:", flush=True)
    costs = {}
    for size in SIZES:
        found_costs = []
        for _ in range(TIMES.get(size, 1)):
            with scratch() as folder:
                found_costs.append(cost_of_a_row(folder, size))
        costs[size] = statistics.median(found_costs)
        print(f"  {size:>10,} rows: {costs[size]:6.2f} us a row", flush=True)
    good = seconds <= TARGET_S and ratio <= TARGET_RATIO and rest == (0, 0, 0, 0)
    return 0 if good and not during.failed else 1


if __name__ == "__main__":
    sys.exit(main())
