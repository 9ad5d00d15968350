"""The chain of a call as it is kept: from the tables of the database, expired rows left out."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, and_, or_, select, tuple_

from callguard.consent.chain import (
    Chain,
    Decided,
    Happened,
    Linked,
    OptedOut,
    Recorded,
    Telling,
)
from callguard.consent.states import ConsentState
from callguard.ids import uuid7
from callguard.storage.alive import alive
from callguard.storage.schema import (
    call_records,
    calls,
    consents,
    opt_outs,
    recording_events,
    recordings,
)
from callguard.tenants.keeping import LONGEST_CALL

_Row = Row[Any]


def read_chain(connection: Connection, call_id: str, now: datetime) -> Chain | None:
    """All that is kept of a call; None where nothing is."""
    call = connection.execute(
        select(calls).where(calls.c.id == call_id, alive(calls, now))
    ).one_or_none()
    said = _rows(connection, consents, consents.c.call_id == call_id, now)
    events = _rows(connection, recording_events, recording_events.c.call_id == call_id, now)
    recorded = _rows(connection, recordings, recordings.c.call_id == call_id, now)
    if call is None and not (said or events or recorded):
        return None
    linked = _linked(connection, call_id, now)
    ours = {row.tenant_id for row in (*said, *events, *recorded)}
    elsewhere = [row.id for row in linked if row.tenant_id in ours]
    of_linked = _rows(connection, consents, consents.c.call_id.in_(elsewhere), now)
    tellings = [telling(row) for row in (*said, *of_linked)]
    tellings += [telling(row) for row in _on_their_channels(connection, tellings, now)]
    tellings += [telling(row) for row in _beyond(connection, tellings, now)]
    wished = select(opt_outs).where(opt_outs.c.call_id == call_id).order_by(opt_outs.c.seq)
    return Chain(
        call=call_id,
        decided=_decided(call) if call is not None else None,
        tellings=tellings,
        recordings=[*map(_recorded, recorded), *_gone(recorded, events)],
        events=[_happened(row) for row in events],
        opt_outs=[_opted_out(row) for row in connection.execute(wished)],
        linked=[
            Linked(
                id=row.id,
                tenant=row.tenant_id,
                direction=row.direction,
                subject=row.subject,
                verdict=row.verdict,
            )
            for row in linked
        ],
    )


def telling(row: _Row) -> Telling:
    """A row of the ledger as a value."""
    return Telling(
        id=row.id,
        at=row.at,
        tenant=row.tenant_id,
        subject=row.subject,
        purpose=row.purpose,
        state=ConsentState(row.state),
        call=row.call_id,
        mode=row.mode,
        rules=tuple(row.rules or ()),
        pbx=row.pbx,
        channel=row.channel_uniqueid,
        prompt=row.prompt,
        words=row.words,
        language=row.language,
        asked=row.asked,
        heard_ms=row.heard_ms,
        length_ms=row.length_ms,
        answer=row.answer,
        proof=row.proof,
        actor=row.actor,
        until=row.until,
    )


def _on_their_channels(
    connection: Connection, tellings: Sequence[Telling], now: datetime
) -> Sequence[_Row]:
    """What was told on the same channels later, in calls into which these were passed on."""
    channels = {(t.pbx, t.channel) for t in tellings if t.channel is not None}
    if not channels:
        return ()
    ids = [t.id for t in tellings]
    last = str(uuid7(max(t.at for t in tellings) + LONGEST_CALL))
    same = and_(
        # The table is in the order of its ids, which begin with the time.
        consents.c.id.between(min(ids), last),
        consents.c.id.not_in(ids),
        tuple_(consents.c.pbx, consents.c.channel_uniqueid).in_(channels),
        consents.c.tenant_id.in_({t.tenant for t in tellings}),
    )
    return _rows(connection, consents, same, now)


def _beyond(connection: Connection, tellings: Sequence[Telling], now: datetime) -> Sequence[_Row]:
    """What was said elsewhere and bears on the call: consents that its own rest on, and what its
    subjects withdrew since it began."""
    seen = {telling.id for telling in tellings}
    roots = {t.rests_on for t in tellings if t.rests_on is not None} - seen
    whose = {(t.tenant, t.subject) for t in tellings if t.subject}
    since = min((t.at for t in tellings), default=now)
    withdrawn = and_(
        tuple_(consents.c.tenant_id, consents.c.subject).in_(whose),
        consents.c.call_id.is_(None),
        consents.c.purpose == "recording",
        consents.c.state == ConsentState.WITHDRAWN.value,
        consents.c.at >= since,
    )
    return _rows(connection, consents, or_(consents.c.id.in_(roots), withdrawn), now)


def _linked(connection: Connection, call_id: str, now: datetime) -> Sequence[_Row]:
    """Other calls whose call records Asterisk linked with those of this one."""
    here = select(call_records.c.pbx, call_records.c.linkedid).where(
        call_records.c.call_id == call_id, alive(call_records, now)
    )
    links = {(row.pbx, row.linkedid) for row in connection.execute(here)}
    if not links:
        return []
    others = select(call_records.c.call_id).where(
        tuple_(call_records.c.pbx, call_records.c.linkedid).in_(links),
        call_records.c.call_id.is_not(None),
        call_records.c.call_id != call_id,
    )
    return _rows(connection, calls, calls.c.id.in_(others), now)


def _rows(
    connection: Connection, table: Table, where: ColumnElement[bool], now: datetime
) -> Sequence[_Row]:
    return connection.execute(
        select(table).where(where, alive(table, now)).order_by(table.c.id)
    ).all()


def _decided(row: _Row) -> Decided:
    return Decided(
        at=row.decided_at,
        tenant=row.tenant_id,
        direction=row.direction,
        purpose=row.purpose,
        subject=row.subject,
        verdict=row.verdict,
        obligations=tuple(row.obligations),
        findings=tuple(row.findings),
    )


def _recorded(row: _Row) -> Recorded:
    return Recorded(
        id=row.id,
        call=row.call_id,
        tenant=row.tenant_id,
        pbx=row.pbx,
        channel=row.channel_uniqueid,
        state=row.state,
        started_at=row.started_at,
        ended_at=row.ended_at,
        sealed_at=row.sealed_at,
        sha256=row.payload_sha256,
    )


def _gone(recorded: Iterable[_Row], events: Sequence[_Row]) -> list[Recorded]:
    """Recordings of which only the events are left, since they were erased."""
    there = {row.id for row in recorded}
    first, last = dict[str, _Row](), dict[str, _Row]()
    for event in events:
        if event.recording_id not in there:
            first.setdefault(event.recording_id, event)
            last[event.recording_id] = event
    return [
        Recorded(
            id=name,
            call=event.call_id,
            tenant=event.tenant_id,
            pbx="",
            channel="",
            state="gone",
            started_at=event.at,
            ended_at=last[name].at,
        )
        for name, event in first.items()
    ]


def _happened(row: _Row) -> Happened:
    return Happened(
        id=row.id,
        at=row.at,
        recording=row.recording_id,
        kind=row.kind,
        by=row.by,
        reason=row.reason,
    )


def _opted_out(row: _Row) -> OptedOut:
    return OptedOut(
        at=row.at,
        tenant=row.tenant_id,
        subject=row.subject,
        standing=row.standing,
        way=row.way,
        actor=row.actor,
        prompt=row.prompt,
    )
