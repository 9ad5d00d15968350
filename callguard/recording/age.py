"""age v1 (C2SP `age`) on the primitives of `cryptography`. The public door of the format; pure.

An age file is a header, which wraps a 16-byte file key for its recipients, and a payload sealed
under that key. The two are made and read apart, so that a header can be replaced or destroyed while
the payload stays as it is; one after the other they are an ordinary age file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from callguard.recording.age_errors import (
    AgeError,
    HeaderError,
    HeaderMacError,
    KeyFormatError,
    NoMatchingIdentity,
    NonceError,
    PayloadError,
    RecipientsError,
)
from callguard.recording.age_file import FileOpener, open_file, unwrap
from callguard.recording.age_header import (
    FILE_KEY_SIZE,
    MAX_HEADER_SIZE,
    Header,
    Stanza,
    encode_header,
    parse_header,
    read_header,
)
from callguard.recording.age_keys import (
    HybridIdentity,
    HybridRecipient,
    Identity,
    KeyKind,
    Recipient,
    X25519Identity,
    X25519Recipient,
    generate_identity,
    parse_identity,
    parse_recipient,
)
from callguard.recording.age_stream import (
    CHUNK_SIZE,
    NONCE_SIZE,
    SEALED_CHUNK_SIZE,
    TAG_SIZE,
    ChunkSpan,
    PayloadOpener,
    PayloadSealer,
    chunk_count,
    chunk_span,
    plain_size,
    sealed_size,
)

__all__ = [
    "CHUNK_SIZE",
    "FILE_KEY_SIZE",
    "MAX_HEADER_SIZE",
    "NONCE_SIZE",
    "SEALED_CHUNK_SIZE",
    "TAG_SIZE",
    "AgeError",
    "ChunkSpan",
    "FileOpener",
    "Header",
    "HeaderError",
    "HeaderMacError",
    "HybridIdentity",
    "HybridRecipient",
    "Identity",
    "KeyFormatError",
    "KeyKind",
    "NoMatchingIdentity",
    "NonceError",
    "PayloadError",
    "PayloadOpener",
    "PayloadSealer",
    "Recipient",
    "RecipientsError",
    "Stanza",
    "X25519Identity",
    "X25519Recipient",
    "build_header",
    "chunk_count",
    "chunk_span",
    "generate_identity",
    "new_file_key",
    "new_nonce",
    "open_file",
    "parse_header",
    "parse_identity",
    "parse_recipient",
    "plain_size",
    "read_header",
    "sealed_size",
    "unwrap",
]


def new_file_key() -> bytes:
    """Return a fresh file key. It must never serve two payloads."""
    return os.urandom(FILE_KEY_SIZE)


def new_nonce() -> bytes:
    """Return a fresh payload nonce."""
    return os.urandom(NONCE_SIZE)


def build_header(file_key: bytes, recipients: Sequence[Recipient]) -> bytes:
    """Return a header that wraps `file_key` for each of the recipients.

    Raises RecipientsError when there is none, when post-quantum ones are mixed with others (the
    weakest would decide) or when the header would be longer than MAX_HEADER_SIZE.
    """
    if len(file_key) != FILE_KEY_SIZE:
        raise ValueError(f"a file key is {FILE_KEY_SIZE} bytes, not {len(file_key)}")
    if not recipients:
        raise RecipientsError("a header needs at least one recipient")
    if len({recipient.post_quantum for recipient in recipients}) > 1:
        raise RecipientsError("post-quantum recipients cannot be mixed with others")
    header = encode_header(file_key, tuple(recipient.wrap(file_key) for recipient in recipients))
    if len(header) > MAX_HEADER_SIZE:
        raise RecipientsError(f"the header would be longer than {MAX_HEADER_SIZE} bytes")
    return header
