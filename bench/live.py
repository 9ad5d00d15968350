"""A thousand calls recorded at once: the whole service seals them while a process of its own writes
their spool entries, as Asterisk would.

Every entry grows at 16 KB/s (8 kHz linear), in bursts of 32 KiB, each entry at its own moment. The
spool is a tmpfs, the store a folder on a disk, the database SQLite, all as they are by default. The
manager connection is down, so nothing ends a recording. Figures are those of all processes of the
service together. What was sealed is opened again and compared.
"""

import asyncio
import contextlib
import multiprocessing
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.synchronize import Event
from pathlib import Path, PurePosixPath
from statistics import median
from typing import Final

from sqlalchemy import select

from callguard.clock import SystemClock
from callguard.config import Settings
from callguard.recording import age
from callguard.recording.keyring import open_keyring
from callguard.recording.keys import MasterKey, generate_tenant_identity
from callguard.recording.recorder import Recorder
from callguard.recording.spool import Spool
from callguard.recording.store.folder import FolderStore
from callguard.recording.wav import WavFormat
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from callguard.storage.migrate import upgrade
from callguard.storage.schema import recordings
from callguard.tenants.directory import TenantDirectory
from callguard.tenants.store import NewTenant, OwnKey, add
from callguard.tenants.tenant import TenantSettings

CALLS: Final = int(os.environ.get("BENCH_CALLS", "1000"))
SECONDS: Final = float(os.environ.get("BENCH_SECONDS", "30"))
RATE: Final = 16_000
BURST: Final = 32 * 1024
IDLE_S: Final = 5.0
SETTLE_S: Final = 2.0
CHECKED: Final = 25
TARGET_CORE: Final = 0.5
TARGET_MB: Final = 250.0
TARGET_PLAIN: Final = 128 * 1024
MEMORY_FOLDER: Final = Path("/dev/shm")  # noqa: S108 - a tmpfs by design

_SETTINGS = """\
data = "{data}"
home_region = "GB"

[[asterisk]]
name = "bench"
port = {closed}
secret_file = "{secret}"

[agi]
port = 0

[web]
port = 0

[spool]
folder = "{spool}"
"""


@dataclass(frozen=True, slots=True)
class Usage:
    """What the processes of the service have used: seconds of processor, megabytes resident."""

    processor: float
    resident_mb: float


@dataclass(slots=True)
class Seen:
    """What was looked at while the recordings grew. ``largest``: the most plaintext of an entry
    whose first chunk is full, at each look; memory is what the tmpfs holds, in whole pages."""

    largest: list[int] = field(default_factory=list)
    resident_mb: list[float] = field(default_factory=list)
    processor: float = 0.0
    seconds: float = 0.0
    sealed: int = 0


