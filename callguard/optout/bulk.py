"""Long lists of opt-outs taken over: in small transactions beside a running service, and as often
as one likes, for what stands already is not entered again.

Each transaction has one row in the audit log, with the SHA-256 of the opt-outs that it entered;
the import as a whole has one more.
"""

import hashlib
import json
import random
import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice

from sqlalchemy import Connection, func, insert, select
from sqlalchemy.exc import OperationalError

from callguard.audit.log import Entry as Audit
from callguard.audit.log import append
from callguard.optout.events import OptOutEvent, as_row
from callguard.optout.image import OptOutImage
from callguard.optout.lines import Entry, Fault, veiled
from callguard.optout.scope import cells, laid_over, scopes
from callguard.optout.standing import change, standing_cells
from callguard.policy.facts import CHANNELS, PURPOSES
from callguard.policy.numbers import key_of, parse_address
from callguard.storage.database import Database
from callguard.storage.schema import opt_outs
from callguard.storage.types import to_micros

MOST, FEWEST = 1_000, 50
"""How many rows one transaction has: as many as it can write within ``HOLD_S``."""

HOLD_S = 0.04
"""How long a transaction may hold other writers up before the next one is made smaller."""

TRIES = 30
"""How often a transaction that found the database locked is tried, each time for 1.5 s."""

SHOWN = 100
"""Most bad lines that are shown."""

EVERYONE = "*"
"""In a column of tenants: against all of them."""

_PARTED = re.compile(r"[\s,/;|]+")
_OLDEST = 1900
_WEST = timedelta(hours=12)
"""How much later than in UTC the same clock time may be somewhere."""

_BUSY = 5  # SQLITE_BUSY, in the low byte of what SQLite tells

