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
from callguard.recording.erasure import Eraser, tidy
from callguard.recording.keyring import open_keyring
from callguard.recording.recorder import Recorder
from callguard.recording.rekeying.rewrap import Means
from callguard.recording.rekeying.scheduled_rotation import ScheduledRotation
from callguard.recording.sealer import Sealer
from callguard.recording.spool import Spool
from callguard.recording.store.opening import open_store
from callguard.recording.store.staged import StagedStore
from callguard.retention.erasures.copies import open_ledger
from callguard.retention.erasures.forgetting import forget_again, verify
from callguard.retention.erasures.ledger import LedgerError
from callguard.retention.folders.governing import ManagedFolders
from callguard.retention.holds.ending import ReleasedHolds
from callguard.retention.purging.clock_sense import ClockSense, refusal
from callguard.retention.purging.daily import DailyPurge
from callguard.retention.purging.giving_way import GivingWay
from callguard.retention.purging.purge import Surroundings
from callguard.retention.termination.minutely import carry_on
from callguard.retention.termination.surroundings import Places
from callguard.retention.termination.termination import Terminations
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from callguard.tenants.directory import TenantDirectory
from callguard.tenants.longest import longest

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
        self.ledger = open_ledger(settings)
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
        sense = ClockSense(clock, settings.purge.max_gap_days)
        self.folders = ManagedFolders(
            settings, database, self.write, tenants.get, clock, actor="callguard"
        )
        self.terminations = Terminations(
            database,
            self.write,
            self.store,
            self.ledger,
            self.keyring.identities,
            tenants,
            Places(settings.export_folder, settings.scrub_folder),
            clock_fault=sense.look,
            tidy=lambda: tidy(database.tidy),
            elsewhere=self.folders,
        )
        self._clock = clock
        self.daily_purge = DailyPurge(
            self.write,
            self.store,
            self.ledger,
            clock,
            settings.purge,
            tidy=self._tidy,
            drop=drop,
            around=Surroundings(
                sense=sense,
                further=(self.folders, self.terminations, ReleasedHolds(self.write, tenants.get)),
                exports=settings.export_folder,
                audit=longest(tenants, "audit") if settings.purge.audit else None,
                way=GivingWay(
                    pending=lambda: journal.state().calls,
                    move_log=lambda: database.checkpoint(emptying=False),
                ),
            ),
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
            self.folders.run(),
            carry_on(self.terminations, self._clock),
            self.courier.run(),
            self.rotation.run(),
        ]
        if isinstance(self.store, StagedStore):
            work.append(self.store.run())
        return work

    @property
    def alarms(self) -> list[str]:
        """What a person has to look at, a line each."""
        alarms = []
        if not self.spool.has_room():
            alarms.append("the spool is nearly full: nothing is recorded")
        if store := self.store.alarm:
            alarms.append(store)
        if self.sealer.failures and self.sealer.backlog:
            alarms.append(f"{self.sealer.backlog} recordings wait to be sealed")
        if behind := self.sealer.behind:
            alarms.append(f"{behind} recordings cannot be sealed while they run: see the log")
        if lost := self.sealer.live.lost_entries.alarm:
            alarms.append(lost)
        alarms += self.courier.alarms
        if self.daily_purge.fault:
            alarms.append(f"the last purge failed: {self.daily_purge.fault}")
        if self.daily_purge.clock_fault:
            alarms.append(refusal(self.daily_purge.clock_fault))
        alarms += self.ledger.copy_faults
        alarms += self.folders.alarms
        for tenant, fault in self.terminations.faults.items():
            alarms.append(f"the termination of {tenant} is held up: {fault}")
        for tenant, fault in self.rotation.faults.items():
            alarms.append(f"the keys of {tenant} were not rotated: {fault}")
        return alarms

    async def write(self, work: Callable[[Connection], T], /) -> T:
        """Work in the background, in one durable transaction. Raises NotDurableError."""
        return await self._journal.write_behind(work, timeout=PATIENT_S)

    async def _read(self, query: Callable[[Connection], T], /) -> T:
        return await self._database.read(query, timeout=PATIENT_S)

    def _tidy(self) -> None:
        tidy(self._database.tidy)
        verify(self._database, self.ledger)
