"""Rotating a tenant's keys: a new identity, and the headers of what is recorded written anew for
the present recipients. Payloads are not touched.

Order: the new version durable, so that new recordings are sealed for it -> headers in small
transactions, each only where it is still as it was read -> the former versions retired. A rotation
that was cut off anywhere is known by a replaced version that is not retired, and the next one goes
on with it. ``recordings.keyed_for`` tells which headers are left.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection, select

from callguard.audit.log import Entry, append
from callguard.recording import age
from callguard.recording.keyring import Keyring
from callguard.recording.keys import (
    KeyStoreError,
    KeyWrapper,
    generate_tenant_identity,
    open_tenant_identity,
    wrap_tenant_identity,
)
from callguard.recording.recipients import digest_of
from callguard.recording.rekeying.keyed import check_still, count_others, for_others
from callguard.recording.rekeying.rewrap import Means, Tally, open_rewraps, rewrap_all
from callguard.storage.schema import recordings
from callguard.tenants.keys import (
    TenantKeys,
    add_version,
    fingerprint,
    next_version,
    read_keys,
    replace_wrapped,
    retire,
    wipe,
)
from callguard.tenants.store import OwnKey
from callguard.tenants.tenant import TenantError

DROP_AFTER = timedelta(hours=1)
"""A retired version is kept at least so long: a service that has not yet seen the rotation may
still begin a recording for it."""

NAMED = 10
"""Most recordings that are named where a header is damaged."""


@dataclass(frozen=True, slots=True)
class Rotated:
    """What became of one tenant. ``version`` is the active one, ``renewed`` whether this rotation
    made it, ``continued`` whether it took up one that was cut off. ``not_ours`` headers none of the
    identities here opens, ``damaged`` ones break the format: both stay as they are."""

    tenant: str
    version: int | None
    renewed: bool
    continued: bool
    rewritten: int
    not_ours: int
    damaged: int
    named: tuple[str, ...]
    retired: tuple[int, ...]
    dropped: tuple[int, ...]
    kept: str | None

    def as_json(self) -> dict[str, object]:
        return {
            "tenant": self.tenant,
            "version": self.version,
            "renewed": self.renewed,
            "continued": self.continued,
            "rewritten": self.rewritten,
            "not_ours": self.not_ours,
            "damaged": self.damaged,
            "damaged_recordings": list(self.named),
            "retired": list(self.retired),
            "dropped": list(self.dropped),
            "kept": self.kept,
        }


async def rotate(
    means: Means, tenant: str, *, renew: bool, own_key: bool = False, drop: bool = False
) -> Rotated:
    """Makes a new identity, where ``renew`` and no rotation is unfinished, then rewrites all
    headers that are wrapped for others than the present recipients. Identities that a former
    master key or KMS wrapped are wrapped by the present one first. ``own_key`` also gives one to
    a tenant that has none in use; ``drop`` then wipes retired versions that nothing needs.

    Raises TenantError, KeyStoreError, RewrapError, AgeError and what ``read`` and ``write`` raise;
    what was rewritten by then stands, and the next rotation goes on.
    """
    keys = await means.read(partial(read_keys, tenant_id=tenant))
    identities = await asyncio.to_thread(open_identities, means.keyring, keys)
    if moved := await asyncio.to_thread(_wrapped_anew, means.keyring.identities, keys, identities):
        await means.write(partial(_move, means=means, before=keys, wrapped=moved))
        keys = await means.read(partial(read_keys, tenant_id=tenant))
    continued = bool(keys.replaced)
    renewed = renew and not continued
    if renewed:
        if not own_key and (keys.active is None or not keys.settings.own_key):
            raise TenantError(
                f"{tenant} has no key of its own: --headers-only writes headers anew for its "
                "present recipients, --own-key makes it a key"
            )
        await _renew(means, keys)
        keys = await means.read(partial(read_keys, tenant_id=tenant))
    if not keys.present:
        raise TenantError(f"{tenant} has no recipient: nothing can be wrapped for it")
    target = digest_of(keys.present)
    left = await means.read(partial(count_others, tenant=tenant, target=target))
    tally = Tally()
    rewraps = await asyncio.to_thread(open_rewraps, means, identities, keys.present, left)
    del identities
    try:
        await rewrap_all(means, keys, rewraps, tally, left)
    finally:
        await asyncio.to_thread(rewraps.close)
    retired = tuple(one.version for one in keys.replaced)
    if retired or tally.rewritten:
        await means.write(partial(_finish, means=means, keys=keys, tally=tally, retired=retired))
    dropped, kept = tuple[int, ...](), None
    if drop:
        dropped, kept = await means.write(partial(_drop, means=means, keys=keys, tally=tally))
    return Rotated(
        tenant,
        keys.active.version if keys.active else None,
        renewed,
        continued,
        tally.rewritten,
        len(tally.not_ours),
        len(tally.damaged),
        tuple(sorted(tally.damaged)[:NAMED]),
        retired,
        dropped,
        kept,
    )


def open_identities(keyring: Keyring, keys: TenantKeys) -> list[age.Identity]:
    """Every version that still opens something, newest first. May ask a KMS: in a thread. Hold
    them no longer than they are used. Raises KeyStoreError."""
    opened = []
    for one in keys.live:
        assert one.wrapped is not None
        try:
            opened.append(
                open_tenant_identity(keyring.identities, one.wrapped, keys.tenant, one.version)
            )
        except KeyStoreError as error:
            raise type(error)(f"version {one.version} of {keys.tenant}: {error}") from None
    return opened


def _wrapped_anew(
    wrapper: KeyWrapper, keys: TenantKeys, identities: Sequence[age.Identity]
) -> dict[int, bytes]:
    """The versions that a former master key or KMS wrapped, by the present one: the former is of
    no use any more then."""
    return {
        one.version: wrap_tenant_identity(wrapper, identity, keys.tenant, one.version)
        for one, identity in zip(keys.live, identities, strict=True)
        if one.wrapped is not None and not wrapper.made(one.wrapped)
    }


def _move(
    connection: Connection, means: Means, before: TenantKeys, wrapped: dict[int, bytes]
) -> None:
    replace_wrapped(connection, before, wrapped)
    details = {"versions": sorted(wrapped)}
    target, at = before.tenant, means.clock.now()
    append(connection, Entry(at, means.actor, "key.move", target, target, details))


async def _renew(means: Means, keys: TenantKeys) -> None:
    kind = keys.settings.key_kind
    made = await asyncio.to_thread(
        generate_tenant_identity, means.keyring.identities, keys.tenant, next_version(keys), kind
    )
    own = OwnKey(kind, made.recipient, made.wrapped)
    at = means.clock.now()
    await means.write(partial(add_version, before=keys, own=own, at=at, actor=means.actor))


def _finish(
    connection: Connection, means: Means, keys: TenantKeys, tally: Tally, retired: tuple[int, ...]
) -> None:
    check_still(connection, keys.tenant, digest_of(keys.present))
    at = means.clock.now()
    retire(connection, keys.tenant, retired, at)
    details = {
        "rewritten": tally.rewritten,
        "not_ours": len(tally.not_ours),
        "damaged": len(tally.damaged),
        "retired": list(retired),
        "recipients": [fingerprint(one) for one in keys.present],
    }
    append(connection, Entry(at, means.actor, "key.rewrap", keys.tenant, keys.tenant, details))


def _drop(
    connection: Connection, means: Means, keys: TenantKeys, tally: Tally
) -> tuple[tuple[int, ...], str | None]:
    """The versions that were wiped, and why others are kept."""
    target, at = digest_of(keys.present), means.clock.now()
    check_still(connection, keys.tenant, target)
    present = read_keys(connection, keys.tenant)
    old = [v for v in present.versions if present.state(v) == "retired" and v.wrapped]
    if not old:
        return (), "no version is retired"
    if tally.damaged:
        return (), f"{len(tally.damaged)} headers are damaged and may need them"
    others = connection.execute(
        select(recordings.c.id).where(for_others(keys.tenant, target))
    ).scalars()
    if any(one not in tally.not_ours for one in others):
        return (), "a recording began for a former key meanwhile"
    ripe = tuple(v.version for v in old if v.retired_at and at - v.retired_at >= DROP_AFTER)
    if ripe:
        wipe(connection, keys.tenant, ripe, at)
        details = {"versions": list(ripe)}
        append(connection, Entry(at, means.actor, "key.drop", keys.tenant, keys.tenant, details))
    kept = [str(v.version) for v in old if v.version not in ripe]
    hours = DROP_AFTER // timedelta(hours=1)
    return ripe, f"version {', '.join(kept)} retired less than {hours} h ago" if kept else None


def is_due(keys: TenantKeys, days: int, now: datetime) -> bool:
    """Whether the tenant's own identity is in use and so many days old. One that is as far ahead
    was made while the clock was wrong: how old it is nobody knows."""
    active = keys.active if keys.settings.own_key else None
    return active is not None and abs(now - active.created_at) >= timedelta(days=days)
