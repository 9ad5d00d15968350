"""Erasing recordings: tombstone in the erasure ledger and header and key gone, in one transaction;
from there on no copy of the payload can be opened. Then plaintext and payload go. The row itself
goes with the next purge, which also takes up what a crash left half done."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import structlog
from sqlalchemy import Connection, insert, select, update

from callguard.audit.log import Entry, append
from callguard.clock import Clock
from callguard.recording.events import RecordingEvent, as_row
from callguard.recording.objects import ObjectStore, ObjectStoreError
from callguard.recording.recorder import OpenRecording
from callguard.recording.spool import Spool, SpoolError
from callguard.storage.journal import Journal, NotDurableError
from callguard.storage.schema import erasures, recording_events, recordings

log = structlog.get_logger(__name__)


def begin_erasures(connection: Connection, ids: Sequence[str], at: datetime) -> list[str]:
    """The first step, for those that exist and are not being erased yet; returns which."""
    rows = connection.execute(
        select(recordings.c.id, recordings.c.payload).where(
            recordings.c.id.in_(ids), recordings.c.state != "erasing"
        )
    ).all()
    if not rows:
        return []
    connection.execute(
        insert(erasures),
        [
            {
                "data_class": "recording",
                "object_id": row.id,
                # What is just being sealed lies under its own id before the row says so.
                "payload": row.payload or row.id,
                "at": at,
            }
            for row in rows
        ],
    )
    begun = [row.id for row in rows]
    connection.execute(
        update(recordings)
        .where(recordings.c.id.in_(begun))
        .values(state="erasing", header=None, wrapped_file_key=None)
    )
    return begun


@dataclass(frozen=True, slots=True)
class Eraser:
    """Erases one recording at once, whatever state it is in."""

    clock: Clock
    journal: Journal
    spool: Spool
    store: ObjectStore
    durable_s: float = 2.0

    async def erase(self, recording: OpenRecording, *, by: str, days: int) -> bool:
        """Whether it is durable that nobody can open the recording any more. ``days`` is how long
        it is kept that it was erased. What cannot be removed now is by the next purge, or at the
        next start."""
        event = RecordingEvent(
            recording.id, recording.call_id, recording.tenant, "erased", by, self.clock.now()
        )
        try:
            await self.journal.write(
                partial(_begin, event=event, days=days), timeout=self.durable_s
            )
        except NotDurableError as error:
            log.error("erasure_not_durable", recording=recording.id, reason=str(error))
            return False
        await asyncio.to_thread(self.remove, recording)
        log.info("recording_erased", recording=recording.id, call=recording.call_id)
        return True

    def remove(self, recording: OpenRecording) -> None:
        """In a thread: what lies in the spool and in the store goes."""
        try:
            self.spool.remove(recording.spool_name)
        except SpoolError as error:
            log.error("plaintext_not_removed", recording=recording.id, reason=str(error))
        try:
            self.store.delete([recording.id])
        except ObjectStoreError as error:
            log.error("payload_not_removed", recording=recording.id, reason=str(error))


def _begin(connection: Connection, event: RecordingEvent, days: int) -> None:
    """A second erasure, and one whose purge is done already, changes nothing."""
    if not begin_erasures(connection, [event.recording_id], event.at):
        return
    connection.execute(insert(recording_events).values(**as_row(event, days).values))
    target = f"recording:{event.recording_id}"
    append(connection, Entry(event.at, event.by, "recording.erase", target, event.tenant, {}))
