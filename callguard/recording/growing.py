"""One payload that grows while its call runs: the blocking work of sealing it, step by step.

Order: chunk sealed and written to the part -> part synced -> its audio released from the spool. No
file stays open between two steps. All reading of plaintext happens while the part is locked and its
size known, so two processes never seal different bytes under one cipher nonce.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from callguard.recording import age
from callguard.recording.ending import Sealed, committed, ending_name, write_end
from callguard.recording.part import Part
from callguard.recording.progress import audio_in, chunks_due
from callguard.recording.spool import (
    EntrySeen,
    Spool,
    SpoolEntry,
    SpoolEntryMissing,
    SpoolError,
)
from callguard.recording.store.objects import ObjectMissing, ObjectStore
from callguard.recording.wav import WavFormat

T = TypeVar("T")


class SpoolGrewError(SpoolError):
    """Audio came after a recording was thought to have ended, before its last chunk was sealed."""


class GrowingPayload:
    """The state that one process keeps of one recording in progress: what was sealed, and its key.

    Its methods block and are called from threads; a lock lets one of them in at a time. They raise
    SpoolError and ObjectStoreError, after which the next call looks at the part anew.

    ``spooled`` is the most audio that was seen in the spool, and ``seen_at`` when the live sealing
    last saw its entry there, in monotonic seconds, None where it never did.
    """

    __slots__ = (
        "_closing",
        "_file",
        "_lock",
        "_lost",
        "_noting",
        "_part",
        "_spool",
        "_spool_name",
        "_store",
        "seen_at",
        "spooled",
    )

    def __init__(
        self,
        recording_id: str,
        spool_name: str,
        layout: WavFormat,
        spool: Spool,
        store: ObjectStore,
    ) -> None:
        self._spool_name = spool_name
        self._spool = spool
        self._store = store
        self._part = Part(recording_id, layout, store)
        self._closing = False
        self._file: tuple[int, int] | None = None
        self._lost = False
        self._lock = threading.Lock()
        self._noting = threading.Lock()
        self.spooled = 0
        self.seen_at: float | None = None

    @property
    def has_key(self) -> bool:
        return self._part.file_key is not None

    @property
    def header_size(self) -> int:
        """Bytes of the WAV header."""
        return self._part.header_size

    @property
    def chunks(self) -> int:
        """Whole chunks known to be durable."""
        return self._part.chunks

    @property
    def silenced(self) -> int:
        """How much audio at the front, at most, was lost with a part that is no more."""
        return self._part.silenced

    @property
    def begun_anew(self) -> bool:
        """Whether this process made the part, and nobody has yet asked if it may be there."""
        return self._part.begun_anew

    def may_be_there(self) -> None:
        """The part that was begun anew belongs to a recording that is in progress."""
        self._part.begun_anew = False

    def give_key(self, file_key: bytes, *, closing: bool = False) -> None:
        """The file key, unwrapped; it stays here until ``forget_key``. ``closing``: its end is
        durable already, and nothing but ``finish`` may seal any more of it. Waits for nobody."""
        self._part.file_key = file_key
        if closing:
            self._closing = True

    def forget_key(self) -> None:
        self._part.drop_key()

    def undisturbed(self, work: Callable[[], T]) -> T:
        """Does something while nothing here has the spool entry open: whoever asks whether it is
        being written must not meet its own process."""
        with self._lock:
            return work()

    # --- the spool --------------------------------------------------------------------------------

    def look(self, at: float) -> int | None:
        """The bytes that the spool entry has; None where it is gone, or is not the one that it was:
        one that was exchanged or cut back does not hold what Asterisk writes. ``at``: when, in
        monotonic seconds. Raises SpoolError."""
        with self._noting:
            seen = self._spool.look(self._spool_name)
            if seen is None or not self._is_same(seen):
                return None
            self.seen_at = at
            return seen.size

    def is_due(self, spooled: int) -> bool:
        """Whether there is something to seal, or to release, in a spool entry of that size."""
        if self._closing:
            return False
        due = chunks_due(self.header_size, self.chunks, spooled) > 0
        return due or self._part.owes_release()

    def _is_same(self, seen: EntrySeen) -> bool:
        if self._file is None:
            self._file = seen.file
        if seen.file != self._file or seen.size < self.spooled:
            self._lost = True
        if not self._lost:
            self.spooled = seen.size
        return not self._lost

    def _open(self) -> tuple[SpoolEntry, int]:
        """The spool entry and its size. Raises SpoolEntryMissing where it is gone or another."""
        entry = self._spool.open(self._spool_name)
        try:
            with self._noting:
                seen = entry.look()
                if not self._is_same(seen):
                    raise SpoolEntryMissing(f"spool entry {entry.name} is not what it was")
        except BaseException:
            entry.close()
            raise
        return entry, seen.size

    # --- growing ----------------------------------------------------------------------------------

    def advance(self) -> int:
        """Seals the whole chunks that are there; returns how many. None once closing has begun."""
        with self._lock:
            if self._closing:
                return 0
            entry, size = self._open()
            with entry:
                if self._part.owes_release():
                    self._part.release(entry)
                if not chunks_due(self.header_size, self.chunks, size):
                    return 0
                with self._part.open(create=True) as writer:
                    self._part.take_up(writer, entry)
                    return self._part.seal_whole(writer, entry, size)

    def catch_up(self) -> int:
        """Begins the closing: seals every whole chunk, and returns the bytes of audio that the
        spool entry has. ``advance`` then does nothing more, unless it is reopened."""
        with self._lock:
            entry, size = self._open()
            with entry:
                self._closing = True
                if size < audio_in(self.header_size, self.chunks):
                    raise SpoolEntryMissing(f"spool entry {entry.name} is shorter than it was")
                if chunks_due(self.header_size, self.chunks, size):
                    with self._part.open(create=True) as writer:
                        self._part.take_up(writer, entry)
                        while self._part.seal_whole(writer, entry, size):
                            pass
                return size

    def reopen(self) -> None:
        """More audio came before the last chunk was sealed: it goes on as if it had not ended."""
        with self._lock:
            self._closing = False

    # --- the end ----------------------------------------------------------------------------------

    def finish(self, plain: int, *, first: bool) -> Sealed:
        """Seals what is left of ``plain`` bytes of plaintext, of which the row says durably that
        they are all, and commits the payload; what was committed before is looked at instead.

        ``first``: nobody can have sealed a last chunk yet. Raises SpoolGrewError where it is so and
        more audio is there, SpoolEntryMissing where audio is needed that is nowhere.
        """
        with self._lock:
            self._closing = True
            try:
                if not first and self._store.exists(self._part.name):
                    return self._committed()
                return self._finish(plain, first=first)
            except SpoolGrewError:
                raise
            except BaseException:
                self._part.doubt()
                raise

    def _finish(self, plain: int, *, first: bool) -> Sealed:
        try:
            entry, spooled = self._open()
        except SpoolEntryMissing:
            late, (size, digest) = 0, write_end(self._part, None, plain)
        else:
            with entry:
                late = max(0, spooled + self.header_size - plain)
                if late and first:
                    raise SpoolGrewError(f"spool entry {entry.name} grew while it was sealed")
                size, digest = write_end(self._part, entry, plain)
        if not first:
            self._store.delete([ending_name(self._part.name)])
        return Sealed(self._part.name, plain, size, digest, late)

    def _committed(self) -> Sealed:
        size, digest = committed(self._store, self._part.key(), self._part.name)
        plain = age.plain_size(size)
        with self._noting:
            seen = self._spool.look(self._spool_name)
            spooled = seen.size if seen is not None and self._is_same(seen) else 0
        late = max(0, spooled + self.header_size - plain)
        return Sealed(self._part.name, plain, size, digest, late)

    def salvage(self) -> int:
        """Bytes of plaintext in the whole chunks that the part holds, where the spool is gone."""
        with self._lock:
            try:
                writer = self._store.writer(self._part.name, resume=True)
            except ObjectMissing:
                return 0
            with writer:
                self._part.take_up(writer, None)
            return self.chunks * age.CHUNK_SIZE

    def discard(self) -> None:
        """Removes the part, if there is one: nothing was sealed."""
        name = self._part.name
        with self._lock, suppress(ObjectMissing), self._store.writer(name, resume=True) as part:
            part.abort()

    def start_over(self) -> None:
        """Forgets what was sealed: the part is no more. What comes is sealed under a new nonce."""
        with self._lock:
            self._part.start_over()
