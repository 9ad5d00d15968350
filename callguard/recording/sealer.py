"""Sealing what was recorded: from the spool into the object store, then the plaintext goes.

Order: header and wrapped file key durable (recorder) -> payload whole and durable in the store
-> row marked sealed, in-progress key erased -> spool entry removed. A crash between any two
leaves the spool entry or the sealed recording, never neither; sealing again uses a fresh nonce.
"""

import asyncio
import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import Connection, Row, select, update

from callguard.audit.log import Entry, append
from callguard.clock import Clock
from callguard.recording import age
from callguard.recording.events import CALLGUARD, RecordingEvent
from callguard.recording.events import as_row as event_row
from callguard.recording.keys import KeyWrapper, unwrap_file_key
from callguard.recording.objects import ObjectStore, ObjectStoreError
from callguard.recording.payload import seal_stream
from callguard.recording.recorder import OpenRecording, Recorder, close_without_audio
from callguard.recording.spool import Spool, SpoolEntry, SpoolEntryMissing, SpoolError
from callguard.recording.wav import WavFormat
from callguard.retention.schedule import expires_at
from callguard.storage.database import Database
from callguard.storage.journal import Journal
from callguard.storage.schema import recordings
from callguard.tenants.directory import TenantDirectory
from callguard.tenants.tenant import Tenant, days_kept, evidence_days

log = structlog.get_logger(__name__)

SETTLE_S = 0.3
"""Between two looks at a spool entry."""

SETTLE_LOOKS = 20

BURST_S = 2.5
"""MixMonitor writes in bursts of 32 KiB, two seconds of audio apart: where nobody says whether it
still has the file open, only a longer silence shows that it does not."""

WORKERS = 2
READ_BYTES = 1 << 20
RETRY_S = (1.0, 5.0, 30.0, 60.0)


@dataclass(frozen=True, slots=True)
class Sealed:
    """What the sealed recording is."""

    payload: str
    plain_bytes: int
    sealed_bytes: int
    sha256: str


