"""The payload of an age v1 file: STREAM over 64 KiB chunks of ChaCha20-Poly1305. Pure.

A sealed payload is a 16-byte nonce and then the chunks, each 16 bytes longer than its plaintext.
Source: C2SP `age`, "Payload".
"""

from __future__ import annotations

from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from callguard.recording.age_errors import PayloadError
from callguard.recording.age_header import FILE_KEY_SIZE

Buffer = bytes | bytearray | memoryview

NONCE_SIZE = 16
"""Bytes of the payload nonce, the first of a sealed payload."""

CHUNK_SIZE = 64 * 1024
"""Bytes of plaintext in every chunk but the last."""

TAG_SIZE = 16
"""Bytes that sealing adds to a chunk."""

SEALED_CHUNK_SIZE = CHUNK_SIZE + TAG_SIZE
"""Bytes of every sealed chunk but the last."""


class ChunkSpan(NamedTuple):
    """Where a chunk lies in a sealed payload (its nonce counted), in bytes."""

    offset: int
    size: int
    last: bool


class PayloadSealer:
    """Seals the chunks of one payload in order.

    `start_index` resumes a payload of which that many whole chunks are already durable. The pair of
    file key and nonce must belong to this payload alone, and a chunk may be sealed a second time
    only from the same plaintext: anything else reuses a cipher nonce and gives the content away.
    """

    def __init__(self, file_key: bytes, nonce: bytes, *, start_index: int = 0) -> None:
        """Raises ValueError for a key or nonce of the wrong size or a negative index."""
        if start_index < 0:
            raise ValueError("start_index is negative")
        self._cipher = _payload_cipher(file_key, nonce)
        self._index = start_index
        self._ended = False
        self.nonce = nonce

    def __repr__(self) -> str:
        return f"PayloadSealer(next_index={self._index}, ended={self._ended})"

    @property
    def next_index(self) -> int:
        """Index of the chunk that the next call seals."""
        return self._index

    def seal_chunk(self, plaintext: Buffer, *, last: bool) -> bytes:
        """Seal the next chunk. A full chunk is not the last one when any byte follows it.

        Raises PayloadError for a chunk too long, a short chunk before the last, an empty last chunk
        of a payload that is not empty, and any chunk after the last.
        """
        size = len(plaintext)
        if self._ended:
            raise PayloadError("the payload has already been ended by its last chunk")
        if size > CHUNK_SIZE:
            raise PayloadError(f"a chunk is longer than {CHUNK_SIZE} bytes")
        if not last and size < CHUNK_SIZE:
            raise PayloadError(f"a chunk before the last is shorter than {CHUNK_SIZE} bytes")
        if last and not size and self._index:
            raise PayloadError("the last chunk is empty though the payload is not")
        sealed = self._cipher.encrypt(_chunk_nonce(self._index, last), plaintext, None)
        self._index += 1
        self._ended = last
        return sealed


