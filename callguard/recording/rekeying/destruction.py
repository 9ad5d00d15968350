"""Destroying all of a tenant's identities, so that its recordings cannot be opened here again, and
the certificate of it.

Order: each version into the erasure ledger -> the private halves gone, the tenant without a key of
its own, and the audit entry, in one transaction -> the bytes out of the database's files. A
recording in progress is sealed as it began, by its own file key, which goes when it is sealed: then
it is as unreadable as the others.
"""

import asyncio
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy import Connection, select

from callguard.audit.log import Entry, append
from callguard.recording import age
from callguard.recording.erasure import Write, erase_for_good
from callguard.recording.keyring import Keyring
from callguard.recording.keys import UnwrapError
from callguard.recording.rekeying.keyed import HeaderRow, read_any
from callguard.recording.rekeying.rewrap import Read
from callguard.recording.rekeying.rotation import open_identities
from callguard.recording.tombstones import key_id
from callguard.retention.erasures.ledger import TENANT_KEY, Erasure, ErasureLedger
from callguard.retention.holds.covering import first_on_keys
from callguard.storage.schema import audit, erasures
from callguard.tenants.keys import TenantKeys, fingerprint, give_up_own_key, read_keys
from callguard.tenants.tenant import TenantError

BATCH = 500
ACTION = "key.destroy"

TRIES = 5
"""A rotation at the same time may make a version after the others were chosen."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What becomes of a tenant's recordings. ``unreadable`` only its identity here opens,
    ``open_to_others`` its outside recipients too, ``never_ours`` only they; ``unknown`` are those
    whose header is damaged, and all where the identities cannot be opened any more.
    ``in_progress`` are those of all these that are not sealed yet. ``sha256`` is of a line for
    each, by id: the id, a space, the SHA-256 of its header."""

    unreadable: int
    open_to_others: int
    never_ours: int
    unknown: int
    in_progress: int
    sha256: str

    def as_json(self) -> dict[str, object]:
        return {
            "unreadable": self.unreadable,
            "open_to_others": self.open_to_others,
            "never_ours": self.never_ours,
            "unknown": self.unknown,
            "in_progress": self.in_progress,
            "sha256": self.sha256,
        }


async def survey(
    read: Read, keyring: Keyring, keys: TenantKeys, told: Callable[[int], None]
) -> Reach:
    """Looks at every header; ``told`` hears how many so far. Raises KeyStoreError where a KMS
    cannot be asked now, and what ``read`` raises."""
    try:
        identities = await asyncio.to_thread(open_identities, keyring, keys)
    except UnwrapError:
        identities = []
    able = bool(identities) or not keys.live
    found = dict.fromkeys(("unreadable", "open_to_others", "never_ours", "unknown"), 0)
    digest, after, running, count = hashlib.sha256(), "", 0, 0
    while some := await read(partial(read_any, tenant=keys.tenant, after=after, limit=BATCH)):
        for what in await asyncio.to_thread(_reaches, some, identities, able):
            found[what] += 1
        for row in some:
            line = f"{row.id} {hashlib.sha256(row.header).hexdigest()}\n"
            digest.update(line.encode())
            running += row.wrapped_file_key is not None
        count, after = count + len(some), some[-1].id
        told(count)
    return Reach(**found, in_progress=running, sha256=digest.hexdigest())


def _reaches(
    rows: Sequence[HeaderRow], identities: Sequence[age.Identity], able: bool
) -> list[str]:
    return [_reach(row.header, identities) if able else "unknown" for row in rows]


def _reach(header: bytes, identities: Sequence[age.Identity]) -> str:
    try:
        parsed = age.parse_header(header)
        ours = [s for s in parsed.stanzas if any(one.unwrap(s) is not None for one in identities)]
    except age.AgeError:
        return "unknown"
    if not ours:
        return "never_ours"
    return "unreadable" if len(ours) == len(parsed.stanzas) else "open_to_others"


