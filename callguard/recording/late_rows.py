"""Rows that are entered long after what they tell of: what was erased or is over must not come back
by them, and what is held must not be passed over. Questions to the database, nothing more."""

from collections.abc import Collection
from datetime import datetime
from itertools import combinations

from sqlalchemy import Connection, delete, select, tuple_

from callguard.recording.traces import MAY_STAY
from callguard.retention.erasures.ledger import CALL, CALL_PART, CALL_RECORD
from callguard.retention.holds.covering import any_hold, is_held
from callguard.storage.schema import call_records, clock_marks, erasures

__all__ = [
    "any_hold",
    "believed",
    "erased_calls",
    "erased_records",
    "forget_legs",
    "let_go",
    "partly_erased",
]

_CALL_RECORD = "call_record"
_OTHERS = sorted(MAY_STAY - {_CALL_RECORD})
_ALL_PARTS = ["+".join(some) for n in (1, 2, 3) for some in combinations(sorted(MAY_STAY), n)]
_PARTS = ["+".join(some) for n in (1, 2) for some in combinations(_OTHERS, n)]
"""What may be left of a call whose records were erased."""


def erased_calls(connection: Connection, ids: Collection[str]) -> set[str]:
    """Those of these calls whose records were erased."""
    if not ids:
        return set()
    parts = {f"{one}/{part}": one for one in ids for part in _PARTS}
    whole = _erased(connection, CALL, ids)
    return whole | {parts[name] for name in _erased(connection, CALL_PART, parts)}


def partly_erased(connection: Connection, ids: Collection[str | None]) -> set[str]:
    """Those of these calls that were erased but for what a law keeps of them."""
    parts = {f"{one}/{part}": one for one in ids if one is not None for part in _ALL_PARTS}
    return {parts[name] for name in _erased(connection, CALL_PART, parts)}


def erased_records(connection: Connection, names: Collection[str]) -> set[str]:
    """Those of these call records, as the ledger names them, that were erased by themselves."""
    return _erased(connection, CALL_RECORD, names)


def _erased(connection: Connection, data_class: str, ids: Collection[str]) -> set[str]:
    if not ids:
        return set()
    tombs = select(erasures.c.object_id).where(
        erasures.c.object_id.in_(ids), erasures.c.data_class == data_class
    )
    return set(connection.execute(tombs).scalars())


def forget_legs(connection: Connection, pbx: str, linkedids: Collection[str]) -> int:
    """Deletes call records without a call of their own that are linked to erased calls, but what a
    hold keeps; how many."""
    legs = delete(call_records).where(
        call_records.c.pbx == pbx,
        call_records.c.linkedid.in_(linkedids),
        call_records.c.call_id.is_(None),
        ~is_held(call_records),
    )
    return connection.execute(legs).rowcount


def believed(connection: Connection, now: datetime) -> datetime:
    """The time by which it is certain that something is over: a clock that has run ahead, which
    the purge does not believe, makes nothing so."""
    seen = connection.execute(select(clock_marks.c.seen_at)).scalar()
    return now if seen is None else min(now, seen)


def let_go(connection: Connection, pbx: str, keys: Collection[tuple[str, int]]) -> int:
    """Deletes these call records, by unique id and sequence, but what a hold keeps; how many."""
    own = call_records.c
    these = own.pbx == pbx, tuple_(own.uniqueid, own.sequence).in_(list(keys))
    return connection.execute(delete(call_records).where(*these, ~is_held(call_records))).rowcount
