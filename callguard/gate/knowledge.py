"""Everything that a decision draws on."""

from dataclasses import dataclass

from callguard.clock import Clock
from callguard.gate.policy import Policy
from callguard.optout.image import OptOutImage
from callguard.optout.registries import NO_REGISTRIES, Registries
from callguard.storage.attempts import AttemptCounters
from callguard.storage.grouped import GroupedReads
from callguard.tenants.directory import TenantDirectory

STALE_OPT_OUTS_S = 5.0
"""After so long without a look at the table, an opt-out may have been entered unseen."""


@dataclass(slots=True, kw_only=True)
class Knowledge:
    """The sources of facts, and the rules. ``opt_outs_read_at`` is when, by the monotonic clock,
    the opt-outs of other processes were last read; None where nobody else writes any.
    ``opt_outs_missing`` is why some that were made are not there: the database is a restored one.
    """

    clock: Clock
    tenants: TenantDirectory
    opt_outs: OptOutImage
    policy: Policy
    attempts: AttemptCounters
    reads: GroupedReads
    home_region: str
    registries: Registries = NO_REGISTRIES
    opt_outs_read_at: float | None = None
    opt_outs_missing: str | None = None

    def stale_opt_outs(self) -> float | None:
        """Seconds since the opt-outs of other processes were last read, where that is too long."""
        if self.opt_outs_read_at is None:
            return None
        age = self.clock.monotonic() - self.opt_outs_read_at
        return age if age > STALE_OPT_OUTS_S else None
