"""How long a backup and a restore take, in GB a minute, of a database with calls in it and sealed
recordings; and what a backup costs the calls that are decided meanwhile.

Payloads are of a size that a call of some minutes has. Restored is into a new folder on the same
machine, every object verified by its digest. How much a day covers at that rate is printed last.
"""

import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from sqlalchemy import insert, update

from callguard.clock import SystemClock
from callguard.config import Settings
from callguard.ids import uuid7
from callguard.recording import age
from callguard.recording.keys import MasterKey
from callguard.recording.store.opening import open_store
from callguard.retention.backup.checking import open_backup
from callguard.retention.backup.ledgers import of_backup
from callguard.retention.backup.making import Made, Source, make
from callguard.retention.backup.placing import place_of, wrapper_of
from callguard.retention.backup.restoring import restore
from callguard.retention.backup.verifying import Order, Restored
from callguard.retention.erasures.ledger import ErasureLedger
from callguard.storage.database import Database
from callguard.storage.migrate import upgrade
from callguard.storage.schema import call_records, calls, recordings
from callguard.tenants.store import NewTenant, OwnKey, add
from callguard.tenants.tenant import TenantSettings

GIGABYTES = float(os.environ.get("BENCH_GB", "2"))
ROWS = int(os.environ.get("BENCH_ROWS", "200000"))
PAYLOAD = int(os.environ.get("BENCH_PAYLOAD", str(1024 * 1024)))
WRITES_S = 200
IDLE_S = 5.0
DAY_MIN = 24 * 60
AT = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)


