"""Every room, built from the settings upon one another."""

from pathlib import Path, PurePosixPath

import structlog

from callguard.agi.limits import AgiLimits
from callguard.agi.server import AgiServer
from callguard.agi.session import AgiSession
from callguard.ami.settings import Connector, tcp_connect
from callguard.ami.wire import LocalProtocolError
from callguard.cdr.keeper import CallRecordKeeper
from callguard.cdr.source import source_of
from callguard.clock import Clock
from callguard.config import Asterisk, ConfigError, Settings
from callguard.consent.prompts import PromptLibrary
from callguard.follower import Follower
from callguard.gate.backstop import Backstop
from callguard.gate.call_back import CallBack
from callguard.gate.callbook import CallBook
from callguard.gate.dialogue import answer
from callguard.gate.hearing import Trunks
from callguard.gate.lease import Lease
from callguard.gate.pbx import Pbx
from callguard.gate.policy import Policy
from callguard.gate.preflight import Preflight
from callguard.gate.recordings import CallRecordings
from callguard.gate.room import Gate
from callguard.gate.supervision import Parties
from callguard.gate.told import ToldParties
from callguard.optout.image import OptOutImage
from callguard.optout.registry.contract import RegistryError
from callguard.optout.registry.records import settle
from callguard.optout.registry.shelf import Shelf
from callguard.overview import Overview
from callguard.policy.packs import all_packs, limits_of
from callguard.retention.purging.registries import drop_spent
from callguard.service.errors import ServiceError, service_errors
from callguard.service.events import AsteriskEvents
from callguard.service.standing import standing_alarms
from callguard.service.web import WebRoom
from callguard.storage.attempts import LocalAttempts
from callguard.storage.database import Database
from callguard.storage.dictation import Dictation
from callguard.storage.grouped import GroupedReads
from callguard.storage.journal import Journal
from callguard.storage.migrate import check
from callguard.tenants.directory import TenantDirectory
from callguard.vault import Vault

log = structlog.get_logger(__name__)


