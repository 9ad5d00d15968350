"""What is kept of every import: a row and an entry of the audit log, together.

Order of effects when a list is taken: the snapshot is durable in its folder, then its row is
durable and the one before it marked as replaced, then it is made current. Killed after the first
step, the same command goes on where it was and finds its snapshot there; a folder that no row tells
of is dropped in time (``shelving``). Killed after the second, the row says what ought to be
current: ``settle`` makes it so, before the next command of that registry and at every start of the
service. Until then calls are decided by the snapshot before, and ``replaced_at`` moves to when that
ended, so that what those decisions refer to is kept.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from callguard.audit.log import Entry, append
from callguard.ids import uuid7
from callguard.optout.registry.contract import RegistryError
from callguard.optout.registry.lock import Busy, only_one
from callguard.optout.registry.outcome import Before, Outcome, printable
from callguard.optout.registry.snapshot import Snapshot, current, make_current
from callguard.storage.database import Database
from callguard.storage.schema import registry_imports

TAKEN = "taken"
REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Records:
    """Where outcomes are kept, and in whose name."""

    database: Database
    actor: str

    def before(self, registry: str) -> Before | None:
        """What was taken last."""
        with self.database.reading() as connection:
            row = standing(connection, registry)
        if row is None or row.list_date is None:
            return None
        return Before(row.list_date, dict(row.details["counts"]))

    def taken(self, outcome: Outcome, at: datetime) -> None:
        """Returns once it is durable. Raises what the database raises."""
        with self.database.writing() as connection:
            take(connection, outcome, at=at, actor=self.actor)

    def refused(self, outcome: Outcome, at: datetime) -> None:
        """Returns once it is durable. Raises what the database raises."""
        with self.database.writing() as connection:
            refuse(connection, outcome, at=at, actor=self.actor)

    def settle(self, registry: Path, at: datetime) -> str | None:
        """See ``settle``; for one registry, whose lock is held."""
        return _settle(self.database, registry, at=at, actor=self.actor)


def take(connection: Connection, outcome: Outcome, *, at: datetime, actor: str) -> None:
    """Enters a snapshot as the one to use from now on, in place of those before."""
    connection.execute(
        update(registry_imports)
        .where(
            registry_imports.c.registry == outcome.registry,
            registry_imports.c.state == TAKEN,
            registry_imports.c.replaced_at.is_(None),
        )
        .values(replaced_at=at)
    )
    _enter(connection, outcome, TAKEN, at, actor)
    details: dict[str, object] = {
        "digest": outcome.digest,
        "list_date": outcome.list_date.isoformat() if outcome.list_date else None,
        "count": outcome.figures.count,
        "previous": outcome.previous,
    }
    if outcome.accepted is not None:
        details |= {"smaller": outcome.smaller, "reason": outcome.accepted}
    append(connection, Entry(at, actor, f"registry.{outcome.act}", outcome.registry, None, details))


def refuse(connection: Connection, outcome: Outcome, *, at: datetime, actor: str) -> None:
    """Enters a list that was not taken."""
    _enter(connection, outcome, REFUSED, at, actor)
    details = {"act": outcome.act, "reason": printable(outcome.reason or "")}
    append(connection, Entry(at, actor, "registry.refuse", outcome.registry, None, details))


def last(connection: Connection, registry: str, state: str) -> Row[Any] | None:
    """The newest row of a registry in that state."""
    return connection.execute(
        select(registry_imports)
        .where(registry_imports.c.registry == registry, registry_imports.c.state == state)
        .order_by(registry_imports.c.at.desc(), registry_imports.c.id.desc())
        .limit(1)
    ).first()


def standing(connection: Connection, registry: str) -> Row[Any] | None:
    """The row of the snapshot that ought to be in use: the one that none replaced. Clocks are set
    back, so the newest by its time may be another."""
    return connection.execute(
        select(registry_imports).where(
            registry_imports.c.registry == registry,
            registry_imports.c.state == TAKEN,
            registry_imports.c.replaced_at.is_(None),
        )
    ).first()


def row_of(connection: Connection, registry: str, digest: str) -> Row[Any] | None:
    """When a snapshot was taken, by the newest of its rows."""
    return connection.execute(
        select(registry_imports)
        .where(
            registry_imports.c.registry == registry,
            registry_imports.c.state == TAKEN,
            registry_imports.c.digest == digest,
        )
        .order_by(registry_imports.c.at.desc())
        .limit(1)
    ).first()


def settle(database: Database, folder: Path, *, at: datetime, actor: str) -> Iterator[str]:
    """Finishes what an import was killed in the middle of, in every registry of the folder, and
    tells each in a line. Where an import is under way it is left alone. Raises RegistryError,
    OSError, and what the database raises."""
    with database.reading() as connection:
        names = connection.execute(select(registry_imports.c.registry).distinct()).scalars().all()
    for name in sorted(names):
        if not (folder / name).is_dir():
            continue
        try:
            with only_one(folder / name):
                if told := _settle(database, folder / name, at=at, actor=actor):
                    yield told
        except Busy:
            continue


def _settle(database: Database, registry: Path, *, at: datetime, actor: str) -> str | None:
    try:
        in_use = current(registry)
    except RegistryError:
        in_use = None  # the records know better than a damaged file
    with database.reading() as connection:
        newest = standing(connection, registry.name)
        if newest is None or newest.digest == in_use:
            return None
        # What no row tells of was put there by somebody, or the database is an older copy.
        if in_use is not None and row_of(connection, registry.name, in_use) is None:
            return None
    listed = f"{registry.name}: the list of {newest.list_date}"
    try:
        Snapshot.open(registry / newest.digest).close()
    except RegistryError as error:
        return f"{listed} ought to be in use and cannot be: {error}"
    with database.writing() as connection:
        connection.execute(
            update(registry_imports)
            .where(
                registry_imports.c.registry == registry.name,
                registry_imports.c.digest == in_use,
                registry_imports.c.replaced_at.is_not(None),
            )
            .values(replaced_at=at)
        )
        details = {"digest": newest.digest, "previous": in_use}
        append(connection, Entry(at, actor, "registry.settle", registry.name, None, details))
    make_current(registry, newest.digest)
    return f"{listed} was entered and not in use; now it is"


def _enter(connection: Connection, outcome: Outcome, state: str, at: datetime, actor: str) -> None:
    if state == TAKEN and outcome.manifest is None:
        raise RegistryError(f"{outcome.registry}: there is no snapshot to enter")
    connection.execute(
        insert(registry_imports).values(
            id=str(uuid7(at)),
            registry=outcome.registry,
            state=state,
            at=at,
            actor=actor,
            digest=outcome.digest if state == TAKEN else None,
            list_date=outcome.list_date,
            count=outcome.figures.count if state == TAKEN else None,
            reason=None if outcome.reason is None else printable(outcome.reason),
            details=outcome.details(),
        )
    )