class Sealer:
    """Seals recordings that have ended, each once, until it succeeds."""

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
    ) -> None:
        self._clock = clock
        self._database = database
        self._journal = journal
        self._spool = spool
        self._store = store
        self._wrapper = wrapper
        self._tenants = tenants
        self._recorder = recorder
        self._queue: asyncio.Queue[tuple[OpenRecording, int]] = asyncio.Queue()
        self._queued: dict[str, datetime] = {}
        self.sealed = 0
        self.failures = 0

    @property
    def backlog(self) -> int:
        """Recordings that have ended and are not sealed yet."""
        return len(self._queued)

    def ended(self, recording: OpenRecording) -> None:
        """Says that no more audio will come. Saying it again changes nothing; the first time is
        the end of the recording, from which its retention counts.

        The queue needs no bound of its own: it holds no more than the recordings in progress.
        """
        if recording.id not in self._queued:
            self._queued[recording.id] = self._clock.now()
            self._queue.put_nowait((recording, 0))

    def has_ended(self, recording_id: str) -> bool:
        """Whether no more audio comes to it, and it waits to be sealed."""
        return recording_id in self._queued

    async def run(self) -> None:
        """Seals for ever."""
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(self._work(group))

    async def _work(self, group: asyncio.TaskGroup) -> None:
        while True:
            recording, attempt = await self._queue.get()
            try:
                await self._close(recording)
            except Exception as error:  # one recording that cannot be sealed holds up no other
                self.failures += 1
                delay = RETRY_S[min(attempt, len(RETRY_S) - 1)]
                log.error(
                    "sealing_failed", recording=recording.id, reason=str(error), again_in_s=delay
                )
                group.create_task(self._again(recording, attempt + 1, delay))
            else:
                self._queued.pop(recording.id, None)
                self._recorder.done(recording.id)

    async def _again(self, recording: OpenRecording, attempt: int, delay: float) -> None:
        await asyncio.sleep(delay)
        self._queue.put_nowait((recording, attempt))

    async def _close(self, recording: OpenRecording) -> None:
        await self._settle(recording)
        row = await self._database.read(
            lambda c: c.execute(
                select(recordings).where(recordings.c.id == recording.id)
            ).one_or_none()
        )
        if row is None or row.state != "recording":
            await asyncio.to_thread(self._spool.remove, recording.spool_name)
            return
        tenant = self._tenants.get(row.tenant_id)
        days = days_kept(tenant, "recording")
        try:
            done = await asyncio.to_thread(self._seal, row)
        except SpoolEntryMissing:
            if await self._without_audio(recording, "lost", days):
                self._lost(recording, tenant)
            await asyncio.to_thread(self._spool.remove, recording.spool_name)
            return
        except (SpoolError, ObjectStoreError):
            if await self._in_progress(recording):
                raise
            # It was erased under our hands.
            await asyncio.to_thread(self._store.delete, [recording.id])
            await asyncio.to_thread(self._spool.remove, recording.spool_name)
            return
        if done is None:
            await self._without_audio(recording, "empty", days)
        else:
            ended = self._ended_at(recording)
            expires = expires_at(ended, days)
            at = self._clock.now()
            kept = await self._journal.write(
                lambda c: mark_sealed(c, row, done, ended, at, expires), timeout=30.0
            )
            if kept:
                self.sealed += 1
                log.info("sealed", recording=recording.id, bytes=done.sealed_bytes)
            else:  # it was erased while it was being sealed
                await asyncio.to_thread(self._store.delete, [done.payload])
        await asyncio.to_thread(self._spool.remove, recording.spool_name)

    async def _in_progress(self, recording: OpenRecording) -> bool:
        state = select(recordings.c.state).where(recordings.c.id == recording.id)
        found = await self._database.read(lambda c: c.execute(state).scalar_one_or_none())
        return found == "recording"

    def _lost(self, recording: OpenRecording, tenant: Tenant | None) -> None:
        faults = self._recorder.faults
        faults["recording_lost"] = faults.get("recording_lost", 0) + 1
        log.error("recording_lost", recording=recording.id, call=recording.call_id)
        event = RecordingEvent(
            recording.id,
            recording.call_id,
            recording.tenant,
            "lost",
            CALLGUARD,
            self._clock.now(),
            "its spool entry is missing",
        )
        self._journal.post(event_row(event, evidence_days(tenant)))

    async def _without_audio(self, recording: OpenRecording, state: str, days: int) -> bool:
        at = self._ended_at(recording)
        expires = expires_at(at, days)
        return await self._journal.write(
            lambda c: close_without_audio(c, recording.id, state, at, expires), timeout=30.0
        )

    def _ended_at(self, recording: OpenRecording) -> datetime:
        return self._queued.get(recording.id) or self._clock.now()

    async def _settle(self, recording: OpenRecording) -> None:
        """Waits until Asterisk has let the spool entry go. Raises SpoolError when it does not, so
        that one recording never keeps a worker from the others."""
        last, since = -1, self._clock.monotonic()
        for _ in range(SETTLE_LOOKS):
            try:
                writer, size = await asyncio.to_thread(self._look, recording.spool_name)
            except SpoolEntryMissing:
                return
            now = self._clock.monotonic()
            last, since = (last, since) if size == last else (size, now)
            if writer is False or (writer is None and now - since >= BURST_S):
                return
            await asyncio.sleep(SETTLE_S)
        raise SpoolError(f"spool entry {recording.spool_name} is still being written")

    def _look(self, name: str) -> tuple[bool | None, int]:
        with self._spool.open(name) as entry:
            size = entry.size()
        return self._spool.has_writer(name), size

    def _seal(self, row: Row[tuple[object, ...]]) -> Sealed | None:
        """In a thread. None for a recording without a sample."""
        with self._spool.open(row.spool_name) as entry:
            size = entry.size()
            if size == 0:
                return None
            file_key = unwrap_file_key(self._wrapper, row.wrapped_file_key, row.id)
            header = WavFormat().header()
            plain = itertools.chain([header], _pieces(entry, size))
            digest = hashlib.sha256()
            self._store.delete([row.id])  # a part that a crash left in the way
            sealed = self._store.put(
                row.id, _hashed(seal_stream(plain, file_key, age.new_nonce()), digest)
            )
            if entry.size() != size:
                raise SpoolError(f"spool entry {entry.name} grew while it was sealed")
        return Sealed(row.id, len(header) + size, sealed, digest.hexdigest())


def mark_sealed(
    connection: Connection,
    row: Row[tuple[object, ...]],
    sealed: Sealed,
    ended: datetime,
    at: datetime,
    expires: datetime,
) -> bool:
    """Enters the sealed recording and erases the key it was in progress under. False where the
    recording was erased meanwhile."""
    marked = connection.execute(
        update(recordings)
        .where(recordings.c.id == row.id, recordings.c.state == "recording")
        .values(
            state="sealed",
            wrapped_file_key=None,
            payload=sealed.payload,
            plain_bytes=sealed.plain_bytes,
            sealed_bytes=sealed.sealed_bytes,
            payload_sha256=sealed.sha256,
            ended_at=ended,
            sealed_at=at,
            expires_at=expires,
        )
    )
    if not marked.rowcount:
        return False
    details = {"sha256": sealed.sha256, "bytes": sealed.sealed_bytes}
    entry = Entry(at, "callguard", "recording.seal", f"recording:{row.id}", row.tenant_id, details)
    append(connection, entry)
    return True


def _pieces(entry: SpoolEntry, size: int) -> Iterator[bytes]:
    offset = 0
    while offset < size:
        piece = entry.read(offset, min(READ_BYTES, size - offset))
        if not piece:
            raise SpoolError(f"spool entry {entry.name} ends at {offset} of {size} bytes")
        offset += len(piece)
        yield piece


def _hashed(pieces: Iterator[bytes], digest: "hashlib._Hash") -> Iterator[bytes]:
    for piece in pieces:
        digest.update(piece)
        yield piece
