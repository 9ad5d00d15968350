"""Which snapshots may go. What a decision refers to stays for as long as the decision is kept, so
that it can be shown what the list said then."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection, String, cast, or_, select, update

from callguard.audit.log import Entry, append
from callguard.ids import uuid7
from callguard.optout.registry.durable import sync_folder
from callguard.optout.registry.lock import only_one
from callguard.optout.registry.records import TAKEN
from callguard.optout.registry.snapshot import Snapshot, current
from callguard.storage.schema import calls, registry_imports, scrubs

SLACK = timedelta(seconds=60)
"""How long after another snapshot came into use a call may still be decided by the one before."""

SET_BACK = timedelta(days=1)
"""How much earlier than its entry a snapshot may seem to have been asked, by a clock set back."""

ABANDONED = timedelta(days=7)
"""After so long nobody goes on with an import that was cut off."""

PAGE = 2_000
TRASH = "trash-"
WORK = "work"
_LOWEST = bytes(10)


@dataclass(frozen=True, slots=True)
class Spent:
    """A superseded snapshot to which nothing refers any more."""

    id: str
    registry: str
    digest: str


def spent(connection: Connection, now: datetime) -> Iterator[Spent]:
    """The superseded snapshots that may go."""
    rows = connection.execute(
        select(registry_imports)
        .where(
            registry_imports.c.state == TAKEN,
            registry_imports.c.dropped_at.is_(None),
            registry_imports.c.replaced_at < now - SLACK,
        )
        .order_by(registry_imports.c.at)
    ).all()
    for row in rows:
        if not _referred(connection, row.registry, row.digest, row.at, row.replaced_at):
            yield Spent(row.id, row.registry, row.digest)


def _referred(
    connection: Connection, registry: str, digest: str, since: datetime, replaced: datetime
) -> bool:
    """Whether a decision that is kept refers to a snapshot.

    Looked through are the calls from when it came into use until the first that was decided by
    another one: a service that could not open the newer one goes on with this, whatever the
    records say of when it was replaced. Where it was replaced before it came, the clock was set
    back between, and all calls are looked through.
    """
    told = (cast(column, String).contains(digest) for column in (scrubs.c.summary, scrubs.c.asked))
    if connection.execute(select(scrubs.c.id).where(or_(*told)).limit(1)).first():
        return True
    set_back = replaced < since
    seen = "" if set_back else str(uuid7(since - SET_BACK, _LOWEST))
    until: datetime | None = None
    while page := connection.execute(
        select(calls.c.id, calls.c.registries, calls.c.decided_at)
        .where(calls.c.id >= seen, calls.c.registries.is_not(None))
        .order_by(calls.c.id)
        .limit(PAGE)
    ).all():
        for row in page:
            asked = row.registries if isinstance(row.registries, dict) else {}
            if digest in asked.values():
                return True
            at = row.decided_at
            newer = at > replaced and asked.get(registry) is not None
            if until is None and newer and not set_back:
                until = at + SLACK
            if until is not None and at > until:
                return False
        if len(page) < PAGE:
            return False
        seen = page[-1].id + "~"  # behind every id that begins so
    return False


def dropped(connection: Connection, gone: Spent, *, at: datetime, actor: str) -> None:
    """Enters that a snapshot is no longer there."""
    connection.execute(
        update(registry_imports).where(registry_imports.c.id == gone.id).values(dropped_at=at)
    )
    details = {"digest": gone.digest}
    append(connection, Entry(at, actor, "registry.drop", gone.registry, None, details))


def put_away(registry: Path, digest: str) -> bool:
    """Takes a snapshot out of its place, durably; ``sweep`` then frees its room. Whether there is
    none any more: the one in use stays, and so do all where that cannot be opened, because a
    service may go on with an older one. Raises Busy, RegistryError, OSError."""
    if not registry.is_dir():
        return True
    with only_one(registry):
        in_use = current(registry)
        if in_use == digest:
            return False
        if in_use is not None:
            Snapshot.open_of(registry, in_use).close()
        _to_trash(registry, registry / digest)
    return True


def sweep(registry: Path, kept: frozenset[str], now: datetime) -> None:
    """Frees the room of what is in no use: what was put away, imports that were cut off and nobody
    goes on with, and snapshots that were finished and never entered. ``kept`` are the digests that
    the records tell of. Raises Busy, RegistryError, OSError."""
    with only_one(registry):
        in_use = current(registry)
        for path in sorted(registry.iterdir()):
            name = path.name
            unknown = len(name) == 64 and name != in_use and name not in kept
            if (name == WORK or unknown) and _left_alone(path, now):
                _to_trash(registry, path)
        for path in sorted(registry.glob(f"{TRASH}*")):
            shutil.rmtree(path)


def kept(connection: Connection, registry: str) -> frozenset[str]:
    """The digests of a registry's snapshots that are to be there."""
    found = connection.execute(
        select(registry_imports.c.digest).where(
            registry_imports.c.registry == registry,
            registry_imports.c.state == TAKEN,
            registry_imports.c.dropped_at.is_(None),
        )
    )
    return frozenset(found.scalars())


def _left_alone(path: Path, now: datetime) -> bool:
    """Whether nothing in a folder was touched for ``ABANDONED``."""
    touched = max(p.lstat().st_mtime for p in (path, *path.rglob("*")))
    return touched < (now - ABANDONED).timestamp()


def _to_trash(registry: Path, path: Path) -> None:
    target = registry / f"{TRASH}{path.name}"
    if target.exists():
        shutil.rmtree(target)
    try:
        path.rename(target)
    except FileNotFoundError:
        return
    sync_folder(registry)
