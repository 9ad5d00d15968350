"""Whole age files made and read with the project's own pieces, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from callguard.recording import age, payload

FILE_KEY = bytes(range(16))
NONCE = bytes(range(100, 116))
X25519 = age.X25519Identity(bytes(range(1, 33)))
HYBRID = age.HybridIdentity(bytes(range(2, 34)))


def seal_file(plain: bytes, *recipients: age.Recipient) -> bytes:
    """A whole age file under a fresh key."""
    file_key = age.new_file_key()
    header = age.build_header(file_key, recipients)
    return header + b"".join(payload.seal_stream([plain], file_key, age.new_nonce()))


def open_file(data: bytes, identities: Sequence[age.Identity]) -> bytes:
    """The plaintext of a whole age file."""
    header = age.read_header(data)
    file_key = age.unwrap(header, identities)
    return b"".join(payload.open_stream([data[header.size :]], file_key))


def seal_chunks(plain: bytes, *, file_key: bytes = FILE_KEY, nonce: bytes = NONCE) -> list[bytes]:
    """The sealed chunks of a payload, without its nonce."""
    return list(payload.seal_stream([plain], file_key, nonce))[1:]


def seal_raw(key: bytes, nonce: bytes, plain: bytes, data: bytes | None = None) -> bytes:
    """The bare cipher, for what the sealers refuse to make."""
    return ChaCha20Poly1305(key).encrypt(nonce, plain, data)
