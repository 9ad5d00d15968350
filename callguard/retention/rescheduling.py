"""Giving rows that are there another date, where a tenant chose another time, its contract got an
end, or the law became another.

In small transactions, in the order of the keys: a run that was cut short is taken up by the next
one, which finds what was done as it should be. What is hidden already stays hidden; what is being
erased, and recordings in progress, are left alone; what only a law keeps of an erased call gets no
later date. What is held gets its date like anything else: it is hidden from then on, and goes when
the hold is released.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select, tuple_, update

from callguard.audit.log import Entry, append
from callguard.clock import Clock
from callguard.ids import uuid7
from callguard.recording.erasure import Write
from callguard.recording.late_rows import partly_erased
from callguard.retention.dating import AFFECTED, BOOKS, Book
from callguard.storage.alive import alive
from callguard.tenants.tenant import Tenant

ROWS = 500
"""Most rows of one transaction."""

Counted = Callable[[datetime], datetime]
"""Until when a rule may look back at an attempt of a moment."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How many rows there are, how many of them get a ``sooner`` or a ``later`` date, and how many
    of those that get a sooner one are ``due`` at once."""

    rows: int = 0
    sooner: int = 0
    later: int = 0
    due: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.rows + other.rows,
            self.sooner + other.sooner,
            self.later + other.later,
            self.due + other.due,
        )

    def as_json(self) -> dict[str, int]:
        return {"rows": self.rows, "sooner": self.sooner, "later": self.later, "due": self.due}


@dataclass(frozen=True, slots=True)
class Step:
    """One batch: what it came to, and the key of its last row, None at the end."""

    tally: Tally
    last: tuple[Any, ...] | None


def books_of(data_classes: Sequence[str] | None) -> list[str]:
    """The tables whose dates depend on these classes; None is all."""
    wanted = AFFECTED if data_classes is None else data_classes
    found = {book for one in wanted for book in AFFECTED.get(one, ())}
    return [name for name in BOOKS if name in found]


async def reschedule(
    write: Write,
    tenant: Tenant,
    data_classes: Sequence[str] | None,
    clock: Clock,
    *,
    actor: str,
    counted: Counted | None = None,
    dry: bool = False,
    shorten: bool = True,
) -> Mapping[str, Tally]:
    """Gives the rows of a tenant, of some classes or (None) of all, the dates of what it now chose
    and of the law as it now is; what that came to, by table. With ``dry`` nothing is changed.
    ``counted`` is how long the rules look back at attempts; without it none gets a sooner date, and
    nothing does where it is not to ``shorten``.

    Raises what ``write`` raises; then it is to be run again.
    """
    names, run = books_of(data_classes), str(uuid7(clock.now()))
    target = f"reschedule:{run}"
    if not dry:
        asked = {"classes": sorted(data_classes or AFFECTED)}
        begun = Entry(clock.now(), actor, "retention.reschedule", target, tenant.id, asked)
        await write(lambda connection: append(connection, begun))
    found: dict[str, Tally] = {}
    for name in names:
        tally, after = Tally(), None
        while True:

            def work(connection: Connection, name: str = name, after: Any = after) -> Step:
                return step(
                    connection, tenant, name, after, clock.now(), counted, dry=dry, shorten=shorten
                )

            done = await write(work)
            tally += done.tally
            if (after := done.last) is None:
                break
            await asyncio.sleep(0)
        found[name] = tally
    if not dry:
        counts = {name: tally.as_json() for name, tally in found.items()}
        ended = Entry(clock.now(), actor, "retention.rescheduled", target, tenant.id, counts)
        await write(lambda connection: append(connection, ended))
    return found


def step(
    connection: Connection,
    tenant: Tenant,
    name: str,
    after: tuple[Any, ...] | None,
    now: datetime,
    counted: Counted | None = None,
    *,
    dry: bool = False,
    shorten: bool = True,
) -> Step:
    """The next rows behind a key, in one transaction."""
    book = BOOKS[name]
    rows = _next(connection, book, tenant.id, after, now)
    if not rows:
        return Step(Tally(), None)
    dates = book.dates(connection, tenant, rows)
    moved: list[tuple[Row[Any], datetime | None, bool]] = []
    tally = Tally(rows=len(rows))
    for row, date in zip(rows, dates, strict=True):
        until = date.until
        if name == "attempt" and until is not None:
            least = row.expires_at if counted is None else counted(row.at)
            until = None if least is None else max(until, least)
        sooner = _sooner(until, row.expires_at)
        if until != row.expires_at and (not sooner or (date.sure and shorten)):
            moved.append((row, until, sooner))
    later = {_call_of(book, row) for row, _, sooner in moved if not sooner}
    erased = partly_erased(connection, later)
    changes: list[dict[str, object]] = []
    for row, until, sooner in moved:
        if not sooner and _call_of(book, row) in erased:
            continue
        due = until is not None and until <= now
        tally += Tally(sooner=int(sooner), later=int(not sooner), due=int(due))
        keys = {f"_{key.name}": getattr(row, key.name) for key in book.key}
        changes.append({**keys, "_until": until})
    if changes and not dry:
        mine = [key == bindparam(f"_{key.name}") for key in book.key]
        dated = update(book.table).where(*mine).values(expires_at=bindparam("_until"))
        connection.execute(dated, changes)
    last = tuple(getattr(rows[-1], key.name) for key in book.key)
    return Step(tally, last if len(rows) == ROWS else None)


def _next(
    connection: Connection, book: Book, tenant: str, after: tuple[Any, ...] | None, now: datetime
) -> Sequence[Row[Any]]:
    table = book.table
    wanted = select(table).where(table.c.tenant_id == tenant, alive(table, now), *book.only)
    if after is not None:
        wanted = wanted.where(tuple_(*book.key) > tuple_(*after, types=[c.type for c in book.key]))
    return connection.execute(wanted.order_by(*book.key).limit(ROWS)).all()


def _call_of(book: Book, row: Row[Any]) -> str | None:
    """The call that a row belongs to, where it names one."""
    found: str | None = row.call_id if "call_id" in book.table.c else None
    return found


def _sooner(one: datetime | None, other: datetime | None) -> bool:
    return one is not None and (other is None or one < other)
