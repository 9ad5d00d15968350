"""Opt-outs as they are kept: one row for each time a subject opted out or in again.

Rows are only ever added. Where a subject stands with a tenant is what the last row says, and
the rows before it are the provenance.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, insert, select

from callguard.audit.log import Entry, append
from callguard.storage.schema import opt_outs


class OptOutError(ValueError):
    """An opt-out that cannot be entered or lifted; one line that says why."""


@dataclass(frozen=True, slots=True)
class OptOutEvent:
    """A subject opted out (``standing``) or in again. ``tenant`` None means every tenant.

    ``channel`` is the way it came: ``call``, ``feature_code``, ``cli``, ``page``, ``api``.
    """

    subject: str
    tenant: str | None
    standing: bool
    channel: str
    actor: str
    at: datetime
    purposes: frozenset[str] = frozenset()
    call_id: str | None = None
    prompt: str | None = None
    reason: str | None = None


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
            channel=event.channel,
            call_id=event.call_id,
            prompt=event.prompt,
            actor=event.actor,
            reason=event.reason,
            at=event.at,
        )
    )
    assert result.inserted_primary_key is not None
    sequence = int(result.inserted_primary_key[0])
    action = "optout.add" if event.standing else "optout.lift"
    details = {"channel": event.channel, "call": event.call_id}
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
                channel=row.channel,
                actor=row.actor,
                at=row.at,
                purposes=frozenset(row.purposes),
                call_id=row.call_id,
                prompt=row.prompt,
                reason=row.reason,
            ),
        )
        for row in rows
    ]
