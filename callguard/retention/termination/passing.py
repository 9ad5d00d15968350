"""Going through the records of a class: each is given its date, and what a law wants longer moves
to a sealed archive when its time here is over."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Protocol, TypeVar

import structlog
from sqlalchemy import Connection

from callguard.audit.log import Entry, append
from callguard.ids import uuid7
from callguard.recording.age import AgeError
from callguard.recording.erasure import Write
from callguard.recording.keys import KeyWrapper, UnwrapError
from callguard.recording.store.objects import ObjectStore
from callguard.retention.termination import archive as archiving
from callguard.retention.termination.archive import ArchiveError, Sort, line_of
from callguard.retention.termination.asking import Termination, counted
from callguard.retention.termination.clearing import AT_ONCE, OPT_OUT, dated, take_opt_outs
from callguard.retention.termination.plan import Fate, Promise, Tally, fate, floors_of
from callguard.retention.termination.sources import (
    FOLLOWS,
    TABLES,
    Key,
    Record,
    as_used,
    page,
)
from callguard.storage.faults import one_line
from callguard.tenants.keeping import span_of
from callguard.tenants.tenant import Tenant

T = TypeVar("T")
log = structlog.get_logger(__name__)


class Read(Protocol):
    """Runs a query in one reading transaction."""

    def __call__(self, query: Callable[[Connection], T], /) -> Awaitable[T]: ...


@dataclass(frozen=True, slots=True)
class Means:
    """With what records are gone through."""

    read: Read
    write: Write
    store: ObjectStore
    wrapper: KeyWrapper


@dataclass
class _Heap:
    """Records of one sort that wait to be archived together."""

    lines: list[bytes] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)
    until: datetime | None = None

    def add(self, record: Record, what: Fate) -> None:
        self.lines.append(line_of(record, what.fields))
        self.keys.append(record.key)
        assert what.until is not None
        self.until = what.until if self.until is None else max(self.until, what.until)


def judged(record: Record, tenant: Tenant, promise: Promise, now: datetime) -> Fate:
    """What becomes of one record."""
    name, floors = promise.data_class, floors_of(tenant, promise.data_class)
    if name in FOLLOWS:
        values = record.values
        stays = values["followed"] is not None and values["follows"] is not None
        gone_at = max(promise.gone_at, values["follows"]) if stays else promise.gone_at
        return Fate("keep" if gone_at > promise.gone_at else "delete", gone_at)
    if name == "consent":
        record = as_used(
            record, span_of(tenant, name), floors, tenant.ended_at or promise.gone_at, now
        )
    return fate(promise, record.facts, floors, record.expires_at, now, whole=name == "recording")


async def survey(read: Read, tenant: Tenant, ending: dict[str, Promise], now: datetime) -> Tally:
    """Counts what would become of every record; nothing is changed."""
    tally = Tally()
    for name in TABLES:
        after: Key | None = None
        while rows := await read(_page(tenant, name, after)):
            for record in rows:
                tally.add(name, judged(record, tenant, ending[name], now))
            after = rows[-1].key
    return tally


async def go_through(
    means: Means,
    one: Termination,
    tenant: Tenant,
    promise: Promise,
    now: datetime,
    *,
    again: bool = False,
    spare: str = "",
) -> None:
    """Gives every record of a class its date, and archives those whose time here is over. What is
    hidden already is left to the purge, and what is held stays. ``again`` is whether it was gone
    through before, ``spare`` the id of a row with a date of its own.

    Raises KeyStoreError, ObjectStoreError and what reading and writing raise; the next time goes
    on.
    """
    name, heaps, after = promise.data_class, dict[Sort, _Heap](), None
    more = True
    while more:
        rows = await means.read(_page(tenant, name, after))
        more = len(rows) == AT_ONCE
        dates, gone = list[tuple[Key, datetime]](), list[Key]()
        for record in rows:
            after, expires = record.key, record.expires_at
            if (expires is not None and expires <= now) or record.key == (spare,):
                continue
            if name == OPT_OUT and not record.values["subject"]:
                continue
            if again and name == "recording" and record.values["known_call"] is None:
                continue  # its date was set while it was known whose voice it is
            what = judged(record, tenant, promise, now)
            if what.done == "archive":
                if what.at <= now and not record.held:
                    heaps.setdefault(Sort.of(name, what), _Heap()).add(record, what)
            elif name == OPT_OUT:
                if what.at <= now and not record.held:
                    gone.append(record.key)
            elif expires is None or expires > what.at:
                dates.append((record.key, what.at))
        if dates:
            await means.write(partial(dated, table=TABLES[name], dates=dates))
        if gone:
            await means.write(partial(take_opt_outs, one=one, keys=gone))
        while sum(len(heap.keys) for heap in heaps.values()) >= archiving.MOST_ROWS:
            longest = max(heaps, key=lambda sort: len(heaps[sort].keys))
            await _seal(means, one, longest, heaps.pop(longest), now)
    for sort, heap in heaps.items():
        await _seal(means, one, sort, heap, now)


async def resume(means: Means, one: Termination, now: datetime) -> None:
    """Ends what a crash left of archives, before anything else is archived."""
    for row in await means.read(partial(archiving.unfinished, tenant=one.tenant)):
        if row.state == "sealing":
            await asyncio.to_thread(means.store.delete, [row.id])
            await means.write(partial(archiving.give_up, archive=row.id))
            continue
        keys = await asyncio.to_thread(archiving.keys_of, row, means.store, means.wrapper)
        await _hide(means, one, row.data_class, keys, row.id, now)


async def rewrap(means: Means) -> None:
    """Archives follow the master key, or the KMS that took its place; one that cannot be opened
    keeps none of the others from it. Raises KeyStoreError."""
    for row in await means.read(archiving.whole):
        try:
            header = await asyncio.to_thread(archiving.rewrapped, row, means.wrapper)
        except (AgeError, ArchiveError, UnwrapError) as error:
            log.error("archive_not_opened", archive=row.id, reason=one_line(error))
            continue
        if header is not None:
            await means.write(partial(archiving.set_header, row=row, header=header))


async def _seal(means: Means, one: Termination, sort: Sort, heap: _Heap, now: datetime) -> None:
    name = str(uuid7(now))
    made = await asyncio.to_thread(archiving.seal, heap.lines, name, means.wrapper)
    assert heap.until is not None
    begin = partial(
        archiving.begin,
        archive=name,
        tenant=one.tenant,
        sort=sort,
        made=made,
        rows=len(heap.keys),
        at=now,
        until=heap.until,
    )
    await means.write(begin)
    await asyncio.to_thread(means.store.put, name, made.payload)
    await means.write(partial(_stored, one=one, archive=name, sort=sort, rows=len(heap.keys)))
    await _hide(means, one, sort.data_class, heap.keys, name, now)


def _stored(connection: Connection, one: Termination, archive: str, sort: Sort, rows: int) -> None:
    archiving.enter(connection, archive, "marking")
    counted(connection, one, sort.data_class, archived=rows)


async def _hide(
    means: Means, one: Termination, name: str, keys: Sequence[Key], archive: str, now: datetime
) -> None:
    """The records that the archive holds are gone for every reader; then it is whole."""
    for start in range(0, len(keys), AT_ONCE):
        some = keys[start : start + AT_ONCE]
        if name == OPT_OUT:
            await means.write(partial(take_opt_outs, one=one, keys=some))
        else:
            dates = [(key, now) for key in some]
            await means.write(partial(dated, table=TABLES[name], dates=dates))
    await means.write(partial(_sealed, one=one, name=name, archive=archive, rows=len(keys), at=now))


def _sealed(
    connection: Connection, one: Termination, name: str, archive: str, rows: int, at: datetime
) -> None:
    archiving.enter(connection, archive, "sealed")
    details = {"class": name, "rows": rows, "termination": one.id}
    target = f"archive:{archive}"
    append(connection, Entry(at, "callguard", "archive.seal", target, one.tenant, details))


def _page(tenant: Tenant, name: str, after: Key | None) -> Callable[[Connection], list[Record]]:
    return partial(page, tenant=tenant, data_class=name, after=after, limit=AT_ONCE)
