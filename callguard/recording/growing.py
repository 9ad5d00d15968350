"""One payload that grows while its call runs: the blocking work of sealing it, step by step.

Order: chunk sealed and written to the part -> part synced -> its audio released from the spool. No
file stays open between two steps. All reading of plaintext happens while the part is locked and its
size known, so two processes never seal different bytes under one cipher nonce.
"""

from __future__ import annotations

import hashlib
import mmap
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from callguard.recording import age
from callguard.recording.ending import (
    committed,
    digest_of,
    end_as_prepared,
    end_with_whole,
    ending_name,
    is_ended,
    opened,
)
from callguard.recording.payload import audio_span
from callguard.recording.progress import (
    audio_in,
    chunks_due,
    last_index,
    part_size,
    whole_chunks,
)
from callguard.recording.spool import Spool, SpoolEntry, SpoolEntryMissing, SpoolError
from callguard.recording.store.objects import (
    ObjectMissing,
    ObjectStore,
    ObjectStoreError,
    ObjectWriter,
)
from callguard.recording.wav import WavFormat

T = TypeVar("T")

AT_ONCE = 16
"""Most chunks of one recording that are sealed before another recording has its turn."""


class SpoolGrewError(SpoolError):
    """Audio came after a recording was thought to have ended, before its last chunk was sealed."""


