"""A tenant's keys as they lie in the database: the versions of its own identity, wrapped, and the
outside recipients. Synchronous, inside a transaction.

The newest version that is not destroyed is active: new recordings are sealed for it. An older one
is left, ``retired_at``, once no header needs it; until then a rotation is unfinished.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, delete, insert, select, update

from callguard.audit.log import Entry, append
from callguard.storage.schema import tenant_keys, tenant_recipients, tenants
from callguard.tenants.present import check_present, check_together
from callguard.tenants.stamp import changed_at
from callguard.tenants.store import OwnKey
from callguard.tenants.tenant import TenantError, TenantSettings, check_settings

State = Literal["active", "replaced", "retired", "destroyed"]
NAME = 63
"""Longest name of an outside recipient."""


@dataclass(frozen=True, slots=True)
class KeyVersion:
    """One version of a tenant's identity. ``wrapped`` is None once it is destroyed."""

    tenant: str
    version: int
    kind: str
    recipient: str
    wrapped: bytes | None = field(repr=False)
    created_at: datetime
    retired_at: datetime | None
    destroyed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Outside:
    """A public key of which only the tenant has the private half."""

    name: str
    recipient: str
    added_at: datetime


@dataclass(frozen=True, slots=True)
class TenantKeys:
    """All keys of a tenant; the versions oldest first."""

    tenant: str
    settings: TenantSettings
    versions: tuple[KeyVersion, ...]
    outside: tuple[Outside, ...]

    @property
    def active(self) -> KeyVersion | None:
        """The newest version that is not destroyed."""
        return next((one for one in reversed(self.versions) if one.destroyed_at is None), None)

    @property
    def live(self) -> tuple[KeyVersion, ...]:
        """The versions that still open something, newest first."""
        return tuple(one for one in reversed(self.versions) if one.wrapped is not None)

    @property
    def replaced(self) -> tuple[KeyVersion, ...]:
        """Versions that a newer one replaced while headers are still wrapped for them."""
        return tuple(one for one in self.versions if self.state(one) == "replaced")

    @property
    def present(self) -> tuple[str, ...]:
        """For whom new recordings are sealed, as ``Tenant.recipients`` has it."""
        own = self.active if self.settings.own_key else None
        return (*((own.recipient,) if own else ()), *(one.recipient for one in self.outside))

    def state(self, version: KeyVersion) -> State:
        if version.destroyed_at is not None:
            return "destroyed"
        if version == self.active:
            return "active"
        return "replaced" if version.retired_at is None else "retired"


def fingerprint(recipient: str) -> str:
    """A short name of a public key, for logs: the beginning of its SHA-256."""
    return hashlib.sha256(recipient.encode()).hexdigest()[:16]


def read_keys(connection: Connection, tenant_id: str) -> TenantKeys:
    """Raises TenantError where there is no such tenant, or its settings cannot be read."""
    chosen = select(tenants.c.settings).where(tenants.c.id == tenant_id)
    stored = connection.execute(chosen).scalar_one_or_none()
    if stored is None:
        raise TenantError(f"there is no tenant {tenant_id}")
    versions = select(tenant_keys).where(tenant_keys.c.tenant_id == tenant_id)
    outside = select(tenant_recipients).where(tenant_recipients.c.tenant_id == tenant_id)
    return TenantKeys(
        tenant_id,
        check_settings(stored),
        tuple(
            KeyVersion(
                tenant_id,
                row.version,
                row.kind,
                row.recipient,
                row.wrapped_identity,
                row.created_at,
                row.retired_at,
                row.destroyed_at,
            )
            for row in connection.execute(versions.order_by(tenant_keys.c.version))
        ),
        tuple(
            Outside(row.name, row.recipient, row.added_at)
            for row in connection.execute(outside.order_by(tenant_recipients.c.id))
        ),
    )


def add_version(
    connection: Connection, before: TenantKeys, own: OwnKey, *, at: datetime, actor: str
) -> int:
    """Adds the version after the last of ``before``; new recordings are sealed for it at once.
    Raises TenantError where the keys are not as ``before`` any more, or do not go together."""
    if read_keys(connection, before.tenant) != before:
        raise TenantError(f"the keys of {before.tenant} were changed meanwhile: try again")
    check_together(before.tenant, (own.recipient, *(one.recipient for one in before.outside)))
    version = next_version(before)
    connection.execute(
        insert(tenant_keys).values(
            tenant_id=before.tenant,
            version=version,
            kind=own.kind,
            recipient=own.recipient,
            wrapped_identity=own.wrapped_identity,
            created_at=at,
        )
    )
    if not before.settings.own_key:
        _set_own_key(connection, before, own_key=True)
    touch(connection, before.tenant, at)
    details = {"version": version, "kind": own.kind, "fingerprint": fingerprint(own.recipient)}
    append(connection, Entry(at, actor, "key.rotate", before.tenant, before.tenant, details))
    return version