_Known = dict[tuple[str, str | None], list[tuple[int, tuple[bool, int]]]]


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for the whole file. ``tenant`` is None for all tenants, and of no account where
    each record names its own (``by_column``); ``regions`` has the home region of each tenant, and
    that of the operator under None. ``purposes`` and ``channels`` are for records that say nothing
    of them. ``file`` and ``digest`` are what the evidence names."""

    regions: Mapping[str | None, str]
    tenant: str | None
    by_column: bool
    purposes: frozenset[str]
    channels: frozenset[str]
    file: str
    digest: str
    actor: str
    reason: str | None = None


@dataclass(slots=True)
class Tally:
    """What became of the records: ``lifted`` are those of a date before the subject opted in
    again; ``undated`` were entered as of now, because their date cannot be read. ``faults`` are
    the first of those that are bad or undated."""

    read: int = 0
    new: int = 0
    widened: int = 0
    there: int = 0
    lifted: int = 0
    undated: int = 0
    bad: int = 0
    faults: list[Fault] = field(default_factory=list)

    def fault(self, fault: Fault) -> None:
        if len(self.faults) < SHOWN:
            self.faults.append(fault)

    def add(self, other: "Tally") -> None:
        """The counts of a part."""
        self.new += other.new
        self.widened += other.widened
        self.there += other.there
        self.lifted += other.lifted

    def counts(self) -> dict[str, int]:
        return {name: n for name, n in asdict(self).items() if name != "faults"}


_Wanted = tuple[OptOutEvent, datetime | None]
"""A wish, and the latest moment at which it can have been uttered by what the record says; None
where that does not say when."""


def subject_key(text: str, region: str) -> str:
    """The key of a number as it is dialled in a region, or of an address; "" for neither."""
    return key_of(text, region) or ("@" in text and parse_address(text).key) or ""


def enter(
    database: Database,
    records: Iterable[Entry | Fault],
    terms: Terms,
    tally: Tally,
    now: Callable[[], datetime],
    *,
    dry: bool = False,
) -> None:
    """Enters what is not there yet; ``tally`` is right at every moment. ``dry`` only counts.

    Raises what the database raises; what was counted until then is entered.
    """
    seen = OptOutImage() if dry else None
    wanted = _wanted(iter(records), terms, tally, now)
    size, released, hold = MOST, 0.0, 0.0
    while batch := list(islice(wanted, size)):
        with database.reading() as connection:
            newest = _newest(connection)
            part, events = _plan(_known(connection, batch, seen), batch)
        if seen is not None:
            seen.follow([change(n, event) for n, event in enumerate(events, seen.read_up_to + 1)])
        elif events:
            # A running service waits for the same lock: it gets as much time as this takes.
            time.sleep(max(0.0, hold - (time.monotonic() - released)))
            part, hold = _write(database, batch, (newest, part, events), terms, now())
            released = time.monotonic()
            size = max(size // 2, FEWEST) if hold > HOLD_S else min(size * 2, MOST)
        tally.add(part)


def note(connection: Connection, terms: Terms, tally: Tally, at: datetime) -> None:
    """The row of the audit log that says what an import came to."""
    details: dict[str, object] = {"file": terms.digest, **tally.counts()}
    entry = Audit(at, terms.actor, "optout.imported", "optout", terms.tenant, details)
    append(connection, entry)


def rows_digest(rows: Iterable[Mapping[str, object]]) -> str:
    """The SHA-256 over opt-outs as they are stored, in the order of their numbers: what the audit
    log has of each transaction."""
    total = hashlib.sha256()
    for row in rows:
        values = [
            to_micros(value) if isinstance(value, datetime) else value
            for value in (row[column.name] for column in opt_outs.c)
        ]
        total.update(json.dumps(values, ensure_ascii=True).encode() + b"\n")
    return total.hexdigest()


def _wanted(
    records: Iterator[Entry | Fault], terms: Terms, tally: Tally, now: Callable[[], datetime]
) -> Iterator[_Wanted]:
    at = now()
    for record in records:
        tally.read += 1
        if tally.read % MOST == 0:
            at = now()
        said = record if isinstance(record, Fault) else _event(record, terms, at)
        if isinstance(said, Fault):
            tally.bad += 1
            tally.fault(said)
        elif isinstance(record, Entry) and record.since:
            since, latest = _past(record.since, at) or (at, None)
            if latest is None:
                tally.undated += 1
                told = f"{veiled(record.since)!r} is no date in the past: entered as of now"
                tally.fault(Fault(record.line, told))
            yield replace(said, at=since), latest
        else:
            yield said, None


def _event(entry: Entry, terms: Terms, at: datetime) -> OptOutEvent | Fault:
    tenant = terms.tenant
    if terms.by_column:
        tenant = None if entry.tenant == EVERYONE else entry.tenant
        if tenant not in terms.regions:
            return Fault(entry.line, f"there is no tenant {entry.tenant[:63]!r}")
    subject = subject_key(entry.number, terms.regions[tenant])
    if not subject:
        return Fault(entry.line, f"{veiled(entry.number)!r} is no telephone number")
    purposes = _names(entry.purposes) or terms.purposes
    channels = _names(entry.channels) or terms.channels
    for what, names, known in (
        ("purpose", purposes, PURPOSES),
        ("channel", channels, CHANNELS),
    ):
        if strange := sorted(names.difference(known)):
            return Fault(entry.line, f"{strange[0][:32]!r} is no {what}")
    return OptOutEvent(
        subject,
        tenant,
        standing=True,
        way="import",
        actor=terms.actor,
        at=at,
        purposes=purposes,
        channels=channels,
        reason=terms.reason,
        evidence=f"{terms.file} sha256:{terms.digest} line {entry.line}",
    )


def _names(text: str) -> frozenset[str]:
    return frozenset(filter(None, _PARTED.split(text.lower())))


def _past(text: str, now: datetime) -> tuple[datetime, datetime] | None:
    """A day, which is its midnight, or a moment, in UTC where it has no offset, and the latest
    that it can mean: the end of that day, or that clock time, wherever it is latest. None for what
    is neither, or is to come."""
    try:
        read = datetime.fromisoformat(text)
        moment = read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    if moment.year < _OLDEST or moment > now:
        return None
    latest = moment
    if read.tzinfo is None:
        latest += _WEST if ":" in text or "T" in text else timedelta(days=1) + _WEST
    return moment, latest


def _plan(known: _Known, batch: Iterable[_Wanted]) -> tuple[Tally, list[OptOutEvent]]:
    """What is to be entered of a batch, given what its subjects said before; ``known`` is brought
    up to date."""
    part, new = Tally(), []
    for event, latest in batch:
        key, at = (event.subject, event.tenant), to_micros(event.at)
        held = known.get(key, [])
        wanted = cells(event.purposes, event.channels)
        stands = lifted = 0
        for covered, (standing, since) in held:
            if standing:
                stands |= covered
            elif latest is not None and since >= to_micros(latest):
                lifted |= covered
        if not wanted & ~stands & ~lifted:
            part.lifted += bool(wanted & lifted)
            part.there += not wanted & lifted
            continue
        part.widened += stands != 0
        part.new += stands == 0
        said = [event]
        if wanted & lifted:
            wanted &= ~lifted
            said = [replace(event, purposes=p, channels=c) for p, c in scopes(wanted)]
        known[key] = laid_over(held, wanted, (True, at))
        new += said
    return part, new


def _known(connection: Connection, batch: Iterable[_Wanted], seen: OptOutImage | None) -> _Known:
    subjects = {event.subject for event, _ in batch}
    known = standing_cells(connection, subjects)
    if seen is not None:
        for subject, tenant in {(event.subject, event.tenant) for event, _ in batch}:
            covered = seen.cells(subject, tenant)
            known[subject, tenant] = laid_over(known.get((subject, tenant), []), covered, (True, 0))
    return known


def _write(
    database: Database,
    batch: Sequence[_Wanted],
    planned: tuple[int, Tally, list[OptOutEvent]],
    terms: Terms,
    at: datetime,
) -> tuple[Tally, float]:
    """Enters a batch in one transaction: what was planned or, where the table has grown since, by
    a plan made anew. Also how long others were held up."""
    newest, part, events = planned
    rows, entry = _prepared(newest, events, terms, at)  # before others are held up
    for tries_left in reversed(range(TRIES)):
        try:
            with database.writing() as connection:
                began = time.monotonic()
                if (now := _newest(connection)) != newest:
                    newest = now
                    part, events = _plan(_known(connection, batch, None), batch)
                    rows, entry = _prepared(newest, events, terms, at)
                if rows:
                    _insert(connection, rows, entry)
            return part, time.monotonic() - began
        except OperationalError as error:
            if not (_is_busy(error) and tries_left):
                raise
            time.sleep(random.uniform(0.05, 0.5))
    raise AssertionError


def _prepared(
    newest: int, events: Iterable[OptOutEvent], terms: Terms, at: datetime
) -> tuple[list[dict[str, object]], Audit]:
    """The rows that follow the newest one, and what the audit log says of them."""
    rows = [{"seq": n, **as_row(event)} for n, event in enumerate(events, newest + 1)]
    details = {"file": terms.digest, "rows": len(rows), "sha256": rows_digest(rows)}
    target = f"optout:{newest + 1}-{newest + len(rows)}"
    return rows, Audit(at, terms.actor, "optout.import", target, terms.tenant, details)


def _insert(connection: Connection, rows: list[dict[str, object]], entry: Audit) -> None:
    connection.execute(insert(opt_outs), rows)
    append(connection, entry)


def _newest(connection: Connection) -> int:
    return connection.execute(select(func.max(opt_outs.c.seq))).scalar_one() or 0


def _is_busy(error: OperationalError) -> bool:
    return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
