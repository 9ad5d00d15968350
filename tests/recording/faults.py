"""Age files with exactly one fault each, built by code, and the good file that each was made from.

Where the fault lies before the MAC, the MAC is made over the faulty header: a reader that lacks the
one check would open the file.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from callguard.recording import age
from callguard.recording.age_header import encode_base64, header_mac
from callguard.recording.age_keys import _x25519_wrap_key
from tests.recording.sealing import FILE_KEY, HYBRID, NONCE, X25519, seal_chunks, seal_raw

PLAIN = b"a recording " * 6000  # 72,000 bytes: two chunks
CHUNKS = seal_chunks(PLAIN)
PAYLOAD = NONCE + b"".join(CHUNKS)
VERSION = b"age-encryption.org/v1\n"


@dataclass(frozen=True, slots=True)
class Fault:
    """One file, how it is refused, and the file that opens once the fault is undone."""

    good: bytes
    data: bytes
    error: type[age.AgeError]
    reason: str


def wrap_x25519(
    file_key: bytes,
    *,
    ephemeral: int = 7,
    nonce: bytes = bytes(12),
    info: bytes | None = None,
) -> age.Stanza:
    """An X25519 stanza that is the same in every run, or is wrapped in a wrong way."""
    secret = X25519PrivateKey.from_private_bytes(bytes([ephemeral]) * 32)
    share = secret.public_key().public_bytes_raw()
    public = X25519.recipient.public
    shared = X25519._key.exchange(secret.public_key())
    key = info or _x25519_wrap_key(shared, share, public)
    return age.Stanza("X25519", (encode_base64(share),), seal_raw(key, nonce, file_key))


X = wrap_x25519(FILE_KEY)
PQ = HYBRID.recipient.wrap(FILE_KEY)
GREASE = age.Stanza("grease", ("a", "b"), bytes(range(60)))  # a full line and a short one
SQUARE = age.Stanza("square", ("c",), bytes(48))  # a full line and an empty one


def text(*stanzas: age.Stanza) -> bytes:
    """A header without its last line."""
    return VERSION + b"".join(stanza.encode() for stanza in stanzas)


def mac_line(open_header: bytes) -> bytes:
    """The last line that belongs to a header, its line feed with it."""
    mac = header_mac(FILE_KEY, open_header + b"---")
    return b"--- " + encode_base64(mac).encode() + b"\n"


def close(open_header: bytes, payload: bytes = PAYLOAD) -> bytes:
    """A whole file: whatever header text there is, its own MAC, a payload."""
    return open_header + mac_line(open_header) + payload


GOOD_TEXT = text(X)
GOOD = close(GOOD_TEXT)


def not_canonical(line: bytes) -> bytes:
    """The same bytes with a bit set that a canonical encoding leaves at zero."""
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return line[:-1] + alphabet[alphabet.index(line[-1:]) + 1 :][:1]


def flipped(data: bytes, at: int = 0) -> bytes:
    """`data` with one bit of one byte changed."""
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)
