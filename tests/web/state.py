"""A service whose state is easy to read, and a source that tells it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

from callguard.optout.registry.freshness import RegistryStanding
from callguard.web.status import LastVerdict, LiveCall, PbxStatus, PurgeStatus, Status, VaultStatus

NOON = datetime(2026, 3, 4, 12, 0, 0, tzinfo=UTC)

EMPTY = Status(
    at=NOON,
    not_ready=(),
    alarms=(),
    pbxs=(),
    calls=(),
    verdicts=(),
    recordings_in_progress=0,
    sealing_backlog=0,
    sealed_total=0,
    sealing_failures_total=0,
    spool_has_room=True,
    journal_pending=0,
    journal_failing=None,
    not_durable_total=0,
    opt_outs=0,
    last_purge=None,
    next_purge=NOON + timedelta(hours=14, minutes=30),
    agi_sessions=0,
    agi_sessions_total=0,
    agi_refused_total=0,
)

LONDON = PbxStatus(
    name="london",
    ami="up",
    since=NOON - timedelta(hours=3),
    reason="",
    lease_age_s=0.6,
    channels=4,
    call_records=1841,
    call_records_bad=0,
    call_records_too_old=7,
    call_records_erased=3,
)

LEEDS = replace(
    LONDON, name="leeds", ami="down", reason="connection refused", lease_age_s=42.0, channels=0
)

CALL = LiveCall(
    id="01957f00-0000-7000-8000-000000000001",
    tenant="acme",
    direction="outbound",
    purpose="marketing",
    subject="+4420••••0123",
    since=NOON - timedelta(minutes=2),
    recording="recorded",
    consent="granted",
    mode="notice",
)

ALLOWED = LastVerdict(
    at=NOON - timedelta(minutes=2),
    call_id=CALL.id,
    tenant="acme",
    direction="outbound",
    subject="+4420••••0123",
    decision="allow",
    reasons=(),
)

BLOCKED = replace(
    ALLOWED,
    subject="+3361••••0456",
    decision="block",
    reasons=("12:30 in Europe/Paris is outside 10:00-13:00 and 14:00-20:00",),
)

DNC = RegistryStanding(
    name="us-dnc",
    state="usable",
    list_date=date(2026, 3, 1),
    count=258_500_000,
    coverage=tuple(f"+1{area}" for area in range(201, 551)),
    digest="5f" * 32,
    imported_at="2026-03-02T08:00:00Z",
    stale_on=date(2026, 4, 2),
)

TPS = replace(
    DNC,
    name="gb-tps",
    state="silent",
    list_date=date(2026, 2, 1),
    count=17_000_000,
    coverage=("+44",),
    stale_on=None,
    reason="the snapshot is damaged",
    refused="the list is cut off",
)

BUSY = replace(
    EMPTY,
    pbxs=(LONDON,),
    calls=(
        CALL,
        replace(CALL, direction="inbound", purpose="service", recording="none", consent=""),
    ),
    verdicts=(BLOCKED, ALLOWED),
    recordings_in_progress=1,
    sealing_backlog=3,
    sealed_total=1204,
    journal_pending=2,
    opt_outs=5120,
    registries=(DNC,),
    last_purge=PurgeStatus(NOON - timedelta(hours=9), {"call_record": 312, "recording": 1}),
    agi_sessions=2,
    agi_sessions_total=1850,
    verdicts_total={("outbound", "allow"): 1500, ("outbound", "block"): 41},
    notices_total={"granted": 900, "incomplete": 12},
)

TROUBLED = replace(
    BUSY,
    not_ready=("verdicts are not durable: disk full",),
    alarms=("leeds: AMI is down", "the spool is nearly full"),
    pbxs=(LONDON, LEEDS),
    registries=(TPS, DNC),
    spool_has_room=False,
    journal_failing="disk full",
    not_durable_total=7,
    sealing_failures_total=5,
    next_purge=NOON - timedelta(hours=1),
    agi_refused_total=9,
    faults={"prompt_missing": 2, "something_else": 1},
    vault=VaultStatus(
        behind=2,
        store_has_room=False,
        waiting_bytes=17_400_000_000,
        delivered_total=40,
        delivery_failures_total=6,
        deliveries_stuck=3,
        rotation_faults=1,
        ledger_fault="the erasure ledger /var/lib/callguard/erasures.ledger is missing",
    ),
)


@dataclass
class ToldSource:
    """Tells ``now``, or fails, or waits for ``gate``; counts how often it was asked."""

    now: Status = EMPTY
    error: Exception | None = None
    gate: asyncio.Event | None = None
    asked: int = 0
    on_ask: Callable[[], None] = field(default=lambda: None)

    async def live_calls(self) -> tuple[LiveCall, ...]:
        return (await self.status()).calls

    async def status(self) -> Status:
        self.asked += 1
        self.on_ask()
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return self.now


class NoonClock:
    """It is always noon."""

    def now(self) -> datetime:
        return NOON

    def monotonic(self) -> float:
        return 0.0
