"""Recordings sealed by the real code into a store and a database, as a sealer leaves them."""

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert, select

from callguard.ids import uuid7
from callguard.recording import age, payload
from callguard.recording.formats import FORMATS
from callguard.recording.store.objects import ObjectStore
from callguard.storage.database import Database
from callguard.storage.schema import (
    audit,
    consents,
    contacts,
    holds,
    recordings,
    tenant_keys,
    tenant_recipients,
)

CALL = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
SUBJECT = "+442079460123"
AUDIO = bytes(range(256)) * 300


def seal_into(
    database: Database,
    store: ObjectStore,
    now: datetime,
    tenant: str = "acme",
    audio: bytes = AUDIO,
    coding: str = "pcm-8000-1",
    subject: str | None = SUBJECT,
    **changed: Any,
) -> str:
    """One recording for the recipients that the tenant has; returns its id."""
    name = str(uuid7(now))
    plain = FORMATS[coding].wav.header() + audio
    file_key = age.new_file_key()
    sealed = b"".join(payload.seal_stream([plain], file_key, age.new_nonce()))
    store.put(name, [sealed])
    with database.writing() as connection:
        found = [
            text
            for table in (tenant_keys, tenant_recipients)
            for text in connection.execute(
                select(table.c.recipient).where(table.c.tenant_id == tenant)
            ).scalars()
        ]
        values = {
            "id": name,
            "tenant_id": tenant,
            "call_id": CALL,
            "pbx": "east",
            "channel_uniqueid": "1.1",
            "state": "sealed",
            "spool_name": f"{'0' * 32}.sln",
            "encoding": coding,
            "header": age.build_header(file_key, [age.parse_recipient(text) for text in found]),
            "payload": name,
            "plain_bytes": len(plain),
            "sealed_bytes": len(sealed),
            "payload_sha256": hashlib.sha256(sealed).hexdigest(),
            "started_at": now,
            "ended_at": now,
            "sealed_at": now,
            "expires_at": now + timedelta(days=90),
        }
        connection.execute(insert(recordings).values(**{**values, **changed}))
    if subject is not None:
        agree(database, now, tenant, subject, str(values["call_id"]))
    return name


def agree(database: Database, now: datetime, tenant: str, subject: str, call: str = CALL) -> None:
    """The subject's consent to a call being recorded."""
    with database.writing() as connection:
        connection.execute(
            insert(consents).values(
                id=str(uuid7(now)),
                tenant_id=tenant,
                call_id=call,
                subject=subject,
                purpose="recording",
                state="granted",
                at=now,
            )
        )


def restrict(
    database: Database, now: datetime, tenant: str = "acme", subject: str = SUBJECT
) -> None:
    """The subject has processing restricted."""
    known = {"restricted_since": now.isoformat()}
    with database.writing() as connection:
        connection.execute(
            insert(contacts).values(tenant_id=tenant, subject=subject, known=known, updated_at=now)
        )


def hold(database: Database, now: datetime, **what: str) -> str:
    """A hold on a tenant, a subject or a call; returns its id."""
    name = str(uuid7(now))
    with database.writing() as connection:
        values = {"id": name, "reason": "a claim", "author": "test", "at": now}
        connection.execute(insert(holds).values(**values, **what))
    return name


def change(database: Database, recording: str, **values: Any) -> None:
    """Alters the row of a recording."""
    with database.writing() as connection:
        where = recordings.c.id == recording
        connection.execute(recordings.update().where(where).values(**values))


def logged(
    database: Database, wanted: Callable[[str], bool] = lambda _: True
) -> list[tuple[str, str, str]]:
    """Actor, action and details of the acts on recordings in the audit log, oldest first."""
    query = select(audit).where(audit.c.target.like("recording%")).order_by(audit.c.seq)
    with database.reading() as connection:
        rows = connection.execute(query).all()
    return [(row.actor, row.action, row.details) for row in rows if wanted(row.action)]
