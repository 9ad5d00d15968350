"""Writes down what becomes of recordings while they run."""

import asyncio
from collections import deque
from functools import partial

import structlog
from sqlalchemy import Connection, insert, select

from callguard.clock import Clock
from callguard.recording.events import Kind, RecordingEvent, as_row
from callguard.recording.recorder import OpenRecording
from callguard.retention.schedule import Keep
from callguard.storage.journal import Journal, NotDurableError, Row
from callguard.storage.schema import recording_events
from callguard.tenants.directory import TenantDirectory
from callguard.tenants.keeping import keeping_evidence

log = structlog.get_logger(__name__)

RETRY_S = 1.0
AT_ONCE = 256
UNKEPT = 20_000
"""Most changes that wait to be written; beyond it the database is gone for good."""


class RecordingLog:
    """One row for each change, kept as long as the consent to it. What cannot be written is
    tried again in the order in which it happened; what waits is lost with the process."""

    def __init__(self, clock: Clock, journal: Journal, tenants: TenantDirectory) -> None:
        self._clock = clock
        self._journal = journal
        self._tenants = tenants
        self._unkept: deque[Row] = deque()
        self._due = asyncio.Event()

    @property
    def alarms(self) -> tuple[str, ...]:
        """One line while any wait to be written."""
        waiting = len(self._unkept)
        told = f"changes of recordings that could not be written down yet: {waiting}"
        return (told,) if waiting else ()

    async def run(self) -> None:
        """Tries again for ever."""
        while True:
            await self._due.wait()
            await asyncio.sleep(RETRY_S)
            some = [row for row, _ in zip(self._unkept, range(AT_ONCE), strict=False)]
            try:
                await self._journal.write(partial(_enter, rows=some))
            except NotDurableError:
                continue
            for _ in some:
                self._unkept.popleft()
            if not self._unkept:
                self._due.clear()
                log.info("recording_events_kept")

    def keep(self, recording: OpenRecording) -> Keep:
        """Until when its rows are kept."""
        return keeping_evidence(self._tenants.get(recording.tenant), recording.concern)

    def note(
        self, recording: OpenRecording, kind: Kind, by: str, reason: str | None = None
    ) -> None:
        """Nobody waits for it."""
        row = self._row(recording, kind, by, reason)
        self._journal.post(row, on_lost=partial(self._later, row))

    async def keep_wish(self, recording: OpenRecording, kind: Kind, by: str) -> bool:
        """What somebody wished; whether it is durable."""
        try:
            await self._journal.insert(self._row(recording, kind, by, None))
        except NotDurableError as error:
            log.error("wish_not_durable", recording=recording.id, kind=kind, reason=str(error))
            return False
        return True

    def _later(self, row: Row) -> None:
        if len(self._unkept) >= UNKEPT:
            log.error("recording_event_lost", recording=row.values["recording_id"])
            return
        self._unkept.append(row)
        self._due.set()

    def _row(self, recording: OpenRecording, kind: Kind, by: str, reason: str | None) -> Row:
        event = RecordingEvent(
            recording.id,
            recording.call_id,
            recording.tenant,
            kind,
            by,
            self._clock.now(),
            reason,
        )
        return as_row(event, self.keep(recording))


def _enter(connection: Connection, rows: list[Row]) -> None:
    """One that was written after all is not written twice."""
    ids = [row.values["id"] for row in rows]
    known = select(recording_events.c.id).where(recording_events.c.id.in_(ids))
    there = set(connection.execute(known).scalars())
    for row in rows:
        if row.values["id"] not in there:
            connection.execute(insert(row.table).values(**row.values))
