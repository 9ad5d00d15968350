"""Reading recordings: lists, the sealed file, and the plain one for those who may."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Row, and_, or_, select

from callguard.recording import age
from callguard.recording.keys import KeyWrapper, open_tenant_identity
from callguard.recording.playback.ranges import Payload, SealedRecording
from callguard.recording.store.objects import ObjectStore
from callguard.retention.holds.covering import is_held
from callguard.storage.alive import alive
from callguard.storage.schema import recordings, tenant_keys

RecordingRow = Row[tuple[object, ...]]


class RecordingError(LookupError):
    """A recording that cannot be read; one line that says why."""


@dataclass(frozen=True, slots=True)
class WrappedIdentity:
    """A tenant's identity as it lies in the database; ``wrapped`` is None once destroyed."""

    version: int
    wrapped: bytes | None


def listed(
    connection: Connection,
    *,
    now: datetime,
    tenant: str | None = None,
    call: str | None = None,
    before: str | None = None,
    limit: int = 1000,
    held: bool = False,
    expired: bool = False,
) -> list[RecordingRow]:
    """Recordings that have not expired, newest first; ``held`` adds those that have and that a hold
    keeps, of which alone there are with ``expired``. ``before`` is the last one of the page
    before."""
    wanted = [visible(now, held=held)]
    if expired:
        wanted.append(~alive(recordings, now))
    if tenant is not None:
        wanted.append(recordings.c.tenant_id == tenant)
    if call is not None:
        wanted.append(recordings.c.call_id == call)
    if before is not None:
        wanted.append(recordings.c.id < before)
    # By id, which sorts by the time of making and, unlike that time, is there only once.
    newest = select(recordings).where(and_(*wanted)).order_by(recordings.c.id.desc())
    return list(connection.execute(newest.limit(limit)))


def visible(now: datetime, *, held: bool = False) -> ColumnElement[bool]:
    """Whether a row of ``recordings`` has not expired; ``held`` also takes those that have and that
    a hold keeps."""
    fresh = alive(recordings, now)
    return or_(fresh, is_held(recordings)) if held else fresh


def wrapped_identities(connection: Connection, tenant: str) -> tuple[WrappedIdentity, ...]:
    """A tenant's identities, the newest first."""
    keys = connection.execute(
        select(tenant_keys.c.version, tenant_keys.c.wrapped_identity)
        .where(tenant_keys.c.tenant_id == tenant)
        .order_by(tenant_keys.c.version.desc())
    )
    return tuple(WrappedIdentity(key.version, key.wrapped_identity) for key in keys)


def file_key_of(
    row: RecordingRow, identities: Sequence[WrappedIdentity], wrapper: KeyWrapper
) -> bytes:
    """The key that opens a recording. One identity after the other is unwrapped, which may ask a
    KMS, and let go of as soon as it has been tried: not on the event loop.

    Raises RecordingError where there is no identity, KeyStoreError, AgeError.
    """
    header = age.parse_header(row.header or b"")
    held = [one for one in identities if one.wrapped is not None]
    if not held:
        raise RecordingError("only the tenant holds the key; export the sealed file instead")
    for place, one in enumerate(held, start=1):
        assert one.wrapped is not None
        identity = open_tenant_identity(wrapper, one.wrapped, row.tenant_id, one.version)
        try:
            return age.unwrap(header, [identity])
        except age.NoMatchingIdentity:
            if place == len(held):
                raise
    raise AssertionError("the last identity is returned from or raised for")


def payload_of(row: RecordingRow, store: ObjectStore) -> Payload:
    """Where the payload of a sealed recording lies. Raises PayloadError where its row does not
    say."""
    if row.payload is None or row.sealed_bytes is None:
        raise age.PayloadError(f"the row of recording {row.id} does not say what its payload is")
    return Payload(store, row.payload, row.sealed_bytes, row.payload_sha256)


def sealed_recording(row: RecordingRow, store: ObjectStore) -> SealedRecording:
    """The recording as an ordinary age file. Raises HeaderError and PayloadError where its row does
    not say what it is."""
    return SealedRecording(row.header or b"", payload_of(row, store))


def sealed_file(row: RecordingRow, store: ObjectStore) -> Iterator[bytes]:
    """The age file from beginning to end. Raises AgeError, ObjectStoreError."""
    whole = sealed_recording(row, store)
    return whole.pieces(0, whole.size)
