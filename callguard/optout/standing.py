"""Which wishes stand, read from the table: for the image that follows it, and with the provenance
of each for people."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import cast

from sqlalchemy import BigInteger, Connection, Text, select, type_coerce

from callguard.optout.events import OptOutEvent, events_of
from callguard.optout.scope import cells, laid_over, scopes, stored_cells
from callguard.storage.schema import opt_outs
from callguard.storage.types import to_micros

Change = tuple[int, str, str | None, bool, int, str, int]
"""What the image needs of a row: its number, subject and tenant, whether it is an opt-out, the
cells that it is about, how it came, and when, in microseconds since 1970."""

LOT = 1_000
"""Most subjects that are asked about at once."""

_LEAN = select(
    opt_outs.c.seq,
    opt_outs.c.subject,
    opt_outs.c.tenant_id,
    opt_outs.c.standing,
    type_coerce(opt_outs.c.purposes, Text),
    type_coerce(opt_outs.c.channels, Text),
    opt_outs.c.way,
    type_coerce(opt_outs.c.at, BigInteger),
).order_by(opt_outs.c.seq)


def change(sequence: int, event: OptOutEvent) -> Change:
    """An event as the image takes it."""
    covered = cells(event.purposes, event.channels)
    at = to_micros(event.at)
    return (sequence, event.subject, event.tenant, event.standing, covered, event.way, at)


def after(connection: Connection, sequence: int, limit: int) -> list[Change]:
    """The changes after a sequence number, in order."""
    found = connection.execute(_LEAN.where(opt_outs.c.seq > sequence).limit(limit))
    return [
        (number, subject, tenant, standing, stored_cells(purposes, channels), way, at)
        for number, subject, tenant, standing, purposes, channels, way, at in found
    ]


@dataclass(frozen=True, slots=True)
class Wish:
    """What stands of one row: ``event`` is what was said, with the purposes and the channels for
    which nobody has spoken since."""

    sequence: int
    event: OptOutEvent


def wishes(rows: Iterable[tuple[int, OptOutEvent]]) -> list[Wish]:
    """What stands after these rows, which are in order, as they were said. A wish of which
    several pieces are left comes back as several."""
    held: dict[tuple[str, str | None], list[tuple[int, tuple[int, OptOutEvent]]]] = {}
    for sequence, event in rows:
        key = (event.subject, event.tenant)
        covered = cells(event.purposes, event.channels)
        said = (sequence, event) if event.standing else None
        held[key] = laid_over(held.get(key, ()), covered, said)
    found = [one for every in held.values() for one in every]
    found.sort(key=lambda one: one[1][0])
    return [
        Wish(sequence, replace(event, purposes=purposes, channels=channels))
        for left, (sequence, event) in found
        for purposes, channels in scopes(left)
    ]


def history(connection: Connection, subject: str) -> list[tuple[int, OptOutEvent]]:
    """Everything a subject ever said, in order."""
    found = select(opt_outs).where(opt_outs.c.subject == subject).order_by(opt_outs.c.seq)
    return events_of(connection.execute(found))


def standing_cells(
    connection: Connection, subjects: Iterable[str]
) -> dict[tuple[str, str | None], list[tuple[int, tuple[bool, int]]]]:
    """For each of the subjects and whom they spoke of: the cells, and whether the last row about
    them was an opt-out and of when. At most a thousand subjects."""
    found: dict[tuple[str, str | None], list[tuple[int, tuple[bool, int]]]] = {}
    chosen = _LEAN.where(opt_outs.c.subject.in_(list(subjects)))
    for row in connection.execute(chosen):
        _, subject, tenant, standing, purposes, channels, _, at = row
        covered = stored_cells(purposes, channels)
        said = (bool(standing), cast("int", at))
        found[subject, tenant] = laid_over(found.get((subject, tenant), ()), covered, said)
    return found


def newest(connection: Connection, limit: int, binds: str | None = None) -> tuple[list[Wish], bool]:
    """The subjects who spoke last and whose wishes stand, oldest first, at most ``limit``, and
    whether there are more; only wishes that bind the tenant ``binds``, where one is given. What
    stands of one subject against one tenant is told together, as of the last row.

    Reads back from the end of the table until it has them, so it is quick however long that is.
    """
    chosen = select(opt_outs).order_by(opt_outs.c.seq.desc())
    if binds is not None:
        chosen = chosen.where(opt_outs.c.tenant_id.is_(None) | (opt_outs.c.tenant_id == binds))
    spoken: dict[tuple[str, str | None], int] = {}
    last: dict[tuple[str, str | None], tuple[int, OptOutEvent]] = {}
    size = max(limit, 100)
    rows = events_of(connection.execute(chosen.limit(size)))
    while rows and len(last) <= limit:
        for sequence, event in rows:
            key = (event.subject, event.tenant)
            covered, later = cells(event.purposes, event.channels), spoken.get(key, 0)
            spoken[key] = later | covered
            if event.standing and covered & ~later:
                last.setdefault(key, (sequence, event))
        further = chosen.where(opt_outs.c.seq < rows[-1][0]).limit(size)
        rows = events_of(connection.execute(further)) if len(rows) == size else []
    found: list[Wish] = []
    told = list(last.items())[:limit][::-1]
    for start in range(0, len(told), LOT):
        lot = told[start : start + LOT]
        known = standing_cells(connection, {subject for (subject, _), _ in lot})
        for key, (sequence, event) in lot:
            stands = sum(covered for covered, (standing, _) in known[key] if standing)
            found += [
                Wish(sequence, replace(event, purposes=purposes, channels=channels))
                for purposes, channels in scopes(stands)
            ]
    return found, len(last) > limit


def every(
    reading: Callable[[], AbstractContextManager[Connection]], page: int = 2_000
) -> Iterator[Wish]:
    """All wishes that stand, by subject. Each page is a reading transaction of its own, so that
    no log of the database grows while somebody reads; what is said meanwhile may be in or not."""
    done, limit = "", page
    chosen = select(opt_outs).order_by(opt_outs.c.subject, opt_outs.c.seq)
    while True:
        with reading() as connection:
            found = connection.execute(chosen.where(opt_outs.c.subject > done).limit(limit))
            rows = events_of(found)
        if len(rows) == limit:  # the last subject may have more
            last = rows[-1][1].subject
            whole = [row for row in rows if row[1].subject != last]
            if not whole:
                limit *= 2
                continue
            rows, full = whole, True
        else:
            full = False
        yield from sorted(wishes(rows), key=lambda wish: (wish.event.subject, wish.sequence))
        if not full:
            return
        done, limit = rows[-1][1].subject, page