class PayloadOpener:
    """Opens one payload, in order from pieces of any size or a chunk at a time.

    `feed` takes what follows the nonce. Only authentic plaintext is ever returned, but the payload
    is known to be whole only when `finish` has returned.
    """

    def __init__(self, file_key: bytes, nonce: bytes) -> None:
        """Raises ValueError for a key or nonce of the wrong size."""
        self._cipher = _payload_cipher(file_key, nonce)
        self._held = bytearray()
        self._index = 0
        self._fault: str | None = None
        self._finished = False

    def __repr__(self) -> str:
        return f"PayloadOpener(next_index={self._index})"

    def feed(self, data: Buffer) -> bytes:
        """Take the next piece of ciphertext and return the plaintext that it completes.

        Raises PayloadError when a chunk is not authentic or follows the last one. Chunks before it
        in the same piece are returned first: what is released does not depend on the pieces.
        """
        if self._finished:
            raise PayloadError("data after the end of the payload was declared")
        self._raise_fault()
        self._held += data
        opened: list[bytes] = []
        start = 0
        with memoryview(self._held) as held:
            while len(held) - start >= SEALED_CHUNK_SIZE and self._fault is None:
                followed = len(held) - start > SEALED_CHUNK_SIZE
                with held[start : start + SEALED_CHUNK_SIZE] as chunk:
                    plaintext = self._open_full(chunk, followed=followed)
                if plaintext is None:
                    break
                opened.append(plaintext)
                start += SEALED_CHUNK_SIZE
        del self._held[:start]
        if not opened:
            self._raise_fault()
        return b"".join(opened)

    def finish(self) -> bytes:
        """Declare the end of the ciphertext and return the plaintext of the last chunk.

        Raises PayloadError when the payload is cut short or its last chunk is not authentic.
        """
        if self._finished:
            raise PayloadError("the end of the payload was declared twice")
        self._finished = True
        self._raise_fault()
        return self.open_chunk(self._index, self._held, last=True)

    def open_chunk(self, index: int, ciphertext: Buffer, *, last: bool) -> bytes:
        """Open one chunk by its index, out of order if need be.

        The size of the whole payload is trustworthy only after its last chunk has been opened.
        Raises PayloadError for a chunk that is not authentic in that place or of a wrong size.
        """
        size = len(ciphertext)
        if size > SEALED_CHUNK_SIZE:
            raise PayloadError(f"chunk {index} is longer than {SEALED_CHUNK_SIZE} bytes")
        if not last and size < SEALED_CHUNK_SIZE:
            raise PayloadError(f"chunk {index} is short but is not the last")
        if size < TAG_SIZE:
            raise PayloadError(f"the payload is cut short in chunk {index}")
        plaintext = self._try(index, ciphertext, last=last)
        if plaintext is None:
            raise PayloadError(self._reason(index, ciphertext, last))
        if last and index and not plaintext:
            raise PayloadError("the last chunk is empty though the payload is not")
        return plaintext

    def _open_full(self, chunk: memoryview, *, followed: bool) -> bytes | None:
        """Open a full chunk in order; None when it is not authentic, or may yet be the last."""
        plaintext = self._try(self._index, chunk, last=False)
        if plaintext is None:
            if not followed:
                return None
            plaintext = self._try(self._index, chunk, last=True)
            if plaintext is None:
                self._fault = f"chunk {self._index} is not authentic"
                return None
            # Authentic to its last byte and so released; what follows is refused at the next call.
            self._fault = "data after the last chunk"
        self._index += 1
        return plaintext

    def _raise_fault(self) -> None:
        if self._fault is not None:
            raise PayloadError(self._fault)

    def _try(self, index: int, ciphertext: Buffer, *, last: bool) -> bytes | None:
        try:
            return self._cipher.decrypt(_chunk_nonce(index, last), ciphertext, None)
        except InvalidTag:
            return None

    def _reason(self, index: int, ciphertext: Buffer, last: bool) -> str:
        if last and self._try(index, ciphertext, last=False) is not None:
            return f"the payload is cut short after chunk {index}"
        return f"chunk {index} is not authentic"


def sealed_size(plain_size: int) -> int:
    """Bytes of the sealed payload, its nonce counted, for so many bytes of plaintext."""
    if plain_size < 0:
        raise ValueError("a size is negative")
    chunks = max(1, -(-plain_size // CHUNK_SIZE))
    return NONCE_SIZE + plain_size + chunks * TAG_SIZE


def plain_size(sealed: int) -> int:
    """Bytes of plaintext in a sealed payload of so many bytes, its nonce counted.

    Raises PayloadError for a size that no payload can have. Only opening the last chunk proves it.
    """
    chunks = chunk_count(sealed)
    return sealed - NONCE_SIZE - chunks * TAG_SIZE


def chunk_count(sealed: int) -> int:
    """Chunks in a sealed payload of so many bytes. Raises PayloadError as `plain_size` does."""
    body = sealed - NONCE_SIZE
    if body < TAG_SIZE:
        raise PayloadError("the payload is too short to hold its nonce and one chunk")
    chunks = -(-body // SEALED_CHUNK_SIZE)
    last = body - (chunks - 1) * SEALED_CHUNK_SIZE
    if last < TAG_SIZE or (last == TAG_SIZE and chunks > 1):
        raise PayloadError("the payload is of a size that no whole payload has")
    return chunks


def chunk_span(index: int, sealed: int) -> ChunkSpan:
    """Where chunk `index` lies in a sealed payload of `sealed` bytes.

    Raises PayloadError as `plain_size` does, and IndexError for a chunk that is not there.
    """
    chunks = chunk_count(sealed)
    if not 0 <= index < chunks:
        raise IndexError(f"chunk {index} of {chunks}")
    offset = NONCE_SIZE + index * SEALED_CHUNK_SIZE
    return ChunkSpan(offset, min(SEALED_CHUNK_SIZE, sealed - offset), index == chunks - 1)


def _payload_cipher(file_key: bytes, nonce: bytes) -> ChaCha20Poly1305:
    if len(file_key) != FILE_KEY_SIZE:
        raise ValueError(f"a file key is {FILE_KEY_SIZE} bytes, not {len(file_key)}")
    if len(nonce) != NONCE_SIZE:
        raise ValueError(f"a payload nonce is {NONCE_SIZE} bytes, not {len(nonce)}")
    kdf = HKDF(algorithm=SHA256(), length=32, salt=nonce, info=b"payload")
    return ChaCha20Poly1305(kdf.derive(file_key))


def _chunk_nonce(index: int, last: bool) -> bytes:
    return index.to_bytes(11, "big") + (b"\x01" if last else b"\x00")
