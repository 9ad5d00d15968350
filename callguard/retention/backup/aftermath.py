"""What a restore cannot know: who opted out or withdrew since the backup, and what was held. Until
a person has said that it is entered again, no outbound call is let through and nothing is purged.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from callguard.audit.log import Entry, append
from callguard.ids import uuid7
from callguard.storage.schema import clock_marks, purges

TOLD_FOR = timedelta(days=30)
"""How long it is told of that later erasures were not known; after that it stands in the audit
log."""

RESTORE = "restore"
REOPEN = "reopen"

_SHUT = "restored as of "


def shut(connection: Connection, made_at: str) -> None:
    """In the transaction that certifies a restore: nothing is purged until it is reopened, for
    holds may be missing. The purge finds it where it keeps what is wrong with its clock."""
    fault = (
        f"{_SHUT}{_minute(made_at)}, and holds that were placed since are missing: place them "
        "again, then callguard reopen"
    )
    seen = connection.execute(select(clock_marks.c.seen_at)).scalar()
    if seen is None:
        seen = datetime.fromisoformat(made_at)
        connection.execute(insert(clock_marks).values(id=1, seen_at=seen))
    # Right behind what was seen, so that it counts by whatever clock comes next.
    at = seen + timedelta(microseconds=1)
    connection.execute(update(clock_marks).values(fault=fault, fault_at=at))


def not_reopened(connection: Connection) -> str | None:
    """Why no outbound call is let through after a restore, in one line; None where they are."""
    since = min((_made_at(row) for row in _waiting(connection)), default=None)
    if since is None:
        return None
    return (
        f"{_SHUT}{_minute(since)}: opt-outs, withdrawals and holds since then are missing; "
        "enter them again, then callguard reopen"
    )


def reopen(connection: Connection, now: datetime, actor: str, reason: str) -> str | None:
    """A person says that what was missing is entered; since when that was (ISO 8601), None where
    nothing waits for it."""
    waiting = _waiting(connection)
    for row in waiting:
        told = {"restore": row.id, "made_at": _made_at(row), "by": actor}
        own = {"id": str(uuid7(now)), "kind": REOPEN, "started_at": now, "finished_at": now}
        connection.execute(insert(purges).values(**own, certificate=told))
        details = {**told, "reason": reason}
        append(connection, Entry(now, actor, "restore.reopen", f"restore:{row.id}", None, details))
    ended = update(clock_marks).where(clock_marks.c.fault.startswith(_SHUT))
    connection.execute(ended.values(fault=None, fault_at=None))
    return min(map(_made_at, waiting), default=None)


def restored_without_ledger(connection: Connection, now: datetime) -> str | None:
    """One line where the last restore had only the ledger of its backup; None where it had more, or
    is long ago."""
    row = next((row for row in _restores(connection) if row.kind == RESTORE), None)
    if row is None or row.finished_at <= now - TOLD_FOR:
        return None
    if not row.certificate.get("ledger_of_backup"):
        return None
    return (
        f"restored at {row.finished_at:%Y-%m-%d %H:%M} UTC without the erasures that followed the "
        f"backup of {_made_at(row)[:10]}: what was erased after it is there again"
    )


def _waiting(connection: Connection) -> list[Row[Any]]:
    """The restores that nobody has reopened."""
    rows = _restores(connection)
    known = {row.certificate.get("restore") for row in rows if row.kind == REOPEN}
    return [row for row in rows if row.kind == RESTORE and row.id not in known]


def _restores(connection: Connection) -> list[Row[Any]]:
    """Every restore and reopening, newest first."""
    own = purges.c
    wanted = select(own.id, own.kind, own.finished_at, own.certificate)
    both = wanted.where(own.kind.in_((RESTORE, REOPEN)))
    return list(connection.execute(both.order_by(own.finished_at.desc())))


def _made_at(row: Row[Any]) -> str:
    return str(row.certificate["made_at"])


def _minute(moment: str) -> str:
    return f"{datetime.fromisoformat(moment):%Y-%m-%d %H:%M} UTC"
