"""The rows that tell of a call, and taking them away for good: what a line of the erasure ledger
does to a database, now or after a restore."""

import hashlib
from collections.abc import Sequence
from urllib.parse import quote, unquote

from sqlalchemy import Connection, Table, and_, delete, or_, select

from callguard.storage.schema import (
    attempts,
    call_records,
    calls,
    consents,
    deliveries,
    opt_out_claims,
    recording_events,
    recordings,
)

_LONGEST = 200
"""Characters of an id in the ledger."""

_DIGEST = "~"
"""What stands before the SHA-256 of a unique id that is too long to be named."""


def record_id(pbx: str, uniqueid: str, sequence: int) -> str:
    """How the ledger names a call record that belongs to no call: ``pbx/sequence/uniqueid``. The
    unique id is Asterisk's own; it tells a time and a count, and nothing of a person."""
    named = f"{pbx}/{sequence}/{quote(uniqueid, safe='')}"
    if len(named) <= _LONGEST and not uniqueid.startswith(_DIGEST):
        return named
    return f"{pbx}/{sequence}/{_DIGEST}{_digest(uniqueid)}"


MAY_STAY = frozenset({"call_record", "consent", "recording"})
"""Data classes that a law may keep of a call that is erased. With a recording stays what became of
it."""


def forget_calls(
    connection: Connection, call_ids: Sequence[str], kept: frozenset[str] = frozenset()
) -> None:
    """Deletes every row about these calls but their recordings, and but the classes ``kept``."""
    if "recording" not in kept:
        _forget_events(connection, call_ids)
    _forget_attempts(connection, call_ids)
    tables = {"call_record": call_records, "consent": consents, "opt_out_claim": opt_out_claims}
    for name, table in tables.items():
        if name not in kept:
            connection.execute(delete(table).where(table.c.call_id.in_(call_ids)))
    connection.execute(delete(calls).where(calls.c.id.in_(call_ids)))


def _forget_events(connection: Connection, call_ids: Sequence[str]) -> None:
    of_calls = select(recordings.c.id).where(recordings.c.call_id.in_(call_ids))
    of_events = select(recording_events.c.recording_id).where(
        recording_events.c.call_id.in_(call_ids)
    )
    connection.execute(
        delete(deliveries).where(
            or_(deliveries.c.recording_id.in_(of_calls), deliveries.c.recording_id.in_(of_events))
        )
    )
    connection.execute(delete(recording_events).where(recording_events.c.call_id.in_(call_ids)))


def _forget_attempts(connection: Connection, call_ids: Sequence[str]) -> None:
    """Attempts are found by their subject, which the verdict names; where that has gone already,
    all are looked through."""
    known = connection.execute(
        select(calls.c.id, calls.c.subject).where(calls.c.id.in_(call_ids))
    ).all()
    if known:
        connection.execute(
            delete(attempts).where(
                attempts.c.subject.in_({row.subject for row in known}),
                attempts.c.call_id.in_([row.id for row in known]),
            )
        )
    if rest := set(call_ids) - {row.id for row in known}:
        connection.execute(delete(attempts).where(attempts.c.call_id.in_(rest)))


def forget_call_records(connection: Connection, names: Sequence[str]) -> str | None:
    """Deletes these call records; the first name that is none, where one is."""
    for name in names:
        pbx, _, rest = name.partition("/")
        sequence, _, uniqueid = rest.partition("/")
        if not pbx or not uniqueid or not sequence.lstrip("-").isdecimal():
            return name
        named = and_(call_records.c.pbx == pbx, call_records.c.sequence == int(sequence))
        if not uniqueid.startswith(_DIGEST):
            exact = call_records.c.uniqueid == unquote(uniqueid)
            connection.execute(delete(call_records).where(named, exact))
            continue
        rows = connection.execute(
            select(call_records.c.id, call_records.c.uniqueid).where(named)
        ).all()
        ids = [row.id for row in rows if _digest(row.uniqueid) == uniqueid[len(_DIGEST) :]]
        connection.execute(delete(call_records).where(call_records.c.id.in_(ids)))
    return None


def forget_rows(connection: Connection, table: Table, ids: Sequence[str]) -> None:
    """Deletes the rows of these ids."""
    connection.execute(delete(table).where(table.c.id.in_(ids)))


def _digest(uniqueid: str) -> str:
    return hashlib.sha256(uniqueid.encode(errors="surrogateescape")).hexdigest()
