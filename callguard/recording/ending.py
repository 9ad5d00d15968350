"""How a payload that was sealed while its call ran is brought to its end. All of it blocks.

A whole chunk that is already there, sealed as if more came, may have to become the last: the same
plaintext is sealed once more as the last chunk, under a nonce that nothing else is sealed with, and
a copy of it is durable before the old one goes.
"""

from __future__ import annotations

import hashlib

from callguard.recording import age
from callguard.recording.progress import whole_chunks
from callguard.recording.store.objects import (
    WORKING_SUFFIX,
    ObjectMissing,
    ObjectStore,
    ObjectStoreError,
    ObjectWriter,
)

READ_BYTES = 1 << 20


def ending_name(recording_id: str) -> str:
    """The object that holds a last chunk while it takes the place of one that was not the last."""
    return f"{recording_id}{WORKING_SUFFIX}"


def opened(
    writer: ObjectWriter, opener: age.PayloadOpener, index: int, *, last: bool
) -> bytes | None:
    """The plaintext of a chunk of a part; None where it does not open."""
    offset = age.NONCE_SIZE + index * age.SEALED_CHUNK_SIZE
    try:
        return opener.open_chunk(index, writer.read(offset, age.SEALED_CHUNK_SIZE), last=last)
    except age.PayloadError:
        return None


def is_ended(writer: ObjectWriter, file_key: bytes, last: int, size: int) -> bool:
    """Whether a part is whole: of that size, and with its last chunk, from before a crash."""
    if writer.size != size:
        return False
    opener = age.PayloadOpener(file_key, writer.read(0, age.NONCE_SIZE))
    return opened(writer, opener, last, last=True) is not None


def end_with_whole(
    writer: ObjectWriter, store: ObjectStore, file_key: bytes, recording_id: str, last: int
) -> None:
    """Makes the last whole chunk of a part its last one. Raises ObjectStoreError."""
    nonce = writer.read(0, age.NONCE_SIZE)
    plain = opened(writer, age.PayloadOpener(file_key, nonce), last, last=False)
    if plain is None:
        raise ObjectStoreError(f"chunk {last} of part {recording_id} does not open")
    sealer = age.PayloadSealer(file_key, nonce, start_index=last)
    sealed = sealer.seal_chunk(plain, last=True)
    store.delete([ending_name(recording_id)])
    store.put(ending_name(recording_id), [sealed])
    _replace_last(writer, last, sealed)


def end_as_prepared(
    writer: ObjectWriter, store: ObjectStore, file_key: bytes, recording_id: str, last: int
) -> bool:
    """Does so with the copy that a killed process had made durable; whether there was one. Raises
    ObjectStoreError."""
    if whole_chunks(writer.size) not in (last, last + 1) or writer.size < age.NONCE_SIZE:
        return False
    opener = age.PayloadOpener(file_key, writer.read(0, age.NONCE_SIZE))
    try:
        sealed = store.read(ending_name(recording_id))
        opener.open_chunk(last, sealed, last=True)
    except (ObjectMissing, age.PayloadError):
        return False
    _replace_last(writer, last, sealed)
    return True


def _replace_last(writer: ObjectWriter, last: int, sealed: bytes) -> None:
    writer.truncate(age.NONCE_SIZE + last * age.SEALED_CHUNK_SIZE)
    writer.write(sealed)


def committed(store: ObjectStore, file_key: bytes, recording_id: str) -> tuple[int, hashlib._Hash]:
    """Size and SHA-256 of what was committed before anybody could say so. Raises ObjectStoreError
    where it is not this recording's, whole."""
    size = store.size(recording_id)
    try:
        chunks = age.chunk_count(size)
        span = age.chunk_span(chunks - 1, size)
        opener = age.PayloadOpener(file_key, store.read(recording_id, 0, age.NONCE_SIZE))
        sealed = store.read(recording_id, span.offset, span.size)
        opener.open_chunk(chunks - 1, sealed, last=True)
    except age.PayloadError as error:
        raise ObjectStoreError(f"object {recording_id} is not whole: {error}") from error
    digest, offset = hashlib.sha256(), 0
    while piece := store.read(recording_id, offset, READ_BYTES):
        digest.update(piece)
        offset += len(piece)
    store.delete([ending_name(recording_id)])
    return size, digest


def digest_of(writer: ObjectWriter) -> hashlib._Hash:
    """The SHA-256 of a part."""
    digest, offset = hashlib.sha256(), 0
    while piece := writer.read(offset, READ_BYTES):
        digest.update(piece)
        offset += len(piece)
    return digest
