"""A callguard with recordings and calls, its backup, and a place to restore it to."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, select, update

from callguard.config import Settings
from callguard.recording import age
from callguard.recording.erasure import erase_for_good, of_recordings
from callguard.recording.keys import MasterKey
from callguard.recording.store.opening import open_store
from callguard.retention.backup.checking import open_backup
from callguard.retention.backup.ledgers import newest
from callguard.retention.backup.making import Made, Source, make
from callguard.retention.backup.placing import place_of, wrapper_of
from callguard.retention.backup.restoring import restore
from callguard.retention.backup.verifying import Order, Restored
from callguard.retention.erasures.ledger import ErasureLedger
from callguard.storage.database import Database
from callguard.storage.schema import recordings
from tests.clock import HandClock
from tests.databases import add_tenant
from tests.retention.rows import put_recording
from tests.schema import upgrade

T = TypeVar("T")


@dataclass
class Scene:
    """Where it lies. ``config`` names ``data``, ``new`` is restored into."""

    folder: Path
    clock: HandClock

    @property
    def config(self) -> Path:
        return self.folder / "callguard.toml"

    @property
    def settings(self) -> Settings:
        return Settings.load(self.config)

    @property
    def new(self) -> Path:
        return self.folder / "new"

    def database(self) -> Database:
        return Database(self.settings.database_url)

    def restored(self) -> Database:
        return Database(f"sqlite:///{self.new / 'callguard.db'}")

    def build(self, count: int) -> "Scene":
        """Recordings 0 … with a header each that parses, and a payload."""
        (self.folder / "data").mkdir(parents=True)
        self.config.write_text(f'data = "{self.folder / "data"}"\n')
        MasterKey.create(self.settings.master_key)
        database = self.database()
        upgrade(database)
        add_tenant(database, self.clock)
        store = open_store(self.settings)
        later = self.clock.now().replace(year=2030)
        header = age.build_header(age.new_file_key(), [age.generate_identity("x25519").recipient])
        for number in range(count):
            put_recording(database, store, number, later)  # type: ignore[arg-type]
        with database.writing() as connection:
            connection.execute(update(recordings).values(header=header, sealed_bytes=6))
        database.close()
        return self

    def backup(self, *, sealed: bool = False) -> Made:
        database, settings = self.database(), self.settings
        recipients = [age.generate_identity("x25519").recipient] if sealed else []
        try:
            source = Source(
                settings,
                self.config,
                database,
                open_store(settings),
                ErasureLedger(settings.erasure_ledger),
                MasterKey.load(settings.master_key),
            )
            return make(
                source,
                self.folder / "shelf",
                self.clock,
                actor="test",
                objects=True,
                recipients=recipients,
            )
        finally:
            database.close()

    def erase(self, *numbers: int) -> None:
        """For good, as far as the header; in the original."""
        database = self.database()

        async def write(work: Callable[[Connection], T], /) -> T:
            with database.writing() as connection:
                return work(connection)

        ids = [f"recording-{number}" for number in numbers]
        ledger = ErasureLedger(self.settings.erasure_ledger)
        at = self.clock.now()
        asyncio.run(erase_for_good(write, ledger, lambda c: of_recordings(c, ids, at)))
        database.close()

    def restore(self, folder: Path) -> Restored:
        place = place_of(folder, self.config, self.new, None, copied=True)
        found = open_backup(folder, wrapper_of(place.settings))
        ledger = newest([self.settings.erasure_ledger], found.manifest.ledger, found.ledger)
        assert ledger is not None
        return restore(Order(found, place, ledger), self.clock, actor="test")

    def headers(self) -> set[str]:
        """The recordings that can be opened in what was restored."""
        database = self.restored()
        with database.reading() as connection:
            found = set(
                connection.execute(
                    select(recordings.c.id).where(recordings.c.header.is_not(None))
                ).scalars()
            )
        database.close()
        return found


def in_a_child(work: Callable[[], object]) -> int:
    """Runs it in a process of its own; how that ended (-9 where it was killed)."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
