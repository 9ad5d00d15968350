"""Reading call records: by tenant, period and more, a page at a time.

Pages are short reads of their own, so that reading ten million records holds back neither SQLite's
log nor a call. What they promise together: each record that was there when reading began, and that
neither expired nor had its end corrected since, comes exactly once; none that came later comes; and
none that had expired when its page was read. Asterisk's file corrects the end of a record that came
by AMI within seconds of the call, so a period that lies a minute back is read exactly.
"""

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Table,
    and_,
    func,
    literal,
    or_,
    select,
    tuple_,
)

from callguard.cdr.columns import Told
from callguard.cdr.joining import joined
from callguard.cdr.only_stored import only_stored
from callguard.recording.playback.access import Ground
from callguard.retention.holds.covering import is_held
from callguard.storage.alive import alive
from callguard.storage.schema import call_records, tenants
from callguard.storage.types import Instant, from_micros, to_micros

PAGE: Final = 1_000
"""Records in one read."""

SCAN: Final = 5_000
"""Records that one read looks at, where not every one of the period is wanted."""

OF_ONE_CALL: Final = 1_000
"""Records of one call that are read at most."""

_R = call_records.c


class CursorError(ValueError):
    """What is said to be the place of a page is none."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records: those that ended from ``since`` on and before ``until``. What is empty or
    None is any; without a tenant also those of no tenant. ``number`` is a subject's key, or a
    number as the PBX wrote it where it is not known whose record it is. ``held`` takes also those
    that have expired and that a hold keeps. Without a ``ground`` the numbers of records that are
    only stored come masked."""

    tenant: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    call: str = ""
    number: str = ""
    direction: str = ""
    purpose: str = ""
    campaign: str = ""
    agent: str = ""
    disposition: str = ""
    held: bool = False
    ground: Ground | None = None

    @property
    def by(self) -> list[str]:
        """What else than tenant and period narrows it: the names, for the audit log."""
        return [name for name in _FILTERS if getattr(self, name)]


_FILTERS: Final = ("call", "number", "direction", "purpose", "campaign", "agent", "disposition")


@dataclass(frozen=True, slots=True)
class Place:
    """Where reading has come to: records are in the order of tenant (those of none first), end and
    id. ``newest`` is the highest id there was when reading began."""

    newest: int
    tenant: str | None = None
    ended_at: datetime | None = None
    id: int = 0

    def as_text(self) -> str:
        """For a program that comes back for the next page."""
        at = None if self.ended_at is None else to_micros(self.ended_at)
        told = json.dumps([self.newest, self.tenant, at, self.id], separators=(",", ":"))
        return base64.urlsafe_b64encode(told.encode()).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class Page:
    """``scanned`` is how many records of the period were looked at. ``following`` is where the next
    page begins, None at the end; a page may be short or empty before it. ``masked`` is how many of
    the records are only stored and so come without numbers."""

    records: Sequence[Told]
    scanned: int
    following: Place | None
    masked: int = 0


def read_place(text: str) -> Place:
    """The place of that text. Raises CursorError."""
    try:
        told = json.loads(base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4)))
        newest, tenant, at, name = told
        ended = None if at is None else from_micros(int(at))
        whole = isinstance(newest, int) and isinstance(name, int) and 0 <= newest < 1 << 63
        if not whole or not isinstance(tenant, str | None) or not -1 < name < 1 << 63:
            raise CursorError("the cursor is none of those that were given")
    except (ValueError, TypeError, OverflowError, binascii.Error) as error:
        raise CursorError("the cursor is none of those that were given") from error
    return Place(newest, tenant, ended, name)


def beginning(connection: Connection) -> Place:
    """The place before the first record, of those that are there now."""
    return Place(connection.execute(select(func.max(_R.id))).scalar() or 0)


def read_page(
    connection: Connection, wanted: Wanted, place: Place, now: datetime, most: int = PAGE
) -> Page:
    """The records from there on, at most so many of them."""
    if wanted.call:
        rows = connection.execute(_of_call(connection, wanted, place, now)).all()
        return _page(connection, wanted, rows, now, len(rows), None)
    narrow = _narrow(wanted)
    for owner in _owners(connection, wanted, place):
        here = place if owner == place.tenant else replace(place, ended_at=None, id=0)
        if here.ended_at and wanted.since and here.ended_at < wanted.since:
            here = replace(place, ended_at=None, id=0)  # a cursor of another period
        period = and_(_of(owner), *_period(wanted, here), _R.id <= place.newest)
        # By the index alone: however few are wanted, one read looks at no more than so many.
        keys = connection.execute(
            _in_order(select(_R.ended_at, _R.id).where(period)).limit(SCAN if narrow else most)
        ).all()
        if keys:
            upto = _key() <= _at(keys[-1])
            seen = _seen(call_records, now, wanted.held)
            found = select(call_records).where(period, upto, seen, *narrow)
            rows = connection.execute(_in_order(found).limit(most)).all()
            last = rows[-1] if len(rows) == most else keys[-1]
            following = Place(place.newest, owner, last.ended_at, last.id)
            return _page(connection, wanted, rows, now, len(keys), following)
    return Page((), 0, None)


