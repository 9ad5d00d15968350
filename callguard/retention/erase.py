"""Erasing one recording on somebody's word, and its certificate."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy import Connection, insert, select, update

from callguard.audit.log import Entry, append
from callguard.clock import Clock
from callguard.ids import uuid7
from callguard.recording.erasure import Write, erase_for_good, objects_of, of_recordings
from callguard.recording.events import RecordingEvent, as_row
from callguard.recording.playback.reading import RecordingError
from callguard.recording.spool import Spool
from callguard.recording.store.objects import ObjectStore
from callguard.retention.erasures.ledger import RECORDING, Erasure, ErasureLedger
from callguard.retention.holds.covering import HeldError, holds_on
from callguard.retention.purging.purge import end_erasures
from callguard.retention.schedule import Keep
from callguard.storage.schema import audit, erasures, purges, recording_events, recordings


@dataclass(frozen=True, slots=True)
class ErasureCertificate:
    """That a recording was erased. ``sha256`` is of the payload, if it was sealed; ``audit`` the
    sequence of the entry in the audit log; ``done_at`` is None where its row is still there, which
    the next purge takes: it was in progress, and what still writes it must see that. ``already``
    is whether it was gone before."""

    id: str | None
    recording: str
    call: str | None
    tenant: str | None
    sha256: str | None
    bytes: int | None
    erased_at: datetime
    done_at: datetime | None
    audit: int | None
    already: bool = False

    def as_json(self) -> dict[str, object]:
        return {
            "id": self.id,
            "recording": self.recording,
            "call": self.call,
            "tenant": self.tenant,
            "sha256": self.sha256,
            "bytes": self.bytes,
            "erased_at": self.erased_at.isoformat(),
            "done_at": self.done_at.isoformat() if self.done_at else None,
            "audit": self.audit,
            "already": self.already,
        }


@dataclass(frozen=True, slots=True)
class _Found:
    """A recording as it is before it is erased; ``state`` None where only a tombstone is left."""

    state: str | None = None
    call: str | None = None
    tenant: str | None = None
    spool_name: str | None = None
    sha256: str | None = None
    bytes: int | None = None
    payload: str | None = None
    erased_at: datetime | None = None
    done_at: datetime | None = None

    @property
    def may_be_written(self) -> bool:
        """Whether a sealer may still follow it, which must find the row."""
        return self.state == "recording" or (self.state == "erasing" and self.payload is None)


def recordings_of(connection: Connection, call_id: str) -> list[str]:
    """The recordings of a call of which there is something to erase. Raises RecordingError where
    there is none."""
    found = connection.execute(
        select(recordings.c.id)
        .where(recordings.c.call_id == call_id, recordings.c.state != "erasing")
        .order_by(recordings.c.started_at)
    )
    if not (ids := list(found.scalars())):
        raise RecordingError(f"there is no recording of call {call_id}")
    return ids


def require_not_held(connection: Connection, recording_ids: Sequence[str]) -> None:
    """Raises HeldError where a hold stands on one of them."""
    for recording_id in recording_ids:
        if found := holds_on(connection, recording_id):
            which = f"hold {found[0]}" if len(found) == 1 else f"holds {', '.join(found)}"
            raise HeldError(f"recording {recording_id} is not erased: {which} is on it")


async def erase_recording(
    write: Write,
    ledger: ErasureLedger,
    spool: Spool,
    store: ObjectStore,
    clock: Clock,
    recording_id: str,
    *,
    keep: Keep,
    actor: str,
    reason: str,
) -> ErasureCertificate:
    """Erases it, whatever state it is in, whether or not a service runs. ``keep`` is until when
    it is kept that it was. Erasing it again finishes what was cut off, or says that it is gone.

    Raises RecordingError where there is none, HeldError, LedgerError; SpoolError and
    ObjectStoreError where nobody can open it any more but something of it is still there.
    """
    found, at, sequence = _Found(), clock.now(), None
    certificate_id = str(uuid7(at))

    def choose(connection: Connection) -> list[Erasure]:
        nonlocal found
        found = _find(connection, recording_id)
        if found.erased_at is not None:
            return []
        require_not_held(connection, [recording_id])
        return of_recordings(connection, [recording_id], at)

    def then(connection: Connection, new: Sequence[Erasure]) -> None:
        nonlocal sequence
        certificate = {"id": certificate_id, "recording": recording_id, "counts": {RECORDING: 1}}
        if any(erasure.key == (RECORDING, recording_id) for erasure in new):
            row = {"id": certificate_id, "kind": "erase", "started_at": at}
            connection.execute(insert(purges).values(row | {"certificate": certificate}))
        sequence = _note(connection, found, recording_id, at, actor, reason, keep)

    chosen = await erase_for_good(write, ledger, choose, then)
    if not chosen and found.done_at is not None:
        return _certificate(None, recording_id, found, found.done_at, None, already=True)
    if found.spool_name is not None and spool.is_there():
        await asyncio.to_thread(spool.remove, found.spool_name)
    await asyncio.to_thread(store.delete, objects_of(recording_id, found.payload))
    done_at = None
    if not found.may_be_written:
        done_at = clock.now()
        begun = [(RECORDING, recording_id, found.payload)]
        await write(partial(end_erasures, begun=begun, at=done_at))
    if not chosen:
        return _certificate(None, recording_id, found, done_at, None, already=True)
    made = _certificate(certificate_id, recording_id, found, done_at, sequence, at=at)
    await write(partial(_keep, certificate=made, at=clock.now()))
    return made


def _find(connection: Connection, recording_id: str) -> _Found:
    row = connection.execute(
        select(recordings).where(recordings.c.id == recording_id)
    ).one_or_none()
    tombstone = connection.execute(
        select(erasures).where(
            erasures.c.object_id == recording_id, erasures.c.data_class == RECORDING
        )
    ).one_or_none()
    erased_at = tombstone.at if tombstone is not None else None
    done_at = tombstone.done_at if tombstone is not None else None
    if row is None:
        if tombstone is None:
            raise RecordingError(f"there is no recording {recording_id}")
        return _Found(payload=tombstone.payload, erased_at=erased_at, done_at=done_at)
    return _Found(
        row.state,
        row.call_id,
        row.tenant_id,
        row.spool_name,
        row.payload_sha256,
        row.sealed_bytes,
        row.payload,
        erased_at,
        done_at,
    )


def _note(
    connection: Connection,
    found: _Found,
    recording_id: str,
    at: datetime,
    actor: str,
    reason: str,
    keep: Keep,
) -> int:
    """Who erased it and why; the sequence of the entry in the audit log."""
    if found.call is not None and found.tenant is not None:
        event = RecordingEvent(recording_id, found.call, found.tenant, "erased", actor, at, reason)
        connection.execute(insert(recording_events).values(**as_row(event, keep).values))
    details = {"reason": reason, "sha256": found.sha256, "bytes": found.bytes}
    target = f"recording:{recording_id}"
    append(connection, Entry(at, actor, "recording.erase", target, found.tenant, details))
    newest = select(audit.c.seq).order_by(audit.c.seq.desc()).limit(1)
    return int(connection.execute(newest).scalar_one())


def _certificate(
    certificate_id: str | None,
    recording_id: str,
    found: _Found,
    done_at: datetime | None,
    sequence: int | None,
    *,
    at: datetime | None = None,
    already: bool = False,
) -> ErasureCertificate:
    erased_at = at or found.erased_at
    assert erased_at is not None
    return ErasureCertificate(
        certificate_id,
        recording_id,
        found.call,
        found.tenant,
        found.sha256,
        found.bytes,
        erased_at,
        done_at,
        sequence,
        already,
    )


def _keep(connection: Connection, certificate: ErasureCertificate, at: datetime) -> None:
    kept = {**certificate.as_json(), "counts": {RECORDING: 1}}
    connection.execute(
        update(purges).where(purges.c.id == certificate.id).values(finished_at=at, certificate=kept)
    )
