"""The part: the payload of a recording in progress as far as it is sealed. All of it blocks.

It is a nonce and whole chunks, none of them the last. Whoever takes it up again goes on behind the
last whole chunk, under the part's own nonce, from the same audio.
"""

from __future__ import annotations

import hashlib
import mmap

from callguard.recording import age
from callguard.recording.payload import audio_span
from callguard.recording.progress import audio_in, chunks_due, part_size, whole_chunks
from callguard.recording.spool import SpoolEntry, SpoolEntryMissing
from callguard.recording.store.objects import (
    ObjectMissing,
    ObjectStore,
    ObjectStoreError,
    ObjectWriter,
)
from callguard.recording.wav import WavFormat

AT_ONCE = 16
"""Most chunks of one recording that are sealed before another recording has its turn."""


class PartMissing(ObjectStoreError):  # noqa: N818 - an answer, not a malfunction
    """The part of a recording of which chunks were sealed is not there: it was erased, or lost."""


class Part:
    """What one process knows of one part, and the key it is sealed with. One thread at a time.

    ``digest`` is the SHA-256 of the part as far as it goes, while it is known; ``in_doubt`` whether
    what was written may not be durable though the system says so; ``begun_anew`` whether this
    process made the part; ``silenced`` how much audio at the front, at most, was lost with a part
    that is no more.
    """

    __slots__ = (
        "_chunks",
        "_header",
        "_released",
        "_sealer",
        "begun_anew",
        "digest",
        "file_key",
        "in_doubt",
        "name",
        "silenced",
        "store",
    )

    def __init__(self, recording_id: str, layout: WavFormat, store: ObjectStore) -> None:
        self.name = recording_id
        self.store = store
        self._header = layout.header()
        self.file_key: bytes | None = None
        self._sealer: age.PayloadSealer | None = None
        self.digest: hashlib._Hash | None = None
        self._chunks: int | None = None
        self._released = 0
        self.in_doubt = False
        self.begun_anew = False
        self.silenced = 0

    @property
    def header_size(self) -> int:
        """Bytes of the WAV header."""
        return len(self._header)

    @property
    def chunks(self) -> int:
        """Whole chunks known to be durable."""
        return self._chunks or 0

    def key(self) -> bytes:
        """Raises ObjectStoreError where it has none."""
        if self.file_key is None:
            raise ObjectStoreError(f"part {self.name} is sealed without its key")
        return self.file_key

    def drop_key(self) -> None:
        """Nothing is sealed any more."""
        self.file_key = self._sealer = None

    def doubt(self) -> None:
        """Something failed: the part is looked at anew, and what is not durable written again."""
        self._sealer = self.digest = None
        self.in_doubt = True

    def start_over(self) -> None:
        """Forgets what was sealed: the part is no more. What comes is sealed under a new nonce."""
        self._chunks = self._sealer = self.digest = None
        self._released = 0

    # --- taking it up -----------------------------------------------------------------------------

    def open(self, *, create: bool) -> ObjectWriter:
        """The part as it is, or a new one. Raises PartMissing, ObjectMissing, ObjectStoreError."""
        try:
            return self.store.writer(self.name, resume=True)
        except ObjectMissing as error:
            if self.chunks:
                raise PartMissing(str(error)) from error
            if not create:
                raise
            writer = self.store.writer(self.name)
            self.begun_anew = True
            return writer

    def take_up(self, writer: ObjectWriter, entry: SpoolEntry | None) -> None:
        """Finds the last whole chunk, unless it is known: drops what is torn behind it, and makes
        the rest durable. The audio of a chunk that is dropped is still in the spool, since it was
        never durable. ``entry`` is None where the spool entry is gone."""
        if self._sealer is not None and writer.size == part_size(self.chunks):
            return
        self._sealer = self.digest = None
        chunks = whole_chunks(writer.size)
        if entry is not None and chunks < self.chunks:
            raise ObjectStoreError(f"part {self.name} is shorter than it was: {chunks} chunks")
        chunks = self._whole(writer, entry, chunks)
        if writer.size != part_size(chunks):
            writer.truncate(part_size(chunks))
        if self.in_doubt:
            self.write_again(writer)
        released = entry.first_data() if entry is not None else 0
        if entry is not None and released > audio_in(self.header_size, chunks):
            if chunks:
                raise ObjectStoreError(f"part {self.name} lacks chunks whose audio was released")
            # A new nonce: what is gone is silence in what is sealed now, to the end of a page.
            self.silenced = min(released + mmap.PAGESIZE, entry.size())
        if chunks:
            writer.sync()
            nonce = writer.read(0, age.NONCE_SIZE)
        else:
            nonce = age.new_nonce()
            writer.write(nonce)
            self.digest = hashlib.sha256(nonce)
        self._chunks, self.in_doubt = chunks, False
        self._sealer = age.PayloadSealer(self.key(), nonce, start_index=chunks)
        if entry is not None:
            self.release(entry)

    def write_again(self, writer: ObjectWriter) -> None:
        """After a sync that failed the system may take for written what is not: the same ciphertext
        once more. Its audio was not released."""
        durable = part_size(self.chunks)
        if writer.size > durable:
            tail = writer.read(durable, writer.size - durable)
            writer.truncate(durable)
            writer.write(tail)

    def opens(self, writer: ObjectWriter, index: int, *, last: bool) -> bytes | None:
        """The plaintext of a chunk; None where it does not open."""
        opener = age.PayloadOpener(self.key(), writer.read(0, age.NONCE_SIZE))
        offset = age.NONCE_SIZE + index * age.SEALED_CHUNK_SIZE
        try:
            return opener.open_chunk(index, writer.read(offset, age.SEALED_CHUNK_SIZE), last=last)
        except age.PayloadError:
            return None

    def _whole(self, writer: ObjectWriter, entry: SpoolEntry | None, chunks: int) -> int:
        """How many of the chunks are whole: those at the end that do not open were not durable at a
        power cut. They are sealed again only where their audio is still in the spool."""
        while chunks and self.opens(writer, chunks - 1, last=False) is None:
            if entry is not None and not self._is_spooled(entry, chunks - 1):
                break
            chunks -= 1
        return chunks

    def _is_spooled(self, entry: SpoolEntry, index: int) -> bool:
        """Silence is no proof that audio was released: a recording that is paused is written on."""
        span, released = audio_span(index, self.header_size), entry.first_data()
        if released:
            return released <= span.offset
        # Nothing was, or the file system knows no holes: then zeros were written from the front.
        return any(any(entry.read(*audio_span(n, self.header_size))) for n in range(index + 1))

    # --- sealing ----------------------------------------------------------------------------------

    def seal_whole(self, writer: ObjectWriter, entry: SpoolEntry, spooled: int) -> int:
        """Seals what is due, but not too much at once; makes it durable, then releases."""
        count = min(chunks_due(self.header_size, self.chunks, spooled), AT_ONCE)
        if not count:
            return 0
        try:
            for index in range(self.chunks, self.chunks + count):
                self.append(writer, entry, index, age.CHUNK_SIZE, last=False)
            writer.sync()
        except BaseException:
            self.doubt()
            raise
        self._chunks = self.chunks + count
        self.release(entry)
        return count

    def append(
        self, writer: ObjectWriter, entry: SpoolEntry, index: int, size: int, *, last: bool
    ) -> None:
        """Seals the first ``size`` bytes of a chunk of plaintext. Raises SpoolEntryMissing where
        they are not there."""
        if self._sealer is None:  # its key was dropped meanwhile
            raise ObjectStoreError(f"part {self.name} is sealed without its key")
        offset, _ = audio_span(index, self.header_size)
        header = self._header if index == 0 else b""
        plain = header + entry.read(offset, size - len(header))
        if len(plain) != size:
            raise SpoolEntryMissing(f"spool entry {entry.name} is shorter than it was")
        sealed = self._sealer.seal_chunk(plain, last=last)
        writer.write(sealed)
        if self.digest is not None:
            self.digest.update(sealed)

    # --- releasing --------------------------------------------------------------------------------

    def owes_release(self) -> bool:
        """Whether audio that is sealed and durable still lies in the spool."""
        return audio_in(self.header_size, self.chunks) > self._released

    def release(self, entry: SpoolEntry) -> None:
        """Makes it go. Raises SpoolError."""
        end = audio_in(self.header_size, self.chunks)
        if end > self._released:
            # From the page's start: a page emptied in two halves would not be given back.
            start = self._released - self._released % mmap.PAGESIZE
            entry.release(start, end - start)
            self._released = end
