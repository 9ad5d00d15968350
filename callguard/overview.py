"""The state of the whole service at one moment, gathered for the page and the metrics."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, and_, func, select

from callguard.agi.server import AgiServer
from callguard.cdr.keeper import CallRecordKeeper
from callguard.clock import Clock, latest
from callguard.consent.tenant_prompts import prompt_alarms
from callguard.gate.backstop import Backstop
from callguard.gate.call_back import CallBack
from callguard.gate.callbook import Call
from callguard.gate.lease import Lease
from callguard.gate.live_state import LastConsent, Live, read_live, recording_state
from callguard.gate.pbx import Pbx
from callguard.gate.room import Gate
from callguard.optout.registry.freshness import (
    RegistryStanding,
    alarms_of,
    alarms_of_missing,
    standing_of,
)
from callguard.optout.registry.shelf import Shelf
from callguard.policy.numbers import mask
from callguard.recording.recorder import OpenRecording
from callguard.recording.store.staged import StagedStore
from callguard.recording.tombstones import mark_and_fault
from callguard.retention.backup.aftermath import not_reopened, restored_without_ledger
from callguard.retention.holds.told import read_standing
from callguard.storage.alive import alive
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from callguard.storage.schema import calls, registry_imports
from callguard.vault import Vault
from callguard.web.status import LastVerdict, LiveCall, PbxStatus, PurgeStatus, Status, VaultStatus

VERDICTS = 50
STALE_S = 3.0
"""The age at which the dialplan takes a lease for stale."""


@dataclass(frozen=True, slots=True)
class Overview:
    """Looks at every room; changes nothing. ``standing_alarms`` are those found at the start."""

    clock: Clock
    database: Database
    journal: Journal
    gate: Gate
    shelf: Shelf
    warn_days: int
    pbxs: Mapping[str, Pbx]
    keepers: Mapping[str, CallRecordKeeper]
    vault: Vault
    lease: Lease
    backstop: Backstop
    call_back: CallBack
    agi: AgiServer
    standing_alarms: tuple[str, ...]

    async def status(self) -> Status:
        """Raises TimeoutError when the database does not answer."""
        now = self.clock.now()
        under_way, running = self.gate.calls.all(), self._running()
        verdicts, refused, live, ledger_fault, holds, restored = await self.database.read(
            lambda c: (
                _last_verdicts(c, latest(self.clock)),
                _refused_imports(c),
                read_live(c, under_way, running),
                mark_and_fault(c)[1],
                read_standing(c, now),
                [one for one in (not_reopened(c), restored_without_ledger(c, now)) if one],
            )
        )
        registries = self._registries(now, refused)
        journal = self.journal.state()
        agi = self.agi.stats
        last = self.vault.daily_purge.last
        counts = self.gate.counts
        return Status(
            at=now,
            not_ready=self._not_ready(journal.failing),
            alarms=(
                *self._alarms(),
                *([f"no recording is read or erased: {ledger_fault}"] if ledger_fault else ()),
                *restored,
                *self._registry_alarms(registries, now),
                *holds.alarms,
            ),
            pbxs=tuple(self._pbx(pbx) for pbx in self.pbxs.values()),
            calls=self._calls(live, running),
            verdicts=verdicts,
            registries=registries,
            recordings_in_progress=len(self.vault.recorder.in_progress()),
            sealing_backlog=self.vault.sealer.backlog,
            sealed_total=self.vault.sealer.sealed,
            sealing_failures_total=self.vault.sealer.failures,
            spool_has_room=self.vault.spool.has_room(),
            journal_pending=journal.pending,
            journal_failing=journal.failing,
            not_durable_total=counts.not_durable,
            opt_outs=self.gate.opt_outs.count(),
            last_purge=PurgeStatus(last.finished_at, last.counts) if last else None,
            next_purge=self.vault.daily_purge.next,
            agi_sessions=agi.sessions_now,
            agi_sessions_total=agi.sessions_total,
            agi_refused_total=agi.refused_busy + agi.refused_address,
            verdicts_total=dict(counts.verdicts),
            notices_total=dict(counts.notices),
            faults={**counts.faults, **self.vault.recorder.faults},
            vault=self._vault(ledger_fault),
            holds=holds,
        )

    def _vault(self, ledger_fault: str | None) -> VaultStatus:
        store, courier = self.vault.store, self.vault.courier
        return VaultStatus(
            behind=self.vault.sealer.behind,
            store_has_room=store.has_room(),
            waiting_bytes=store.waiting_bytes if isinstance(store, StagedStore) else None,
            delivered_total=courier.delivered,
            delivery_failures_total=courier.failures,
            deliveries_stuck=courier.stuck,
            rotation_faults=len(self.vault.rotation.faults),
            ledger_fault=ledger_fault,
        )

    def _not_ready(self, failing: str | None) -> tuple[str, ...]:
        reasons = []
        if failing is not None:
            reasons.append(f"verdicts cannot be kept: {failing}")
        if (stale := self.gate.stale_opt_outs()) is not None:
            reasons.append(f"opt-outs could not be read for {stale:.0f} s")
        if not self.pbxs:
            reasons.append("no Asterisk is configured")
        elif all(self._unreachable(pbx) for pbx in self.pbxs.values()):
            reasons.append("no Asterisk has a fresh lease")
        return tuple(reasons)

    def _unreachable(self, pbx: Pbx) -> bool:
        """Whether its dialplan sees no fresh lease, by AMI or by the file where it reads one."""
        age = self.lease.age(pbx.name)
        by_file = pbx.reads_lease_file and self.lease.file_fault is None
        return (age is None or age > STALE_S) and not by_file

    def _alarms(self) -> tuple[str, ...]:
        alarms = [*self.standing_alarms, *self.gate.tenants.faults]
        alarms += prompt_alarms(self.gate.prompts, self.gate.tenants.all())
        alarms += self.gate.recordings.alarms
        alarms += self.backstop.alarms
        for pbx in self.pbxs.values():
            if pbx.session.state != "up":
                alarms.append(f"{pbx.name}: the manager connection is down: {pbx.session.reason}")
            elif (age := self.lease.age(pbx.name)) is None or age > STALE_S:
                alarms.append(f"{pbx.name}: the lease is stale")
        if self.lease.file_fault:
            alarms.append(f"the lease file cannot be renewed: {self.lease.file_fault}")
        alarms += self.vault.alarms
        if waiting := len(self.gate.acts.withdrawals):
            alarms.append(f"withdrawals of consent that could not be kept yet: {waiting}")
        if self.call_back.fault:
            alarms.append(f"opt-outs cannot be confirmed by call back: {self.call_back.fault}")
        return tuple(alarms)

    def _registries(
        self, now: datetime, refused: Mapping[str, str]
    ) -> tuple[RegistryStanding, ...]:
        today = now.astimezone(UTC).date()
        ages = self.gate.policy.strictest_ages(self.gate.tenants.all(), today)
        return tuple(
            standing_of(
                registry,
                ages.get(registry.name),
                refused.get(registry.name, ""),
                today=today,
                warn_days=self.warn_days,
            )
            for registry in self.shelf.status()
        )

    def _registry_alarms(
        self, registries: tuple[RegistryStanding, ...], now: datetime
    ) -> tuple[str, ...]:
        today = now.astimezone(UTC).date()
        there = frozenset(registry.name for registry in registries)
        return (
            *self.shelf.alarms,
            *(alarm for registry in registries for alarm in alarms_of(registry, today)),
            *alarms_of_missing(self.gate.counts.held_by_missing, there),
        )

    def _pbx(self, pbx: Pbx) -> PbxStatus:
        keeper = self.keepers[pbx.name].counts
        return PbxStatus(
            name=pbx.name,
            ami=pbx.session.state,
            since=pbx.session.since,
            reason="" if pbx.session.state == "up" else pbx.session.reason,
            lease_age_s=self.lease.age(pbx.name),
            channels=len(pbx.live.channels),
            call_records=keeper.kept,
            call_records_bad=keeper.bad,
            call_records_too_old=keeper.too_old,
            call_records_erased=keeper.erased,
        )

    async def live_calls(self) -> tuple[LiveCall, ...]:
        """The calls under way, the oldest first. Raises TimeoutError when the database does not
        answer."""
        under_way, running = self.gate.calls.all(), self._running()
        live = await self.database.read(lambda c: read_live(c, under_way, running))
        return self._calls(live, running)

    def _running(self) -> list[OpenRecording]:
        """The recordings that have not ended."""
        return [
            r for r in self.vault.recorder.in_progress() if not self.vault.sealer.has_ended(r.id)
        ]

    def _calls(self, live: Live, running: list[OpenRecording]) -> tuple[LiveCall, ...]:
        of_call = defaultdict[str, list[OpenRecording]](list)
        for recording in running:
            of_call[recording.call_id].append(recording)
        return tuple(
            self._call(call, of_call[call.id], live.consents.get(call.id)) for call in live.calls
        )

    def _call(
        self, call: Call, running: list[OpenRecording], consent: LastConsent | None
    ) -> LiveCall:
        recording, reasons = recording_state(self.gate, call, running)
        acts = self.gate.acts.of(call.id)
        withdrawn = acts is not None and bool(acts.withdrawals)  # kept or not
        return LiveCall(
            id=call.id,
            tenant=call.tenant,
            direction=call.direction,
            purpose=call.purpose,
            subject=mask(call.subject),
            since=call.decided_at,
            recording=recording,
            reasons=reasons,
            consent="withdrawn" if withdrawn else consent.state if consent else "",
            mode=consent.mode if consent else "",
        )


def _last_verdicts(connection: Connection, now: datetime) -> tuple[LastVerdict, ...]:
    rows = connection.execute(
        select(calls).where(alive(calls, now)).order_by(calls.c.id.desc()).limit(VERDICTS)
    )
    return tuple(
        LastVerdict(
            at=row.decided_at,
            call_id=row.id,
            tenant=row.tenant_id or "",
            direction=row.direction,
            subject=mask(row.subject),
            decision=row.verdict,
            reasons=tuple(row.reasons),
        )
        for row in rows
    )


def _refused_imports(connection: Connection) -> dict[str, str]:
    """Why the last import was refused, by registry, of those where none was taken since."""
    newest = (
        select(registry_imports.c.registry, func.max(registry_imports.c.at).label("at"))
        .group_by(registry_imports.c.registry)
        .subquery()
    )
    rows = connection.execute(
        select(registry_imports.c.registry, registry_imports.c.reason).join(
            newest,
            and_(
                registry_imports.c.registry == newest.c.registry,
                registry_imports.c.at == newest.c.at,
                registry_imports.c.state == "refused",
            ),
        )
    )
    return {row.registry: row.reason or "" for row in rows}
