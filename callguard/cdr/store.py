"""Keeping call records: the union of both sources, each record once."""

from collections.abc import Callable

from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert

from callguard.cdr.record import CallRecord
from callguard.storage.schema import call_records, calls
from callguard.tenants.keeping import NOBODY, Concern, kept_until
from callguard.tenants.tenant import Tenant

Tenants = Callable[[str], Tenant | None]
"""The tenant of that id, which says how long its call records are kept."""


def keep(connection: Connection, pbx: str, record: CallRecord, tenants: Tenants) -> bool:
    """Adds the record, or completes the one that is there; whether it was added.

    What the file says replaces what AMI said, never the other way round: the file has exact
    times in UTC, AMI whole seconds in Asterisk's own time zone.
    """
    values = _values(connection, pbx, record, tenants)
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


def _values(
    connection: Connection, pbx: str, record: CallRecord, tenants: Tenants
) -> dict[str, object]:
    call = None
    if record.call_id is not None:
        asked = select(calls).where(calls.c.id == record.call_id)
        call = connection.execute(asked).one_or_none()
    owner, concern = None, NOBODY
    if call is not None:
        owner = tenants(call.tenant_id) if call.tenant_id else None
        concern = Concern(call.subject, call.purpose or "", call.direction)
    return {
        "pbx": pbx,
        "uniqueid": record.uniqueid,
        "sequence": record.sequence,
        "linkedid": record.linkedid,
        "call_id": record.call_id,
        "tenant_id": call.tenant_id if call is not None else None,
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
        "expires_at": kept_until(owner, "call_record", record.ended_at, concern=concern),
    }
