"""A tenant with real keys and rows with real headers, and the means to rotate them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

from sqlalchemy import Connection, insert, select, update

from callguard.clock import Clock
from callguard.ids import uuid7
from callguard.recording import age
from callguard.recording.keyring import Keyring
from callguard.recording.keys import MasterKey, generate_tenant_identity, wrap_file_key
from callguard.recording.recipients import digest_of
from callguard.recording.rekeying.rewrap import Means
from callguard.recording.rekeying.rotation import open_identities
from callguard.storage.database import Database
from callguard.storage.schema import recordings, tenant_keys
from callguard.tenants.keys import TenantKeys, read_keys
from callguard.tenants.store import NewTenant, OwnKey, add
from callguard.tenants.tenant import TenantSettings
from tests.clock import HandClock

T = TypeVar("T")

MASTER = MasterKey(bytes(range(32)))
KEYRING = Keyring(MASTER, MASTER)
PAYLOAD = "0" * 64


def add_keyed(
    database: Database,
    clock: HandClock,
    tenant: str = "acme",
    kind: age.KeyKind = "x25519",
    outside: Sequence[str] = (),
    own: bool = True,
) -> TenantKeys:
    """A tenant whose identity opens, in its first version."""
    made = generate_tenant_identity(MASTER, tenant, 1, kind)
    key = OwnKey(kind, made.recipient, made.wrapped) if own else None
    settings = TenantSettings(key_kind=kind, own_key=own)
    with database.writing() as connection:
        new = NewTenant(tenant, tenant.title(), settings, key, outside)
        add(connection, new, at=clock.now(), actor="test")
    return keys_of(database, tenant)


def keys_of(database: Database, tenant: str = "acme") -> TenantKeys:
    with database.reading() as connection:
        return read_keys(connection, tenant)


def put(
    database: Database,
    clock: HandClock,
    count: int,
    recipients: Sequence[str] | None = None,
    *,
    tenant: str = "acme",
    state: str = "sealed",
    known: bool = True,
) -> dict[str, bytes]:
    """So many recordings for the tenant's present recipients, or others; their file keys."""
    whom = recipients or keys_of(database, tenant).present
    parsed, keys, rows = [age.parse_recipient(one) for one in whom], dict[str, bytes](), []
    for n in range(count):
        key, name = age.new_file_key(), str(uuid7(clock.now() + timedelta(milliseconds=n)))
        keys[name] = key
        running = state == "recording"
        rows.append(
            {
                "id": name,
                "tenant_id": tenant,
                "call_id": name,
                "pbx": "east",
                "channel_uniqueid": "1.1",
                "state": state,
                "spool_name": f"{n:032x}.sln",
                "encoding": "pcm-8000-1",
                "header": age.build_header(key, parsed),
                "keyed_for": digest_of(whom) if known else None,
                "wrapped_file_key": wrap_file_key(MASTER, key, name) if running else None,
                "payload": None if running else name,
                "payload_sha256": None if running else PAYLOAD,
                "started_at": clock.now(),
            }
        )
    with database.writing() as connection:
        connection.execute(insert(recordings), rows)
    return keys


def opened(database: Database, tenant: str = "acme", *, newest: bool = True) -> dict[str, bytes]:
    """The file keys of all recordings that the newest identity alone opens (or any of them)."""
    keys = keys_of(database, tenant)
    identities = open_identities(KEYRING, keys)
    found = {}
    with database.reading() as connection:
        rows = connection.execute(select(recordings).where(recordings.c.tenant_id == tenant)).all()
    for row in rows:
        try:
            header = age.parse_header(row.header)
            found[row.id] = age.unwrap(header, identities[:1] if newest else identities)
        except age.NoMatchingIdentity:
            continue
        assert row.state != "sealed" or (row.payload, row.payload_sha256) == (row.id, PAYLOAD)
        if newest:
            assert row.keyed_for == digest_of(keys.present)
    return found


def means(database: Database, clock: Clock, **otherwise: object) -> Means:
    async def read(query: Callable[[Connection], T], /) -> T:
        return await database.read(query)

    async def write(work: Callable[[Connection], T], /) -> T:
        with database.writing() as connection:
            return work(connection)

    made = Means(clock, read, write, KEYRING, "test", batch=3, processes=0)
    return replace(made, **otherwise)  # type: ignore[arg-type]


def age_of_retired(database: Database, clock: HandClock, hours: int) -> None:
    """Former versions retired so long ago."""
    with database.writing() as connection:
        connection.execute(
            update(tenant_keys)
            .where(tenant_keys.c.retired_at.is_not(None))
            .values(retired_at=clock.now() - timedelta(hours=hours))
        )