def fill(database: Database, settings: Settings) -> int:
    """Half the rows are verdicts, half call records; and recordings with their payloads."""
    made = age.generate_identity("pq")
    new = NewTenant("acme", "Acme", TenantSettings(), OwnKey("pq", str(made.recipient), b"unused"))
    with database.writing() as connection:
        add(connection, new, at=AT, actor="bench")
    later, place = AT.replace(year=2036), {"tenant_id": "acme", "pbx": "east"}
    for start in range(0, ROWS // 2, 10_000):
        verdicts, records = [], []
        for n in range(start, min(start + 10_000, ROWS // 2)):
            at = AT + timedelta(seconds=n)
            name, subject = str(uuid7(at)), f"+4420794{n:05d}"
            common = {**place, "uniqueid": f"1.{n}", "caller": "100", "called": subject}
            said = {"verdict": "allow", "reasons": [], "obligations": [], "findings": [{"r": n}]}
            verdicts.append(
                {**common, **said, "id": name, "direction": "outbound", "subject": subject,
                 "decided_at": at, "expires_at": later}
            )  # fmt: skip
            records.append(
                {**common, "sequence": 1, "linkedid": f"1.{n}", "call_id": name, "channel": "x",
                 "peer_channel": "y", "started_at": at, "ended_at": at, "duration_s": 60,
                 "billed_s": 55, "disposition": "ANSWERED", "userfield": name, "source": "file",
                 "expires_at": later}
            )  # fmt: skip
        with database.writing() as connection:
            connection.execute(insert(calls), verdicts)
            connection.execute(insert(call_records), records)
    return _fill_objects(database, settings, later, place)


def _fill_objects(
    database: Database, settings: Settings, later: datetime, place: dict[str, str]
) -> int:
    header = age.build_header(age.new_file_key(), [age.generate_identity("pq").recipient])
    store, count = open_store(settings), int(GIGABYTES * 1e9 / PAYLOAD)
    noise = os.urandom(PAYLOAD)
    rows = []
    for n in range(count):
        name = str(uuid7(AT + timedelta(seconds=n)))
        payload = n.to_bytes(8) + noise[8:]
        store.put(name, [payload])
        rows.append(
            {**place, "id": name, "call_id": name, "channel_uniqueid": name, "state": "sealed",
             "spool_name": f"{name}.sln", "encoding": "pcm-8000-1", "header": header,
             "payload": name, "sealed_bytes": PAYLOAD, "started_at": AT, "expires_at": later,
             "payload_sha256": sha256(payload).hexdigest()}
        )  # fmt: skip
    with database.writing() as connection:
        connection.execute(insert(recordings), rows)
    return count


class Calls:
    """Writes as verdicts are written, durably, so many a second; how long each took."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stop = threading.Event()
        self._took: list[float] = []
        self._thread = threading.Thread(target=self._run)

    @contextmanager
    def going(self) -> Iterator[None]:
        """While these go on."""
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()

    def p99(self) -> float:
        """Of what was measured since it was last asked, in milliseconds."""
        took, self._took = sorted(self._took), []
        return took[int(len(took) * 0.99)] * 1e3 if took else 0.0

    def _run(self) -> None:
        number = 0
        writer = self._database.writer()
        while not self._stop.is_set():
            began = time.perf_counter()
            with writer.begin():
                writer.execute(
                    update(call_records)
                    .where(call_records.c.uniqueid == f"1.{number % (ROWS // 2)}")
                    .where(call_records.c.pbx == "east")
                    .values(billed_s=number)
                )
            self._took.append(time.perf_counter() - began)
            number += 1
            self._stop.wait(max(0.0, 1 / WRITES_S - (time.perf_counter() - began)))
        writer.close()


def timed(what: str, size: int, work: Callable[[], object]) -> float:
    """Prints how long it took; GB a minute."""
    began = time.perf_counter()
    work()
    took = time.perf_counter() - began
    rate = size / 1e9 / took * 60
    print(f"{what:>28}: {took:7.1f} s, {rate:7.1f} GB a minute")
    return rate


def back_up(settings: Settings, config: Path, database: Database, shelf: Path) -> Made:
    """With its objects."""
    source = Source(
        settings,
        config,
        database,
        open_store(settings),
        ErasureLedger(settings.erasure_ledger),
        MasterKey.load(settings.master_key),
    )
    return make(source, shelf, SystemClock(), actor="bench", objects=True)


def put_back(folder: Path, config: Path, into: Path) -> Restored:
    """Into a new folder, all of it verified."""
    place = place_of(folder, config, into, None, copied=True)
    found = open_backup(folder, wrapper_of(place.settings))
    order = Order(found, place, of_backup(found.ledger, found.manifest.ledger), reason="bench")
    return restore(order, SystemClock(), actor="bench")


def main() -> int:
    """Prints what was measured."""
    print(f"backup and restore of {ROWS:,} rows and {GIGABYTES:g} GB of payloads")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = folder / "callguard.toml"
        config.write_text(f'data = "{folder / "data"}"\n')
        (folder / "data").mkdir()
        settings = Settings.load(config)
        MasterKey.create(settings.master_key)
        database = Database(settings.database_url)
        upgrade(database)
        count = fill(database, settings)
        database.checkpoint()
        size = count * PAYLOAD + (settings.data / "callguard.db").stat().st_size
        writes = Calls(database)
        with writes.going():
            time.sleep(IDLE_S)
            idle = writes.p99()
            made: list[Made] = []
            shelf = folder / "shelf"
            timed("backup", size, lambda: made.append(back_up(settings, config, database, shelf)))
            busy = writes.p99()
        print(f"{'a durable write meanwhile':>28}: p99 {busy:.2f} ms, {idle:.2f} ms without")
        time.sleep(1)  # the next backup has another name
        timed("backup, nothing new", size, lambda: back_up(settings, config, database, shelf))
        database.close()
        rate = timed("restore", size, lambda: put_back(made[0].folder, config, folder / "new"))
        shutil.rmtree(folder / "data" / "objects")
    print(f"a day covers {rate * DAY_MIN / 1e3:,.1f} TB of database and recordings at that rate")
    return 0


if __name__ == "__main__":
    sys.exit(main())
