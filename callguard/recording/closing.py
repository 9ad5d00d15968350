"""Closing a recording: what is left of it is sealed, the payload committed, the row marked.

Order: Asterisk has let go -> whole chunks sealed -> the final length durable in the row -> last
chunk sealed, payload committed -> row marked sealed, in-progress key erased -> spool entry removed.
A crash between any two leaves what the next process needs to go on; the last chunk is only ever
sealed from the length that is durable.
"""

import asyncio
import math
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import structlog
from sqlalchemy import Connection, Row, or_, select, update

from callguard.audit.log import Entry, append
from callguard.clock import Clock
from callguard.recording.about import ABOUT, ITS_CALL, concern_of
from callguard.recording.ending import Sealed, ending_name
from callguard.recording.events import CALLGUARD, Kind, RecordingEvent, as_row
from callguard.recording.formats import FORMATS
from callguard.recording.growing import GrowingPayload, SpoolGrewError
from callguard.recording.keys import KeyWrapper, unwrap_file_key
from callguard.recording.live import LiveSealing
from callguard.recording.part import PartMissing
from callguard.recording.progress import missing_at_most, missing_of_all
from callguard.recording.recorder import (
    RESERVED,
    OpenRecording,
    Recorder,
    close_without_audio,
)
from callguard.recording.spool import Spool, SpoolEntryMissing, SpoolError
from callguard.recording.store.objects import ObjectStore, ObjectStoreError
from callguard.storage.alive import sooner
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from callguard.storage.schema import calls, recordings
from callguard.tenants.directory import TenantDirectory
from callguard.tenants.keeping import keeping_evidence, kept_until

log = structlog.get_logger(__name__)

