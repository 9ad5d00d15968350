"""The composition root: builds every room from the settings, starts, supervises and stops them."""

import asyncio
import contextlib
import gc
import signal
from collections.abc import Callable, Coroutine
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError

from callguard.agi.limits import AgiLimits
from callguard.agi.server import AgiServer
from callguard.agi.session import AgiSession
from callguard.ami.calls import Change, ChannelGone, RecordingStopped
from callguard.ami.settings import Connector, tcp_connect
from callguard.ami.wire import Message
from callguard.cdr.keeper import CallRecordKeeper
from callguard.cdr.source import source_of
from callguard.clock import Clock
from callguard.config import ConfigError, Settings
from callguard.consent.prompts import PromptLibrary
from callguard.follower import Follower
from callguard.gate.backstop import Backstop
from callguard.gate.call_back import CallBack
from callguard.gate.callbook import CallBook
from callguard.gate.dialogue import answer
from callguard.gate.hearing import Trunks
from callguard.gate.lease import FILE as LEASE_FILE
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
from callguard.policy.packs import PackError, all_packs, limits_of
from callguard.recording.keys import KeyStoreError
from callguard.recording.spool import SpoolError
from callguard.recording.store.objects import ObjectStoreError
from callguard.retention.purging.registries import drop_spent
from callguard.storage.attempts import LocalAttempts
from callguard.storage.database import Database, DatabaseError
from callguard.storage.dictation import Dictation
from callguard.storage.faults import one_line
from callguard.storage.grouped import GroupedReads
from callguard.storage.journal import Journal
from callguard.storage.migrate import check
from callguard.tenants.directory import TenantDirectory
from callguard.tenants.keeping import kept_until
from callguard.vault import Vault
from callguard.watchdog import Watchdog
from callguard.web.api import CheckApi
from callguard.web.app import WebServer
from callguard.web.call_api import CallApi
from callguard.web.call_page import CallDesk
from callguard.web.call_record_api import CallRecordApi
from callguard.web.hold_api import HoldApi
from callguard.web.opt_out_api import OptOutApi
from callguard.web.opt_out_page import OptOutDesk
from callguard.web.recording_api import RecordingApi
from callguard.web.scrub_api import CommandScrubber, ScrubApi
from callguard.web.scrub_jobs import ScrubJobs
from callguard.web.sms import SmsDoor

T = TypeVar("T")
log = structlog.get_logger(__name__)

FEED_S = 0.25
GC_THRESHOLDS = (2_000, 4, 1_000_000)
TIDY_S = 60.0
TIDY_AT_LAST = 10
"""After so many times of finding calls at the gate, memory is tidied all the same."""
GRACE_S = 5.0


class ServiceError(RuntimeError):
    """The service cannot start or go on; one line that says why."""


