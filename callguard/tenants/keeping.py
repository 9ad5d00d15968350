"""How long a tenant's records are kept, by its own choice and by the law that concerns them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache, partial
from zoneinfo import ZoneInfo

from callguard.policy.limits import RetentionLimit, bounds
from callguard.policy.numbers import parse_number
from callguard.policy.span import Span
from callguard.retention.at_end import at_end_of
from callguard.retention.classes import CLASSES
from callguard.retention.schedule import Keep, RecordFacts, later, schedule
from callguard.tenants.tenant import Tenant

LONGEST_CALL = timedelta(days=2)
"""A call lives no longer: how much sooner than its recording ends somebody may have agreed to it,
and after a restart, how long ago whoever counts as told was told."""


@dataclass(frozen=True, slots=True)
class Concern:
    """Whom a record is about, as far as the law of keeping it asks. ``subject`` is the key of a
    number."""

    subject: str = ""
    purpose: str = ""
    direction: str = ""


NOBODY = Concern()


def keeping(tenant: Tenant | None, data_class: str, concern: Concern = NOBODY) -> Keep:
    """Until when such a record is kept, by the instant from which its time counts; also where its
    tenant is not known."""
    return partial(kept_until, tenant, data_class, concern=concern)


def kept_until(
    tenant: Tenant | None, data_class: str, since: datetime | None, *, concern: Concern = NOBODY
) -> datetime | None:
    """Until when the record is kept; None is no end yet. ``since`` None is the end of the
    contract."""
    span = span_of(tenant, data_class)
    if tenant is None:
        return None if span is None or since is None else span.after(since)
    since = tenant.ended_at if since is None else since
    if since is None:
        return None
    floors = bounds(tenant.limits, "floor", data_class)
    ceilings = bounds(tenant.limits, "ceiling", data_class)
    facts = RecordFacts(
        since,
        tenant.settings.home_region,
        tenant.settings.licensed_operator,
        region_of(concern.subject) if any(map(_asks_where, (*floors, *ceilings))) else "",
        concern.purpose,
        concern.direction,
        zone_of(tenant),
        _gone_at(tenant, data_class),
    )
    return schedule(data_class, facts, span, floors, ceilings, since)


def span_of(tenant: Tenant | None, data_class: str) -> Span | None:
    """What the tenant chose for the class, or what stands where it chose nothing."""
    chosen = tenant.retention.get(data_class) if tenant else None
    return CLASSES[data_class].default if chosen is None else chosen


def _asks_where(limit: RetentionLimit) -> bool:
    """Whether it is about numbers of some countries: where one belongs takes long to tell."""
    return limit.whose != "tenant" and bool(limit.regions)


def _gone_at(tenant: Tenant, data_class: str) -> datetime | None:
    """When the end of the contract takes a class away, if that is known."""
    if tenant.ended_at is None:
        return None
    chosen = tenant.at_end.get(data_class)
    at_end = at_end_of(data_class) if chosen is None else chosen
    return at_end.gone_at(tenant.ended_at, zone_of(tenant))


def keeping_evidence(tenant: Tenant | None, concern: Concern = NOBODY) -> Keep:
    """Until when is kept why a call was recorded and what became of that: as consents are, but
    never shorter than the recording, which is kept from its end on."""

    def keep(since: datetime) -> datetime | None:
        recording = kept_until(tenant, "recording", since + LONGEST_CALL, concern=concern)
        return later(kept_until(tenant, "consent", since, concern=concern), recording)

    return keep


def concerning(
    limits: tuple[RetentionLimit, ...], region: str, *, operator: bool
) -> tuple[RetentionLimit, ...]:
    """The limits that can be about records of a tenant that is at home there."""
    return tuple(one for one in limits if one.may_concern(region, operator=operator))


def zone_of(tenant: Tenant) -> tzinfo:
    """Where the tenant's days are counted."""
    name = tenant.settings.time_zone
    return UTC if name == "UTC" else ZoneInfo(name)


@lru_cache(maxsize=16_384)
def region_of(subject: str) -> str:
    """Where a number belongs, by its key; "" where that cannot be told."""
    if not subject.startswith("+"):
        return subject.partition(":")[0] if ":" in subject and "@" not in subject else ""
    return parse_number(subject, "ZZ").region or ""
