"""Recordings as whoever may do everything reads them."""

from datetime import datetime

from sqlalchemy import Connection

from callguard.recording.keys import KeyWrapper
from callguard.recording.payload import open_stream
from callguard.recording.playback.access import Asked, Reader
from callguard.recording.playback.admission import admitted, consider
from callguard.recording.playback.reading import (
    RecordingRow,
    file_key_of,
    payload_of,
    wrapped_identities,
)
from callguard.recording.store.objects import ObjectStore

_ASKED = Asked(Reader("test"), "age", "a test", "protection")


def sealed_row(connection: Connection, recording: str, now: datetime) -> RecordingRow:
    """The row of a sealed recording. Raises RefusedError."""
    return admitted(consider(connection, _ASKED, recording, now)).row


def plain_of(
    connection: Connection, row: RecordingRow, store: ObjectStore, wrapper: KeyWrapper
) -> bytes:
    """The plaintext as it was sealed. Raises RecordingError, KeyStoreError, AgeError,
    ObjectStoreError."""
    file_key = file_key_of(row, wrapped_identities(connection, row.tenant_id), wrapper)
    payload = payload_of(row, store)
    return b"".join(open_stream([payload.read(0, payload.size)], file_key))
