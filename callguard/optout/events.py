"""Opt-outs as they are kept: one row for each time a subject opted out or in again.

Rows are only ever added. Where a subject stands with a tenant is what the last row says, and
the rows before it are the provenance.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, insert, select

from callguard.audit.log import Entry, append
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


def add(connection: Connection, event: OptOutEvent) -> int:
    """Writes the event with its audit row; returns its sequence number.

    An opt-out adds to the one that stands: it never narrows the purposes of that, which only a
    lifting with its reason may do. Raises OptOutError where an opting-in gives no reason.
    """
    if not event.standing and not event.reason:
        raise OptOutError("an opt-out is lifted only with a reason")
    if event.standing and event.purposes:
        event = replace(event, purposes=_widened(connection, event))
    result = connection.execute(
        insert(opt_outs).values(
            tenant_id=event.tenant,
            subject=event.subject,
            standing=event.standing,
            purposes=sorted(event.purposes),
            channels=sorted(event.channels),
            way=event.way,
            call_id=event.call_id,
            prompt=event.prompt,
            actor=event.actor,
            reason=event.reason,
            evidence=event.evidence,
            at=event.at,
        )
    )
    assert result.inserted_primary_key is not None
    sequence = int(result.inserted_primary_key[0])
    action = "optout.add" if event.standing else "optout.lift"
    details = {"way": event.way, "call": event.call_id}
    entry = Entry(event.at, event.actor, action, f"optout:{sequence}", event.tenant, details)
    append(connection, entry)
    return sequence


def _widened(connection: Connection, event: OptOutEvent) -> frozenset[str]:
    """The purposes of an opt-out together with those of the one that stands."""
    last = connection.execute(
        select(opt_outs.c.standing, opt_outs.c.purposes)
        .where(
            opt_outs.c.subject == event.subject,
            opt_outs.c.tenant_id.is_not_distinct_from(event.tenant),
        )
        .order_by(opt_outs.c.seq.desc())
        .limit(1)
    ).one_or_none()
    if last is None or not last.standing:
        return event.purposes
    return event.purposes | frozenset(last.purposes) if last.purposes else frozenset()


def after(connection: Connection, sequence: int, limit: int) -> list[tuple[int, OptOutEvent]]:
    """The events after a sequence number, in order."""
    rows = connection.execute(
        select(opt_outs).where(opt_outs.c.seq > sequence).order_by(opt_outs.c.seq).limit(limit)
    )
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