class Rooms:
    """callguard, built from its settings and not yet running.

    Raises ServiceError. Build it inside a running event loop.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        *,
        connect: Connector = tcp_connect,
        write_apart: bool = False,
        config: Path | None = None,
    ) -> None:
        """``write_apart`` commits the rows of calls in a process of its own; ``config`` is the
        file of the settings, for processes that read it anew."""
        self.settings = settings
        self._clock = clock
        with service_errors():
            self.database = Database(settings.database_url)
            check(self.database)
            packs = all_packs(settings.policy.packs, settings.policy.leave_out)
            path = self.database.url.database
            dictation = Dictation(path) if write_apart and path else None
            self.journal = Journal(self.database, clock, dictation)
            self.tenants = TenantDirectory(limits_of(packs), clock)
            self.opt_outs = OptOutImage()
            self._settle_registries()
            self.shelf = Shelf(settings.registry_folder)
            prompts, prompt_faults = PromptLibrary.load(settings.prompt_folder)
            self.vault = Vault(
                settings,
                clock,
                self.database,
                self.journal,
                self.tenants,
                drop=self._drop_snapshots,
            )
            self.pbxs = {pbx.name: self._pbx(pbx, connect) for pbx in settings.asterisk}
        self._reader = self.database.reader()
        reads = GroupedReads(self.database, timeout=settings.limits.durable_s, inline=self._reader)
        self.parties = Parties(
            ToldParties(),
            CallBook(),
            self.tenants,
            {pbx.name: Trunks(pbx.trunks) for pbx in settings.asterisk},
        )
        self.recordings = CallRecordings(
            clock,
            self.database,
            self.journal,
            self.vault.recorder,
            self.vault.sealer,
            self.vault.eraser,
            self.tenants,
            self.pbxs,
            self.parties,
        )
        self.keepers = {
            pbx.name: CallRecordKeeper(
                pbx.name,
                source_of(pbx),
                self.database,
                self.journal,
                self.tenants,
                clock,
                settings.home_region,
            )
            for pbx in settings.asterisk
        }
        self.gate = Gate(
            clock=clock,
            database=self.database,
            journal=self.journal,
            tenants=self.tenants,
            opt_outs=self.opt_outs,
            policy=Policy(rule for pack in packs for rule in pack.rules),
            attempts=LocalAttempts(reads, clock),
            reads=reads,
            prompts=prompts,
            prompt_folders={
                p.name: PurePosixPath(p.prompts or settings.prompt_folder)
                for p in settings.asterisk
            },
            recordings=self.recordings,
            calls=self.parties.calls,
            told=self.parties.told,
            home_region=settings.home_region,
            registries=self.shelf,
            durable_s=settings.limits.durable_s,
        )
        self.backstop = Backstop(
            self.gate,
            self.pbxs,
            {pbx.name: pbx for pbx in settings.asterisk},
            self.vault.recorder,
            self.recordings.supervision,
        )
        self._events = AsteriskEvents(
            clock, self.parties.calls, self.recordings, self.backstop, self.keepers
        )
        self.follower = Follower(self.gate, self.database, self.shelf)
        self._load()
        self.agi = AgiServer(
            self._answer,
            limits=AgiLimits(
                max_sessions=settings.agi.max_sessions,
                header_timeout=settings.agi.header_timeout,
            ),
            allow=settings.agi.networks,
        )
        self.call_back = CallBack(
            self.gate, self.pbxs, {pbx.name: pbx.call_back for pbx in settings.asterisk}
        )
        self.lease = Lease(
            [pbx.session for pbx in self.pbxs.values()],
            settings.spool.folder,
            clock,
            settings.limits.lease_s,
        )
        self.overview = Overview(
            clock,
            self.database,
            self.journal,
            self.gate,
            self.shelf,
            settings.registries.warn_days,
            self.pbxs,
            self.keepers,
            self.vault,
            self.lease,
            self.backstop,
            self.call_back,
            self.agi,
            standing_alarms(settings, self.database, self.vault, prompt_faults),
        )
        self.preflight = Preflight(self.gate)
        self.web = WebRoom(settings, self.gate, self.vault, self.overview, self.preflight, config)

    def _settle_registries(self) -> None:
        """Without it calls are decided by the lists of before, as they were until now."""
        folder, at = self.settings.registry_folder, self._clock.now()
        try:
            for told in settle(self.database, folder, at=at, actor="callguard"):
                log.warning("registry_settled", reason=told)
        except (RegistryError, OSError) as error:
            log.warning("alarm", reason=f"an import that was cut off cannot be finished: {error}")

    def _pbx(self, settings: Asterisk, connect: Connector) -> Pbx:
        """Who is told its events stands on the Asterisks themselves, so is found when they come."""
        try:
            return Pbx(
                settings,
                self._clock,
                on_change=lambda pbx, change: self._events.changed(pbx, change),
                on_touched=lambda pbx, keys: self._events.touched(pbx, keys),
                on_lost=lambda pbx: self._events.lost(pbx),
                on_resync=lambda pbx: self._events.resynced(pbx),
                on_cdr=lambda pbx, message: self._events.call_record(pbx, message),
                connect=connect,
            )
        except ConfigError:
            raise
        except (ValueError, LocalProtocolError) as error:
            raise ServiceError(f"asterisk {settings.name}: {error}") from error

    def _load(self) -> None:
        """What stands in the database, before the first call."""
        with service_errors(), self.database.reading() as connection:
            self.follower.load(connection)
            self.vault.recorder.load(connection)

    async def _answer(self, session: AgiSession) -> None:
        await answer(self.gate, session)

    async def _drop_snapshots(self) -> None:
        folder = self.settings.registry_folder
        await drop_spent(self.database, self.vault.write, folder, self._clock, actor="callguard")