class PartMissing(ObjectStoreError):  # noqa: N818 - an answer, not a malfunction
    """The part of a recording of which chunks were sealed is not there: it was erased, or lost."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """What the sealed recording is. ``late``: bytes of audio that came after its end was durable,
    which are not in it."""

    payload: str
    plain_bytes: int
    sealed_bytes: int
    sha256: str
    late: int = 0


class GrowingPayload:
    """The state that one process keeps of one recording in progress: what was sealed, and its key.

    Its methods block and are called from threads; a lock lets one of them in at a time. They raise
    SpoolError and ObjectStoreError, after which the next call looks at the part anew.

    ``spooled`` is the most audio that was seen in the spool; ``begun_anew`` whether this process
    made the part; ``silenced`` how much audio at the front was lost with a part that is no more.
    """

    __slots__ = (
        "_chunks",
        "_closing",
        "_digest",
        "_file_key",
        "_id",
        "_in_doubt",
        "_layout",
        "_lock",
        "_released",
        "_sealer",
        "_spool",
        "_spool_name",
        "_store",
        "begun_anew",
        "silenced",
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
        self._id = recording_id
        self._spool_name = spool_name
        self._layout = layout
        self._spool = spool
        self._store = store
        self._file_key: bytes | None = None
        self._sealer: age.PayloadSealer | None = None
        self._digest: hashlib._Hash | None = None
        self._chunks: int | None = None
        self._released = 0
        self._closing = False
        self._in_doubt = False
        self._lock = threading.Lock()
        self.spooled = 0
        self.begun_anew = False
        self.silenced = 0

    @property
    def has_key(self) -> bool:
        return self._file_key is not None

    @property
    def header_size(self) -> int:
        """Bytes of the WAV header."""
        return len(self._layout.header())

    @property
    def chunks(self) -> int:
        """Whole chunks known to be durable."""
        return self._chunks or 0

    def give_key(self, file_key: bytes, *, closing: bool = False) -> None:
        """The file key, unwrapped; it stays here until ``forget_key``. ``closing``: its end is
        durable already, and nothing but ``finish`` may seal any more of it."""
        with self._lock:
            self._file_key = file_key
            self._closing = self._closing or closing

    def forget_key(self) -> None:
        self._file_key = self._sealer = None

    def undisturbed(self, work: Callable[[], T]) -> T:
        """Does something while nothing here has the spool entry open: whoever asks whether it is
        being written must not meet its own process."""
        with self._lock:
            return work()

    def is_due(self, spooled: int | None) -> bool:
        """Whether there is something to seal, or to release, in a spool entry of that size."""
        if spooled is None or self._closing:
            return False
        return chunks_due(self.header_size, self.chunks, spooled) > 0 or self._owes_release()

    def advance(self) -> int:
        """Seals the whole chunks that are there; returns how many. None once closing has begun."""
        with self._lock:
            if self._closing:
                return 0
            with self._spool.open(self._spool_name) as entry:
                self._see(entry)
                if self._owes_release():
                    self._release(entry)
                if not chunks_due(self.header_size, self.chunks, entry.size()):
                    return 0
                with self._open_part(entry) as writer:
                    return self._seal_whole(writer, entry, entry.size())

    def catch_up(self) -> int:
        """Begins the closing: seals every whole chunk, and returns the bytes of audio that the
        spool entry has. ``advance`` then does nothing more, unless it is reopened."""
        with self._lock, self._spool.open(self._spool_name) as entry:
            self._closing = True
            size = self._see(entry)
            if size < audio_in(self.header_size, self.chunks):
                raise SpoolEntryMissing(f"spool entry {entry.name} is shorter than it was")
            if chunks_due(self.header_size, self.chunks, size):
                with self._open_part(entry) as writer:
                    while self._seal_whole(writer, entry, size):
                        pass
            return size

    def reopen(self) -> None:
        """More audio came before the last chunk was sealed: it goes on as if it had not ended."""
        with self._lock:
            self._closing = False

    def finish(self, plain: int, *, first: bool) -> Sealed:
        """Seals what is left of ``plain`` bytes of plaintext, of which the row says durably that
        they are all, and commits the payload; what was committed before is looked at instead.

        ``first``: nobody can have sealed a last chunk yet. Raises SpoolGrewError where it is so and
        more audio is there, SpoolEntryMissing where audio is needed that is nowhere.
        """
        with self._lock:
            self._closing = True
            try:
                return self._finish(plain, first=first)
            except SpoolGrewError:
                raise
            except BaseException:
                self._sealer = self._digest = None
                self._in_doubt = True
                raise

    def salvage(self) -> int:
        """Bytes of plaintext in the whole chunks that the part holds, where the spool is gone."""
        with self._lock:
            try:
                writer = self._store.writer(self._id, resume=True)
            except ObjectMissing:
                return 0
            with writer:
                self._take_up(writer, None)
            return self.chunks * age.CHUNK_SIZE

    def discard(self) -> None:
        """Removes the part, if there is one: nothing was sealed."""
        with self._lock, suppress(ObjectMissing), self._store.writer(self._id, resume=True) as part:
            part.abort()

    def start_over(self) -> None:
        """Forgets what was sealed: the part is no more. What comes is sealed under a new nonce."""
        with self._lock:
            self._chunks = self._sealer = self._digest = None
            self._released = 0

    # --- the part -------------------------------------------------------------------------------

    def _open_part(self, entry: SpoolEntry) -> ObjectWriter:
        try:
            writer = self._store.writer(self._id, resume=True)
        except ObjectMissing as error:
            if self.chunks:
                raise PartMissing(str(error)) from error
            writer = self._store.writer(self._id)
            self.begun_anew = True
        try:
            if self._sealer is None or writer.size != part_size(self.chunks):
                self._take_up(writer, entry)
        except BaseException:
            writer.close()
            raise
        return writer

    def _take_up(self, writer: ObjectWriter, entry: SpoolEntry | None) -> None:
        """Finds the last whole chunk, drops what is torn behind it, and makes the rest durable. The
        audio of a chunk that is dropped is still in the spool, since it was never durable."""
        self._sealer = self._digest = None
        chunks = whole_chunks(writer.size)
        if entry is not None and chunks < self.chunks:
            raise ObjectStoreError(f"part {self._id} is shorter than it was: {chunks} whole chunks")
        chunks = self._whole(writer, entry, chunks)
        if writer.size != part_size(chunks):
            writer.truncate(part_size(chunks))
        if self._in_doubt:
            self._write_again(writer)
        released = entry.first_data() if entry is not None else 0
        if released > audio_in(self.header_size, chunks):
            if chunks:
                raise ObjectStoreError(f"part {self._id} lacks chunks whose audio was released")
            self.silenced = released  # a new nonce: what is gone is silence in what is sealed now
        if chunks:
            writer.sync()
            nonce = writer.read(0, age.NONCE_SIZE)
        else:
            nonce = age.new_nonce()
            writer.write(nonce)
            self._digest = hashlib.sha256(nonce)
        self._chunks, self._in_doubt = chunks, False
        self._sealer = age.PayloadSealer(self._key(), nonce, start_index=chunks)
        if entry is not None:
            self._release(entry)

    def _write_again(self, writer: ObjectWriter) -> None:
        """After a sync that failed the system may take for written what is not: the same ciphertext
        once more. Its audio was not released."""
        durable = part_size(self.chunks)
        if writer.size > durable:
            tail = writer.read(durable, writer.size - durable)
            writer.truncate(durable)
            writer.write(tail)

    def _whole(self, writer: ObjectWriter, entry: SpoolEntry | None, chunks: int) -> int:
        """How many of the chunks are whole: those at the end that do not open were not durable at a
        power cut. They are sealed again only where their audio is still in the spool."""
        if not chunks:
            return 0
        opener = age.PayloadOpener(self._key(), writer.read(0, age.NONCE_SIZE))
        while chunks and opened(writer, opener, chunks - 1, last=False) is None:
            if entry is not None and not self._is_spooled(entry, chunks - 1):
                break
            chunks -= 1
        return chunks

    def _is_spooled(self, entry: SpoolEntry, index: int) -> bool:
        span = audio_span(index, self.header_size)
        if entry.first_data() > span.offset:
            return False
        return any(entry.read(span.offset, span.size))

    def _seal_whole(self, writer: ObjectWriter, entry: SpoolEntry, spooled: int) -> int:
        """Seals what is due, but not too much at once; makes it durable, then releases."""
        count = min(chunks_due(self.header_size, self.chunks, spooled), AT_ONCE)
        if not count:
            return 0
        try:
            for index in range(self.chunks, self.chunks + count):
                self._append(writer, self._plain(entry, index, age.CHUNK_SIZE), last=False)
            writer.sync()
        except BaseException:
            self._sealer = self._digest = None
            self._in_doubt = True
            raise
        self._chunks = self.chunks + count
        self._release(entry)
        return count

    def _append(self, writer: ObjectWriter, plain: bytes, *, last: bool) -> None:
        assert self._sealer is not None
        sealed = self._sealer.seal_chunk(plain, last=last)
        writer.write(sealed)
        if self._digest is not None:
            self._digest.update(sealed)

    def _plain(self, entry: SpoolEntry, index: int, size: int) -> bytes:
        """The first ``size`` bytes of a chunk of plaintext."""
        offset, _ = audio_span(index, self.header_size)
        header = self._layout.header() if index == 0 else b""
        audio = entry.read(offset, size - len(header))
        if len(header) + len(audio) != size:
            raise SpoolEntryMissing(f"spool entry {entry.name} is shorter than it was")
        return header + audio

    # --- the spool ------------------------------------------------------------------------------

    def _see(self, entry: SpoolEntry) -> int:
        size = entry.size()
        self.spooled = max(self.spooled, size)
        return size

    def _owes_release(self) -> bool:
        return audio_in(self.header_size, self.chunks) > self._released

    def _release(self, entry: SpoolEntry) -> None:
        end = audio_in(self.header_size, self.chunks)
        if end > self._released:
            # From the page's start: a page emptied in two halves would not be given back.
            start = self._released - self._released % mmap.PAGESIZE
            entry.release(start, end - start)
            self._released = end

    # --- the end --------------------------------------------------------------------------------

    def _finish(self, plain: int, *, first: bool) -> Sealed:
        if not first and self._store.exists(self._id):
            return self._committed()
        try:
            entry = self._spool.open(self._spool_name)
        except SpoolEntryMissing:
            return self._write_end(plain, None, first=first)
        with entry:
            return self._write_end(plain, entry, first=first)

    def _write_end(self, plain: int, entry: SpoolEntry | None, *, first: bool) -> Sealed:
        size, last = age.sealed_size(plain), last_index(plain)
        late = max(0, self._see(entry) + self.header_size - plain) if entry else 0
        if late and first:
            raise SpoolGrewError(f"spool entry {self._spool_name} grew while it was sealed")
        with self._part_at_end(entry) as writer:
            if is_ended(writer, self._key(), last, size):
                self._digest = None
                if self._in_doubt:
                    self._write_again(writer)
            else:
                self._seal_end(writer, entry, plain, last)
            if writer.size != size:
                raise ObjectStoreError(f"part {self._id} has {writer.size} of {size} bytes")
            digest = self._digest or digest_of(writer)
            writer.commit()
        if not first:
            self._store.delete([ending_name(self._id)])
        return Sealed(self._id, plain, size, digest.hexdigest(), late)

    def _part_at_end(self, entry: SpoolEntry | None) -> ObjectWriter:
        try:
            return self._store.writer(self._id, resume=True)
        except ObjectMissing as error:
            if self.chunks:
                raise PartMissing(str(error)) from error
            if entry is None:
                raise SpoolEntryMissing(f"spool entry {self._spool_name} is missing") from None
            return self._store.writer(self._id)

    def _seal_end(
        self, writer: ObjectWriter, entry: SpoolEntry | None, plain: int, last: int
    ) -> None:
        """What is left, and nothing after it."""
        full = plain == (last + 1) * age.CHUNK_SIZE
        if full and end_as_prepared(writer, self._store, self._key(), self._id, last):
            self._digest = None
            return
        if self._sealer is None or writer.size != part_size(self.chunks):
            self._take_up(writer, entry)
        if full and self.chunks == last + 1:
            end_with_whole(writer, self._store, self._key(), self._id, last)
            self._digest = None
            return
        if entry is None:
            raise SpoolEntryMissing(f"spool entry {self._spool_name} is missing")
        if self.chunks > last:
            raise SpoolEntryMissing(f"spool entry {entry.name} is shorter than it was")
        while self._seal_whole(writer, entry, plain - self.header_size):
            pass
        self._append(writer, self._plain(entry, last, plain - last * age.CHUNK_SIZE), last=True)

    def _committed(self) -> Sealed:
        size, digest = committed(self._store, self._key(), self._id)
        plain, spooled = age.plain_size(size), self._spool.size(self._spool_name) or 0
        late = max(0, spooled + self.header_size - plain)
        return Sealed(self._id, plain, size, digest.hexdigest(), late)

    def _key(self) -> bytes:
        if self._file_key is None:
            raise ObjectStoreError(f"part {self._id} is sealed without its key")
        return self._file_key
