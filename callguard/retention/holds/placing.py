"""Placing holds, releasing them, and what each covers. The audit log has every step, and no
number."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, Table, func, insert, or_, select, update

from callguard.audit.log import Entry, append
from callguard.ids import uuid7
from callguard.recording.erasure import WITHDRAWN, wish_erased
from callguard.retention.holds.covering import is_covered, is_held, standing
from callguard.storage.schema import (
    archives,
    attempts,
    call_records,
    calls,
    consents,
    contacts,
    deliveries,
    exports,
    holds,
    opt_out_claims,
    opt_outs,
    recording_events,
    recordings,
    scrubs,
    tenants,
)

MAX_REASON: Final = 500
HELD: Final[dict[str, Table]] = {
    "call_record": call_records,
    "verdict": calls,
    "attempt": attempts,
    "consent": consents,
    "recording": recordings,
    "recording_event": recording_events,
    "delivery": deliveries,
    "contact": contacts,
    "opt_out": opt_outs,
    "opt_out_claim": opt_out_claims,
    "list": scrubs,
    "export": exports,
    "archive": archives,
}
"""What a hold can cover, by class."""

_CASE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._:/-]{0,62})")


class HoldError(ValueError):
    """A hold that cannot be placed or released; one line that says why."""


@dataclass(frozen=True, slots=True)
class NewHold:
    """What is to be held: each part that is named must match. ``everything`` is said by whoever
    means to name none. ``from_at`` belongs to the period, ``to_at`` no more."""

    reason: str
    author: str
    review_at: datetime
    tenant: str | None = None
    subject: str | None = None
    call: str | None = None
    case: str | None = None
    from_at: datetime | None = None
    to_at: datetime | None = None
    everything: bool = False


@dataclass(frozen=True, slots=True)
class Placed:
    """A hold that stands. ``already`` is whether it stood before."""

    id: str
    already: bool


def add(connection: Connection, new: NewHold, at: datetime) -> Placed:
    """Places a hold, in a writing transaction; the same one again only puts its review off, where
    it names a later one. Raises HoldError."""
    if (fault := _fault(new, at) or _unknown(connection, new)) is not None:
        raise HoldError(fault)
    values = {
        "tenant_id": new.tenant,
        "subject": new.subject,
        "call_id": new.call,
        "case_id": new.case,
        "from_at": new.from_at,
        "to_at": new.to_at,
    }
    same = [holds.c[name].is_not_distinct_from(value) for name, value in values.items()]
    known = select(holds).where(holds.c.released_at.is_(None), *same).order_by(holds.c.at).limit(1)
    if (found := connection.execute(known).one_or_none()) is not None:
        _review(connection, found, new, at)
        return Placed(found.id, already=True)
    hold_id = str(uuid7(at))
    told = {"reason": new.reason.strip(), "author": new.author, "review_at": new.review_at}
    connection.execute(insert(holds).values(id=hold_id, at=at, **values, **told))
    details: dict[str, object] = {
        "call": new.call,
        "case": new.case,
        "from": new.from_at.isoformat() if new.from_at else None,
        "to": new.to_at.isoformat() if new.to_at else None,
        "of_a_subject": new.subject is not None,
        "review": new.review_at.isoformat(),
    }
    append(connection, Entry(at, new.author, "hold.add", f"hold:{hold_id}", new.tenant, details))
    return Placed(hold_id, already=False)


def _review(connection: Connection, row: Row[Any], new: NewHold, at: datetime) -> None:
    """Somebody looked at it, and it is needed until a later day."""
    if row.review_at is not None and row.review_at >= new.review_at:
        return
    connection.execute(update(holds).where(holds.c.id == row.id).values(review_at=new.review_at))
    details = {"case": row.case_id, "review": new.review_at.isoformat()}
    append(connection, Entry(at, new.author, "hold.review", f"hold:{row.id}", new.tenant, details))


def of_case(connection: Connection, case_id: str) -> list[str]:
    """The holds of a case that stand. Raises HoldError where there is none."""
    found = [row.id for row in standing(connection) if row.case_id == case_id]
    if not found:
        raise HoldError(f"no hold of case {case_id} stands")
    return found


def find(connection: Connection, hold_id: str) -> Row[Any]:
    """Raises HoldError where there is none."""
    row = connection.execute(select(holds).where(holds.c.id == hold_id)).one_or_none()
    if row is None:
        raise HoldError(f"there is no hold {hold_id[:80]}")
    return row


def wishes(connection: Connection, hold_ids: Sequence[str]) -> dict[str, datetime]:
    """Which recordings that these holds keep somebody wished erased, and since when: what
    ``release`` carries out. It looks through the events, so not while others wait to write."""
    found: dict[str, datetime] = {}
    for hold_id in hold_ids:
        wished = (
            select(recording_events.c.recording_id, func.min(recording_events.c.at).label("at"))
            .join(recordings, recordings.c.id == recording_events.c.recording_id)
            .where(
                recording_events.c.kind == WITHDRAWN,
                is_covered(recordings, find(connection, hold_id)),
            )
            .group_by(recording_events.c.recording_id)
        )
        found.update((row.recording_id, row.at) for row in connection.execute(wished))
    return found


def release(
    connection: Connection,
    hold_ids: Sequence[str],
    at: datetime,
    actor: str,
    wished: Mapping[str, datetime],
) -> list[Row[Any]]:
    """Releases them all or none, in a writing transaction; what they were, for ``due_of``. What is
    ``wished`` erased is due since then, whatever has changed its date meanwhile. Raises
    HoldError."""
    rows = [find(connection, hold_id) for hold_id in dict.fromkeys(hold_ids)]
    for row in rows:
        if row.released_at is not None:
            when = row.released_at.isoformat(timespec="seconds")
            raise HoldError(f"hold {row.id} was released already, at {when}")
        connection.execute(
            update(holds).where(holds.c.id == row.id).values(released_at=at, released_by=actor)
        )
        details = {"case": row.case_id}
        entry = Entry(at, actor, "hold.release", f"hold:{row.id}", row.tenant_id, details)
        append(connection, entry)
    for recording_id, since in wished.items():
        wish_erased(connection, recording_id, since)
    return rows


def covered(connection: Connection, hold: Any) -> dict[str, int]:
    """How many rows of each class a hold covers, expired or not."""
    return _counts(connection, lambda table: is_covered(table, hold))


def due_of(connection: Connection, rows: Sequence[Any], now: datetime) -> dict[str, int]:
    """How many rows of each class have expired and were kept by these holds alone."""
    found = {}
    for name, table in HELD.items():
        if "expires_at" not in table.c:
            continue
        ours = or_(*(is_covered(table, row) for row in rows))
        where = (table.c.expires_at <= now, ours, ~is_held(table))
        wanted = select(func.count()).select_from(table).where(*where)
        if count := connection.execute(wanted).scalar_one():
            found[name] = count
    return found


def _counts(connection: Connection, where: Any) -> dict[str, int]:
    found = {}
    for name, table in HELD.items():
        wanted = select(func.count()).select_from(table).where(where(table))
        if count := connection.execute(wanted).scalar_one():
            found[name] = count
    return found


def _fault(new: NewHold, at: datetime) -> str | None:
    named = (new.tenant, new.subject, new.call, new.from_at, new.to_at)
    if not new.everything and all(part is None for part in named):
        return (
            "a hold that names no tenant, subject, call or period keeps everything of everybody: "
            "ask for everything"
        )
    if new.everything and any(part is not None for part in named):
        return "a hold on everything names no tenant, subject, call or period"
    if new.from_at is not None and new.to_at is not None and new.from_at >= new.to_at:
        return "the period ends before it begins"
    if new.case is not None and _CASE.fullmatch(new.case) is None:
        return f"{new.case[:80]!r} is no case: letters, digits and ._:/- , at most 63"
    if not any(map(str.isalnum, new.reason)):
        return "a hold needs a reason"
    if len(new.reason) > MAX_REASON or not new.reason.isprintable():
        return f"a reason is one line of at most {MAX_REASON} characters"
    if new.review_at <= at:
        return "the review of a hold lies in the future"
    return None


def _unknown(connection: Connection, new: NewHold) -> str | None:
    if new.tenant is not None:
        wanted = select(tenants.c.id).where(tenants.c.id == new.tenant)
        if connection.execute(wanted).first() is None:
            return f"there is no tenant {new.tenant[:80]}"
    if new.call is None:
        return None
    whose = set[str | None]()
    for table, key in (
        (calls, calls.c.id),
        (call_records, call_records.c.call_id),
        (consents, consents.c.call_id),
        (recordings, recordings.c.call_id),
    ):
        whose.update(connection.execute(select(table.c.tenant_id).where(key == new.call)).scalars())
    if not whose:
        return f"there is no call {new.call[:80]}"
    if new.tenant is not None and new.tenant not in whose:
        return f"there is no call {new.call[:80]} of tenant {new.tenant}"
    return None
