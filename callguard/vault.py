"""The vault, built from the settings: what is between a sample that Asterisk writes and the day on
which no copy of it opens any more."""

from collections.abc import Awaitable, Callable, Coroutine
from pathlib import PurePosixPath
from typing import TypeVar

import structlog
from sqlalchemy import Connection

from callguard.clock import Clock
from callguard.config import Settings
from callguard.recording.delivery.courier import Courier
from callguard.recording.delivery.giver import Giver
from callguard.recording.erasure import Eraser
from callguard.recording.keyring import open_keyring
from callguard.recording.recorder import Recorder
from callguard.recording.rekeying.rewrap import Means
from callguard.recording.rekeying.scheduled_rotation import ScheduledRotation
from callguard.recording.sealer import Sealer
from callguard.recording.spool import Spool
from callguard.recording.store.opening import open_store
from callguard.recording.store.staged import StagedStore
from callguard.retention.daily import DailyPurge
from callguard.retention.forgetting import forget_again, verify
from callguard.retention.ledger import ErasureLedger, LedgerError
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from callguard.tenants.directory import TenantDirectory

T = TypeVar("T")
log = structlog.get_logger(__name__)

PATIENT_S = 60.0
"""How long work in the background waits for the database: no call waits for it."""


class Vault:
    """Its rooms, and the work that each of them does for ever.

    Before anything is opened it forgets again what was erased. With a fault of the ledger calls go
    on, and no recording is read: it is not known what was erased. Raises KeyStoreError, SpoolError,
    ObjectStoreError, and what the database raises.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        database: Database,
        journal: Journal,
        tenants: TenantDirectory,
        *,
        drop: Callable[[], Awaitable[object]],
    ) -> None:
        """``drop`` takes away, after each purge, what was kept only for the rows that went."""
        self._database = database
        self._journal = journal
        self.ledger = ErasureLedger(settings.erasure_ledger)
        try:
            forget_again(database, self.ledger, clock, actor="callguard")
        except LedgerError as error:
            log.error("ledger_not_trusted", reason=str(error))
        self.keyring = open_keyring(settings)
        self.spool = Spool(
            settings.spool.folder,
            floor=settings.spool.reserve_bytes,
            shared_group=settings.spool.shared_group,
        )
        self.spool.prepare()
        self.store = open_store(settings)
        self.recorder = Recorder(
            clock,
            journal,
            self.spool,
            self.keyring.in_progress,
            {p.name: PurePosixPath(p.spool or self.spool.folder) for p in settings.asterisk},
            settings.limits.durable_s,
            store_has_room=self.store.has_room,
        )
        self.sealer = Sealer(
            clock,
            database,
            journal,
            self.spool,
            self.store,
            self.keyring.in_progress,
            tenants,
            self.recorder,
        )
        self.eraser = Eraser(
            clock,
            journal,
            self.spool,
            self.store,
            self.ledger,
            settings.limits.durable_s,
            database.tidy,
        )
        self.daily_purge = DailyPurge(
            self.write,
            self.store,
            self.ledger,
            clock,
            settings.purge.at,
            tidy=self._tidy,
            drop=drop,
        )
        self.rotation = ScheduledRotation(
            Means(clock, self._read, self.write, self.keyring, "callguard"),
            settings.keys.rotate_days,
        )
        self.courier = Courier(
            clock,
            database,
            journal,
            self.store,
            tenants,
            Giver(clock, journal, self.store, self.ledger),
        )

    def work(self) -> list[Coroutine[None, None, None]]:
        """What runs for as long as the service does."""
        work = [
            self.sealer.run(),
            self.daily_purge.run(),
            self.courier.run(),
            self.rotation.run(),
        ]
        if isinstance(self.store, StagedStore):
            work.append(self.store.run())
        return work

    async def write(self, work: Callable[[Connection], T], /) -> T:
        """Work in the background, in one durable transaction. Raises NotDurableError."""
        return await self._journal.write(work, timeout=PATIENT_S)

    async def _read(self, query: Callable[[Connection], T], /) -> T:
        return await self._database.read(query, timeout=PATIENT_S)

    def _tidy(self) -> None:
        self._database.checkpoint()
        verify(self._database, self.ledger)
