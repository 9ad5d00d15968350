"""The oldest entries of the audit log, whose time is over: they go from its beginning on, so that
what is left is still one chain.

What went is named by its last sequence and digest, once in ``audit_beginning`` and once by an entry
of the chain itself (``audit.cut``): a beginning that no entry names is a break.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from callguard.audit.log import CUT, Entry, append
from callguard.retention.purging.certificates import Tally
from callguard.retention.schedule import Keep
from callguard.storage.schema import audit, audit_beginning, holds

AUDIT = "audit"


def take(
    connection: Connection,
    place: tuple[Any, ...] | None,  # noqa: ARG001 - the beginning is where the rows begin
    limit: int,
    tally: Tally,
    now: datetime,
    keep: Keep,
    actor: str,
) -> tuple[Tally, tuple[Any, ...] | None]:
    """Deletes the next few entries from the beginning: up to the first that is still kept or that a
    hold on its tenant keeps, and never the newest. What has gone by then, and None at the end."""
    held = set(
        connection.execute(select(holds.c.tenant_id).where(holds.c.released_at.is_(None))).scalars()
    )
    oldest = connection.execute(
        select(audit.c.seq, audit.c.at, audit.c.tenant, audit.c.digest, audit.c.action)
        .order_by(audit.c.seq)
        .limit(limit + 1)
    ).all()
    going, kept_back = [], 0
    for row in oldest[:-1]:
        until = keep(row.at)
        if until is None or until > now:
            break
        if None in held or row.tenant in held:
            kept_back = 1
            break
        going.append(row)
    # One that names the beginning goes only with those that name a later one.
    tally = tally.kept_back(AUDIT, kept_back)
    if not going or all(row.action == CUT for row in going):
        return tally, None
    last = going[-1]
    connection.execute(delete(audit).where(audit.c.seq <= last.seq))
    connection.execute(delete(audit_beginning))
    beginning = {"seq": last.seq, "digest": last.digest}
    connection.execute(insert(audit_beginning).values(id=1, at=now, **beginning))
    append(connection, Entry(now, actor, CUT, "audit", None, beginning))
    tally = tally.taken(AUDIT, [str(row.seq) for row in going])
    done = len(going) < limit
    return tally, None if done else (last.seq,)
