"""Opt-outs as they are kept: one row for each time a subject opted out or in again.

Rows are only ever added, and each says what was said and no more. A row is about its purposes by
its channels, towards one tenant or towards all. For every such pair the last row about it decides;
what other pairs stand for, it leaves alone. So an opt-out adds to those that stand and narrows
none, a re-consent lifts what it names and leaves the rest, and neither covers a pair that nobody
spoke of. A row of one tenant never touches a wish against all tenants, nor the other way round.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from callguard.audit.log import Entry, append
from callguard.policy.facts import CHANNELS, PURPOSES
from callguard.storage.schema import opt_outs

WAYS = (
    "call",
    "feature_code",
    "line",
    "callback",
    "cli",
    "import",
    "page",
    "api",
    "sms",
)
"""How an opt-out comes: a digit in the notice, a feature code in the call, the opt-out line, a
confirming call back from it, the command line, a file, the page, the API, a text message."""


class OptOutError(ValueError):
    """An opt-out that cannot be entered or lifted; one line that says why."""


@dataclass(frozen=True, slots=True)
class OptOutEvent:
    """A subject opted out (``standing``) or in again. ``tenant`` None means every tenant.

    ``way`` is how it came, one of ``WAYS``. Empty ``purposes`` means all, and so does an empty
    ``channels``. ``evidence`` is where the proof is of a wish that did not come in a call: of a
    re-consent, always.
    """

    subject: str
    tenant: str | None
    standing: bool
    way: str
    actor: str
    at: datetime
    purposes: frozenset[str] = frozenset()
    channels: frozenset[str] = frozenset()
    call_id: str | None = None
    prompt: str | None = None
    reason: str | None = None
    evidence: str | None = None


def check(event: OptOutEvent) -> None:
    """Raises OptOutError for an event that is not to be entered: what would have no effect, or
    what lifts a wish without saying why and where the proof is."""
    for what, names, known in (
        ("way to opt out", (event.way,), WAYS),
        ("purpose", sorted(event.purposes), PURPOSES),
        ("channel", sorted(event.channels), CHANNELS),
    ):
        for name in names:
            if name not in known:
                raise OptOutError(f"{name!r} is no {what}; known: {', '.join(known)}")
    if not event.subject:
        raise OptOutError("an opt-out is of a number; this one has none")
    if event.standing:
        return
    if not (event.reason or "").strip():
        raise OptOutError("an opt-out is lifted only with a reason")
    if not (event.evidence or "").strip():
        raise OptOutError("an opt-out is lifted only with evidence: where the proof is")


def add(connection: Connection, event: OptOutEvent) -> int:
    """Writes the event with its audit row; returns its sequence number. Raises OptOutError as
    ``check`` does."""
    check(event)
    result = connection.execute(insert(opt_outs).values(**as_row(event)))
    assert result.inserted_primary_key is not None
    sequence = int(result.inserted_primary_key[0])
    action = "optout.add" if event.standing else "optout.lift"
    details = {"way": event.way, "call": event.call_id}
    entry = Entry(event.at, event.actor, action, f"optout:{sequence}", event.tenant, details)
    append(connection, entry)
    return sequence


def as_row(event: OptOutEvent) -> dict[str, object]:
    """The event as the table has it, but for its number."""
    return {
        "tenant_id": event.tenant,
        "subject": event.subject,
        "standing": event.standing,
        "purposes": sorted(event.purposes),
        "channels": sorted(event.channels),
        "way": event.way,
        "call_id": event.call_id,
        "prompt": event.prompt,
        "actor": event.actor,
        "reason": event.reason,
        "evidence": event.evidence,
        "at": event.at,
    }


def after(connection: Connection, sequence: int, limit: int) -> list[tuple[int, OptOutEvent]]:
    """The events after a sequence number, in order."""
    found = select(opt_outs).where(opt_outs.c.seq > sequence).order_by(opt_outs.c.seq)
    return events_of(connection.execute(found.limit(limit)))


def events_of(rows: Iterable[Row[Any]]) -> list[tuple[int, OptOutEvent]]:
    """The events of whole rows of the table, with their numbers."""
    return [
        (
            row.seq,
            OptOutEvent(
                subject=row.subject,
                tenant=row.tenant_id,
                standing=row.standing,
                way=row.way,
                actor=row.actor,
                at=row.at,
                purposes=frozenset(row.purposes),
                channels=frozenset(row.channels),
                call_id=row.call_id,
                prompt=row.prompt,
                reason=row.reason,
                evidence=row.evidence,
            ),
        )
        for row in rows
    ]
