"""Keeping call records: the union of both sources, each record once."""

from collections.abc import Callable

from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert

from callguard.cdr.record import CallRecord
from callguard.retention.schedule import expires_at
from callguard.storage.schema import call_records, calls

Days = Callable[[str | None], int]
"""How many days a tenant's call records are kept; None is a tenant that is not known."""


def keep(connection: Connection, pbx: str, record: CallRecord, days: Days) -> bool:
    """Adds the record, or completes the one that is there; whether it was added.

    What the file says replaces what AMI said, never the other way round: the file has exact
    times in UTC, AMI whole seconds in Asterisk's own time zone.
    """
    values = _values(connection, pbx, record, days)
    key = ["pbx", "uniqueid", "sequence"]
    known = connection.execute(
        select(call_records.c.id, call_records.c.source).where(
            call_records.c.pbx == pbx,
            call_records.c.uniqueid == record.uniqueid,
            call_records.c.sequence == record.sequence,
        )
    ).one_or_none()
    statement = insert(call_records).values(values)
    if record.source == "file":
        statement = statement.on_conflict_do_update(index_elements=key, set_=values)
    else:
        statement = statement.on_conflict_do_nothing(index_elements=key)
    connection.execute(statement)
    return known is None


def _values(connection: Connection, pbx: str, record: CallRecord, days: Days) -> dict[str, object]:
    tenant = None
    if record.call_id is not None:
        tenant = connection.execute(
            select(calls.c.tenant_id).where(calls.c.id == record.call_id)
        ).scalar()
    kept = days(tenant)
    return {
        "pbx": pbx,
        "uniqueid": record.uniqueid,
        "sequence": record.sequence,
        "linkedid": record.linkedid,
        "call_id": record.call_id,
        "tenant_id": tenant,
        "caller": record.caller,
        "called": record.called,
        "channel": record.channel,
        "peer_channel": record.peer_channel,
        "started_at": record.started_at,
        "answered_at": record.answered_at,
        "ended_at": record.ended_at,
        "duration_s": record.duration_s,
        "billed_s": record.billed_s,
        "disposition": record.disposition,
        "userfield": record.userfield,
        "source": record.source,
        "expires_at": expires_at(record.ended_at, kept),
    }
