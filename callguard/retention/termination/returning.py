"""How long a package lies here, and when deletion may begin. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from callguard.retention.termination.asking import Termination
from callguard.retention.termination.plan import Promise
from callguard.tenants.keeping import LONGEST_CALL, span_of, zone_of
from callguard.tenants.tenant import Tenant

EXPORT = "export"

LEAST = timedelta(days=3)
"""Who asks for the end late has so long for its package all the same."""


def lies_until(tenant: Tenant, ending: Mapping[str, Promise], now: datetime) -> datetime:
    """Until when a package that is made now lies here: as long as other exports do, and no longer
    than was promised for them after the end."""
    span = span_of(tenant, EXPORT)
    assert span is not None
    return min(span.after(now, zone_of(tenant)), max(ending[EXPORT].gone_at, now + LEAST))


def may_clear(one: Termination, ending: Mapping[str, Promise], now: datetime) -> bool:
    """Whether deletion may begin: with a receipt that was asked for, once it came or the time for
    it is over. No promise waits for it."""
    if one.choice != "return" or not one.steps.get("confirm"):
        return True
    package: Any = one.steps.get("package") or {}
    until = datetime.fromisoformat(str(package["until"]))
    soonest = min(promise.gone_at for promise in ending.values() if promise.gone_at > one.ends_at)
    return "confirmed_at" in one.steps or now >= min(until, soonest)


def calls_may_run(one: Termination, now: datetime) -> bool:
    """Whether a call may still be under way that began before anybody asked for the end."""
    return now < max(one.ends_at, one.asked_at) + LONGEST_CALL
