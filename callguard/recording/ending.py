"""How a payload that was sealed while its call ran is brought to its end. All of it blocks.

A whole chunk that is already there, sealed as if more came, may have to become the last: the same
plaintext is sealed once more as the last chunk, under a nonce that nothing else is sealed with, and
a copy of it is durable before the old one goes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from callguard.recording import age
from callguard.recording.part import Part
from callguard.recording.progress import last_index, part_size, whole_chunks
from callguard.recording.spool import SpoolEntry, SpoolEntryMissing
from callguard.recording.store.objects import (
    WORKING_SUFFIX,
    ObjectMissing,
    ObjectStore,
    ObjectStoreError,
    ObjectWriter,
)

READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Sealed:
    """What the sealed recording is. ``late``: bytes of audio that came after its end was durable,
    which are not in it."""

    payload: str
    plain_bytes: int
    sealed_bytes: int
    sha256: str
    late: int = 0


def ending_name(recording_id: str) -> str:
    """The object that holds a last chunk while it takes the place of one that was not the last."""
    return f"{recording_id}{WORKING_SUFFIX}"


def write_end(part: Part, entry: SpoolEntry | None, plain: int) -> tuple[int, str]:
    """Seals what is left of ``plain`` bytes of plaintext and commits; bytes and SHA-256 of the
    payload. ``entry`` is None where the spool entry is gone.

    Raises SpoolEntryMissing where audio is needed that is nowhere; PartMissing, ObjectStoreError.
    """
    size, last = age.sealed_size(plain), last_index(plain)
    try:
        writer = part.open(create=entry is not None)
    except ObjectMissing:
        raise SpoolEntryMissing(f"the spool entry of {part.name} is missing") from None
    with writer:
        # Ended already, before a crash: of that size, and its last chunk says so.
        if writer.size == size and part.opens(writer, last, last=True) is not None:
            part.digest = None
            if part.in_doubt:
                part.write_again(writer)
        else:
            _seal_end(part, writer, entry, plain, last)
        if writer.size != size:
            raise ObjectStoreError(f"part {part.name} has {writer.size} of {size} bytes")
        digest = part.digest or _digest_of(writer)
        writer.commit()
    return size, digest.hexdigest()


def _seal_end(
    part: Part, writer: ObjectWriter, entry: SpoolEntry | None, plain: int, last: int
) -> None:
    """What is left, and nothing after it."""
    full = plain == (last + 1) * age.CHUNK_SIZE
    if full and _end_as_prepared(part, writer, last):
        return
    part.take_up(writer, entry)
    if full and part.chunks == last + 1:
        _end_with_whole(part, writer, last)
        return
    if entry is None:
        raise SpoolEntryMissing(f"the spool entry of {part.name} is missing")
    if part.chunks > last:
        raise SpoolEntryMissing(f"spool entry {entry.name} is shorter than it was")
    while part.seal_whole(writer, entry, plain - part.header_size):
        pass
    part.append(writer, entry, last, plain - last * age.CHUNK_SIZE, last=True)


def _end_with_whole(part: Part, writer: ObjectWriter, last: int) -> None:
    """Makes the last whole chunk of a part its last one. Raises ObjectStoreError."""
    plain = part.opens(writer, last, last=False)
    if plain is None:
        raise ObjectStoreError(f"chunk {last} of part {part.name} does not open")
    sealer = age.PayloadSealer(part.key(), writer.read(0, age.NONCE_SIZE), start_index=last)
    sealed = sealer.seal_chunk(plain, last=True)
    part.store.delete([ending_name(part.name)])
    part.store.put(ending_name(part.name), [sealed])
    _replace_last(part, writer, last, sealed)


def _end_as_prepared(part: Part, writer: ObjectWriter, last: int) -> bool:
    """Does so with the copy that a killed process had made durable; whether there was one. Raises
    ObjectStoreError."""
    if whole_chunks(writer.size) not in (last, last + 1) or writer.size < age.NONCE_SIZE:
        return False
    opener = age.PayloadOpener(part.key(), writer.read(0, age.NONCE_SIZE))
    try:
        sealed = part.store.read(ending_name(part.name))
        opener.open_chunk(last, sealed, last=True)
    except (ObjectMissing, age.PayloadError):
        return False
    _replace_last(part, writer, last, sealed)
    return True


def _replace_last(part: Part, writer: ObjectWriter, last: int, sealed: bytes) -> None:
    writer.truncate(part_size(last) or age.NONCE_SIZE)
    writer.write(sealed)
    part.digest = None


def committed(store: ObjectStore, file_key: bytes, recording_id: str) -> tuple[int, str]:
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
    return size, digest.hexdigest()


def _digest_of(writer: ObjectWriter) -> hashlib._Hash:
    digest, offset = hashlib.sha256(), 0
    while piece := writer.read(offset, READ_BYTES):
        digest.update(piece)
        offset += len(piece)
    return digest
