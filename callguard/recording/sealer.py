"""The sealer of this node: seals recordings while they run, and closes those that have ended.

Order: header and wrapped file key durable (recorder) -> each chunk sealed, durable, and its audio
released from the spool (live) -> final length durable, last chunk, payload committed, row marked
sealed, in-progress key erased, spool entry removed (closing).
"""

import asyncio
from datetime import datetime
from functools import partial

import structlog
from sqlalchemy import Connection, select

from callguard.clock import Clock
from callguard.recording.closing import Closer
from callguard.recording.formats import FORMATS
from callguard.recording.keys import KeyWrapper
from callguard.recording.live import LiveSealing, rest_s
from callguard.recording.progress import burst_s
from callguard.recording.recorder import OpenRecording, Recorder
from callguard.recording.spool import Spool, SpoolEntryMissing, SpoolError
from callguard.recording.store.objects import ObjectStore
from callguard.storage.database import Database
from callguard.storage.faults import one_line
from callguard.storage.journal import Journal
from callguard.storage.schema import recordings
from callguard.tenants.directory import TenantDirectory

log = structlog.get_logger(__name__)

SETTLE_S = 0.3
"""Between two looks at a spool entry."""

SETTLE_LOOKS = 20

WORKERS = 8
"""How many recordings are closed at the same time; most of them wait."""


class Sealer:
    """Seals recordings, each once, until it succeeds."""

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
        self._spool = spool
        self._recorder = recorder
        self.live = LiveSealing(
            clock,
            database,
            spool,
            store,
            wrapper,
            recorder,
            on_closing=self.ended,
            has_ended=self.has_ended,
        )
        self._closer = Closer(
            clock, database, journal, spool, store, wrapper, tenants, recorder, self.live
        )
        self._queue: asyncio.Queue[tuple[OpenRecording, int]] = asyncio.Queue()
        self._queued: dict[str, datetime] = {}
        self._failures = 0
        self.sealed = 0

    @property
    def backlog(self) -> int:
        """Recordings that have ended and are not sealed yet."""
        return len(self._queued)

    @property
    def behind(self) -> int:
        """Recordings in progress whose plaintext waits in the spool because sealing it failed."""
        return self.live.failing

    @property
    def failures(self) -> int:
        """How often something could not be sealed."""
        return self._failures + self.live.failures

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
        await self._take_up()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.live.run())
            for _ in range(WORKERS):
                group.create_task(self._work(group))

    async def _take_up(self) -> None:
        """What a former process had begun to close has ended, whatever the PBX tells."""
        if not self._recorder.in_progress():
            return
        try:
            closing = await self._database.read(_read_closing)
        except Exception as error:  # the PBX tells of them too, only later
            log.error("closings_not_read", reason=one_line(error))
            return
        for recording in self._recorder.in_progress():
            if recording.id in closing:
                self.ended(recording)

    async def _work(self, group: asyncio.TaskGroup) -> None:
        while True:
            recording, attempt = await self._queue.get()
            try:
                await self._close(recording)
            except Exception as error:  # one recording that cannot be sealed holds up no other
                self._failures += 1
                delay = rest_s(attempt)
                log.error(
                    "sealing_failed", recording=recording.id, reason=str(error), again_in_s=delay
                )
                group.create_task(self._again(recording, attempt + 1, delay))
            else:
                self._queued.pop(recording.id, None)
                self._recorder.done(recording.id)
                self.live.forget(recording.id)

    async def _again(self, recording: OpenRecording, attempt: int, delay: float) -> None:
        await asyncio.sleep(delay)
        self._queue.put_nowait((recording, attempt))

    async def _close(self, recording: OpenRecording) -> None:
        await self._settle(recording)
        ended = self._queued.get(recording.id) or self._clock.now()
        if await self._closer.close(recording, ended):
            self.sealed += 1

    async def _settle(self, recording: OpenRecording) -> None:
        """Waits until Asterisk has let the spool entry go. Raises SpoolError when it does not, so
        that one recording never keeps a worker from the others.

        Where nobody says whether it still has the file open, only a silence longer than the time
        between two bursts shows that it does not."""
        coding = FORMATS.get(recording.encoding)
        if coding is None:
            return  # closing it says so
        silence = burst_s(coding.wav.bytes_per_second)
        undisturbed = self.live.payload(recording).undisturbed
        last, since = -1, self._clock.monotonic()
        for _ in range(SETTLE_LOOKS):
            try:
                look = partial(self._look, recording.spool_name)
                writer, size = await asyncio.to_thread(undisturbed, look)
            except SpoolEntryMissing:
                return
            now = self._clock.monotonic()
            last, since = (last, since) if size == last else (size, now)
            if writer is False or (writer is None and now - since >= silence):
                return
            await asyncio.sleep(SETTLE_S)
        raise SpoolError(f"spool entry {recording.spool_name} is still being written")

    def _look(self, name: str) -> tuple[bool | None, int]:
        with self._spool.open(name) as entry:
            size = entry.size()
        return self._spool.has_writer(name), size


def _read_closing(connection: Connection) -> set[str]:
    began = select(recordings.c.id).where(
        recordings.c.state == "recording", recordings.c.plain_bytes.is_not(None)
    )
    return set(connection.execute(began).scalars())
