"""What is typed, as values: a tenant, a number, a moment."""

from collections.abc import Iterable
from datetime import UTC, datetime

from sqlalchemy import Connection

from callguard.cli.surroundings import CommandError
from callguard.config import Settings
from callguard.policy.limits import RetentionLimit
from callguard.policy.numbers import parse_address, parse_number
from callguard.policy.packs import all_packs, limits_of
from callguard.policy.span import Span
from callguard.tenants.directory import TenantDirectory
from callguard.tenants.tenant import Tenant

YEARS = range(1900, 10_000)


def tenant_of(directory: TenantDirectory, tenant: str) -> Tenant:
    """The tenant of that id. Raises CommandError, also where its settings cannot be read."""
    found = directory.get(tenant)
    if found is None:
        faults = (one for one in directory.faults if one.startswith(f"tenant {tenant} "))
        raise CommandError(next(faults, f"there is no tenant {tenant}"))
    return found


def law_of(settings: Settings) -> tuple[RetentionLimit, ...]:
    """The limits to how long records are kept, of all packs. Raises PackError."""
    return limits_of(all_packs(settings.policy.packs, settings.policy.leave_out))


def read_tenant(
    connection: Connection, tenant: str, limits: Iterable[RetentionLimit] = ()
) -> Tenant:
    """The tenant of that id, from the database; with the law (``law_of``) where something is done
    of which it says how long it is kept. Raises CommandError."""
    directory = TenantDirectory(limits)
    directory.refresh(connection)
    return tenant_of(directory, tenant)


def subject_of(text: str, tenant: Tenant) -> str:
    """The key of a number as the tenant would dial it, or of an e-mail address. Raises
    CommandError."""
    number = parse_number(text, tenant.settings.home_region)
    if not number.known:
        number = parse_address(text)
    if not number.known:
        raise CommandError(f"{text!r} is no telephone number")
    return number.key


def read_moment(text: str) -> datetime:
    """A day, which is its midnight, or a moment; in UTC where no offset is given. Raises
    CommandError."""
    return read_offset(text)[0]


def read_offset(text: str) -> tuple[datetime, bool]:
    """A moment, in UTC, and whether an offset was given. Raises CommandError."""
    try:
        read = datetime.fromisoformat(text.strip())
        moment = read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise CommandError(
            f"{text!r} is no time such as 2026-11-22 or 2026-11-22T14:30+01:00"
        ) from error
    if moment.year not in YEARS:
        raise CommandError(f"{text!r} is before {YEARS.start}")
    return moment, read.tzinfo is not None


def read_past(text: str, now: datetime) -> datetime:
    """A moment that is over. Raises CommandError."""
    moment = read_moment(text)
    if moment > now:
        raise CommandError(f"{text} lies in the future")
    return moment


def read_span(text: str) -> Span:
    """How long something is kept. Raises CommandError."""
    try:
        return Span.parse(text)
    except ValueError as error:
        raise CommandError(str(error)) from error


def maybe(text: str | None) -> datetime | None:
    """A moment, where one was given. Raises CommandError."""
    return None if text is None else read_moment(text)
