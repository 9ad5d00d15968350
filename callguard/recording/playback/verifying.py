"""Is a stored recording still the one that was sealed? Every byte is read; where the tenant's key
is here, every chunk is opened too. The calls block.

What may be wrong is told apart in words: a payload that is missing, ends before its time, goes on
after its end, lies in the place of another, or was changed; a header that is none or that our key
does not open; a row that does not say what its payload is.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from callguard.recording import age
from callguard.recording.keys import KeyWrapper
from callguard.recording.playback.ranges import CHUNKS_AT_ONCE, Payload
from callguard.recording.playback.reading import (
    RecordingError,
    RecordingRow,
    WrappedIdentity,
    file_key_of,
    payload_of,
)
from callguard.recording.store.objects import ObjectMissing, ObjectStore

SOME = 3
"""Chunks that are named; of more it is said how many they are."""

_HEADER = "the header is damaged"

Told = Callable[[int], None]
"""How many more bytes have been read."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one recording. ``unopened`` says why no chunk was opened, and only the
    header's syntax, the size and the SHA-256 compared; it is empty where all were."""

    recording: str
    faults: tuple[str, ...]
    unopened: str
    chunks: int
    bytes: int

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong with it, as far as could be told."""
        return not self.faults

    @property
    def line(self) -> str:
        """One line that says it all."""
        if self.faults:
            return "; ".join(self.faults)
        if self.unopened:
            return f"header, size and SHA-256 are right; only these were checked: {self.unopened}"
        return f"whole: each of {self.chunks} chunks opened"


def examine(
    row: RecordingRow,
    identities: Sequence[WrappedIdentity],
    store: ObjectStore,
    wrapper: KeyWrapper,
    told: Told = lambda _: None,
) -> Finding:
    """Verifies a sealed recording with whatever identity of the tenant is here. Raises
    ObjectStoreError and KeyStoreError; what is wrong with the recording is in the finding."""
    try:
        payload = payload_of(row, store)
    except age.PayloadError as error:
        return Finding(row.id, (str(error),), "", 0, 0)
    fault = None
    try:
        key: bytes | str = file_key_of(row, identities, wrapper)
    except age.NoMatchingIdentity:
        key = "no key of the tenant that is here opens it"
    except age.AgeError as error:
        key, fault = "its header does not open", f"{_HEADER}: {error}"
    except RecordingError:
        key = "the tenant's key was destroyed" if identities else "only the tenant holds the key"
    found = verify(row, payload, key, told)
    if fault is not None and fault not in found.faults:
        return replace(found, faults=(fault, *found.faults))
    return found


def verify(
    row: RecordingRow, payload: Payload, key: bytes | str, told: Told = lambda _: None
) -> Finding:
    """Compares a sealed recording with its row, and opens all of it. ``key`` is its file key, or
    one line that says why there is none. Raises ObjectStoreError where the store does not answer; a
    payload that is missing is a finding."""
    file_key = key if isinstance(key, bytes) else None
    faults = list(_of_header(row, file_key))
    reading = _Reading(payload, file_key)
    try:
        reading.run(told)
    except ObjectMissing:
        faults.append("the payload is missing")
    else:
        faults += [*reading.faults(), *_of_row(row)]
    unopened = key if isinstance(key, str) else ""
    return Finding(row.id, tuple(faults), unopened, reading.opened, reading.size)


def _of_header(row: RecordingRow, file_key: bytes | None) -> Iterator[str]:
    if row.header is None:
        yield "the header is gone"
        return
    try:
        header = age.parse_header(row.header)
        if file_key is not None:
            header.verify(file_key)
    except age.AgeError as error:
        yield f"{_HEADER}: {error}"


def _of_row(row: RecordingRow) -> Iterator[str]:
    try:
        size = age.plain_size(row.sealed_bytes)
    except age.PayloadError:
        yield f"its row says {row.sealed_bytes} sealed bytes, which no payload has"
        return
    if row.plain_bytes != size:
        yield f"its row says {row.plain_bytes} bytes of plaintext, its payload holds {size}"


class _Reading:
    """One pass over a payload."""

    def __init__(self, payload: Payload, file_key: bytes | None) -> None:
        self._payload = payload
        self._key = file_key
        self._digest = hashlib.sha256()
        self._closed: list[int] = []
        self.opened = 0
        self.size = 0

    def run(self, told: Told) -> None:
        """Reads all there is, also beyond the end."""
        nonce = self._next(age.NONCE_SIZE, told)
        opener = None
        if self._key is not None and len(nonce) == age.NONCE_SIZE:
            opener = age.PayloadOpener(self._key, nonce)
        index, asked = 0, CHUNKS_AT_ONCE * age.SEALED_CHUNK_SIZE
        while True:
            piece = self._next(asked, told)
            with memoryview(piece) as view:
                for at in range(0, len(piece), age.SEALED_CHUNK_SIZE):
                    if opener is not None:
                        self._open(opener, index, view[at : at + age.SEALED_CHUNK_SIZE])
                    index += 1
            if len(piece) < asked:
                return

    def faults(self) -> Iterator[str]:
        """What is wrong with the payload."""
        known = self._payload.sha256 in (None, self._digest.hexdigest())
        if len(self._closed) > 1 and not self.opened:
            yield (
                f"another payload lies in its place, of {self.size} bytes, or its nonce was "
                "changed: no chunk opens with the key of this recording"
            )
            return
        if self.size < self._payload.size:
            yield f"the payload is cut: {self.size} of {self._payload.size} bytes are there"
        elif self.size > self._payload.size:
            beyond = self.size - self._payload.size
            yield f"the payload was extended by {beyond} bytes beyond {self._payload.size}"
        if self._closed:
            yield _changed(self._closed, self.opened)
        elif not known and self.size == self._payload.size:
            if self._key is None:
                yield "the payload was changed or exchanged: its SHA-256 is another"
            else:
                yield "its row says another SHA-256, though every chunk opens"

    def _next(self, size: int, told: Told) -> bytes:
        piece = self._payload.store.read(self._payload.name, self.size, size)
        self._digest.update(piece)
        self.size += len(piece)
        told(len(piece))
        return piece

    def _open(self, opener: age.PayloadOpener, index: int, chunk: memoryview) -> None:
        """What is not all there, or is beyond the end, is found by its size."""
        try:
            expected = age.chunk_span(index, self._payload.size)
        except (age.PayloadError, IndexError):
            return
        if len(chunk) < expected.size:
            return
        try:
            opener.open_chunk(index, chunk[: expected.size], last=expected.last)
        except age.PayloadError:
            self._closed.append(index)
        else:
            self.opened += 1


def _changed(closed: list[int], opened: int) -> str:
    if len(closed) == 1:
        how = "changed" if opened else "changed or exchanged"
        return f"the payload was {how}: chunk {closed[0]} is not authentic"
    named = ", ".join(map(str, closed[:SOME]))
    more = f" and {len(closed) - SOME} more" if len(closed) > SOME else ""
    return f"the payload was changed: chunks {named}{more} are not authentic"
