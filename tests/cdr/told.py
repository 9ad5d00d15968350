"""Call records as they lie in the database, put there for those who read them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import insert

from callguard.contacts import store as contacts
from callguard.ids import uuid7
from callguard.retention.holds.placing import NewHold, add
from callguard.storage.database import Database
from callguard.storage.schema import call_records, calls, consents, recordings

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SUBJECT = "+33123456789"
OWN = "+442079460999"


def put_record(database: Database, number: int, **changed: Any) -> None:
    """A record that ended so many seconds after noon."""
    put_records(database, [record(number, **changed)])


def put_records(database: Database, rows: list[dict[str, Any]]) -> None:
    with database.writing() as connection:
        for at in range(0, len(rows), 1_000):
            connection.execute(insert(call_records), rows[at : at + 1_000])


def record(number: int, **changed: Any) -> dict[str, Any]:
    ended = NOON + timedelta(seconds=number)
    return {
        "tenant_id": "acme",
        "pbx": "east",
        "uniqueid": f"1700000000.{number}",
        "sequence": number,
        "linkedid": f"1700000000.{number}",
        "call_id": None,
        "caller": OWN,
        "called": SUBJECT,
        "channel": "PJSIP/acme-1",
        "peer_channel": "PJSIP/carrier-1",
        "started_at": ended - timedelta(seconds=60),
        "answered_at": ended - timedelta(seconds=50),
        "ended_at": ended,
        "duration_s": 60,
        "billed_s": 50,
        "disposition": "ANSWERED",
        "userfield": "",
        "source": "file",
        "direction": "outbound",
        "purpose": "marketing",
        "campaign": "spring",
        "agent": "dana",
        "subject": SUBJECT,
        "own_number": OWN,
        "routed_to": "PJSIP/carrier",
        "cause": 16,
        "account_code": "acme",
        "expires_at": None,
        **changed,
    }


def put_call(database: Database, tenant: str = "acme", **changed: Any) -> str:
    """A call with its verdict; returns its id."""
    name = str(uuid7(NOON))
    values = {
        "id": name,
        "tenant_id": tenant,
        "pbx": "east",
        "uniqueid": "1700000000.1",
        "direction": "outbound",
        "purpose": "service",
        "subject": SUBJECT,
        "caller": OWN,
        "called": SUBJECT,
        "verdict": "allow",
        "reasons": [],
        "obligations": ["notice"],
        "findings": [],
        "decided_at": NOON,
    }
    with database.writing() as connection:
        connection.execute(insert(calls).values(**{**values, **changed}))
    return name


def put_consent(database: Database, call: str, state: str, **changed: Any) -> str:
    name = str(uuid7(NOON))
    values = {
        "id": name,
        "tenant_id": "acme",
        "call_id": call,
        "subject": SUBJECT,
        "purpose": "recording",
        "state": state,
        "at": NOON,
    }
    with database.writing() as connection:
        connection.execute(insert(consents).values(**{**values, **changed}))
    return name


def put_recording(database: Database, call: str, state: str, **changed: Any) -> str:
    name = str(uuid7(NOON))
    values = {
        "id": name,
        "tenant_id": "acme",
        "call_id": call,
        "pbx": "east",
        "channel_uniqueid": "1700000000.1",
        "state": state,
        "spool_name": f"{name}.sln",
        "encoding": "pcm-8000-1",
        "started_at": NOON,
    }
    with database.writing() as connection:
        connection.execute(insert(recordings).values(**{**values, **changed}))
    return name


def restrict(database: Database, subject: str, tenant: str = "acme") -> None:
    """The tenant restricts processing of the subject's data."""
    step = partial(replace, restricted_since=NOON)
    with database.writing() as connection:
        contacts.change(connection, tenant, subject, step, at=NOON)


def hold(database: Database, subject: str) -> None:
    """What is kept of the subject is held."""
    review = NOON + timedelta(days=30)
    with database.writing() as connection:
        add(connection, NewHold("a claim", "ann", review, subject=subject), NOON)
