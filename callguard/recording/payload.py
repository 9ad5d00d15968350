"""From audio to a sealed payload and back, in pieces of any size. Pure.

The plaintext of a payload is a WAV header and then the raw audio. A sealed payload is the nonce
and the sealed chunks: what an object store holds, and what follows the header in an age file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from callguard.recording import age


class AudioSpan(NamedTuple):
    """The raw audio bytes that a chunk of plaintext holds, counted from the first sample."""

    offset: int
    size: int


class Chunker:
    """Cuts a stream into whole chunks, holding back what may yet prove to be the last."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes | bytearray | memoryview) -> list[bytearray]:
        """Take the next piece; return the chunks that are full and have bytes after them."""
        chunks: list[bytearray] = []
        with memoryview(data) as view:
            at = 0
            while at < len(view):
                if len(self._held) == age.CHUNK_SIZE:
                    chunks.append(self._held)
                    self._held = bytearray()
                end = at + age.CHUNK_SIZE - len(self._held)
                self._held += view[at:end]
                at = end
        return chunks

    def finish(self) -> bytearray:
        """Return the last chunk; it is empty only when the whole stream was."""
        last, self._held = self._held, bytearray()
        return last


def seal_stream(plain: Iterable[bytes], file_key: bytes, nonce: bytes) -> Iterator[bytes]:
    """Yield a sealed payload: the nonce and each sealed chunk.

    `plain` is the plaintext in pieces of any size, the WAV header among them. The pair of file key
    and nonce must be fresh.
    """
    sealer = age.PayloadSealer(file_key, nonce)
    chunker = Chunker()
    yield nonce
    for piece in plain:
        for chunk in chunker.feed(piece):
            yield sealer.seal_chunk(chunk, last=False)
    yield sealer.seal_chunk(chunker.finish(), last=True)


def open_stream(sealed: Iterable[bytes], file_key: bytes) -> Iterator[bytes]:
    """Yield the plaintext of a sealed payload given in pieces of any size.

    Raises PayloadError; whoever keeps what came before it keeps a recording that may be cut short.
    """
    nonce = bytearray()
    opener: age.PayloadOpener | None = None
    for piece in sealed:
        rest = memoryview(piece)
        if opener is None:
            missing = age.NONCE_SIZE - len(nonce)
            nonce += rest[:missing]
            rest = rest[missing:]
            if len(nonce) < age.NONCE_SIZE:
                continue
            opener = age.PayloadOpener(file_key, bytes(nonce))
        plaintext = opener.feed(rest)
        if plaintext:
            yield plaintext
    if opener is None:
        raise age.NonceError("the payload is cut short in its nonce")
    plaintext = opener.finish()
    if plaintext:
        yield plaintext


def audio_span(index: int, header_size: int) -> AudioSpan:
    """Which raw audio a full chunk `index` holds, behind a WAV header of `header_size` bytes.

    Once the chunk is durable, that audio may be released from the spool.
    """
    if index == 0:
        return AudioSpan(0, age.CHUNK_SIZE - header_size)
    return AudioSpan(index * age.CHUNK_SIZE - header_size, age.CHUNK_SIZE)