def next_version(keys: TenantKeys) -> int:
    """The number of the version to come; none is used twice."""
    return max((one.version for one in keys.versions), default=0) + 1


def retire(connection: Connection, tenant_id: str, versions: Sequence[int], at: datetime) -> None:
    """Marks versions that no header is wrapped for any more."""
    connection.execute(
        update(tenant_keys)
        .where(
            tenant_keys.c.tenant_id == tenant_id,
            tenant_keys.c.version.in_(versions),
            tenant_keys.c.retired_at.is_(None),
        )
        .values(retired_at=at)
    )


def replace_wrapped(
    connection: Connection, before: TenantKeys, wrapped: Mapping[int, bytes]
) -> None:
    """The same private halves, wrapped otherwise, by version. One that was wiped or replaced
    meanwhile stays as it is. Whoever calls it writes why into the audit log."""
    for one in before.live:
        if one.version in wrapped:
            connection.execute(
                update(tenant_keys)
                .where(
                    tenant_keys.c.tenant_id == before.tenant,
                    tenant_keys.c.version == one.version,
                    tenant_keys.c.wrapped_identity == one.wrapped,
                )
                .values(wrapped_identity=wrapped[one.version])
            )


def wipe(connection: Connection, tenant_id: str, versions: Sequence[int], at: datetime) -> None:
    """Takes the private halves away for ever. Whoever calls it writes why into the audit log."""
    connection.execute(
        update(tenant_keys)
        .where(
            tenant_keys.c.tenant_id == tenant_id,
            tenant_keys.c.version.in_(versions),
            tenant_keys.c.destroyed_at.is_(None),
        )
        .values(wrapped_identity=None, destroyed_at=at)
    )
    touch(connection, tenant_id, at)


def give_up_own_key(connection: Connection, keys: TenantKeys, at: datetime) -> None:
    """New recordings are sealed for outside recipients alone, or not made."""
    _set_own_key(connection, keys, own_key=False)
    touch(connection, keys.tenant, at)


def add_recipient(
    connection: Connection, tenant_id: str, name: str, recipient: str, *, at: datetime, actor: str
) -> None:
    """Adds an outside public key, which opens the recordings to come. Raises TenantError."""
    if not name.strip() or len(name) > NAME or not name.isprintable():
        raise TenantError(f"the name of a recipient is 1 to {NAME} characters")
    keys = read_keys(connection, tenant_id)
    if any(one.recipient == recipient for one in keys.versions):
        raise TenantError(f"{tenant_id}: that is a key of its own here, not an outside one")
    for one in keys.outside:
        if one.recipient == recipient:
            raise TenantError(f"{tenant_id}: that recipient is there already, as {one.name!r}")
        if one.name == name:
            raise TenantError(f"{tenant_id}: there is a recipient {name!r} already")
    check_together(tenant_id, (*keys.present, recipient))
    connection.execute(
        insert(tenant_recipients).values(
            tenant_id=tenant_id, name=name, recipient=recipient, added_at=at
        )
    )
    touch(connection, tenant_id, at)
    details = {"fingerprint": fingerprint(recipient)}
    append(connection, Entry(at, actor, "key.recipient.add", tenant_id, tenant_id, details))


def remove_recipient(
    connection: Connection, tenant_id: str, named: str, *, at: datetime, actor: str
) -> Outside:
    """Removes the outside recipient of that name or public key; recordings to come are not sealed
    for it. Raises TenantError, also where nobody would be left."""
    keys = read_keys(connection, tenant_id)
    found = next((one for one in keys.outside if named in (one.name, one.recipient)), None)
    if found is None or not named:  # those that came with the tenant have no name
        raise TenantError(f"{tenant_id} has no such recipient; callguard key list names them")
    connection.execute(
        delete(tenant_recipients).where(
            tenant_recipients.c.tenant_id == tenant_id,
            tenant_recipients.c.recipient == found.recipient,
        )
    )
    check_present(connection, tenant_id, own_key=keys.settings.own_key)
    touch(connection, tenant_id, at)
    details = {"fingerprint": fingerprint(found.recipient)}
    append(connection, Entry(at, actor, "key.recipient.remove", tenant_id, tenant_id, details))
    return found


def _set_own_key(connection: Connection, keys: TenantKeys, *, own_key: bool) -> None:
    wanted = keys.settings.model_copy(update={"own_key": own_key}).model_dump(mode="json")
    connection.execute(update(tenants).where(tenants.c.id == keys.tenant).values(settings=wanted))


def touch(connection: Connection, tenant_id: str, at: datetime) -> None:
    """Lets a running service see that something of the tenant was changed."""
    connection.execute(
        update(tenants)
        .where(tenants.c.id == tenant_id)
        .values(updated_at=changed_at(connection, at))
    )
