"""A sealed recording by ranges of bytes: as the age file that it is, or its plaintext.

Only the chunks that a range touches are fetched and opened, a few at a time. The calls block: from
the event loop they are made in a thread.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from callguard.recording import age
from callguard.recording.playback.wav_sizes import with_sizes
from callguard.recording.store.objects import ObjectStore

CHUNKS_AT_ONCE = 4
"""Chunks that are fetched together: what one reader keeps in memory, twice."""

_BATCH = CHUNKS_AT_ONCE * age.SEALED_CHUNK_SIZE


class Ranges(Protocol):
    """Something whose every range of bytes can be had."""

    @property
    def size(self) -> int: ...

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from ``start`` up to ``stop``, which lie within, in pieces of at most a few
        chunks. Raises AgeError and ObjectStoreError."""
        ...


@dataclass(frozen=True, slots=True)
class Payload:
    """Where a sealed payload lies, and what its row says of it."""

    store: ObjectStore
    name: str
    size: int
    sha256: str | None

    def read(self, offset: int, size: int) -> bytes:
        """So many bytes. Raises PayloadError where the payload ends before."""
        data = self.store.read(self.name, offset, size)
        if len(data) != size:
            raise age.PayloadError(
                f"the payload of {self.name} ends at {offset + len(data)} of {self.size} bytes"
            )
        return data


class SealedRecording:
    """The age file: header, then payload. Read from beginning to end, its last piece comes only
    once the payload has proved to be the one that was sealed."""

    def __init__(self, header: bytes, payload: Payload) -> None:
        """Raises HeaderError for what is no header, PayloadError for a size that no payload has."""
        age.parse_header(header)
        age.chunk_count(payload.size)
        self._header = header
        self._payload = payload
        self.size = len(header) + payload.size

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """See Ranges.pieces."""
        whole = hashlib.sha256() if (start, stop) == (0, self.size) else None
        at, end = max(start - len(self._header), 0), stop - len(self._header)
        head = self._header[start:stop]
        while at < end:
            piece = self._payload.read(at, min(_BATCH, end - at))
            at += len(piece)
            if whole is not None:
                whole.update(piece)
                if at == end:
                    self._check(whole.hexdigest())
            if head:  # not before the store has answered
                yield head
                head = b""
            yield piece
        if head:
            yield head

    def _check(self, sha256: str) -> None:
        if self._payload.sha256 not in (None, sha256):
            raise age.PayloadError(
                f"the payload of {self._payload.name} is not the one that was sealed"
            )


class PlainRecording:
    """The plaintext, with the sizes in its WAV header. Its last chunk is opened first: that alone
    proves its size."""

    def __init__(self, payload: Payload, file_key: bytes) -> None:
        """Raises PayloadError and ObjectStoreError."""
        self._payload = payload
        self._opener = age.PayloadOpener(file_key, payload.read(0, age.NONCE_SIZE))
        self.size = age.plain_size(payload.size)
        last = age.chunk_span(age.chunk_count(payload.size) - 1, payload.size)
        # One byte more is asked for: what follows the last chunk was not there when it was sealed.
        found = payload.store.read(payload.name, last.offset, last.size + 1)
        if len(found) > last.size:
            raise age.PayloadError(f"the payload of {payload.name} goes on after its last chunk")
        if len(found) < last.size:
            payload.read(last.offset, last.size)  # says where it ends
        self._open(age.chunk_count(payload.size) - 1, memoryview(found))

    def __repr__(self) -> str:
        return f"PlainRecording({self._payload.name}, size={self.size})"

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """See Ranges.pieces."""
        index, stop = start // age.CHUNK_SIZE, min(stop, self.size)
        while index * age.CHUNK_SIZE < stop and start < stop:
            count = min(CHUNKS_AT_ONCE, (stop - 1) // age.CHUNK_SIZE - index + 1)
            opened = b"".join(self._chunks(index, count))
            base = index * age.CHUNK_SIZE
            yield opened[max(start - base, 0) : stop - base]
            index += count

    def _chunks(self, index: int, count: int) -> Iterator[bytes]:
        first = age.chunk_span(index, self._payload.size)
        last = age.chunk_span(index + count - 1, self._payload.size)
        sealed = self._payload.read(first.offset, last.offset + last.size - first.offset)
        with memoryview(sealed) as view:
            for place in range(count):
                at = place * age.SEALED_CHUNK_SIZE
                with view[at : at + age.SEALED_CHUNK_SIZE] as chunk:
                    yield self._open(index + place, chunk)

    def _open(self, index: int, chunk: memoryview) -> bytes:
        last = age.chunk_span(index, self._payload.size).last
        try:
            opened = self._opener.open_chunk(index, chunk, last=last)
        except age.PayloadError as error:
            raise age.PayloadError(f"the payload of {self._payload.name}: {error}") from error
        if index:
            return opened
        header = with_sizes(opened[:64], self.size)
        return header + opened[len(header) :]
