"""Recordings that lie sealed in a store, without a service around them."""

import hashlib
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from callguard.recording import age, payload
from callguard.recording.playback.ranges import Payload
from callguard.recording.store.objects import ObjectMissing, ObjectStore
from callguard.recording.wav import WavFormat
from tests.recording.sealing import FILE_KEY, NONCE, X25519


@dataclass
class MemoryStore:
    """Only what readers ask of a store."""

    objects: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[int, int | None]] = field(default_factory=list)

    def read(self, name: str, offset: int = 0, size: int | None = None) -> bytes:
        self.asked.append((offset, size))
        if name not in self.objects:
            raise ObjectMissing(f"cannot read object {name}: there is none")
        whole = self.objects[name]
        return whole[offset : len(whole) if size is None else offset + size]


def stored(plain: bytes, name: str = "r", file_key: bytes = FILE_KEY) -> tuple[MemoryStore, Any]:
    """A store with one payload, and the row of its recording."""
    sealed = b"".join(payload.seal_stream([plain], file_key, NONCE))
    row = SimpleNamespace(
        id=name,
        tenant_id="acme",
        header=age.build_header(file_key, [X25519.recipient]),
        payload=name,
        plain_bytes=len(plain),
        sealed_bytes=len(sealed),
        payload_sha256=hashlib.sha256(sealed).hexdigest(),
    )
    return MemoryStore({name: sealed}), row


def payload_in(store: MemoryStore, row: Any) -> Payload:
    only_read = cast("ObjectStore", store)
    return Payload(only_read, row.payload, row.sealed_bytes, row.payload_sha256)


def wav(audio: bytes, form: WavFormat | None = None) -> bytes:
    """Audio behind a streaming header."""
    return (form or WavFormat()).header() + audio