def _page(
    connection: Connection,
    wanted: Wanted,
    rows: Sequence[Row[Any]],
    now: datetime,
    scanned: int,
    following: Place | None,
) -> Page:
    hidden = frozenset[int]() if wanted.ground else only_stored(connection, rows)
    return Page(joined(connection, rows, now, hidden), scanned, following, len(hidden))


def _seen(table: Table, now: datetime, held: bool) -> ColumnElement[bool]:
    fresh = alive(table, now)
    return or_(fresh, is_held(table)) if held else fresh


def read_pages(
    reading: Callable[[], AbstractContextManager[Connection]],
    wanted: Wanted,
    now: Callable[[], datetime],
    most: int = PAGE,
) -> Iterator[Page]:
    """All of them, each page in a read of its own, for whoever takes them one after the other."""
    with reading() as connection:
        place: Place | None = beginning(connection)
    while place is not None:
        with reading() as connection:
            page = read_page(connection, wanted, place, now(), most)
        place = page.following
        yield page


def count(connection: Connection, wanted: Wanted) -> int:
    """How many records there are of the tenant and the period, expired ones among them: what
    ``Page.scanned`` comes to. By the index alone."""
    start = Place(0)
    return sum(
        connection.execute(
            select(func.count())
            .select_from(call_records)
            .where(_of(owner), *_period(wanted, start))
        ).scalar_one()
        for owner in _owners(connection, wanted, start)
    )


def newest(connection: Connection, wanted: Wanted, now: datetime, most: int) -> list[Told]:
    """The records that ended last, the last first."""
    if wanted.call:
        place = beginning(connection)
        return list(read_page(connection, wanted, place, now).records[::-1][:most])
    period = _period(wanted, Place(0))
    found: list[Row[Any]] = []
    for owner in _owners(connection, wanted, Place(0)):
        mine = select(call_records).where(
            _of(owner), *period, _seen(call_records, now, wanted.held), *_narrow(wanted)
        )
        found += connection.execute(mine.order_by(_R.ended_at.desc(), _R.id.desc()).limit(most))
        found = sorted(found, key=lambda row: (row.ended_at, row.id), reverse=True)[:most]
    return list(_page(connection, wanted, found, now, 0, None).records)


def _owners(connection: Connection, wanted: Wanted, place: Place) -> list[str | None]:
    """Whose records are still to be read, in order."""
    if wanted.tenant is not None:
        return [wanted.tenant]
    found = connection.execute(select(tenants.c.id).order_by(tenants.c.id)).scalars()
    everybody: list[str | None] = [None, *found]
    return [one for one in everybody if place.tenant is None or (one or "") >= place.tenant]


def _of(owner: str | None) -> ColumnElement[bool]:
    return _R.tenant_id.is_(None) if owner is None else _R.tenant_id == owner


def _period(wanted: Wanted, place: Place) -> list[ColumnElement[bool]]:
    period: list[ColumnElement[bool]] = []
    if wanted.since is not None and place.ended_at is None:
        period.append(_R.ended_at >= wanted.since)
    if place.ended_at is not None:
        period.append(_key() > _at(place))
    if wanted.until is not None:
        period.append(_R.ended_at < wanted.until)
    return period


def _narrow(wanted: Wanted) -> list[ColumnElement[bool]]:
    same = {
        _R.direction: wanted.direction,
        _R.purpose: wanted.purpose,
        _R.campaign: wanted.campaign,
        _R.agent: wanted.agent,
        _R.disposition: wanted.disposition,
    }
    narrow: list[ColumnElement[bool]] = [c == value for c, value in same.items() if value]
    if wanted.number:
        shown = or_(_R.caller == wanted.number, _R.called == wanted.number)
        narrow.append(or_(_R.subject == wanted.number, and_(_R.subject.is_(None), shown)))
    return narrow


def _of_call(connection: Connection, wanted: Wanted, place: Place, now: datetime) -> Select[Any]:
    # Its few rows first, by their index; nothing else would find them as fast.
    mine = select(_R.id).where(_R.call_id == wanted.call).limit(OF_ONE_CALL)
    ids = list(connection.execute(mine).scalars())
    whose = [] if wanted.tenant is None else [_of(wanted.tenant)]
    period = _period(wanted, Place(place.newest))
    found = select(call_records).where(_R.id.in_(ids), _R.id <= place.newest, *whose, *period)
    return _in_order(found.where(_seen(call_records, now, wanted.held), *_narrow(wanted)))


def _in_order(asked: Select[Any]) -> Select[Any]:
    return asked.order_by(_R.ended_at, _R.id)


def _key() -> Any:
    return tuple_(_R.ended_at, _R.id)


def _at(place: Any) -> Any:
    return tuple_(literal(place.ended_at, Instant), literal(place.id))
