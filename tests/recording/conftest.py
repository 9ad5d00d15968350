"""The database fixtures, and what a recorder and a sealer stand on."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pytest

from callguard.recording.keys import MasterKey, generate_tenant_identity
from callguard.recording.recorder import OpenRecording, Recorder
from callguard.recording.sealer import Sealer
from callguard.recording.spool import Spool
from callguard.recording.store.folder import FolderStore, FolderWriter
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from callguard.tenants.directory import TenantDirectory
from callguard.tenants.store import NewTenant, OwnKey, add
from callguard.tenants.tenant import Tenant, TenantSettings
from tests.clock import HandClock
from tests.databases import clock, database, journal

__all__ = ["clock", "database", "house", "journal"]

CALL_ID = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
MASTER = MasterKey(bytes(range(32)))


class TroubledStore(FolderStore):
    """A store that can be told to fail before or after it has committed an object."""

    before: BaseException | None = None
    after: BaseException | None = None

    def writer(self, name: str, *, resume: bool = False) -> FolderWriter:
        writer = super().writer(name, resume=resume)
        commit = writer.commit

        def troubled() -> None:
            if self.before is not None:
                raise self.before
            commit()
            if self.after is not None:
                raise self.after

        writer.commit = troubled  # type: ignore[method-assign]  # of this one writer
        return writer


@dataclass
class House:
    """The rooms around one recording; ``restart`` gives what the next process would have."""

    clock: HandClock
    database: Database
    journal: Journal
    spool: Spool
    store: TroubledStore
    tenants: TenantDirectory
    recorder: Recorder
    sealer: Sealer

    def tenant(self, name: str = "acme") -> Tenant:
        found = self.tenants.get(name)
        assert found is not None
        return found

    def add(self, new: NewTenant) -> Tenant:
        with self.database.writing() as connection:
            add(connection, new, at=self.clock.now(), actor="test")
            self.tenants.refresh(connection)
        return self.tenant(new.id)

    async def recorded(self, audio: bytes | None, tenant: str = "acme") -> OpenRecording:
        """A recording that Asterisk has written (None: never began to write)."""
        path = await self.recorder.begin(self.tenant(tenant), CALL_ID, "east", "1.1")
        assert path is not None
        opened = self.recorder.by_file(path)
        assert opened is not None
        if audio is not None:
            self.spool.path(opened.spool_name).write_bytes(audio)
        return opened

    def restart(self) -> None:
        self.recorder = Recorder(
            self.clock,
            self.journal,
            self.spool,
            MASTER,
            {"east": PurePosixPath("/var/spool/callguard")},
        )
        self.sealer = Sealer(
            self.clock,
            self.database,
            self.journal,
            self.spool,
            self.store,
            MASTER,
            self.tenants,
            self.recorder,
        )
        with self.database.reading() as connection:
            self.recorder.load(connection)

    def plaintext(self) -> list[str]:
        return self.spool.orphans(())


def own_key(tenant: str, kind: str = "x25519", version: int = 1) -> OwnKey:
    made = generate_tenant_identity(MASTER, tenant, version, "pq" if kind == "pq" else "x25519")
    return OwnKey(kind, made.recipient, made.wrapped)


@pytest.fixture
def house(tmp_path: Path, clock: HandClock, database: Database, journal: Journal) -> House:
    spool = Spool(tmp_path / "spool", floor=0)
    spool.prepare()
    store = TroubledStore(tmp_path / "objects")
    tenants = TenantDirectory()
    made = House(clock, database, journal, spool, store, tenants, None, None)  # type: ignore[arg-type]  # restart makes them
    made.restart()
    made.add(NewTenant("acme", "Acme", TenantSettings(), own_key("acme")))
    return made
