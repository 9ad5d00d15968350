"""What became of a recording while it ran: who paused, stopped or erased it, and when and why it
was silent. Rows are only ever added; the last one that pauses, resumes or stops is what holds."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, select

from callguard.ids import uuid7
from callguard.retention.schedule import Keep
from callguard.storage.journal import Row
from callguard.storage.schema import recording_events

Kind = Literal[
    "started",
    "silenced",
    "heard",
    "paused",
    "resumed",
    "stopped",
    "withdrawn",
    "erased",
    "lost",
    "cut",
]
"""``withdrawn`` is the wish that it be erased, which a hold keeps from being carried out."""

CALLGUARD = "callguard"
"""Who did what nobody asked for."""

STANDING: tuple[Kind, ...] = ("paused", "resumed", "stopped")
"""The kinds of which the last one says what somebody wishes."""

ASKED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class RecordingEvent:
    """One change. ``by`` is agent, subject, page, api or callguard."""

    recording_id: str
    call_id: str
    tenant: str
    kind: Kind
    by: str
    at: datetime
    reason: str | None = None


def as_row(event: RecordingEvent, keep: Keep) -> Row:
    """The row to insert."""
    return Row(
        recording_events,
        {
            "id": str(uuid7(event.at)),
            "recording_id": event.recording_id,
            "call_id": event.call_id,
            "tenant_id": event.tenant,
            "kind": event.kind,
            "by": event.by,
            "reason": event.reason,
            "at": event.at,
            "expires_at": keep(event.at),
        },
    )


def read_wishes(connection: Connection, recording_ids: Collection[str]) -> dict[str, str]:
    """The last wish about each of these recordings: ``paused``, ``resumed`` or ``stopped``."""
    ids, found = sorted(recording_ids), dict[str, str]()
    for start in range(0, len(ids), ASKED_AT_ONCE):
        rows = connection.execute(
            select(recording_events.c.recording_id, recording_events.c.kind)
            .where(
                recording_events.c.recording_id.in_(ids[start : start + ASKED_AT_ONCE]),
                recording_events.c.kind.in_(STANDING),
            )
            .order_by(recording_events.c.at, recording_events.c.id)
        )
        for row in rows:
            found[row.recording_id] = row.kind
    return found
