"""The audit log: append-only rows, each carrying the SHA-256 of the row before it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select

from callguard.storage.schema import audit
from callguard.storage.types import to_micros

GENESIS = "0" * 64
"""What the first row has in place of a previous digest."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One act. ``target`` and ``details`` never carry a number, a name or a key."""

    at: datetime
    actor: str
    action: str
    target: str
    tenant: str | None = None
    details: Mapping[str, object] | None = None


def digest(previous: str, entry: Entry) -> str:
    """The SHA-256, in hexadecimal, that chains ``entry`` to what came before it."""
    fields = [
        previous,
        to_micros(entry.at),
        entry.actor,
        entry.action,
        entry.tenant,
        entry.target,
        canonical(entry.details),
    ]
    return hashlib.sha256(json.dumps(fields, ensure_ascii=True).encode()).hexdigest()


def canonical(details: Mapping[str, object] | None) -> str:
    """The one way in which details are written: sorted keys, no spaces, ASCII."""
    return json.dumps(dict(details or {}), sort_keys=True, separators=(",", ":"))


def append(connection: Connection, entry: Entry) -> None:
    """Adds a row inside a writing transaction, so that it stands or falls with its act."""
    last = select(audit.c.digest).order_by(audit.c.seq.desc()).limit(1)
    previous = connection.execute(last).scalar() or GENESIS
    connection.execute(
        insert(audit).values(
            at=entry.at,
            actor=entry.actor,
            action=entry.action,
            tenant=entry.tenant,
            target=entry.target,
            details=canonical(entry.details),
            previous=previous,
            digest=digest(previous, entry),
        )
    )


def first_broken(connection: Connection) -> int | None:
    """The sequence number of the first row that does not follow from the one before, if any."""
    previous = GENESIS
    for row in connection.execute(select(audit).order_by(audit.c.seq)):
        entry = Entry(
            row.at, row.actor, row.action, row.target, row.tenant, json.loads(row.details)
        )
        if row.previous != previous or row.digest != digest(previous, entry):
            return int(row.seq)
        previous = row.digest
    return None
