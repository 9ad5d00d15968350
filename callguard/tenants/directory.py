"""All tenants in memory, so that a call is placed with its tenant without asking the database."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import ValidationError
from sqlalchemy import Connection, func, select

from callguard.clock import Clock, SystemClock
from callguard.policy.limits import RetentionLimit
from callguard.policy.overrides import Override
from callguard.policy.span import Span
from callguard.retention.at_end import AtEnd
from callguard.storage.schema import (
    tenant_endpoints,
    tenant_keys,
    tenant_numbers,
    tenant_recipients,
    tenant_retention,
    tenant_rules,
    tenants,
)
from callguard.tenants.keeping import concerning
from callguard.tenants.rules import as_override
from callguard.tenants.tenant import Tenant, TenantSettings


@dataclass(frozen=True, slots=True)
class _Image:
    stamp: tuple[object, ...]
    tenants: dict[str, Tenant]
    numbers: dict[str, str]
    endpoints: dict[str, str]
    faults: tuple[str, ...] = ()


class TenantDirectory:
    """A read-mostly image of the tenants; ``refresh`` makes it follow the database."""

    def __init__(self, limits: Iterable[RetentionLimit] = (), clock: Clock | None = None) -> None:
        """``limits`` are the law's demands on how long records are kept, of every pack; by
        ``clock`` it is told whose contract has ended."""
        self._limits = tuple(limits)
        self._clock = clock or SystemClock()
        self._image = _Image((), {}, {}, {})

    @property
    def faults(self) -> tuple[str, ...]:
        """One line for each tenant whose settings this version cannot read; its calls are those
        of an unknown tenant."""
        return self._image.faults

    def get(self, tenant_id: str) -> Tenant | None:
        """Also one whose contract has ended: what it leaves is still its own."""
        return self._image.tenants.get(tenant_id)

    def serving(self, tenant_id: str | None) -> Tenant | None:
        """Whose calls are taken: to a tenant whose contract has ended no new one belongs."""
        found = self._image.tenants.get(tenant_id) if tenant_id is not None else None
        if found is None or found.ended_at is None or self._clock.now() < found.ended_at:
            return found
        return None

    def all(self) -> tuple[Tenant, ...]:
        return tuple(self._image.tenants.values())

    def by_number(self, e164: str) -> Tenant | None:
        """Whose number was called."""
        return self.serving(self._image.numbers.get(e164))

    def by_endpoint(self, channel: str, account_code: str = "") -> Tenant | None:
        """Whose line is calling: by endpoint (``PJSIP/agent1`` of ``PJSIP/agent1-0000002a``),
        then by account code."""
        endpoint = channel.rpartition("-")[0] or channel
        owner = self._image.endpoints.get(endpoint)
        if owner is None and account_code:
            owner = self._image.endpoints.get(account_code)
        return self.serving(owner)

    def has_line(self, channel: str) -> bool:
        """Whether it is a line of a tenant's, also of one whose contract has ended: a call of
        before goes on."""
        return (channel.rpartition("-")[0] or channel) in self._image.endpoints

    def refresh(self, connection: Connection) -> None:
        """Reads the tenants anew if any was changed since the last time."""
        stamp = tuple(connection.execute(_STAMP).one())
        if stamp != self._image.stamp:
            self._image = _load(connection, stamp, self._limits)


_STAMP = select(func.count(), func.max(tenants.c.updated_at)).select_from(tenants)


def _load(
    connection: Connection, stamp: tuple[object, ...], limits: tuple[RetentionLimit, ...]
) -> _Image:
    recipients: dict[str, list[str]] = defaultdict(list)
    newest = (
        select(tenant_keys.c.tenant_id, func.max(tenant_keys.c.version).label("version"))
        .where(tenant_keys.c.destroyed_at.is_(None))
        .group_by(tenant_keys.c.tenant_id)
        .subquery()
    )
    own = select(tenant_keys.c.tenant_id, tenant_keys.c.recipient).join(
        newest,
        (tenant_keys.c.tenant_id == newest.c.tenant_id)
        & (tenant_keys.c.version == newest.c.version),
    )
    own_keys: dict[str, str] = {row.tenant_id: row.recipient for row in connection.execute(own)}
    outside = select(tenant_recipients.c.tenant_id, tenant_recipients.c.recipient)
    for tenant_id, recipient in connection.execute(outside.order_by(tenant_recipients.c.id)):
        recipients[tenant_id].append(recipient)
    retention: dict[str, dict[str, Span]] = defaultdict(dict)
    at_end: dict[str, dict[str, AtEnd]] = defaultdict(dict)
    unread: dict[str, str] = {}
    for row in connection.execute(select(tenant_retention)):
        try:
            if row.span is not None:
                retention[row.tenant_id][row.data_class] = Span.parse(row.span)
            if row.at_end is not None:
                at_end[row.tenant_id][row.data_class] = AtEnd.parse(row.at_end)
        except ValueError as error:
            unread[row.tenant_id] = f"retention of {row.data_class}: {error}"
    overrides: dict[str, list[Override]] = defaultdict(list)
    for row in connection.execute(select(tenant_rules).order_by(tenant_rules.c.rule)):
        overrides[row.tenant_id].append(as_override(row.rule, row.change, row.reason))
    found, faults = {}, list[str]()
    for row in connection.execute(select(tenants)):
        if row.id in unread:
            faults.append(f"tenant {row.id} cannot be read: {unread[row.id]}")
            continue
        try:
            settings = TenantSettings.model_validate(row.settings)
        except ValidationError as error:
            faults.append(f"tenant {row.id} cannot be read: {error.errors()[0]['msg']}")
            continue
        found[row.id] = Tenant(
            id=row.id,
            name=row.name,
            settings=settings,
            recipients=(*_own(settings, own_keys.get(row.id)), *recipients[row.id]),
            retention=dict(retention[row.id]),
            overrides=tuple(overrides[row.id]),
            limits=concerning(limits, settings.home_region, operator=settings.licensed_operator),
            ended_at=row.ends_at,
            at_end=dict(at_end[row.id]),
        )
    numbers = {row.number: row.tenant_id for row in connection.execute(select(tenant_numbers))}
    endpoints = {
        row.endpoint: row.tenant_id for row in connection.execute(select(tenant_endpoints))
    }
    return _Image(stamp, found, numbers, endpoints, tuple(faults))


def _own(settings: TenantSettings, recipient: str | None) -> tuple[str, ...]:
    return (recipient,) if settings.own_key and recipient is not None else ()
