"""Rows with a date, of every class, for the tests of the purge."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial

from sqlalchemy import Connection, Table, func, insert, select

from callguard.recording.erasure import Write
from callguard.recording.store.folder import FolderStore
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from callguard.storage.schema import (
    archives,
    attempts,
    call_records,
    calls,
    consents,
    contacts,
    deliveries,
    erasures,
    exports,
    opt_out_claims,
    purges,
    recording_events,
    recordings,
    scrubs,
)

CLASSES = {
    "call_record": call_records,
    "verdict": calls,
    "attempt": attempts,
    "consent": consents,
    "recording": recordings,
    "recording_event": recording_events,
    "delivery": deliveries,
    "list": scrubs,
    "opt_out_claim": opt_out_claims,
}

EVERY = {**CLASSES, "contact": contacts, "archive": archives, "export": exports}
"""Also those that belong to no call."""


def patient(journal: Journal) -> Write:
    """How background work writes: no call waits for it, so it may wait long."""
    return partial(journal.write, timeout=60.0)


def put(
    database: Database,
    data_class: str,
    number: int,
    expires: datetime | None,
    *,
    tenant: str = "acme",
    at: datetime | None = None,
) -> str:
    """One row of a class; returns its id, or the unique id of a call record."""
    name = f"{data_class}-{number}"
    moment = at or expires
    common = {"tenant_id": tenant, "expires_at": expires}
    place = {"pbx": "east", "uniqueid": name, "caller": "1", "called": "2"}
    values: dict[str, object]
    if data_class == "call_record":
        ends = {"duration_s": 1, "billed_s": 1, "disposition": "ANSWERED", "userfield": ""}
        times = {"started_at": moment, "ended_at": moment, "source": "file", "sequence": number}
        values = {**place, **ends, **times, "linkedid": name, "channel": "", "peer_channel": ""}
    elif data_class == "verdict":
        lists: dict[str, object] = {"reasons": [], "obligations": [], "findings": []}
        said = {"direction": "outbound", "subject": "2", "verdict": "allow", "decided_at": moment}
        values = {"id": name, **place, **lists, **said}
    elif data_class == "attempt":
        said = {"subject": "2", "purpose": "marketing", "channel": "voice"}
        values = {"call_id": name, "at": moment or datetime.now(UTC), **said}
    elif data_class == "consent":
        said = {"purpose": "recording", "state": "granted", "prompt": "p", "language": "en"}
        heard = {"heard_ms": 1, "length_ms": 1, "at": moment, "subject": "2", "call_id": "c"}
        values = {"id": name, **said, **heard}
    elif data_class == "recording_event":
        said = {"recording_id": "r", "call_id": "c", "kind": "paused", "by": "agent"}
        values = {"id": name, "at": moment or datetime.now(UTC), **said}
    elif data_class == "delivery":
        said = {"place": "theirs", "state": "confirmed"}
        begun = {"attempts": 1, "begun_at": moment or datetime.now(UTC)}
        values = {"recording_id": name, **said, **begun}
    elif data_class == "list":
        said = {"state": "done", "actor": "test"}
        # A list always has a date; the schema wants one.
        common["expires_at"] = expires or datetime(9999, 1, 1, tzinfo=UTC)
        values = {"id": name, "asked": {}, "at": moment or datetime.now(UTC), **said}
    elif data_class == "opt_out_claim":
        said = {"subject": "2", "state": "settled", "pbx": "east", "language": "en"}
        values = {"id": name, "call_id": "c", "at": moment or datetime.now(UTC), **said}
    elif data_class == "contact":
        common["id"] = name
        values = {"subject": name, "known": {}, "updated_at": moment or datetime.now(UTC)}
    elif data_class == "archive":
        # An archive has a date, or nobody might keep it.
        common["expires_at"] = expires or datetime(9999, 1, 1, tzinfo=UTC)
        said = {"data_class": "call_record", "state": "sealed", "basis": "law"}
        sealed = {"rows": 1, "header": b"header", "payload": name, "sealed_bytes": 100}
        values = {"id": name, "at": moment or datetime.now(UTC), **said, **sealed}
    elif data_class == "export":
        said = {"kind": "cdr", "format": "csv", "state": "done", "actor": "test"}
        made = {"asked": {}, "file": f"{name}.csv", "rows": 1, "bytes": 10}
        values = {"id": name, "at": moment or datetime.now(UTC), **said, **made}
    else:
        states = {"state": "sealed", "spool_name": f"{name}.sln", "encoding": "pcm-8000-1"}
        keys = {"header": b"header", "payload": name, "sealed_bytes": 100, "started_at": moment}
        where = {"call_id": "c", "pbx": "east", "channel_uniqueid": name}
        values = {"id": name, **states, **keys, **where}
    with database.writing() as connection:
        connection.execute(insert(EVERY[data_class]).values(values | common))
    return name


def put_recording(
    database: Database,
    store: FolderStore,
    number: int,
    expires: datetime,
    *,
    tenant: str = "acme",
) -> str:
    """A sealed recording with its payload."""
    name = put(database, "recording", number, expires, tenant=tenant)
    store.put(name, [b"sealed"])
    return name


def left(database: Database, among: Mapping[str, Table] = CLASSES) -> dict[str, int]:
    """How many rows of each class there are."""
    with database.reading() as connection:
        return counts_of(connection, among)


def counts_of(connection: Connection, among: Mapping[str, Table]) -> dict[str, int]:
    """The same, as one connection sees it."""
    return {
        name: connection.execute(select(func.count()).select_from(table)).scalar_one()
        for name, table in among.items()
    }


def open_tombstones(database: Database) -> int:
    with database.reading() as connection:
        undone = select(func.count()).select_from(erasures).where(erasures.c.done_at.is_(None))
        return connection.execute(undone).scalar_one()


def certified(database: Database) -> dict[str, int]:
    """What all certificates together say was taken, those of purges cut short included."""
    total = dict.fromkeys(EVERY, 0)
    with database.reading() as connection:
        for certificate in connection.execute(select(purges.c.certificate)).scalars():
            for name, count in certificate.get("counts", {}).items():
                total[name] = total.get(name, 0) + count
    return total
