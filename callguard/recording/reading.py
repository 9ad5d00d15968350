"""Reading recordings: lists, the sealed file, and the plain one for those who may."""

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import Connection, Row, select

from callguard.recording import age
from callguard.recording.keys import KeyWrapper, open_tenant_identity
from callguard.recording.objects import ObjectStore
from callguard.recording.payload import open_stream
from callguard.storage.schema import recordings, tenant_keys

READ_BYTES = 1 << 20

RecordingRow = Row[tuple[object, ...]]


class RecordingError(LookupError):
    """A recording that cannot be read; one line that says why."""


def listed(
    connection: Connection, *, now: datetime, tenant: str | None = None, limit: int = 1000
) -> list[RecordingRow]:
    """Recordings that have not expired, newest first."""
    visible = select(recordings).where(
        (recordings.c.expires_at.is_(None)) | (recordings.c.expires_at > now)
    )
    if tenant is not None:
        visible = visible.where(recordings.c.tenant_id == tenant)
    return list(connection.execute(visible.order_by(recordings.c.started_at.desc()).limit(limit)))


def find_sealed(connection: Connection, recording_id: str, *, now: datetime) -> RecordingRow:
    """The row of a sealed recording that has not expired. Raises RecordingError."""
    row = connection.execute(
        select(recordings).where(recordings.c.id == recording_id)
    ).one_or_none()
    if row is None or (row.expires_at is not None and row.expires_at <= now):
        raise RecordingError(f"there is no recording {recording_id}")
    if row.state != "sealed":
        raise RecordingError(f"recording {recording_id} is not sealed: {row.state}")
    return row


def sealed_file(row: RecordingRow, store: ObjectStore) -> Iterator[bytes]:
    """The recording as an ordinary age file: header, then payload. Raises ObjectStoreError."""
    yield row.header
    yield from _payload(row, store)


def plain_file(
    connection: Connection, row: RecordingRow, store: ObjectStore, wrapper: KeyWrapper
) -> Iterator[bytes]:
    """The recording as a WAV, opened with the tenant's own identity.

    Raises RecordingError where callguard holds no identity that opens it, KeyStoreError,
    AgeError and ObjectStoreError.
    """
    keys = connection.execute(
        select(tenant_keys)
        .where(tenant_keys.c.tenant_id == row.tenant_id)
        .order_by(tenant_keys.c.version.desc())
    )
    identities = [
        open_tenant_identity(wrapper, key.wrapped_identity, row.tenant_id, key.version)
        for key in keys
    ]
    if not identities:
        raise RecordingError("only the tenant holds the key; export the sealed file instead")
    file_key = age.unwrap(age.parse_header(row.header), identities)
    return open_stream(_payload(row, store), file_key)


def _payload(row: RecordingRow, store: ObjectStore) -> Iterator[bytes]:
    offset = 0
    while offset < row.sealed_bytes:
        piece = store.read(row.payload, offset, min(READ_BYTES, row.sealed_bytes - offset))
        if not piece:
            raise RecordingError(f"the payload of {row.id} ends at {offset} bytes")
        offset += len(piece)
        yield piece