def burst(number: int, serial: int) -> bytes:
    """The audio of one burst: other bytes for each recording and each burst."""
    return random.Random(number * 1_000_003 + serial).randbytes(64) * (BURST // 64)


def write_calls(paths: list[str], seconds: float, started: Event) -> None:
    """In a process of its own: lets every entry grow, each burst when it is due."""
    period = BURST / RATE
    due = [(number / len(paths) * period, number, 0) for number in range(len(paths))]
    begun = time.monotonic()
    started.set()
    while due:
        after: list[tuple[float, int, int]] = []
        for at, number, serial in due:
            data = burst(number, serial)
            time.sleep(max(0.0, begun + at - time.monotonic()))
            with Path(paths[number]).open("ab", buffering=0) as entry:
                entry.write(data)
            if at + period < seconds:
                after.append((at + period, number, serial + 1))
        due = after


class Stage:
    """Folders, settings, a tenant, and the rows of recordings that have begun."""

    def __init__(self, disk: Path, memory: Path) -> None:
        data = disk / "data"
        data.mkdir()
        secret = disk / "secret"
        secret.write_text("unused")
        secret.chmod(0o600)
        self.config = disk / "callguard.toml"
        with socket.socket() as nobody:  # bound and closed: who connects there is refused
            nobody.bind(("127.0.0.1", 0))
            closed = nobody.getsockname()[1]
        self.config.write_text(
            _SETTINGS.format(data=data, closed=closed, secret=secret, spool=memory / "spool")
        )
        self.settings = Settings.load(self.config)
        self.spool = Spool(self.settings.spool.folder, floor=0)
        self.spool.prepare()
        self.store = FolderStore(self.settings.object_folder)
        MasterKey.create(self.settings.master_key)
        self.keyring = open_keyring(self.settings)
        self.database = Database(self.settings.database_url)
        upgrade(self.database)
        self.identity = age.generate_identity("pq")
        made = generate_tenant_identity(self.keyring.identities, "bench", 1, "pq")
        new = NewTenant(
            "bench",
            "Bench",
            TenantSettings(),
            OwnKey("pq", made.recipient, made.wrapped),
            recipients=(str(self.identity.recipient),),
        )
        with self.database.writing() as connection:
            add(connection, new, at=SystemClock().now(), actor="bench")

    async def begin(self, calls: int) -> list[tuple[str, str]]:
        """As many recordings in progress; their ids and the paths of their entries."""
        clock = SystemClock()
        tenants = TenantDirectory()
        with self.database.reading() as connection:
            tenants.refresh(connection)
        tenant = tenants.get("bench")
        assert tenant is not None
        journal = Journal(self.database, clock)
        writer = journal.start()
        folder = PurePosixPath(self.spool.folder)
        recorder = Recorder(
            clock, journal, self.spool, self.keyring.in_progress, {"bench": folder}, 5.0
        )
        for start in range(0, calls, 100):
            numbers = range(start, min(calls, start + 100))
            await asyncio.gather(
                *(recorder.begin(tenant, f"call-{n}", "bench", f"1.{n}") for n in numbers)
            )
        writer.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await writer
        begun = recorder.in_progress()
        assert len(begun) == calls
        return [(one.id, str(self.spool.path(one.spool_name))) for one in begun]

    def sealed_bytes(self) -> int:
        """All that lies in the store, finished or not."""
        root = self.settings.object_folder
        found = (path for path in root.rglob("*") if path.is_file())
        return sum(path.stat().st_size for path in found)

    def check(self, number: int, recording_id: str) -> int:
        """Bytes of a recording that were sealed; raises when they are not what was written."""
        with self.database.reading() as connection:
            header = connection.execute(
                select(recordings.c.header).where(recordings.c.id == recording_id)
            ).scalar_one()
        sealed = self.store.part(recording_id).read_bytes()
        file_key = age.unwrap(age.parse_header(header), [self.identity])
        opener = age.PayloadOpener(file_key, sealed[: age.NONCE_SIZE])
        plain = opener.feed(sealed[age.NONCE_SIZE :])
        said = WavFormat().header()
        serials = range(-(-len(plain) // BURST))
        whole = said + b"".join(burst(number, serial) for serial in serials)
        assert plain == whole[: len(plain)], f"recording {number} is not what was written"
        return len(plain)


def _tree(root: int) -> Iterator[int]:
    yield root
    for task in Path(f"/proc/{root}/task").glob("*/children"):
        for child in task.read_text().split():
            yield from _tree(int(child))


def usage(root: int) -> Usage:
    """Of a process and those that it started."""
    ticks, pages = 0, 0
    for process in _tree(root):
        with contextlib.suppress(OSError):
            numbers = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            ticks += int(numbers[11]) + int(numbers[12])
            pages += int(Path(f"/proc/{process}/statm").read_text().split()[1])
    size = os.sysconf("SC_PAGE_SIZE")
    return Usage(ticks / os.sysconf("SC_CLK_TCK"), pages * size / 1e6)


def largest_plaintext(paths: list[str]) -> int:
    """The most plaintext that any entry holds whose first chunk has been filled."""
    most = 0
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            status = Path(path).stat()
            if status.st_size > age.CHUNK_SIZE:
                most = max(most, min(status.st_size, status.st_blocks * 512))
    return most


def watch(service: int, paths: list[str], stage: Stage) -> Seen:
    """While they grow; the first two bursts of each fill its first chunk."""
    seen = Seen()
    context = multiprocessing.get_context("spawn")
    started = context.Event()
    writer = context.Process(target=write_calls, args=(paths, SECONDS, started), daemon=True)
    writer.start()
    assert started.wait(30)
    warm = time.monotonic() + 3 * BURST / RATE
    end = warm - 3 * BURST / RATE + SECONDS
    while time.monotonic() < warm:
        seen.largest.append(largest_plaintext(paths))
        time.sleep(0.2)
    before, sealed, begun = usage(service), stage.sealed_bytes(), time.monotonic()
    while time.monotonic() < end:
        seen.largest.append(largest_plaintext(paths))
        seen.resident_mb.append(usage(service).resident_mb)
        time.sleep(0.2)
    seen.seconds = time.monotonic() - begun
    seen.processor = usage(service).processor - before.processor
    seen.sealed = stage.sealed_bytes() - sealed
    writer.join(30)
    assert writer.exitcode == 0, "the writer of the calls failed"
    time.sleep(SETTLE_S)
    return seen


def main() -> int:
    """Prints the figures; 1 if one is missed."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    memory = Path(tempfile.mkdtemp(prefix="callguard-live-", dir=MEMORY_FOLDER))
    try:
        with tempfile.TemporaryDirectory(prefix="callguard-live-") as disk:
            return _measured(Stage(Path(disk), memory))
    finally:
        shutil.rmtree(memory, ignore_errors=True)


def _measured(stage: Stage) -> int:
    begun = asyncio.run(stage.begin(CALLS))
    paths = [path for _, path in begun]
    command = [sys.executable, "-m", "callguard", "serve", "--config", str(stage.config)]
    service = subprocess.Popen(
        [*command, "--log-level", "error"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert service.stdout is not None
        assert "serves" in service.stdout.readline(), "the service did not start"
        time.sleep(1.0)
        idle = usage(service.pid)
        time.sleep(IDLE_S)
        still = usage(service.pid)
        seen = watch(service.pid, paths, stage)
        assert service.poll() is None, "the service ended"
    finally:
        service.send_signal(signal.SIGTERM)
        try:
            service.wait(30)
        except subprocess.TimeoutExpired:
            service.kill()
    chosen = random.Random(1).sample(range(CALLS), min(CHECKED, CALLS))
    opened = [stage.check(number, begun[number][0]) for number in chosen]
    written = SECONDS * RATE
    core, peak = seen.processor / seen.seconds, max(seen.resident_mb)
    at_rest = (still.processor - idle.processor) / IDLE_S
    most = max(seen.largest)
    print(f"{CALLS} live recordings, {RATE / 1000:g} KB/s each, {seen.seconds:.0f} s")
    print(f"  sealed           {seen.sealed / seen.seconds / 1e6:8.1f} MB/s")
    print(f"  processor        {core:8.0%} of one core, {at_rest:.0%} before they began to grow")
    print(f"  resident memory  {peak:8.0f} MB, {still.resident_mb:.0f} MB before")
    print(
        f"  plaintext at once{most / 1024:8.0f} KiB in the largest entry, "
        f"median of {len(seen.largest)} looks {median(seen.largest) / 1024:.0f} KiB"
    )
    print(
        f"  opened again     {len(opened):8} recordings, the same bytes; "
        f"{min(opened) / written:.0%} of what was written was sealed"
    )
    figures = {
        f"{core:.0%} of one core, at most {TARGET_CORE:.0%}": core <= TARGET_CORE,
        f"{peak:.0f} MB resident, at most {TARGET_MB:g}": peak <= TARGET_MB,
        f"{most / 1024:.0f} KiB of plaintext in an entry, at most {TARGET_PLAIN // 1024}": most
        <= TARGET_PLAIN,
        "what was sealed is what was said": min(opened) > 0,
    }
    for told, reached in figures.items():
        print(f"{'reached' if reached else 'MISSED ':8} {told}")
    return 0 if all(figures.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
