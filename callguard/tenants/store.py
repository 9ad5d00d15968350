"""Making tenants and changing what belongs to them. Synchronous, inside a writing transaction."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from callguard.audit.log import Entry, append
from callguard.policy.limits import RetentionLimit
from callguard.policy.numbers import mask, parse_number
from callguard.storage.schema import (
    tenant_endpoints,
    tenant_keys,
    tenant_numbers,
    tenant_recipients,
    tenants,
)
from callguard.tenants.lawful import check_standing
from callguard.tenants.present import check_present
from callguard.tenants.retaining import set_retention, standing
from callguard.tenants.stamp import changed_at
from callguard.tenants.tenant import (
    TenantError,
    TenantSettings,
    check_id,
    check_settings,
)

__all__ = ["NewTenant", "OwnKey", "add", "change_settings", "set_retention"]

LEGAL = frozenset({"home_region", "licensed_operator"})
"""The settings by which the law says how long a tenant keeps its records."""


@dataclass(frozen=True, slots=True)
class OwnKey:
    """A tenant's identity as it is kept: the private half wrapped by the master key."""

    kind: str
    recipient: str
    wrapped_identity: bytes


@dataclass(frozen=True, slots=True)
class NewTenant:
    """What ``add`` is given. ``own_key`` is None where only outside recipients may open;
    ``recipients`` are theirs, each once."""

    id: str
    name: str
    settings: TenantSettings
    own_key: OwnKey | None
    recipients: Sequence[str] = ()
    numbers: Sequence[str] = ()
    endpoints: Sequence[str] = ()


def add(connection: Connection, new: NewTenant, *, at: datetime, actor: str) -> None:
    """Adds a tenant with all that belongs to it. Raises TenantError; then nothing was added."""
    check_id(new.id)
    if connection.execute(select(tenants.c.id).where(tenants.c.id == new.id)).first():
        raise TenantError(f"tenant {new.id} exists already")
    connection.execute(
        insert(tenants).values(
            id=new.id,
            name=new.name,
            settings=new.settings.model_dump(mode="json"),
            created_at=at,
            updated_at=changed_at(connection, at),
        )
    )
    if new.own_key is not None:
        connection.execute(
            insert(tenant_keys).values(
                tenant_id=new.id,
                version=1,
                kind=new.own_key.kind,
                recipient=new.own_key.recipient,
                wrapped_identity=new.own_key.wrapped_identity,
                created_at=at,
            )
        )
    for recipient in new.recipients:
        connection.execute(
            insert(tenant_recipients).values(tenant_id=new.id, recipient=recipient, added_at=at)
        )
    check_present(connection, new.id, own_key=new.settings.own_key)
    for raw in new.numbers:
        _own_number(connection, new, raw)
    for endpoint in new.endpoints:
        if not endpoint.strip():
            raise TenantError("an endpoint has no name")
        try:
            with connection.begin_nested():
                connection.execute(
                    insert(tenant_endpoints).values(endpoint=endpoint, tenant_id=new.id)
                )
        except IntegrityError as error:
            raise TenantError(f"endpoint {endpoint} belongs to a tenant already") from error
    append(connection, Entry(at, actor, "tenant.add", new.id, tenant=new.id))


def _own_number(connection: Connection, new: NewTenant, raw: str) -> None:
    number = parse_number(raw, new.settings.home_region)
    if not number.known:
        raise TenantError(f"{raw!r} is no telephone number")
    try:
        with connection.begin_nested():
            connection.execute(insert(tenant_numbers).values(number=number.key, tenant_id=new.id))
    except IntegrityError as error:
        raise TenantError(f"number {raw} belongs to a tenant already") from error


@dataclass(frozen=True, slots=True)
class Change:
    """What ``change_settings`` did: the settings afterwards, and those that are other than before,
    as they are stored."""

    settings: TenantSettings
    before: dict[str, object]
    after: dict[str, object]


def change_settings(
    connection: Connection,
    tenant_id: str,
    values: Mapping[str, object],
    *,
    at: datetime,
    actor: str,
    limits: Iterable[RetentionLimit] = (),
) -> Change:
    """Sets some of a tenant's settings; a running service heeds it from the next call on. Where
    they are so already nothing is written.

    Raises TenantError, also where the settings do not go together, or where by one of ``limits``
    the tenant may not keep its records as it chose to; then nothing was set.
    """
    row = connection.execute(
        select(tenants.c.settings).where(tenants.c.id == tenant_id)
    ).one_or_none()
    if row is None:
        raise TenantError(f"there is no tenant {tenant_id}")
    present = {**TenantSettings().model_dump(mode="json"), **row.settings}
    settings = check_settings({**present, **values})
    wanted = settings.model_dump(mode="json")
    after = {key: value for key, value in wanted.items() if present[key] != value}
    if "own_key" in after:
        check_present(connection, tenant_id, own_key=settings.own_key)
    if after.keys() & LEGAL:
        check_standing(limits, settings, standing(connection, tenant_id), at)
    before = {key: present[key] for key in after}
    if after:
        connection.execute(
            update(tenants)
            .where(tenants.c.id == tenant_id)
            .values(settings=wanted, updated_at=changed_at(connection, at))
        )
        details = {"before": _unnamed(before), "after": _unnamed(after)}
        append(connection, Entry(at, actor, "tenant.set", tenant_id, tenant_id, details))
    return Change(settings, before, after)


def _unnamed(values: dict[str, object]) -> dict[str, object]:
    """For the audit log, which carries no numbers."""
    shown = values.get("shown_number")
    return {**values, "shown_number": mask(str(shown))} if shown else values
