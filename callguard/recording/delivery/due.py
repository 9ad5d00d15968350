"""Which deliveries are due, and which are stuck: found by query, never remembered. Synchronous."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, Select, and_, exists, func, insert, or_, select, tuple_

from callguard.recording.about import ABOUT, ITS_CALL, concern_of
from callguard.recording.delivery.retrying import LONGEST_S, STUCK_AFTER
from callguard.storage.alive import alive
from callguard.storage.schema import calls, deliveries, recordings, tenant_places
from callguard.tenants.keeping import NOBODY, Concern

WITHHELD = "withheld"
"""Only stored for now: nothing is sent while processing is restricted."""

OPEN = ("waiting", "sending", "stuck", WITHHELD)
"""The states in which something is still to be sent. The others: ``sent`` (the place took it and
did not say what), ``confirmed``, ``closed`` (nothing was to be sent any more)."""

AT_ONCE = 500
"""Most rows that one query finds."""

Key = tuple[str, str]
"""A recording and the name of a place."""


@dataclass(frozen=True, slots=True)
class New:
    """A sealed recording that has to go to a place, and no row says so yet. ``added_at`` is the
    place's, ``concern`` whom the recording is about."""

    recording: str
    place: str
    tenant: str
    added_at: datetime
    concern: Concern = NOBODY

    @property
    def key(self) -> Key:
        return self.recording, self.place


@dataclass(frozen=True, slots=True)
class Next:
    """A row whose time has come. ``attempts`` is how many were made."""

    recording: str
    place: str
    tenant: str
    state: str
    attempts: int

    @property
    def key(self) -> Key:
        return self.recording, self.place

    @property
    def at(self) -> Key:
        """Whose place it is, and which."""
        return self.tenant, self.place


@dataclass(frozen=True, slots=True)
class Trouble:
    """What stands at one place. ``kept`` recordings stay here, since it confirms nothing."""

    tenant: str
    place: str
    stuck: int
    kept: int
    reason: str

    def lines(self) -> list[str]:
        """The alarms about it."""
        where, lines = f"{self.tenant}: {self.place}", list[str]()
        if self.stuck:
            lines.append(
                f"{where}: recordings that could not be delivered: {self.stuck}: {self.reason}"
            )
        if self.kept:
            lines.append(
                f"{where}: recordings that stay here, because the place took them without naming "
                f"their SHA-256: {self.kept}"
            )
        return lines


def is_any(connection: Connection) -> bool:
    """Whether any tenant has a place, or anything is left to be done of one that was removed."""
    left = select(deliveries.c.place).where(deliveries.c.state.in_(OPEN))
    return any(
        connection.execute(query.limit(1)).first() is not None
        for query in (select(tenant_places.c.name), left)
    )


def find_new(connection: Connection, now: datetime, since: datetime | None) -> list[New]:
    """Sealed recordings of tenants with places that have no row, sealed after the place was added;
    ``since`` leaves out those sealed before it."""
    wanted = [
        # Hidden from the index on states, which nearly all recordings share: that on dates is used.
        func.coalesce(recordings.c.state, "") == "sealed",
        alive(recordings, now),
        ~exists().where(
            deliveries.c.recording_id == recordings.c.id,
            deliveries.c.place == tenant_places.c.name,
        ),
    ]
    if since is not None:
        wanted.append(recordings.c.sealed_at >= since)
    rows = connection.execute(
        select(
            recordings.c.id,
            tenant_places.c.name,
            recordings.c.tenant_id,
            tenant_places.c.added_at,
            *ABOUT,
        )
        .join(
            tenant_places,
            and_(
                tenant_places.c.tenant_id == recordings.c.tenant_id,
                recordings.c.sealed_at >= tenant_places.c.added_at,
            ),
        )
        .outerjoin(calls, ITS_CALL)
        .where(*wanted)
        .limit(AT_ONCE)
    )
    return [New(*row[:4], concern=concern_of(row)) for row in rows]


