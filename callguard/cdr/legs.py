"""The legs of one call: what Asterisk linked, a transfer among them, in the order of their making.

Asterisk gives every channel of a conversation the unique id of its first one (``linkedid``). That
is unique only within one PBX and one life of it, so legs are of one PBX and lie close together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, select, true

from callguard.cdr.columns import Told, as_mapping, masked, moment
from callguard.cdr.joining import joined
from callguard.cdr.only_stored import only_stored, restricted
from callguard.cdr.reading import OF_ONE_CALL
from callguard.policy.numbers import mask
from callguard.recording.playback.access import Ground
from callguard.storage.alive import alive
from callguard.storage.schema import call_records, calls, consents, recordings
from callguard.tenants.keeping import LONGEST_CALL

_R = call_records.c


@dataclass(frozen=True, slots=True)
class WholeCall:
    """All that is told of a call. ``call``, ``recordings`` and ``consents`` are rows; ``legs`` are
    records, those that have the call's id and those that Asterisk linked with them. ``hidden`` is
    whether the subject's number is only stored."""

    id: str
    call: Row[Any] | None
    legs: Sequence[Told]
    recordings: Sequence[Row[Any]]
    consents: Sequence[Row[Any]]
    hidden: bool = False

    @property
    def tenant(self) -> str | None:
        """Whose call it is."""
        if self.call is not None:
            return str(self.call.tenant_id) if self.call.tenant_id else None
        rows = (*self.recordings, *self.consents)
        if rows:
            return str(rows[0].tenant_id)
        owners = [leg[0] for leg in self.legs if leg[2] == self.id]
        return str(owners[0]) if owners and owners[0] is not None else None


def read_call(
    connection: Connection,
    call_id: str,
    now: datetime,
    tenant: str | None = None,
    ground: Ground | None = None,
) -> WholeCall | None:
    """The call with all its legs; None where nothing is kept of it, or nothing of that tenant.
    Without a ``ground`` what is only stored comes masked."""
    call = connection.execute(
        select(calls).where(calls.c.id == call_id, _whose(calls, tenant), alive(calls, now))
    ).one_or_none()
    recorded, agreed = (
        connection.execute(
            select(table)
            .where(table.c.call_id == call_id, _whose(table, tenant), alive(table, now))
            .order_by(table.c.id)
        ).all()
        for table in (recordings, consents)
    )
    legs = legs_of(connection, call_id, now, tenant, ground)
    if call is None and not (legs or recorded or agreed):
        return None
    hidden = ground is None and call is not None and call.tenant_id is not None
    if hidden and call is not None:
        hidden = bool(restricted(connection, call.tenant_id, {call.subject}))
    return WholeCall(call_id, call, legs, recorded, agreed, hidden)


def as_value(found: WholeCall, *, numbers: bool) -> dict[str, object]:
    """The call for a machine, with numbers or masked."""
    call = found.call
    told: dict[str, object] = {"call_id": found.id, "tenant": found.tenant}
    if call is not None:
        told |= {
            "pbx": call.pbx,
            "unique_id": call.uniqueid,
            "direction": call.direction,
            "channel": call.channel,
            "purpose": call.purpose,
            "campaign": call.campaign,
            "agent": call.agent,
            "subject": call.subject if numbers and not found.hidden else mask(call.subject),
            "decided_at": moment(call.decided_at),
            "verdict": call.verdict,
            "verdict_reasons": list(call.reasons),
            "obligations": list(call.obligations),
        }
    return told | {
        "consents": [
            {
                "id": row.id,
                "at": moment(row.at),
                "purpose": row.purpose,
                "state": row.state,
                "mode": row.mode,
                "language": row.language,
                "prompt": row.prompt,
                "answer": row.answer,
            }
            for row in found.consents
        ],
        "recordings": [
            {
                "id": row.id,
                "state": row.state,
                "started_at": moment(row.started_at),
                "ended_at": None if row.ended_at is None else moment(row.ended_at),
                "bytes": row.sealed_bytes,
            }
            for row in found.recordings
        ],
        "legs": [as_mapping(leg if numbers else masked(leg)) for leg in found.legs],
    }


def legs_of(
    connection: Connection,
    call_id: str,
    now: datetime,
    tenant: str | None = None,
    ground: Ground | None = None,
) -> list[Told]:
    """The records of a call and of the legs linked with it, by their beginning. With a tenant only
    its own, and those of nobody where no other tenant has a part in the conversation."""
    mine = connection.execute(
        select(call_records)
        .where(_R.call_id == call_id, _whose(call_records, tenant), alive(call_records, now))
        .order_by(_R.started_at)
        .limit(OF_ONE_CALL)
    ).all()
    found = {row.id: row for row in mine}
    for link in {(row.pbx, row.linkedid) for row in mine}:
        of_link = [row for row in mine if (row.pbx, row.linkedid) == link]
        for row in _linked(connection, of_link, now, tenant):
            found.setdefault(row.id, row)
    rows = sorted(found.values(), key=lambda row: (row.started_at, row.sequence, row.id))
    hidden = frozenset[int]() if ground else only_stored(connection, rows)
    return joined(connection, rows, now, hidden)


def _linked(
    connection: Connection, rows: Sequence[Row[Any]], now: datetime, tenant: str | None
) -> list[Row[Any]]:
    first, last = rows[0], max(rows, key=lambda row: row.ended_at)
    near = _R.ended_at.between(first.started_at - LONGEST_CALL, last.ended_at + LONGEST_CALL)
    same = and_(_R.pbx == first.pbx, _R.linkedid == first.linkedid)
    found = connection.execute(
        select(call_records).where(near, same, alive(call_records, now)).limit(OF_ONE_CALL)
    ).all()
    if tenant is None:
        return list(found)
    alone = all(row.tenant_id in (None, tenant) for row in found)
    return [row for row in found if row.tenant_id == tenant or (alone and row.tenant_id is None)]


def _whose(table: Any, tenant: str | None) -> ColumnElement[bool]:
    return true() if tenant is None else table.c.tenant_id == tenant
