"""Certificates of purges: how many rows of each class went, and digests of which, not the data.

A certificate is written on in every transaction that takes something, so that one which was cut
short says what went until then; the next purge enters it in the audit log. The digest of a class is
the SHA-256 of the ids in the order in which they went, each with a line feed: whoever has the list,
from a backup, computes it again.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from callguard.audit.log import Entry, append
from callguard.storage.schema import purges

TAKEN_UP = "taken_up_by"
"""Which purge found a certificate without an end."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What a purge has taken so far, by class. ``held`` is what holds kept back, ``holds`` which;
    ``anonymised`` are the call records that were counted before they went; ``rooms`` is what
    further rooms took, by room and class: those certify it themselves."""

    counts: Mapping[str, int]
    held: Mapping[str, int] = field(default_factory=dict)
    holds: frozenset[str] = frozenset()
    anonymised: int = 0
    rooms: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    hashes: "Mapping[str, hashlib._Hash]" = field(default_factory=dict, compare=False, repr=False)

    @property
    def digests(self) -> dict[str, str]:
        """Of each class that something went of."""
        return {name: one.hexdigest() for name, one in self.hashes.items()}

    def taken(self, name: str, ids: Collection[str], *, anonymised: int = 0) -> "Tally":
        """With these gone, in this order."""
        if not ids:
            return self
        grown = self.hashes[name].copy() if name in self.hashes else hashlib.sha256()
        grown.update("".join(f"{one}\n" for one in ids).encode())
        return replace(
            self,
            counts={**self.counts, name: self.counts.get(name, 0) + len(ids)},
            hashes={**self.hashes, name: grown},
            anonymised=self.anonymised + anonymised,
        )

    def elsewhere(self, room: str, counts: Mapping[str, int]) -> "Tally":
        """With what another room took."""
        return replace(self, rooms={**self.rooms, room: dict(counts)})

    def kept_back(self, name: str, number: int, holds: Iterable[str] = ()) -> "Tally":
        """With so many more that holds keep."""
        if not number:
            return self
        held = {**self.held, name: self.held.get(name, 0) + number}
        return replace(self, held=held, holds=self.holds | frozenset(holds))

    def as_json(self) -> dict[str, object]:
        return {
            "counts": dict(self.counts),
            "digests": self.digests,
            "held": dict(self.held),
            "holds": sorted(self.holds),
            "anonymised": self.anonymised,
            "rooms": {name: dict(counts) for name, counts in self.rooms.items()},
        }


@dataclass(frozen=True, slots=True)
class Certificate:
    """What one purge took: counts, not data. ``resumed`` are recordings and archives that a purge
    before it had counted and not finished; ``clock`` is what was known of the time; ``faults`` are
    rooms that failed, and why: what is left there is taken the next time."""

    id: str
    started_at: datetime
    finished_at: datetime
    actor: str
    tally: Tally
    resumed: int
    clock: Mapping[str, object] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        return dict(self.tally.counts)

    def as_json(self) -> dict[str, object]:
        return {
            "id": self.id,
            "started_at": self.started_at.isoformat(),
            "finished_at": self.finished_at.isoformat(),
            "actor": self.actor,
            **self.tally.as_json(),
            "resumed": self.resumed,
            "clock": dict(self.clock),
            "faults": dict(self.faults),
        }


def open_certificate(
    connection: Connection, purge_id: str, at: datetime, actor: str, clock: Mapping[str, object]
) -> None:
    begun = {"id": purge_id, "actor": actor, "counts": {}, "clock": dict(clock)}
    row = {"id": purge_id, "kind": "purge", "started_at": at, "certificate": begun}
    connection.execute(insert(purges).values(row))


def take_up(connection: Connection, by: str, at: datetime, actor: str) -> None:
    """Enters in the audit log, once each, the certificates of purges that were cut short."""
    cut_short = (purges.c.kind == "purge") & purges.c.finished_at.is_(None)
    rows = connection.execute(select(purges.c.id, purges.c.certificate).where(cut_short)).all()
    for row in rows:
        if TAKEN_UP in row.certificate:
            continue
        written = {**row.certificate, TAKEN_UP: by}
        own = purges.c.id == row.id
        connection.execute(update(purges).where(own).values(certificate=written))
        append(connection, Entry(at, actor, "purge.cut_short", f"purge:{row.id}", None, written))


def note(
    connection: Connection, purge_id: str, actor: str, tally: Tally, clock: Mapping[str, object]
) -> None:
    """In the transaction that takes it: what has gone so far."""
    so_far = {"id": purge_id, "actor": actor, **tally.as_json(), "clock": dict(clock)}
    connection.execute(update(purges).where(purges.c.id == purge_id).values(certificate=so_far))


def certify(connection: Connection, certificate: Certificate) -> None:
    """Ends it, here and in the audit log."""
    written = certificate.as_json()
    connection.execute(
        update(purges)
        .where(purges.c.id == certificate.id)
        .values(finished_at=certificate.finished_at, certificate=written)
    )
    at, actor = certificate.finished_at, certificate.actor
    append(connection, Entry(at, actor, "purge", f"purge:{certificate.id}", None, written))


def last_begun(connection: Connection) -> datetime | None:
    """When the last purge began that came to its end."""
    ended = (purges.c.kind == "purge") & purges.c.finished_at.is_not(None)
    newest = select(purges.c.started_at).where(ended).order_by(purges.c.started_at.desc()).limit(1)
    found: datetime | None = connection.execute(newest).scalar()
    return found


def listed(connection: Connection, limit: int = 50) -> list[Row[Any]]:
    """The newest certificates, of every kind."""
    newest = select(purges).order_by(purges.c.started_at.desc(), purges.c.id.desc()).limit(limit)
    return list(connection.execute(newest))


def shown(connection: Connection, purge_id: str) -> Row[Any] | None:
    """One certificate."""
    return connection.execute(select(purges).where(purges.c.id == purge_id)).one_or_none()
