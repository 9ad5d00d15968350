"""What the page, the health checks and the metrics show. Numbers come masked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from callguard.optout.registry.freshness import RegistryStanding
from callguard.retention.holds.told import StandingHolds


@dataclass(frozen=True, slots=True)
class PbxStatus:
    """One Asterisk. ``lease_age_s`` is None until the lease was written over AMI once."""

    name: str
    ami: Literal["down", "connecting", "up"]
    since: datetime
    reason: str
    lease_age_s: float | None
    channels: int
    call_records: int
    call_records_bad: int
    call_records_too_old: int = 0
    call_records_erased: int = 0


RecordingState = Literal["recorded", "paused", "silent", "none"]
"""``silent``: it runs, and must not be heard now, for reasons that are not a pause."""


@dataclass(frozen=True, slots=True)
class LiveCall:
    """A call that was decided and has not ended. ``reasons`` are why its recording is silent;
    ``consent`` is the last state in the ledger and ``mode`` how it was come by, empty where the
    ledger has nothing."""

    id: str
    tenant: str
    direction: str
    purpose: str
    subject: str
    since: datetime
    recording: RecordingState
    reasons: tuple[str, ...] = ()
    consent: str = ""
    mode: str = ""


@dataclass(frozen=True, slots=True)
class LastVerdict:
    """A verdict with its reasons in words."""

    at: datetime
    call_id: str
    tenant: str
    direction: str
    subject: str
    decision: Literal["allow", "block"]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PurgeStatus:
    """The last purge."""

    finished_at: datetime
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class VaultStatus:
    """Where recordings stand. ``behind`` are those in progress that could not be sealed when it was
    due; ``waiting_bytes`` is None where no bucket is waited for; ``ledger_fault`` says why it is
    not known what was erased."""

    behind: int = 0
    store_has_room: bool = True
    waiting_bytes: int | None = None
    delivered_total: int = 0
    delivery_failures_total: int = 0
    deliveries_stuck: int = 0
    rotation_faults: int = 0
    ledger_fault: str | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """Everything at one moment.

    ``not_ready`` says in words why calls cannot be taken; ``alarms`` what needs a person's eye.
    ``verdicts_total`` is by (direction, decision); ``notices_total`` by outcome; ``faults`` by
    kind.
    """

    at: datetime
    not_ready: tuple[str, ...]
    alarms: tuple[str, ...]
    pbxs: tuple[PbxStatus, ...]
    calls: tuple[LiveCall, ...]
    verdicts: tuple[LastVerdict, ...]
    recordings_in_progress: int
    sealing_backlog: int
    sealed_total: int
    sealing_failures_total: int
    spool_has_room: bool
    journal_pending: int
    journal_failing: str | None
    not_durable_total: int
    opt_outs: int
    last_purge: PurgeStatus | None
    next_purge: datetime
    agi_sessions: int
    agi_sessions_total: int
    agi_refused_total: int
    verdicts_total: Mapping[tuple[str, str], int] = field(default_factory=dict)
    notices_total: Mapping[str, int] = field(default_factory=dict)
    faults: Mapping[str, int] = field(default_factory=dict)
    registries: tuple[RegistryStanding, ...] = ()
    vault: VaultStatus = VaultStatus()
    holds: StandingHolds = field(default_factory=StandingHolds)

    @property
    def ready(self) -> bool:
        """Whether calls can be decided and their verdicts kept."""
        return not self.not_ready


class LiveCallSource(Protocol):
    """Whoever can tell of the calls under way."""

    async def live_calls(self) -> tuple[LiveCall, ...]:
        """The oldest first. Raises TimeoutError when the database does not answer."""
        ...


class StatusSource(Protocol):
    """Whoever can tell the state of the service; cheap enough to be asked every second."""

    async def status(self) -> Status:
        """Raises TimeoutError when the database does not answer."""
        ...
