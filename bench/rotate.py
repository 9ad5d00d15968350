"""How fast a tenant's keys are rotated: headers rewritten a second, from the former post-quantum
identity for a new one, in a database as a service has it.

The same run says what one header costs without a database (parse, open, wrap anew) and what the
rotation costs with one process beside it and with two. Afterwards every header is opened with the
new identity and gives the file key it was made with.
"""

import asyncio
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, insert, select

from callguard.clock import SystemClock
from callguard.ids import uuid7
from callguard.recording import age
from callguard.recording.keyring import Keyring
from callguard.recording.keys import MasterKey, generate_tenant_identity
from callguard.recording.recipients import digest_of
from callguard.recording.rekeying.rewrap import Means
from callguard.recording.rekeying.rewrapping import Rewrapper
from callguard.recording.rekeying.rotation import open_identities, rotate
from callguard.storage.database import Database
from callguard.storage.migrate import upgrade
from callguard.storage.schema import recordings
from callguard.tenants.keys import read_keys
from callguard.tenants.store import NewTenant, OwnKey, add
from callguard.tenants.tenant import TenantSettings

T = TypeVar("T")

COUNT = int(os.environ.get("BENCH_RECORDINGS", "20000"))
ALONE = 2_000
TARGET = 3_000
AT = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
MASTER = MasterKey(bytes(range(32)))


def fill(database: Database, count: int) -> dict[str, bytes]:
    """A tenant with so many sealed recordings; their file keys."""
    made = generate_tenant_identity(MASTER, "acme", 1)
    new = NewTenant("acme", "Acme", TenantSettings(), OwnKey("pq", made.recipient, made.wrapped))
    recipients, keys = [age.parse_recipient(made.recipient)], dict[str, bytes]()
    with database.writing() as connection:
        add(connection, new, at=AT, actor="bench")
        rows = []
        for n in range(count):
            at = AT + timedelta(seconds=n)
            key, name = age.new_file_key(), str(uuid7(at))
            keys[name] = key
            rows.append(
                {
                    "id": name,
                    "tenant_id": "acme",
                    "call_id": str(uuid7(at)),
                    "pbx": "east",
                    "channel_uniqueid": f"17731{n}.1",
                    "state": "sealed",
                    "spool_name": f"{n:032x}.sln",
                    "encoding": "pcm-8000-1",
                    "header": age.build_header(key, recipients),
                    "keyed_for": digest_of([made.recipient]),
                    "payload": name,
                    "plain_bytes": 4_800_044,
                    "sealed_bytes": 4_801_260,
                    "payload_sha256": "0" * 64,
                    "started_at": at,
                    "ended_at": at,
                    "sealed_at": at,
                    "expires_at": at + timedelta(days=365),
                }
            )
        connection.execute(insert(recordings), rows)
    database.checkpoint()
    return keys


def means(database: Database, processes: int) -> Means:
    async def read(query: Callable[[Connection], T], /) -> T:
        return await database.read(query, timeout=60.0)

    async def write(work: Callable[[Connection], T], /) -> T:
        with database.writing() as connection:
            return work(connection)

    keyring = Keyring(MASTER, MASTER)
    return Means(SystemClock(), read, write, keyring, "bench", processes=processes)


def measure(database: Database, processes: int, keys: dict[str, bytes]) -> float:
    """Recordings a second, all costs in."""
    began, own, all_ = time.perf_counter(), time.process_time(), cpu_s()
    done = asyncio.run(rotate(means(database, processes), "acme", renew=True))
    took = time.perf_counter() - began
    mine, all_ = (time.process_time() - own) / took, cpu_s() - all_
    assert (done.rewritten, done.not_ours, done.damaged) == (len(keys), 0, 0)
    print(
        f"{processes} process(es) beside it: {len(keys) / took:8,.0f} recordings/s"
        f", {len(keys) / all_:,.0f} a second of CPU time"
        f" (the main process took {mine:.0%} of a core)"
    )
    check(database, keys)
    return len(keys) / took


def cpu_s() -> float:
    """Of this process and of those that ended: what tells on a machine that is busy otherwise."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def check(database: Database, keys: dict[str, bytes]) -> None:
    """Every header opens with the newest identity alone."""
    with database.reading() as connection:
        present = read_keys(connection, "acme")
        [newest, *_] = open_identities(Keyring(MASTER, MASTER), present)
        rows = connection.execute(select(recordings.c.id, recordings.c.header)).all()
    assert all(age.unwrap(age.parse_header(h), [newest]) == keys[name] for name, h in rows)
    assert len(rows) == len(keys)


def alone() -> None:
    """One header after another, without a database, on one core."""
    former, newer = age.generate_identity(), age.generate_identity()
    key = age.new_file_key()
    headers = [age.build_header(key, [former.recipient]) for _ in range(ALONE)]
    rewrapper = Rewrapper([former], [newer.recipient])
    parts: dict[str, Callable[[bytes], object]] = {
        "parse": age.parse_header,
        "parse and open": lambda header: age.unwrap(age.parse_header(header), [former]),
        "wrap anew": lambda _: age.build_header(key, [newer.recipient]),
        "all of it": rewrapper.rewrap,
    }
    for name, part in parts.items():
        began = time.perf_counter()
        for header in headers:
            part(header)
        took = time.perf_counter() - began
        print(f"{name:>15}: {took / ALONE * 1e6:6.1f} us a header, {ALONE / took:8,.0f}/s")


def main() -> int:
    """Prints what was measured; exit status 1 below the target."""
    print(f"rotation of {COUNT:,} recordings, post-quantum, {os.cpu_count()} cores")
    alone()
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{Path(folder) / 'callguard.db'}")
        upgrade(database)
        keys = fill(database, COUNT)
        measure(database, 0, keys)
        measure(database, 1, keys)
        rate = measure(database, 2, keys)
        database.close()
    print(f"two cores: {rate:,.0f} recordings/s (target {TARGET:,})")
    return 0 if rate >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