class Service:
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
        try:
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
            self.pbxs = {
                pbx.name: Pbx(
                    pbx,
                    clock,
                    on_change=self._changed,
                    on_touched=self._touched,
                    on_lost=self._lost,
                    on_resync=self._resynced,
                    on_cdr=self._call_record,
                    connect=connect,
                )
                for pbx in settings.asterisk
            }
        except (
            DatabaseError,
            KeyStoreError,
            SpoolError,
            ObjectStoreError,
            ConfigError,
            PackError,
            OSError,
        ) as error:
            raise ServiceError(str(error)) from error
        except SQLAlchemyError as error:
            raise ServiceError(f"the database cannot be read: {one_line(error)}") from error
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
            self._standing_alarms(prompt_faults),
        )
        self.preflight = Preflight(self.gate)
        api = CheckApi(self.preflight, settings.api_token)
        self.scrubs = ScrubJobs(
            settings.scrub_folder,
            settings.scrubs,
            self.database,
            self.journal,
            clock,
            CommandScrubber(config),
            settings.limits.durable_s,
            self._list_kept,
        )
        self.recording_api = RecordingApi(
            clock,
            self.database,
            self.journal,
            self.vault.store,
            self.vault.keyring.identities,
            settings.api_token,
            settings.limits.durable_s,
        )
        self.call_record_api = CallRecordApi(
            clock,
            self.database,
            self.journal,
            settings.api_token,
            settings.home_region,
            settings.limits.durable_s,
        )
        self.web = WebServer(
            self.overview,
            clock=clock,
            api=api,
            more=(
                OptOutApi(self.gate, settings.api_token),
                CallApi(self.gate, self.overview, settings.api_token),
                HoldApi(self.gate, settings.api_token),
                SmsDoor(self.gate, settings.sms, settings.sms_token),
                ScrubApi(self.gate, self.scrubs, settings.api_token),
                self.recording_api,
                self.call_record_api,
            ),
            desk=OptOutDesk(self.gate),
            call_desk=CallDesk(self.gate),
        )
        self._stop = asyncio.Event()
        self.agi_port = 0
        self.web_port = 0

    def stop(self) -> None:
        """Asks the service to end in order."""
        self._stop.set()

    async def run(self, *, ready: Callable[["Service"], None] | None = None) -> None:
        """Runs until ``stop``; ``ready`` is called once calls can come.

        Raises ServiceError when a door cannot be opened, ExceptionGroup when a room fails.
        """
        journal = self.journal.start()
        try:
            await self._open_doors()
            self.recordings.end_of_unknown()
            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(work) for work in self._work()]
                    tasks.append(group.create_task(self._own(journal)))
                    if ready is not None:
                        ready(self)
                    await self._stop.wait()
                    await self._close_doors()
                    for task in tasks:
                        task.cancel()
            except BaseExceptionGroup:
                with contextlib.suppress(Exception):
                    async with asyncio.timeout(GRACE_S):
                        await self._close_doors()
                raise
        finally:
            try:
                await self.journal.close()
            finally:
                await self.shelf.close()
                self._reader.close()
                self.database.close()

    async def _open_doors(self) -> None:
        agi, web = self.settings.agi, self.settings.web
        try:
            self.agi_port = await self.agi.start(agi.host, agi.port)
            self.web_port = await self.web.start(web.host, web.port)
        except OSError as error:
            await self.agi.close(0)
            raise ServiceError(f"a port cannot be opened: {error}") from error
        log.info("serving", agi=f"{agi.host}:{self.agi_port}", web=f"{web.host}:{self.web_port}")

    async def _close_doors(self) -> None:
        """First the lease, so that no new call asks; then the calls inside are let finish."""
        log.info("stopping")
        await self.lease.give_up()
        await self.agi.close(GRACE_S)
        await self.web.close()
        self.recording_api.close()
        self.call_record_api.close()
        await self.gate.acts.close(GRACE_S)
        await self.preflight.close()
        for pbx in self.pbxs.values():
            await pbx.session.close()

    def _work(self) -> list[Coroutine[None, None, None]]:
        work: list[Coroutine[None, None, None]] = []
        work += [self.follower.run(), self.lease.run(), *self.vault.work()]
        work.append(self.scrubs.run())
        work.append(self.call_back.run())
        work.append(self.backstop.run())
        work.append(self.gate.acts.withdrawals.run(self.gate))
        work += [pbx.session.run() for pbx in self.pbxs.values()]
        work += [pbx.look_again() for pbx in self.pbxs.values()]
        work.append(self.recordings.keep_log())
        work += [silence.run() for silence in self.recordings.supervision.silences.values()]
        work += [keeper.run() for keeper in self.keepers.values()]
        work.append(self._tidy())
        if self.settings.limits.watchdog_s:
            work.append(self._feed_watchdog())
        return work

    async def _own(self, journal: asyncio.Task[None]) -> None:
        """The journal outlives the other rooms at the end, but takes them down if it fails."""
        await asyncio.shield(journal)

    async def _tidy(self) -> None:
        """Frees what refers to itself, which counting references does not."""
        busy = 0
        while True:
            await asyncio.sleep(TIDY_S)
            busy = busy + 1 if self.agi.stats.sessions_now else 0
            if busy in (0, TIDY_AT_LAST):
                gc.collect()
                busy = 0

    async def _feed_watchdog(self) -> None:
        watchdog = Watchdog(self.settings.limits.watchdog_s)
        try:
            while True:
                watchdog.feed()
                await asyncio.sleep(FEED_S)
        finally:
            watchdog.close()

    def _settle_registries(self) -> None:
        """Without it calls are decided by the lists of before, as they were until now."""
        folder, at = self.settings.registry_folder, self._clock.now()
        try:
            for told in settle(self.database, folder, at=at, actor="callguard"):
                log.warning("registry_settled", reason=told)
        except (RegistryError, OSError) as error:
            log.warning("alarm", reason=f"an import that was cut off cannot be finished: {error}")

    def _list_kept(self, tenant_id: str, at: datetime) -> datetime | None:
        """Until when a tenant keeps a list of that moment, where it chose that."""
        tenant = self.tenants.get(tenant_id)
        chose = tenant is not None and "list" in tenant.retention
        return kept_until(tenant, "list", at) if chose else None

    def _load(self) -> None:
        try:
            with self.database.reading() as connection:
                self.follower.load(connection)
                self.vault.recorder.load(connection)
        except SpoolError as error:
            raise ServiceError(str(error)) from error
        except SQLAlchemyError as error:
            raise ServiceError(f"the database cannot be read: {one_line(error)}") from error

    async def _answer(self, session: AgiSession) -> None:
        await answer(self.gate, session)

    def _touched(self, pbx: Pbx, keys: frozenset[str]) -> None:
        self.recordings.supervision.touched(pbx.name, keys)

    def _lost(self, pbx: Pbx) -> None:
        self.recordings.supervision.lost(pbx)
        self.backstop.lost(pbx)

    def _changed(self, pbx: Pbx, change: Change) -> None:
        self.recordings.supervision.changed(pbx, change)
        self.backstop.changed(pbx, change)
        match change:
            case ChannelGone(uniqueid=uniqueid):
                self.gate.calls.end(pbx.name, uniqueid)
                self.recordings.channel_gone(pbx.name, uniqueid)
            case RecordingStopped(uniqueid=uniqueid):
                channel = pbx.live.channels.get(uniqueid)
                if channel is None or channel.recordings == 0:  # somebody else's may have stopped
                    self.recordings.none_left(pbx.name, uniqueid)
            case _:
                pass

    async def _resynced(self, pbx: Pbx) -> None:
        self.gate.calls.keep_only(pbx.name, pbx.live.channels, self._clock.now())
        await self.recordings.resynced(pbx.name)
        self.backstop.resynced(pbx)

    def _call_record(self, pbx: Pbx, message: Message) -> None:
        self.keepers[pbx.name].take(message)

    async def _drop_snapshots(self) -> None:
        folder = self.settings.registry_folder
        await drop_spent(self.database, self.vault.write, folder, self._clock, actor="callguard")

    def _standing_alarms(self, prompt_faults: tuple[str, ...]) -> tuple[str, ...]:
        alarms = []
        if not self.database.is_private():
            alarms.append("the database can be read by other users of this machine")
        if not self.vault.spool.is_in_memory():
            alarms.append(f"the spool {self.vault.spool.folder} is on a disk: plaintext reaches it")
        alarms += [
            f"{pbx.name}: no trunks are named, so only those whose lines a tenant names count as "
            "the tenant's own people (docs/install.md)"
            for pbx in self.settings.asterisk
            if not pbx.trunks
        ]
        known = {recording.spool_name for recording in self.vault.recorder.in_progress()}
        orphans = self.vault.spool.orphans({*known, LEASE_FILE})
        if orphans:
            alarms.append(f"{len(orphans)} spool entries belong to no recording in progress")
        for alarm in (*(f"prompt: {fault}" for fault in prompt_faults), *alarms):
            log.warning("alarm", reason=alarm)
        return tuple(alarms)


def spare_the_old() -> None:
    """What is there at the start stays: rules, numbering plans. Looking through it, and through
    all that lives long, for what can be freed would hold calls up by tens of milliseconds; the
    service does that itself when no call asks."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


async def serve(
    settings: Settings, clock: Clock, ready: Callable[[Service], None], config: Path | None = None
) -> None:
    """Runs the service until SIGTERM or SIGINT. Raises what ``Service`` and ``run`` raise."""
    service = Service(settings, clock, write_apart=True, config=config)
    spare_the_old()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, service.stop)
    try:
        await service.run(ready=ready)
    finally:
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(name)
