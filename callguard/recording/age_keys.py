"""age recipients and identities: X25519 and the post-quantum hybrid of age 1.3. Pure.

Source: C2SP `age`, "Native recipient types"; draft-ietf-hpke-pq for MLKEM768-X25519.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar, Literal, assert_never

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from callguard.recording import bech32
from callguard.recording.age_errors import HeaderError, KeyFormatError
from callguard.recording.age_header import FILE_KEY_SIZE, Stanza, decode_base64, encode_base64

KeyKind = Literal["pq", "x25519"]

_X25519_INFO = b"age-encryption.org/v1/X25519"
_HYBRID_INFO = b"age-encryption.org/mlkem768x25519"
_X25519_SIZE = 32
_SEED_SIZE = 32
_MLKEM_SEED_SIZE = 64
_MLKEM_PUBLIC_SIZE = 1184
_MLKEM_ENCAPSULATION_SIZE = 1088
_HYBRID_PUBLIC_SIZE = _MLKEM_PUBLIC_SIZE + _X25519_SIZE
_HYBRID_ENCAPSULATION_SIZE = _MLKEM_ENCAPSULATION_SIZE + _X25519_SIZE
_BODY_SIZE = FILE_KEY_SIZE + 16
_ZERO_NONCE = bytes(12)
_HYBRID_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
_PROBE = X25519PrivateKey.from_private_bytes(bytes(range(32)))  # finds low-order points; no secret


@dataclass(frozen=True, slots=True)
class X25519Recipient:
    """A classic age public key, `age1…`."""

    PREFIX: ClassVar[str] = "age"
    TYPE: ClassVar[str] = "X25519"
    post_quantum: ClassVar[bool] = False

    public: bytes

    def __post_init__(self) -> None:
        if len(self.public) != _X25519_SIZE:
            raise KeyFormatError(f"the recipient does not hold {_X25519_SIZE} bytes")
        if not _is_sound_point(_PROBE, self.public):
            raise KeyFormatError("the recipient is a low-order X25519 point")

    def __str__(self) -> str:
        return bech32.encode(self.PREFIX, self.public)

    def wrap(self, file_key: bytes) -> Stanza:
        """Wrap a file key under a fresh ephemeral key."""
        ephemeral = X25519PrivateKey.generate()
        share = ephemeral.public_key().public_bytes_raw()
        shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(self.public))
        key = _x25519_wrap_key(shared, share, self.public)
        body = ChaCha20Poly1305(key).encrypt(_ZERO_NONCE, file_key, None)
        return Stanza(self.TYPE, (encode_base64(share),), body)


@dataclass(frozen=True, slots=True)
class HybridRecipient:
    """A post-quantum age public key, `age1pq1…`: ML-KEM-768 and X25519 together."""

    PREFIX: ClassVar[str] = "age1pq"
    TYPE: ClassVar[str] = "mlkem768x25519"
    post_quantum: ClassVar[bool] = True

    public: bytes
    _key: MLKEM768X25519PublicKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.public) != _HYBRID_PUBLIC_SIZE:
            raise KeyFormatError(f"the recipient does not hold {_HYBRID_PUBLIC_SIZE} bytes")
        lattice, curve = self.public[:_MLKEM_PUBLIC_SIZE], self.public[_MLKEM_PUBLIC_SIZE:]
        if not _is_sound_point(_PROBE, curve):
            raise KeyFormatError("the recipient is a low-order X25519 point")
        try:
            mlkem = MLKEM768PublicKey.from_public_bytes(lattice)
        except ValueError:
            raise KeyFormatError("the recipient is not an ML-KEM-768 public key") from None
        key = MLKEM768X25519PublicKey(mlkem, X25519PublicKey.from_public_bytes(curve))
        object.__setattr__(self, "_key", key)

    def __str__(self) -> str:
        return bech32.encode(self.PREFIX, self.public)

    def wrap(self, file_key: bytes) -> Stanza:
        """Wrap a file key with HPKE in base mode."""
        sealed = _HYBRID_SUITE.encrypt(file_key, self._key, _HYBRID_INFO)
        share, body = sealed[:_HYBRID_ENCAPSULATION_SIZE], sealed[_HYBRID_ENCAPSULATION_SIZE:]
        return Stanza(self.TYPE, (encode_base64(share),), body)


@dataclass(frozen=True, slots=True, eq=False)
class X25519Identity:
    """A classic age private key, `AGE-SECRET-KEY-1…`. Neither `repr` nor `str` shows it."""

    PREFIX: ClassVar[str] = "AGE-SECRET-KEY-"

    secret: bytes = field(repr=False)
    _key: X25519PrivateKey = field(init=False, repr=False)
    recipient: X25519Recipient = field(init=False)

    def __post_init__(self) -> None:
        if len(self.secret) != _X25519_SIZE:
            raise KeyFormatError(f"the identity does not hold {_X25519_SIZE} bytes")
        key = X25519PrivateKey.from_private_bytes(self.secret)
        object.__setattr__(self, "_key", key)
        recipient = X25519Recipient(key.public_key().public_bytes_raw())
        object.__setattr__(self, "recipient", recipient)

    def encode(self) -> str:
        """Return the private key as age tools write it. Never log or print it."""
        return bech32.encode(self.PREFIX, self.secret)

    def check(self, stanza: Stanza) -> None:
        """Raise HeaderError when the stanza is of this type and not of its shape."""
        if stanza.type == X25519Recipient.TYPE:
            _read_share(stanza, _X25519_SIZE)

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """Return the file key, or None when the stanza is for someone else.

        Raises HeaderError when the stanza is of this type and malformed.
        """
        if stanza.type != X25519Recipient.TYPE:
            return None
        share = _read_share(stanza, _X25519_SIZE)
        try:
            shared = self._key.exchange(X25519PublicKey.from_public_bytes(share))
        except ValueError:
            raise HeaderError("an X25519 stanza has a low-order share") from None
        key = _x25519_wrap_key(shared, share, self.recipient.public)
        try:
            return ChaCha20Poly1305(key).decrypt(_ZERO_NONCE, stanza.body, None)
        except InvalidTag:
            return None


@dataclass(frozen=True, slots=True, eq=False)
class HybridIdentity:
    """A post-quantum age private key, `AGE-SECRET-KEY-PQ-1…`: a 32-byte seed, never shown."""

    PREFIX: ClassVar[str] = "AGE-SECRET-KEY-PQ-"

    secret: bytes = field(repr=False)
    _curve: X25519PrivateKey = field(init=False, repr=False)
    _key: MLKEM768X25519PrivateKey = field(init=False, repr=False)
    recipient: HybridRecipient = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != _SEED_SIZE:
            raise KeyFormatError(f"the identity does not hold {_SEED_SIZE} bytes")
        expanded = hashlib.shake_256(self.secret).digest(_MLKEM_SEED_SIZE + _X25519_SIZE)
        mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:_MLKEM_SEED_SIZE])
        curve = X25519PrivateKey.from_private_bytes(expanded[_MLKEM_SEED_SIZE:])
        public = mlkem.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()
        object.__setattr__(self, "_curve", curve)
        object.__setattr__(self, "_key", MLKEM768X25519PrivateKey(mlkem, curve))
        object.__setattr__(self, "recipient", HybridRecipient(public))

    def encode(self) -> str:
        """Return the private key as age tools write it. Never log or print it."""
        return bech32.encode(self.PREFIX, self.secret)

    def check(self, stanza: Stanza) -> None:
        """Raise HeaderError when the stanza is of this type and not of its shape."""
        if stanza.type == HybridRecipient.TYPE:
            _read_share(stanza, _HYBRID_ENCAPSULATION_SIZE)

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """Return the file key, or None when the stanza is for someone else.

        Raises HeaderError when the stanza is of this type and malformed.
        """
        if stanza.type != HybridRecipient.TYPE:
            return None
        share = _read_share(stanza, _HYBRID_ENCAPSULATION_SIZE)
        # The library answers a low-order share like a foreign one; the format wants an error.
        if not _is_sound_point(self._curve, share[_MLKEM_ENCAPSULATION_SIZE:]):
            raise HeaderError("an mlkem768x25519 stanza has a low-order share")
        try:
            return _HYBRID_SUITE.decrypt(share + stanza.body, self._key, _HYBRID_INFO)
        except InvalidTag:
            return None


Recipient = X25519Recipient | HybridRecipient
Identity = X25519Identity | HybridIdentity


@lru_cache(maxsize=1024)
def parse_recipient(text: str) -> Recipient:
    """Parse `age1…` or `age1pq1…`. Raises KeyFormatError.

    Remembered, for the same few public keys come back with every recording.
    """
    prefix, data = _decode(text, "recipient")
    if prefix == HybridRecipient.PREFIX:
        return HybridRecipient(data)
    if prefix == X25519Recipient.PREFIX:
        return X25519Recipient(data)
    raise KeyFormatError("the recipient is of an unknown kind")


def parse_identity(text: str) -> Identity:
    """Parse `AGE-SECRET-KEY-1…` or `AGE-SECRET-KEY-PQ-1…`. Raises KeyFormatError."""
    prefix, data = _decode(text, "identity")
    if prefix == HybridIdentity.PREFIX:
        return HybridIdentity(data)
    if prefix == X25519Identity.PREFIX:
        return X25519Identity(data)
    raise KeyFormatError("the identity is of an unknown kind")


def generate_identity(kind: KeyKind = "pq") -> Identity:
    """Make a private key from the system's random source."""
    match kind:
        case "pq":
            return HybridIdentity(os.urandom(_SEED_SIZE))
        case "x25519":
            return X25519Identity(os.urandom(_X25519_SIZE))
        case _:
            assert_never(kind)


def _decode(text: str, what: str) -> tuple[str, bytes]:
    try:
        return bech32.decode(text)
    except bech32.Bech32Error as error:
        raise KeyFormatError(f"the {what} is not Bech32: {error}") from None


def _read_share(stanza: Stanza, size: int) -> bytes:
    name = f"an {stanza.type} stanza"
    if len(stanza.arguments) != 1:
        raise HeaderError(f"{name} has not exactly one argument after its type")
    share = decode_base64(stanza.arguments[0].encode("ascii"), f"the share of {name}")
    if len(share) != size:
        raise HeaderError(f"the share of {name} is not {size} bytes")
    # Checked before any decryption, against partitioning oracles.
    if len(stanza.body) != _BODY_SIZE:
        raise HeaderError(f"the body of {name} is not {_BODY_SIZE} bytes")
    return share


def _x25519_wrap_key(shared: bytes, share: bytes, public: bytes) -> bytes:
    kdf = HKDF(algorithm=SHA256(), length=32, salt=share + public, info=_X25519_INFO)
    return kdf.derive(shared)


def _is_sound_point(private: X25519PrivateKey, public: bytes) -> bool:
    # An all-zero shared secret, which a low-order point gives with every private key, is refused.
    try:
        private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        return False
    return True