def check_not_held(connection: Connection, tenant: str) -> None:
    """Raises TenantError while something of the tenant must be kept."""
    if (found := first_on_keys(connection, tenant)) is not None:
        raise TenantError(f"hold {found} keeps what is of {tenant}: release it first")


async def destroy(
    write: Write,
    ledger: ErasureLedger,
    tenant: str,
    reach: Reach,
    *,
    at: datetime,
    actor: str,
    reason: str,
) -> dict[str, object]:
    """Destroys every version of the tenant's identity, also those that are made meanwhile; the
    certificate. Once more gives the same certificate again, and ends what a crash left half done.

    Raises TenantError, LedgerError, and what ``write`` raises.
    """
    act = partial(_note, tenant=tenant, reach=reach, at=at, actor=actor, reason=reason)
    choose = partial(_choose, tenant=tenant, at=at)
    for _ in range(TRIES):
        await erase_for_good(write, ledger, choose, lambda c, _: act(c))
        # Once more, for what another process took from the ledger before we could.
        if await write(act):
            return await write(partial(certificate, tenant=tenant))
    raise TenantError(f"keys of {tenant} are made as fast as they are destroyed: try again")


def _choose(connection: Connection, tenant: str, at: datetime) -> list[Erasure]:
    """Also versions whose private half is gone already: an older backup still has it."""
    check_not_held(connection, tenant)
    keys = read_keys(connection, tenant)
    names = {one.version: key_id(tenant, one.version, one.recipient) for one in keys.versions}
    told = select(erasures.c.object_id).where(
        erasures.c.data_class == TENANT_KEY, erasures.c.object_id.in_(names.values())
    )
    known = set(connection.execute(told).scalars())
    return [
        Erasure(TENANT_KEY, names[one.version], None, at)
        for one in keys.versions
        if one.wrapped is not None or names[one.version] not in known
    ]


def _note(
    connection: Connection, tenant: str, reach: Reach, at: datetime, actor: str, reason: str
) -> bool:
    """Enters the versions that are gone and of which no entry says so yet; whether there are no
    others. While there are, nothing is entered, for their holder opens what they are given."""
    keys = read_keys(connection, tenant)
    if keys.live:
        return False
    noted = {version for entry in _entries(connection, tenant) for version in entry["versions"]}
    gone = [one for one in keys.versions if one.wrapped is None and one.version not in noted]
    if not gone:
        return True
    give_up_own_key(connection, keys, at)
    details = {
        "versions": [one.version for one in gone],
        "fingerprints": [fingerprint(one.recipient) for one in gone],
        "recordings": reach.as_json(),
        "reason": reason,
    }
    append(connection, Entry(at, actor, ACTION, tenant, tenant, details))
    return True


def _entries(connection: Connection, tenant: str) -> list[dict[str, list[int]]]:
    rows = connection.execute(
        select(audit.c.details).where(audit.c.action == ACTION, audit.c.target == tenant)
    )
    return [json.loads(details) for details in rows.scalars()]


def certificate(connection: Connection, tenant: str) -> dict[str, object]:
    """The certificate of the last destruction, from the entry that the audit log has of it. Raises
    TenantError where there was none."""
    row = connection.execute(
        select(audit)
        .where(audit.c.action == ACTION, audit.c.target == tenant)
        .order_by(audit.c.seq.desc())
        .limit(1)
    ).one_or_none()
    if row is None:
        raise TenantError(f"tenant {tenant} has never had a key of its own here")
    details = json.loads(row.details)
    keys = read_keys(connection, tenant)
    return {
        "format": "callguard-key-certificate",
        "version": 1,
        "tenant": tenant,
        "destroyed_at": row.at.isoformat(),
        "actor": row.actor,
        "reason": details["reason"],
        "keys": [
            {
                "version": one.version,
                "kind": one.kind,
                "recipient": one.recipient,
                "fingerprint": fingerprint(one.recipient),
                "created_at": one.created_at.isoformat(),
            }
            for one in keys.versions
            if one.version in details["versions"]
        ],
        "recordings": details["recordings"],
        "audit": {"sequence": row.seq, "digest": row.digest},
    }
