"""The audit log: append-only rows, each carrying the SHA-256 of the row before it."""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, Connection, insert, select, type_coerce

from callguard.storage.schema import audit, audit_beginning
from callguard.storage.types import to_micros

GENESIS = "0" * 64
"""What the first row has in place of a previous digest."""

CUT = "audit.cut"
"""The act of purging the oldest rows: its details are the sequence and digest of the last of
them."""


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
    return _digest(
        previous,
        to_micros(entry.at),
        entry.actor,
        entry.action,
        entry.tenant,
        entry.target,
        canonical(entry.details),
    )


def _digest(*fields: object) -> str:
    return hashlib.sha256(json.dumps(fields, ensure_ascii=True).encode()).hexdigest()


def canonical(details: Mapping[str, object] | None) -> str:
    """The one way in which details are written: sorted keys, no spaces, ASCII."""
    return json.dumps(dict(details or {}), sort_keys=True, separators=(",", ":"))


def append(connection: Connection, entry: Entry) -> None:
    """Adds a row inside a writing transaction, so that it stands or falls with its act."""
    newest = select(audit.c.seq, audit.c.digest).order_by(audit.c.seq.desc()).limit(1)
    last = connection.execute(newest).one_or_none()
    previous = last.digest if last else GENESIS
    connection.execute(
        insert(audit).values(
            seq=last.seq + 1 if last else 1,
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
    """The sequence number of the first row that does not follow from the one before, if any. A log
    whose oldest rows were purged begins behind them, where a later row of it says that it does.

    Rows cut off the end leave a chain that is whole; only a copy of the last digest shows them.
    """
    beginning = connection.execute(select(audit_beginning)).one_or_none()
    previous = beginning.digest if beginning else GENESIS
    expected = first = beginning.seq + 1 if beginning else 1
    begins = beginning is None
    # As they are stored: a row that was tampered with need not hold an instant or JSON.
    raw = [type_coerce(c, BigInteger).label("micros") if c is audit.c.at else c for c in audit.c]
    for row in connection.execute(select(*raw).order_by(audit.c.seq)):
        found = _digest(
            previous, row.micros, row.actor, row.action, row.tenant, row.target, row.details
        )
        if (row.seq, row.previous, row.digest) != (expected, previous, found):
            return int(row.seq)
        if row.action == CUT and beginning is not None and not begins:
            begins = _names(row.details, beginning.seq, beginning.digest)
        previous, expected = row.digest, expected + 1
    return None if begins else int(first)


def _names(details: str, seq: int, digest: str) -> bool:
    with suppress(ValueError, AttributeError):
        said = json.loads(details)
        return bool(said.get("seq") == seq and said.get("digest") == digest)
    return False
