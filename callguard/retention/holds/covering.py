"""Holds: what may not be erased although its time has come, as SQL.

Each of tenant, subject, call and period that a hold names must match; what it does not name is any.
A subject is held in every row that names it, or that belongs to a call which names it; in a call
record of nobody by the last digits of its numbers, however they are written. A period
holds the rows whose own instant lies in it, and those that last into it. What is in a sealed
archive nobody can tell: every hold on its tenant keeps it.
"""

from collections.abc import Collection, Iterable
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Row,
    Table,
    and_,
    case,
    exists,
    false,
    func,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.sql import ColumnElement, FromClause

from callguard.retention.holds.dialled import ends_alike, is_dialled, tail_of, tails
from callguard.storage.schema import (
    archives,
    attempts,
    call_records,
    calls,
    consents,
    contacts,
    deliveries,
    exports,
    holds,
    opt_out_claims,
    opt_outs,
    recording_events,
    recordings,
    scrubs,
)


class HeldError(PermissionError):
    """A hold forbids the erasure; one line that names it."""


Value = Any
"""What a hold names: a column of ``holds``, or what one hold has there, None for any."""

_INSTANTS: Final[dict[Table, tuple[ColumnElement[Any], ColumnElement[Any]]]] = {
    calls: (calls.c.decided_at, calls.c.decided_at),
    call_records: (call_records.c.started_at, call_records.c.ended_at),
    consents: (consents.c.at, consents.c.at),
    attempts: (attempts.c.at, attempts.c.at),
    recordings: (recordings.c.started_at, recordings.c.ended_at),
    recording_events: (recording_events.c.at, recording_events.c.at),
    deliveries: (deliveries.c.begun_at, deliveries.c.begun_at),
    contacts: (
        func.coalesce(contacts.c.exchanged_at, contacts.c.updated_at),
        func.coalesce(contacts.c.exchanged_at, contacts.c.updated_at),
    ),
    scrubs: (scrubs.c.at, scrubs.c.at),
    exports: (exports.c.at, exports.c.at),
    opt_outs: (opt_outs.c.at, opt_outs.c.at),
    opt_out_claims: (opt_out_claims.c.at, opt_out_claims.c.at),
}
"""First and last instant of a row; what is not here lies in every period."""


def any_hold(connection: Connection) -> bool:
    """Whether any hold stands."""
    stands = select(holds.c.id).where(holds.c.released_at.is_(None)).limit(1)
    return connection.execute(stands).first() is not None


@cache
def is_held(table: Table) -> ColumnElement[bool]:
    """Whether a hold that stands covers a row of a table with a tenant. Asked in a form that looks
    holds up by what they name, and not at all where none stands: a purge asks it of every row."""
    some = holds.alias()
    stands = exists(select(some.c.id).where(some.c.released_at.is_(None)))
    own, call, named = table.c, _call_of(table), holds.c
    if table is archives:
        return _stepwise(and_(stands, _hold(table, _is_any(named.tenant_id, own.tenant_id))))
    wide = and_(named.subject.is_(None), named.call_id.is_(None), _begun(table, named))
    ways = [
        _hold(table, wide, whose, until)
        for whose in (named.tenant_id.is_(None), named.tenant_id == own.tenant_id)
        for until in (named.to_at.is_(None), _before_end(table, named))
    ]
    rest = and_(_is_any(named.tenant_id, own.tenant_id), _in_period(table, holds.c))
    if call is not None:
        ways.append(_hold(table, named.subject.is_(None), named.call_id == call, rest))
        rest = and_(_is_any(named.call_id, call), rest)
    else:
        rest = and_(named.call_id.is_(None), rest)
    if "subject" in own:
        ways.append(_hold(table, named.subject == own.subject, rest))
    if table is call_records:
        ways.append(_hold(table, is_dialled(named.subject), rest))
        # Not asked hold by hold but where one ends alike.
        ends = select(tail_of(some.c.subject)).where(some.c.released_at.is_(None))
        alike = or_(*(one.in_(ends.where(some.c.subject.is_not(None))) for one in tails()))
        nobody = and_(own.subject.is_(None), alike)
        # Its own ends are worked out once, not beside every hold.
        mine = select(*(one.label(f"end_{n}") for n, one in enumerate(tails())))
        ended = mine.correlate(table).subquery()
        alikes = select(holds.c.id).join(ended, tail_of(named.subject).in_(list(ended.c)))
        these = alikes.where(named.released_at.is_(None), named.subject.startswith("+"), rest)
        ways.append(and_(nobody, exists(these.correlate(table))))
    for other, key in _naming(table):
        joined = select(holds.c.id).join(other, other.c.subject == named.subject)
        of_call = joined.where(key == call, named.released_at.is_(None), rest)
        ways.append(exists(of_call.correlate(table)))
    return _stepwise(and_(stands, or_(*ways)))


