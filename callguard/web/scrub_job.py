"""One list that is scrubbed for a program, and what the database keeps of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from sqlalchemy import Connection, delete, insert, select, update

from callguard.audit.log import Entry, append
from callguard.retention.holds.covering import HeldError, is_held
from callguard.storage.schema import scrubs

State = Literal["queued", "running", "done", "failed", "cancelled"]
OVER: Final = ("done", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Job:
    """One list. ``asked`` is how it is to be scrubbed; ``rows`` and ``read`` (bytes) are how far
    it has come, ``size`` its bytes; ``summary`` is what the scrub said at its end."""

    id: str
    tenant: str
    state: State
    asked: Mapping[str, str]
    actor: str
    at: datetime
    expires_at: datetime
    finished_at: datetime | None = None
    rows: int | None = None
    read: int = 0
    size: int = 0
    summary: Mapping[str, object] | None = None
    reason: str | None = None


def enter(connection: Connection, job: Job) -> None:
    """Enters a list that has come in."""
    connection.execute(insert(scrubs).values(**_as_row(job)))
    about = {"bytes": job.size}
    append(connection, Entry(job.at, job.actor, "scrub.add", f"scrub:{job.id}", job.tenant, about))


def take_back(connection: Connection, job: Job) -> None:
    """Undoes ``enter``, where that was kept though nobody could wait for it."""
    gone = connection.execute(delete(scrubs).where(scrubs.c.id == job.id))
    if gone.rowcount:
        entry = Entry(job.at, job.actor, "scrub.remove", f"scrub:{job.id}", job.tenant, {})
        append(connection, entry)


def write(connection: Connection, job: Job) -> None:
    """Enters what has become of a list."""
    connection.execute(update(scrubs).where(scrubs.c.id == job.id).values(**_as_row(job)))


def cancel(connection: Connection, job: Job, actor: str, now: datetime) -> None:
    """Enters that somebody removed a list. Raises HeldError where a hold keeps it."""
    if job.id in held(connection):
        raise HeldError("a hold keeps this list")
    write(connection, job)
    append(connection, Entry(now, actor, "scrub.remove", f"scrub:{job.id}", job.tenant, {}))


def read(connection: Connection) -> list[Job]:
    """All lists that are entered."""
    return [
        Job(
            row.id,
            row.tenant_id,
            row.state,
            row.asked,
            row.actor,
            row.at,
            row.expires_at,
            row.finished_at,
            row.rows,
            summary=row.summary,
            reason=row.reason,
        )
        for row in connection.execute(select(scrubs))
    ]


def held(connection: Connection) -> set[str]:
    """The lists that a hold keeps."""
    return set(connection.execute(select(scrubs.c.id).where(is_held(scrubs))).scalars())


def _as_row(job: Job) -> dict[str, object]:
    return {
        "id": job.id,
        "tenant_id": job.tenant,
        "state": job.state,
        "asked": dict(job.asked),
        "actor": job.actor,
        "at": job.at,
        "finished_at": job.finished_at,
        "rows": job.rows,
        "summary": job.summary,
        "reason": job.reason,
        "expires_at": job.expires_at,
    }
