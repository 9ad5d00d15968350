"""Records that come late: over before they are entered, or told of better when much has gone."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert

from callguard.cdr.record import CallRecord
from callguard.cdr.whose import JUDGED, Owner, Values
from callguard.recording.late_rows import any_hold, believed, let_go
from callguard.storage.schema import call_records
from callguard.tenants.directory import TenantDirectory
from callguard.tenants.keeping import kept_until

Key = tuple[str, int]


def over_at(
    record: CallRecord, owner: Owner, expires: object, tenants: TenantDirectory
) -> datetime | None:
    """When a record is over that was never entered, or was purged before.

    One that names a call of ours without a verdict any more, and nothing else that tells whose it
    was, may be of any tenant that we had then: it is kept no longer than the shortest of them says.
    """
    until = expires if isinstance(expires, datetime) else None
    if owner.tenant_id is not None or record.call_id is None:
        return until
    ends = [until]
    for tenant in tenants.all():
        had = tenant.ended_at is None or record.started_at < tenant.ended_at
        if had and ("call_record" in tenant.retention or tenant.ended_at is not None):
            ends.append(kept_until(tenant, "call_record", record.ended_at))
    return min((end for end in ends if end is not None), default=None)


def enter_hidden(
    connection: Connection, pbx: str, over: Mapping[Key, Values], now: datetime
) -> int:
    """Enters, of records that are over, those that a hold covers, and those that only a clock makes
    so which is not believed; how many. Nobody sees them, and the purge takes them in its time."""
    if not over:
        return 0
    certain, held = believed(connection, now), any_hold(connection)
    doubted = {key for key, values in over.items() if _expires(values) > certain}
    staying = over if held else {key: over[key] for key in doubted}
    if staying:
        connection.execute(insert(call_records), list(staying.values()))
    gone = let_go(connection, pbx, over.keys() - doubted) if held else 0
    return len(staying) - gone


def _expires(values: Values) -> datetime:
    found = values["expires_at"]
    assert isinstance(found, datetime)
    return found


def completed(row: Row[Any], values: Values, owner: Owner, now: datetime) -> Values:
    """A row as the file tells of it now. Whose it is, it may know better, for a verdict may have
    gone since; its time then moves with the end of the call. What is hidden stays so."""
    if owner.direction is None and (row.direction is not None or row.tenant_id is not None):
        values = values | {name: getattr(row, name) for name in JUDGED}
        values["call_id"] = values["call_id"] or row.call_id
        moved = values["ended_at"] - row.ended_at
        values["expires_at"] = None if row.expires_at is None else row.expires_at + moved
    if row.expires_at is not None and row.expires_at <= now:
        values = values | {"expires_at": row.expires_at}
    return values