def enter(
    connection: Connection,
    new: Collection[New],
    now: datetime,
    expires: Mapping[Key, datetime | None],
) -> int:
    """Makes rows for those that still have none; ``expires`` is by recording and place. Returns how
    many."""
    key = tuple_(deliveries.c.recording_id, deliveries.c.place)
    asked = [(one.recording, one.place) for one in new]
    there = {
        tuple(row)
        for row in connection.execute(
            select(deliveries.c.recording_id, deliveries.c.place).where(key.in_(asked))
        )
    }
    rows = [
        {
            "recording_id": one.recording,
            "place": one.place,
            "tenant_id": one.tenant,
            "state": "waiting",
            "attempts": 0,
            "next_at": now,
            # Never before the place was added: its clock may have been set back since.
            "begun_at": max(now, one.added_at),
            "expires_at": expires[one.key],
        }
        for one in new
        if (one.recording, one.place) not in there
    ]
    if rows:
        connection.execute(insert(deliveries), rows)
    return len(rows)


def find_next(
    connection: Connection,
    now: datetime,
    *,
    leave: Collection[Key],
    under_way: Collection[Key],
    limit: int,
    tenants: Collection[str] = (),
    untried: bool = False,
    confirmed: bool = True,
) -> list[Next]:
    """Rows whose time has come, the longest due first; ``leave`` are places that are left alone
    now, by tenant and name, and ``tenants`` those of whom nothing is sent now. ``untried`` leaves
    out what was tried before. Confirmed ones are those that may be given away. A time that lies
    further off than any wait is of a clock that was set back."""
    wanted = [
        deliveries.c.state.in_((*OPEN, "confirmed") if confirmed else OPEN),
        or_(
            deliveries.c.next_at <= now,
            deliveries.c.next_at > now + timedelta(seconds=2 * LONGEST_S),
        ),
    ]
    if leave:
        at = tuple_(deliveries.c.tenant_id, deliveries.c.place)
        wanted.append(or_(deliveries.c.state == "confirmed", at.not_in(list(leave))))
    if tenants:
        theirs = deliveries.c.tenant_id.not_in(list(tenants))
        wanted.append(or_(deliveries.c.state == "confirmed", theirs))
    if untried:
        wanted.append(or_(deliveries.c.state == "confirmed", deliveries.c.attempts == 0))
    if under_way:
        key = tuple_(deliveries.c.recording_id, deliveries.c.place)
        wanted.append(key.not_in(list(under_way)))
    rows = connection.execute(
        select(
            deliveries.c.recording_id,
            deliveries.c.place,
            deliveries.c.tenant_id,
            deliveries.c.state,
            deliveries.c.attempts,
        )
        .where(*wanted)
        .order_by(deliveries.c.next_at)
        .limit(limit)
    )
    return [Next(*row) for row in rows]


def troubles(connection: Connection, now: datetime) -> list[Trouble]:
    """What a person should look at, by tenant and place."""
    found = {
        (row.tenant_id, row.place): Trouble(row.tenant_id, row.place, row.many, 0, row.reason or "")
        for row in connection.execute(_late(now))
    }
    if connection.execute(select(_NO_KEEP).limit(1)).first() is not None:
        for row in connection.execute(_kept(now)):
            key = row.tenant_id, row.place
            stuck = found.get(key, Trouble(*key, 0, 0, ""))
            found[key] = replace(stuck, kept=row.many)
    return [found[key] for key in sorted(found)]


_NO_KEEP = select(tenant_places).where(tenant_places.c.keep.is_(False)).subquery()


def _late(now: datetime) -> Select[tuple[str, str, int, str | None]]:
    return (
        select(
            deliveries.c.tenant_id,
            deliveries.c.place,
            func.count().label("many"),
            func.max(deliveries.c.reason).label("reason"),
        )
        .where(
            deliveries.c.state.in_(OPEN),
            deliveries.c.state != WITHHELD,
            alive(deliveries, now),
            or_(deliveries.c.state == "stuck", deliveries.c.begun_at <= now - STUCK_AFTER),
        )
        .group_by(deliveries.c.tenant_id, deliveries.c.place)
    )


def _kept(now: datetime) -> Select[tuple[str, str, int]]:
    """Sent, and never confirmed, to a place that wishes nothing kept: still here."""
    return (
        select(deliveries.c.tenant_id, deliveries.c.place, func.count().label("many"))
        .join(
            _NO_KEEP,
            and_(
                _NO_KEEP.c.tenant_id == deliveries.c.tenant_id,
                _NO_KEEP.c.name == deliveries.c.place,
            ),
        )
        .join(recordings, recordings.c.id == deliveries.c.recording_id)
        .where(
            deliveries.c.state == "sent",
            recordings.c.state == "sealed",
            alive(deliveries, now),
            alive(recordings, now),
        )
        .group_by(deliveries.c.tenant_id, deliveries.c.place)
    )
