"""One delivery in the database: an attempt begins, fails or succeeds. Synchronous, inside a writing
transaction."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection, Row, and_, select, update
from sqlalchemy.sql import ColumnElement

from callguard.audit.log import Entry, append
from callguard.recording.delivery.due import OPEN, WITHHELD, Key
from callguard.recording.delivery.parcel import Parcel, Receipt, said, weigh
from callguard.recording.delivery.places import Place, read_place
from callguard.recording.delivery.retrying import LONGEST_S, delay, is_stuck
from callguard.recording.playback.admission import is_restricted
from callguard.recording.playback.reading import sealed_file
from callguard.recording.store.objects import ObjectStore
from callguard.recording.tombstones import known_mark
from callguard.storage.alive import time_seen
from callguard.storage.schema import deliveries, recordings, tenant_places

ACTOR = "callguard"

LOOK_AGAIN = timedelta(hours=1)
"""After so long it is looked at again whether what keeps a recording from going still does."""


@dataclass(frozen=True, slots=True)
class Job:
    """What one attempt sends, read once: the recording's row and the place as they were when it
    began. ``mark`` tells that place from any other (``mark_of``)."""

    place: Place
    mark: str
    row: Row[tuple[object, ...]]

    @property
    def key(self) -> Key:
        return self.row.id, self.place.name


def place_of(row: Row[tuple[object, ...]]) -> Place:
    """Raises PlaceError."""
    return read_place(
        row.tenant_id, row.name, row.kind, row.settings, keep=row.keep, at=row.added_at
    )


def mark_of(row: Row[tuple[object, ...]]) -> str:
    """What tells a place from one of the same name that was made anew, whatever the clock said."""
    made = [row.kind, row.settings, row.added_at.isoformat()]
    return hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()


def begin(connection: Connection, key: Key, now: datetime) -> Job | None:
    """Begins an attempt. None where nothing is to be sent, now or ever; the row says why. Raises
    PlaceError where the place's settings cannot be read, LedgerError while it is not known what was
    erased; the row is as it was."""
    known_mark(connection)
    delivery = connection.execute(
        select(deliveries).where(_is(key), deliveries.c.state.in_(OPEN))
    ).one_or_none()
    if delivery is None:
        return None
    recording = connection.execute(
        select(recordings).where(recordings.c.id == delivery.recording_id)
    ).one_or_none()
    place = connection.execute(
        select(tenant_places).where(
            tenant_places.c.tenant_id == delivery.tenant_id,
            tenant_places.c.name == delivery.place,
            tenant_places.c.added_at <= delivery.begun_at,
        )
    ).one_or_none()
    seen = time_seen(connection, now)
    reason = _nothing_to_send(recording, seen) or ("the place was removed" if place is None else "")
    if reason or recording is None or place is None:
        close(connection, key, reason)
        return None
    begun_at = delivery.begun_at
    if (only_stored := why_only_stored(connection, recording)) is not None:
        connection.execute(
            update(deliveries)
            .where(_is(key))
            .values(state=WITHHELD, next_at=now + LOOK_AGAIN, reason=only_stored)
        )
        return None
    if delivery.state == WITHHELD:
        begun_at = max(now, begun_at)  # until now nobody could have delivered it
    found = place_of(place)
    state = "stuck" if delivery.state == "stuck" else "sending"
    connection.execute(
        update(deliveries)
        .where(_is(key))
        .values(state=state, attempts=delivery.attempts + 1, next_at=now, begun_at=begun_at)
    )
    return Job(found, mark_of(place), recording)


def why_only_stored(connection: Connection, recording: Row[tuple[object, ...]]) -> str | None:
    """Why it may neither go anywhere nor go from here: GDPR art. 18(2), by the rule for readings
    (``callguard.recording.playback.access``), of whose grounds none is named here. None where it
    may."""
    match is_restricted(connection, recording.tenant_id, recording.call_id):
        case True:
            return "only stored: the subject has had processing restricted"
        case None:
            return "only stored: it cannot be told whose voice it is, nor whether it is restricted"
    return None


def _nothing_to_send(recording: Row[tuple[object, ...]] | None, now: datetime) -> str:
    if recording is None or recording.state == "erasing":
        return "the recording was erased"
    if recording.state == "delivered":
        return "the recording is no longer here"
    if recording.state != "sealed" or recording.header is None:
        return f"the recording is not sealed: {recording.state}"
    if recording.expires_at is not None and recording.expires_at <= now:
        return "the recording has expired"
    return ""


def close(connection: Connection, key: Key, reason: str) -> None:
    """Nothing is to be sent any more."""
    connection.execute(
        update(deliveries)
        .where(_is(key), deliveries.c.state.in_(OPEN))
        .values(state="closed", next_at=None, reason=reason)
    )


def fail(
    connection: Connection, key: Key, reason: str, now: datetime, jitter: float, *, hopeless: bool
) -> str:
    """An attempt failed; ``hopeless`` ones count as stuck at once, but where the recording went
    meanwhile nothing did fail. Returns the state."""
    row = connection.execute(
        select(deliveries).where(_is(key), deliveries.c.state.in_(OPEN))
    ).one_or_none()
    recording = connection.execute(
        select(recordings).where(recordings.c.id == key[0])
    ).one_or_none()
    gone = _nothing_to_send(recording, time_seen(connection, now))
    if gone:
        close(connection, key, gone)
    if row is None or gone:
        return "closed"
    stuck = hopeless or row.state == "stuck" or is_stuck(row.begun_at, now)
    wait = timedelta(seconds=LONGEST_S) if stuck else delay(max(row.attempts, 1), jitter)
    state = "stuck" if stuck else "waiting"
    connection.execute(
        update(deliveries)
        .where(_is(key))
        .values(state=state, next_at=now + wait, reason=said(reason))
    )
    return state


def succeed(
    connection: Connection, job: Job, parcel: Parcel, receipt: Receipt, now: datetime
) -> None:
    """The place has it: into the row, and into the audit log, together. A confirmed one of a place
    that wishes nothing kept is looked at next."""
    answer = said(receipt.answer)
    proof = {
        "kind": job.place.kind,
        "answer": answer,
        "place": job.mark,
        "header_sha256": hashlib.sha256(job.row.header).hexdigest(),
        "payload_sha256": job.row.payload_sha256,
    }
    looked_at = receipt.confirmed and not job.place.keep
    done = connection.execute(
        update(deliveries)
        .where(_is(job.key), deliveries.c.state.in_(OPEN))
        .values(
            state="confirmed" if receipt.confirmed else "sent",
            next_at=now if looked_at else None,
            reason=None if receipt.confirmed else answer,
            confirmed_at=now if receipt.confirmed else None,
            sha256=parcel.sha256,
            bytes=parcel.size,
            proof=proof,
        )
    )
    details = {
        "place": job.place.name,
        "kind": job.place.kind,
        "sha256": parcel.sha256,
        "bytes": parcel.size,
        "confirmed": receipt.confirmed,
        "answer": answer,
        **({} if done.rowcount else {"late": True}),
    }
    target = f"recording:{job.row.id}"
    append(
        connection,
        Entry(now, ACTOR, "recording.deliver", target, job.place.tenant, details),
    )
    # What waited for this one to be there before it may be given away waits no longer.
    others = and_(
        deliveries.c.recording_id == job.row.id,
        deliveries.c.state == "confirmed",
        deliveries.c.next_at.is_not(None),
    )
    connection.execute(update(deliveries).where(others).values(next_at=now))


def pack(job: Job, store: ObjectStore) -> Parcel:
    """The recording as it is sent. In a thread: it is read once, to know its SHA-256. Raises
    OurFault where the payload is not what was sealed."""
    row = job.row
    read = partial(sealed_file, row, store)
    size, sha256 = weigh(read)
    about = {
        "recording": row.id,
        "call": row.call_id,
        "tenant": row.tenant_id,
        "started": _second(row.started_at),
        "ended": _second(row.ended_at),
        "bytes": size,
        "sha256": sha256,
    }
    return Parcel(f"{row.id}.age", size, sha256, f"{row.id}.{sha256[:16]}", about, read)


def _is(key: Key) -> ColumnElement[bool]:
    return and_(deliveries.c.recording_id == key[0], deliveries.c.place == key[1])


def _second(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="seconds")
