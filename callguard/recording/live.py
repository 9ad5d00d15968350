"""Sealing while the call runs: one look at all recordings in progress four times a second, and from
a few threads the work on those that have a whole chunk.

A recording that cannot be sealed now keeps its plaintext in the spool, is tried again later, and
holds up no other.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection, Row, select
from sqlalchemy.exc import SQLAlchemyError

from callguard.clock import Clock
from callguard.recording.ending import ending_name
from callguard.recording.formats import FORMATS
from callguard.recording.growing import GrowingPayload
from callguard.recording.keys import KeyStoreError, KeyWrapper, unwrap_file_key
from callguard.recording.lost_entries import LostEntries
from callguard.recording.part import PartMissing
from callguard.recording.recorder import OpenRecording, Recorder
from callguard.recording.spool import Spool, SpoolEntryMissing, SpoolError
from callguard.recording.store.objects import ObjectStore, ObjectStoreError
from callguard.storage.database import Database
from callguard.storage.faults import one_line
from callguard.storage.schema import recordings

log = structlog.get_logger(__name__)

ROUND_S = 0.25
"""Between two looks at the recordings in progress."""

THREADS = 3
"""How many parts are made durable at the same time."""

RETRY_S = (1.0, 5.0, 30.0, 60.0)
ASKED_AT_ONCE = 500


@dataclass(slots=True)
class _Trouble:
    attempts: int
    not_before: float


class LiveSealing:
    """The payloads of all recordings in progress. ``failures`` counts what could not be sealed
    when it was due."""

    def __init__(
        self,
        clock: Clock,
        database: Database,
        spool: Spool,
        store: ObjectStore,
        wrapper: KeyWrapper,
        recorder: Recorder,
        *,
        on_closing: Callable[[OpenRecording], None] = lambda _: None,
        has_ended: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """``on_closing`` is told of one whose end was durable already; ``has_ended`` is whether no
        more audio comes to one."""
        self._clock = clock
        self._database = database
        self._spool = spool
        self._store = store
        self._wrapper = wrapper
        self._recorder = recorder
        self._on_closing = on_closing
        self.lost_entries = LostEntries(clock, recorder, has_ended)
        self._payloads: dict[str, GrowingPayload] = {}
        self._troubles: dict[str, _Trouble] = {}
        self._gone: set[str] = set()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="seal")
        self._stopping = False
        self.failures = 0

    @property
    def failing(self) -> int:
        """Recordings in progress that could not be sealed when it was last tried."""
        return len(self._troubles)

    async def run(self) -> None:
        """Seals for ever."""
        self._stopping = False
        try:
            while True:
                try:
                    await self.round()
                except Exception as error:  # the next one may succeed
                    self.failures += 1
                    log.error("sealing_round_failed", reason=one_line(error))
                await asyncio.sleep(ROUND_S)
        finally:
            self._stopping = True

    def payload(self, recording: OpenRecording) -> GrowingPayload:
        """What is known of a recording's payload."""
        found = self._payloads.get(recording.id)
        if found is None:
            layout = FORMATS[recording.encoding].wav  # others are not looked at, nor closed
            found = GrowingPayload(
                recording.id, recording.spool_name, layout, self._spool, self._store
            )
            self._payloads[recording.id] = found
        return found

    def forget(self, recording_id: str) -> None:
        """It was closed: its key goes."""
        found = self._payloads.pop(recording_id, None)
        if found is not None:
            found.forget_key()
        self._troubles.pop(recording_id, None)
        self._gone.discard(recording_id)
        self.lost_entries.forget(recording_id)

    async def round(self) -> None:
        """One look at all, and what follows from it."""
        looked_at = self._to_look_at()
        if not looked_at:
            return
        loop = asyncio.get_running_loop()
        now = self._clock.monotonic()
        due, lost = await loop.run_in_executor(self._pool, self._look, looked_at, now)
        await self._tell_of(lost)
        due = await self._with_keys(due)
        if not due:
            return
        shares = [due[start::THREADS] for start in range(min(THREADS, len(due)))]
        work = [loop.run_in_executor(self._pool, self._advance, share) for share in shares]
        outcomes = [one for share in await asyncio.gather(*work) for one in share]
        missing = [r for r, error in outcomes if isinstance(error, PartMissing)]
        begun = [r for r, _ in outcomes if (p := self._payloads.get(r.id)) and p.begun_anew]
        await self._check(missing, begun)
        for recording, error in outcomes:
            if error is None or recording.id in self._gone:
                self._troubles.pop(recording.id, None)
            else:
                self._failed(recording, error)
        for recording in missing:
            await self._part_lost(recording)

    def _to_look_at(self) -> list[tuple[OpenRecording, GrowingPayload]]:
        now = self._clock.monotonic()
        return [
            (recording, self.payload(recording))
            for recording in self._recorder.in_progress()
            if recording.id not in self._gone
            and recording.encoding in FORMATS
            and ((trouble := self._troubles.get(recording.id)) is None or trouble.not_before <= now)
        ]

    def _look(
        self, looked_at: Sequence[tuple[OpenRecording, GrowingPayload]], now: float
    ) -> tuple[list[OpenRecording], list[OpenRecording]]:
        """In a thread: those that have something to seal, and those whose spool entry is gone while
        they run."""
        due, lost = [], []
        for recording, payload in looked_at:
            try:
                size = payload.look(now)
            except SpoolError:
                continue  # closing it says so
            if size is not None:
                if payload.is_due(size):
                    due.append(recording)
            elif self.lost_entries.is_new(recording, was_seen=payload.seen_at is not None, now=now):
                lost.append(recording)
        # A spool that is away as a whole may come back.
        return due, lost if lost and self._spool.is_there() else []

    async def _tell_of(self, lost: Sequence[OpenRecording]) -> None:
        """Of those that are still in progress, as far as that is known."""
        rows = await self._read(r.id for r in lost)
        for recording in lost:
            row = rows.get(recording.id) if rows is not None else None
            if rows is not None and (row is None or row.state != "recording"):
                self._gone.add(recording.id)  # erased; whoever closes it tidies up
            else:
                self.lost_entries.tell(recording)

    async def _with_keys(self, due: Sequence[OpenRecording]) -> list[OpenRecording]:
        """Those whose key is here, or can be had now."""
        new = {r.id: r for r in due if not self.payload(r).has_key}
        rows = await self._read(new)
        if rows is None:
            return [r for r in due if r.id not in new]
        for recording_id, recording in new.items():
            row = rows.get(recording_id)
            if row is None or row.state != "recording":
                self._gone.add(recording_id)  # erased; whoever closes it tidies up
            elif row.plain_bytes is not None:
                self._gone.add(recording_id)
                self._on_closing(recording)
            else:
                try:
                    self.payload(recording).give_key(
                        unwrap_file_key(self._wrapper, row.wrapped_file_key, recording_id)
                    )
                except KeyStoreError as error:
                    self._failed(recording, error)
        return [r for r in due if self.payload(r).has_key]

    async def _read(self, which: Iterable[str]) -> dict[str, Row[tuple[object, ...]]] | None:
        """The rows of recordings; None where the database does not answer: whatever has its key
        already goes on without it."""
        ids = sorted(which)
        if not ids:
            return {}

        def read(connection: Connection) -> dict[str, Row[tuple[object, ...]]]:
            found: dict[str, Row[tuple[object, ...]]] = {}
            for start in range(0, len(ids), ASKED_AT_ONCE):
                wanted = recordings.c.id.in_(ids[start : start + ASKED_AT_ONCE])
                for row in connection.execute(select(recordings).where(wanted)):
                    found[str(row.id)] = row
            return found

        try:
            return await self._database.read(read)
        except (SQLAlchemyError, TimeoutError) as error:
            self.failures += 1
            log.error("recordings_not_read", reason=one_line(error))
            return None

    def _advance(
        self, share: Sequence[OpenRecording]
    ) -> list[tuple[OpenRecording, Exception | None]]:
        """In a thread: each is sealed as far as it goes."""
        outcomes: list[tuple[OpenRecording, Exception | None]] = []
        for recording in share:
            payload = self._payloads.get(recording.id)
            if self._stopping or payload is None:
                continue
            try:
                payload.advance()
            except SpoolEntryMissing:
                outcomes.append((recording, None))  # closing it says so
            except Exception as error:  # one that cannot be sealed holds up no other
                outcomes.append((recording, error))
            else:
                outcomes.append((recording, None))
        return outcomes

    async def _check(
        self, missing: Sequence[OpenRecording], begun: Sequence[OpenRecording]
    ) -> None:
        """A recording that was erased while its part was made leaves none behind."""
        suspected = {r.id: r for r in (*missing, *begun)}
        rows = await self._read(suspected)
        if rows is None:
            return  # it is asked again, as long as the part is thought to be new
        erased = [r for r in suspected if r not in rows or rows[r].state == "erasing"]
        for recording_id in erased:
            self._gone.add(recording_id)
            if (payload := self._payloads.get(recording_id)) is not None:
                payload.forget_key()
        if erased:
            names = [name for id_ in erased for name in (id_, ending_name(id_))]
            await asyncio.to_thread(self._store.delete, names)
        for recording in begun:
            if (payload := self._payloads.get(recording.id)) is not None:
                payload.may_be_there()

    async def _part_lost(self, recording: OpenRecording) -> None:
        payload = self._payloads.get(recording.id)
        if recording.id in self._gone or payload is None:
            return
        await asyncio.to_thread(payload.start_over)
        faults = self._recorder.faults
        faults["part_lost"] = faults.get("part_lost", 0) + 1

    def _failed(self, recording: OpenRecording, error: Exception) -> None:
        self.failures += 1
        known = self._troubles.get(recording.id)
        attempts = known.attempts if known else 0
        delay = rest_s(attempts)
        self._troubles[recording.id] = _Trouble(attempts + 1, self._clock.monotonic() + delay)
        expected = isinstance(error, (SpoolError, ObjectStoreError, KeyStoreError))
        log.error(
            "not_sealed_while_it_runs",
            recording=recording.id,
            reason=str(error) if expected else repr(error),
            again_in_s=delay,
        )


def rest_s(failures: int) -> float:
    """How long what failed is left alone, where it had failed so often before."""
    return RETRY_S[min(failures, len(RETRY_S) - 1)]