DURABLE_S = 30.0
RecordingRow = Row[tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class End:
    """How a recording closes: what was sealed, and how much audio is missing from it at most."""

    sealed: Sealed
    missing: int = 0
    reason: str | None = None


class Closer:
    """Closes one recording after another. What it raises is tried again by its caller."""

    def __init__(
        self,
        clock: Clock,
        database: Database,
        journal: Journal,
        spool: Spool,
        store: ObjectStore,
        wrapper: KeyWrapper,
        tenants: TenantDirectory,
        recorder: Recorder,
        live: LiveSealing,
    ) -> None:
        self._clock = clock
        self._database = database
        self._journal = journal
        self._spool = spool
        self._store = store
        self._wrapper = wrapper
        self._tenants = tenants
        self._recorder = recorder
        self._live = live

    async def close(self, recording: OpenRecording, ended: datetime) -> bool:
        """Closes a recording of which Asterisk has let go; whether it is sealed now. Raises
        SpoolError, ObjectStoreError, KeyStoreError, NotDurableError, TimeoutError."""
        row = await self._row(recording)
        if row is None or row.state != "recording":
            await self._tidy(recording, payload=row is None or row.state == "erasing")
            return False
        tenant = self._tenants.get(row.tenant_id)
        expires = kept_until(tenant, "recording", ended, concern=concern_of(row))
        try:
            end = await self._end(recording, row, ended)
        except (SpoolError, ObjectStoreError):
            row = await self._row(recording)
            if row is not None and row.state == "recording":
                raise
            await self._tidy(recording, payload=True)  # it was erased under our hands
            return False
        if isinstance(end, str):
            closed = await self._journal.write(
                partial(
                    close_without_audio,
                    recording_id=recording.id,
                    state=end,
                    at=ended,
                    expires=expires,
                ),
                timeout=DURABLE_S,
            )
            if closed and end == "lost":
                self._tell(recording, "lost", "recording_lost", "its spool entry is missing")
            await asyncio.to_thread(self._live.payload(recording).discard)
            await self._tidy(recording, payload=False)
            return False
        at = self._clock.now()
        marking = partial(mark_sealed, row=row, end=end, ended=ended, at=at, expires=expires)
        kept = await self._journal.write(marking, timeout=DURABLE_S)
        if kept:
            log.info("sealed", recording=recording.id, bytes=end.sealed.sealed_bytes)
            if end.reason is not None:
                self._tell(recording, "cut", "recording_cut", end.reason)
        await self._tidy(recording, payload=not kept)
        return kept

    async def _row(self, recording: OpenRecording) -> RecordingRow | None:
        found = select(recordings, *ABOUT).outerjoin(calls, ITS_CALL)
        wanted = found.where(recordings.c.id == recording.id)
        return await self._database.read(lambda c: c.execute(wanted).one_or_none())

    async def _end(self, recording: OpenRecording, row: RecordingRow, ended: datetime) -> End | str:
        """What the recording is now, or ``empty`` or ``lost``."""
        if row.encoding not in FORMATS:
            raise SpoolError(f"recording {row.id} is coded in an unknown way: {row.encoding}")
        payload = self._live.payload(recording)
        file_key = unwrap_file_key(self._wrapper, row.wrapped_file_key, row.id)
        payload.give_key(file_key, closing=row.plain_bytes is not None)
        plain: int | None = row.plain_bytes
        try:
            if plain is not None:
                sealed = await asyncio.to_thread(payload.finish, plain, first=False)
            else:
                size = await asyncio.to_thread(payload.catch_up)
                if not size:
                    return "empty"
                sealed = await self._first_end(row, payload, payload.header_size + size)
        except SpoolEntryMissing:
            if not self._spool.is_there():
                raise
            return await self._cut_short(row, payload, plain, ended)
        except PartMissing:
            await asyncio.to_thread(payload.start_over)
            raise
        except ObjectStoreError:
            if plain is not None or not await asyncio.to_thread(self._store.exists, row.id):
                raise
            # Committed by a callguard that did not enter the length first.
            sealed = await asyncio.to_thread(payload.finish, 0, first=False)
        return _as_it_is(row, sealed, row.missing_bytes or payload.silenced)

    async def _first_end(self, row: RecordingRow, payload: GrowingPayload, plain: int) -> Sealed:
        await self._set_length(row, plain, known=None)
        try:
            return await asyncio.to_thread(payload.finish, plain, first=True)
        except SpoolGrewError:
            # No last chunk was sealed yet, and none is until it has ended anew.
            await self._set_length(row, None, known=plain)
            await asyncio.to_thread(payload.reopen)
            raise

    async def _cut_short(
        self, row: RecordingRow, payload: GrowingPayload, plain: int | None, ended: datetime
    ) -> End | str:
        """The spool entry is gone: what was sealed while the call ran is what there is."""
        kept = await asyncio.to_thread(payload.salvage)
        if not kept:
            return "lost"
        missing = row.missing_bytes
        if missing is None:
            missing = self._missing(row, payload, kept, plain, ended) + payload.silenced
        await self._set_length(row, kept, missing, known=plain)
        sealed = await asyncio.to_thread(payload.finish, kept, first=False)
        return _as_it_is(row, sealed, missing)

    def _missing(
        self,
        row: RecordingRow,
        payload: GrowingPayload,
        kept: int,
        plain: int | None,
        ended: datetime,
    ) -> int:
        """Bytes of audio that are missing at most, where ``kept`` bytes of plaintext are sealed."""
        if plain is not None:
            return max(0, plain - kept)
        header, rate = payload.header_size, FORMATS[row.encoding].wav.bytes_per_second
        if payload.seen_at is None:
            lasted = (ended - row.started_at).total_seconds()
            return missing_of_all(header, kept, lasted, rate)
        unseen = self._clock.monotonic() - payload.seen_at
        return missing_at_most(header, kept, payload.spooled, unseen, rate)

    async def _set_length(
        self, row: RecordingRow, plain: int | None, missing: int | None = None, *, known: int | None
    ) -> None:
        """Makes the final length of the plaintext durable, in the place of the one ``known`` so
        far; None: it has none yet. Raises SpoolError where the recording was erased meanwhile, or
        another process gave it another end."""
        work = partial(
            _enter_length, recording_id=row.id, known=known, plain=plain, missing=missing
        )
        if not await self._journal.write(work, timeout=DURABLE_S):
            raise SpoolError(f"recording {row.id} is no longer in progress as it was")

    async def _tidy(self, recording: OpenRecording, *, payload: bool) -> None:
        if payload:
            names = [recording.id, ending_name(recording.id)]
            await asyncio.to_thread(self._store.delete, names)
        await asyncio.to_thread(self._spool.remove, recording.spool_name)

    def _tell(self, recording: OpenRecording, kind: Kind, fault: str, reason: str) -> None:
        faults = self._recorder.faults
        faults[fault] = faults.get(fault, 0) + 1
        log.error(fault, recording=recording.id, call=recording.call_id, reason=reason)
        event = RecordingEvent(
            recording.id,
            recording.call_id,
            recording.tenant,
            kind,
            CALLGUARD,
            self._clock.now(),
            reason,
        )
        keep = keeping_evidence(self._tenants.get(recording.tenant), recording.concern)
        self._journal.post(as_row(event, keep))


def _as_it_is(row: RecordingRow, sealed: Sealed, at_most: int) -> End:
    """What came late is known to the byte; of what went with the spool or a part, only the most
    that it can have been."""
    missing = at_most + sealed.late
    if not missing:
        return End(sealed)
    seconds = FORMATS[row.encoding].wav.duration(missing)
    told = f"at most {math.ceil(seconds * 10) / 10:.1f}" if at_most else f"{seconds:.1f}"
    return End(sealed, missing, f"{told} s of its audio are missing")


def _enter_length(
    connection: Connection,
    recording_id: str,
    known: int | None,
    plain: int | None,
    missing: int | None,
) -> bool:
    """Two lengths for one recording would be two last chunks under one nonce."""
    length = recordings.c.plain_bytes
    as_it_was = or_(length.is_not_distinct_from(known), length.is_not_distinct_from(plain))
    changed = connection.execute(
        update(recordings)
        .where(recordings.c.id == recording_id, recordings.c.state == "recording", as_it_was)
        .values(plain_bytes=plain, missing_bytes=missing, reserved=bytes(RESERVED - 16))
    )
    return changed.rowcount > 0


def mark_sealed(
    connection: Connection,
    row: RecordingRow,
    end: End,
    ended: datetime,
    at: datetime,
    expires: datetime | None,
) -> bool:
    """Enters the sealed recording and erases the key it was in progress under. False where the
    recording was erased meanwhile."""
    sealed = end.sealed
    marked = connection.execute(
        update(recordings)
        .where(recordings.c.id == row.id, recordings.c.state == "recording")
        .values(
            state="sealed",
            wrapped_file_key=None,
            reserved=None,
            payload=sealed.payload,
            plain_bytes=sealed.plain_bytes,
            sealed_bytes=sealed.sealed_bytes,
            payload_sha256=sealed.sha256,
            missing_bytes=end.missing or None,
            ended_at=ended,
            sealed_at=at,
            expires_at=sooner(recordings.c.expires_at, expires),
        )
    )
    if not marked.rowcount:
        return False
    details: dict[str, object] = {"sha256": sealed.sha256, "bytes": sealed.sealed_bytes}
    if end.missing:
        details["missing"] = end.missing
    entry = Entry(at, "callguard", "recording.seal", f"recording:{row.id}", row.tenant_id, details)
    append(connection, entry)
    return True