def _stepwise(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """The same, looked at only as far as it takes: of a condition that is selected as a column
    SQLite works out every part."""
    return case((condition, true()), else_=false())


def is_covered(table: Table, hold: Any) -> ColumnElement[bool]:
    """Whether one hold, a row of ``holds``, covers a row, released or not."""
    return _covers(table, hold)


def holds_on(connection: Connection, recording_id: str) -> list[str]:
    """The ids of the holds that stand on a recording."""
    found: Iterable[str] = connection.execute(
        select(holds.c.id)
        .select_from(recordings)
        .where(recordings.c.id == recording_id, holds.c.released_at.is_(None))
        .join(holds, _covers(recordings, holds.c))
        .order_by(holds.c.at, holds.c.id)
    ).scalars()
    return list(found)


def standing_on(
    connection: Connection, table: Table, these: ColumnElement[bool], known: Collection[str] = ()
) -> list[str]:
    """The ids of the holds that stand on any of these rows, but of those that are known."""
    stands = and_(holds.c.released_at.is_(None), holds.c.id.not_in(known))

    def covering(*, alike: bool) -> ColumnElement[bool]:
        covered = select(table.c.tenant_id).where(these, _covers(table, holds.c, alike=alike))
        return exists(covered.correlate(holds))

    where = covering(alike=False)
    if table is call_records:
        # Only those holds are asked for that end as one of these numbers does.
        ends = connection.execute(select(*tails()).where(these, call_records.c.subject.is_(None)))
        found = {one for row in ends for one in row if one is not None}
        ending = select(holds.c.id).where(stands, tail_of(holds.c.subject).in_(found))
        ids = connection.execute(ending).scalars().all() if found else []
        where = or_(where, and_(holds.c.id.in_(ids), covering(alike=True)))
    return list(connection.execute(select(holds.c.id).where(stands, where)).scalars())


def first_on_keys(connection: Connection, tenant: str) -> str | None:
    """The oldest hold for which the keys of a tenant must stay, if there is one: one that names
    the tenant, or no tenant and a period or nothing, or else the subject or call of a recording of
    the tenant's. One that is about others is none."""
    named, own = holds.c, recordings.c
    stands, of_none = named.released_at.is_(None), named.tenant_id.is_(None)
    wide = and_(of_none, named.subject.is_(None), named.call_id.is_(None))
    its = [select(named.id).where(stands, or_(named.tenant_id == tenant, wide))]
    with_its = holds.join(recordings, own.tenant_id == tenant)
    on_call = (named.subject.is_(None), named.call_id == own.call_id)
    its.append(select(named.id).select_from(with_its).where(stands, of_none, *on_call))
    rest = and_(_is_any(named.call_id, own.call_id), _in_period(recordings, named))
    for other, key in _naming(recordings):
        named_there = with_its.join(
            other, and_(key == own.call_id, other.c.subject == named.subject)
        )
        its.append(select(named.id).select_from(named_there).where(stands, of_none, rest))
    oldest = select(named.id).where(named.id.in_(union_all(*its))).order_by(named.at, named.id)
    found: str | None = connection.execute(oldest.limit(1)).scalar()
    return found


def standing(connection: Connection) -> list[Row[Any]]:
    """The holds that stand, the oldest first."""
    wanted = select(holds).where(holds.c.released_at.is_(None)).order_by(holds.c.at, holds.c.id)
    return list(connection.execute(wanted))


def _hold(table: Table, *where: ColumnElement[bool]) -> ColumnElement[bool]:
    found = select(holds.c.id).where(holds.c.released_at.is_(None), *where)
    return exists(found.correlate(table))


def _covers(table: Table, hold: Any, *, alike: bool = True) -> ColumnElement[bool]:
    """``hold`` are the columns of ``holds``, or one row of it; ``alike`` is whether numbers that
    end as its own count."""
    own, call = table.c, _call_of(table)
    of_tenant = _matches(hold.tenant_id, lambda: own.tenant_id == hold.tenant_id)
    if table is archives:
        return of_tenant
    whose: list[ColumnElement[bool]] = []
    if "subject" in own:
        whose.append(own.subject == hold.subject)
    if table is call_records and hold.subject is not None:
        whose.append(is_dialled(hold.subject))
        if alike:
            whose.append(and_(own.subject.is_(None), ends_alike(hold.subject)))
    for other, key in _naming(table):
        names = select(other.c.subject).where(key == call, other.c.subject == hold.subject)
        whose.append(exists(names.correlate(table, holds)))
    return and_(
        of_tenant,
        _matches(hold.call_id, lambda: _same(call, hold.call_id)),
        _matches(hold.subject, lambda: or_(~true(), *whose)),
        _in_period(table, hold),
    )


def _in_period(table: Table, hold: Any) -> ColumnElement[bool]:
    ends = _matches(hold.to_at, lambda: _before_end(table, hold))
    return and_(_begun(table, hold), ends)


def _begun(table: Table, hold: Any) -> ColumnElement[bool]:
    """Whether the period had begun when the row was over; what has no end yet lasts."""
    if table not in _INSTANTS:
        return true()
    last = _INSTANTS[table][1]
    return _matches(hold.from_at, lambda: or_(last.is_(None), last >= hold.from_at))


def _before_end(table: Table, hold: Any) -> ColumnElement[bool]:
    """Whether the row began before the end of the period, which is one that has an end."""
    if table not in _INSTANTS:
        return true()
    began: ColumnElement[bool] = _INSTANTS[table][0] < hold.to_at
    return began


def _matches(value: Value, condition: Any) -> ColumnElement[bool]:
    """Whether a hold that names this is met; naming nothing, it is."""
    if value is None:
        return true()
    if isinstance(value, ColumnElement):
        return or_(value.is_(None), condition())
    met: ColumnElement[bool] = condition()
    return met


def _is_any(named: ColumnElement[Any], own: ColumnElement[Any]) -> ColumnElement[bool]:
    return or_(named.is_(None), named == own)


def _same(call: ColumnElement[Any] | None, named: Value) -> ColumnElement[bool]:
    return ~true() if call is None else call == named


def _call_of(table: Table) -> ColumnElement[Any] | None:
    """The call that a row belongs to; None where rows belong to none."""
    if table is calls:
        return calls.c.id
    if table is deliveries:
        of_recording = recordings.alias()
        found = select(of_recording.c.call_id).where(of_recording.c.id == deliveries.c.recording_id)
        return found.correlate(deliveries).scalar_subquery()
    return table.c.get("call_id")


def _naming(table: Table) -> list[tuple[FromClause, ColumnElement[Any]]]:
    """Where the subjects of a row's call are named, and by which key it is found there."""
    if _call_of(table) is None:
        return []
    call, consent, record = calls.alias(), consents.alias(), call_records.alias()
    found: list[tuple[FromClause, ColumnElement[Any]]] = [
        (consent, consent.c.call_id),
        (record, record.c.call_id),
    ]
    return found if table is calls else [(call, call.c.id), *found]
