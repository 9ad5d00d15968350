"""The master key and what it wraps: tenant identities and the file keys of recordings in progress.

A wrapped key is bound to its context (what it is and whose): bytes moved to another row do not
open. Nothing here shows a key in `repr`, in a log or in an error. Python cannot wipe memory:
whoever reads the memory of the running service reads the master key.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from callguard.recording import age
from callguard.recording.durable import sync_folder
from callguard.secret_file import SecretFileError, read_secret

MASTER_KEY_SIZE = 32
"""Bytes of a master key file: the key itself, with no encoding and no line end."""

_VERSION = b"CGW1"
_ID_SIZE = 8
_NONCE_SIZE = 12
_PREFIX_SIZE = len(_VERSION) + _ID_SIZE + _NONCE_SIZE
_TAG_SIZE = 16


class KeyStoreError(Exception):
    """A key cannot be read, made or used. The message is one line and shows no key."""


class MasterKeyError(KeyStoreError):
    """The master key file is missing, too open, of a wrong size or already there."""


class UnwrapError(KeyStoreError):
    """Wrapped bytes do not open: another master key, another context or altered bytes."""


class KeyWrapper(Protocol):
    """What wraps short secrets: a master key here, a KMS elsewhere."""

    def wrap(self, plaintext: bytes, context: bytes) -> bytes:
        """Return `plaintext` encrypted and bound to `context`."""
        ...

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Return what `wrap` was given. Raises KeyStoreError, UnwrapError if it does not open."""
        ...

    def made(self, wrapped: bytes) -> bool:
        """Whether these bytes say that this one wrapped them, and no other."""
        ...


class MasterKey:
    """A 32-byte key from a file that its owner alone can read."""

    __slots__ = ("_id", "_secret")

    def __init__(self, secret: bytes) -> None:
        if len(secret) != MASTER_KEY_SIZE:
            raise MasterKeyError(f"a master key is {MASTER_KEY_SIZE} bytes, not {len(secret)}")
        self._secret = secret
        self._id = _derive(secret, b"callguard/master-key/id")[:_ID_SIZE]

    def __repr__(self) -> str:
        return f"MasterKey(id={self.id})"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a master key is not pickled")

    @property
    def id(self) -> str:
        """A public name of this key (hex), which says nothing about it."""
        return self._id.hex()

    @classmethod
    def create(cls, path: Path) -> MasterKey:
        """Write a new random key to `path`, durably and with mode 0600.

        Raises MasterKeyError when the file exists or cannot be written.
        """
        secret = os.urandom(MASTER_KEY_SIZE)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            raise MasterKeyError(f"master key {path} already exists and is kept") from None
        except OSError as error:
            raise MasterKeyError(f"cannot write master key {path}: {error.strerror}") from None
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(secret)
                file.flush()
                os.fsync(descriptor)
            sync_folder(path.parent)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise MasterKeyError(f"cannot write master key {path}: {error.strerror}") from None
        return cls(secret)

    @classmethod
    def load(cls, path: Path) -> MasterKey:
        """Read the key. Raises MasterKeyError, also when others could have read it."""
        try:
            secret = read_secret(path, "master key", limit=4096)
        except SecretFileError as error:
            raise MasterKeyError(str(error)) from None
        if len(secret) != MASTER_KEY_SIZE:
            raise MasterKeyError(f"master key {path} does not hold exactly {MASTER_KEY_SIZE} bytes")
        return cls(secret)

    def wrap(self, plaintext: bytes, context: bytes) -> bytes:
        """Encrypt under a key of this context: version, key id, nonce, ciphertext and tag."""
        nonce = os.urandom(_NONCE_SIZE)
        prefix = _VERSION + self._id + nonce
        return prefix + self._cipher(context).encrypt(nonce, plaintext, prefix + context)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Decrypt what `wrap` made. Raises UnwrapError, which tells a foreign key from damage."""
        if not wrapped.startswith(_VERSION):
            raise UnwrapError("no master key wrapped these bytes: a KMS did, or they were altered")
        if len(wrapped) < _PREFIX_SIZE + _TAG_SIZE:
            raise UnwrapError("the wrapped key is cut short")
        prefix, sealed = wrapped[:_PREFIX_SIZE], wrapped[_PREFIX_SIZE:]
        owner = prefix[len(_VERSION) : len(_VERSION) + _ID_SIZE]
        if owner != self._id:
            raise UnwrapError(f"wrapped by master key {owner.hex()}, this one is {self.id}")
        nonce = prefix[-_NONCE_SIZE:]
        try:
            return self._cipher(context).decrypt(nonce, sealed, prefix + context)
        except InvalidTag:
            raise UnwrapError("the wrapped key was altered or belongs elsewhere") from None

    def made(self, wrapped: bytes) -> bool:
        return wrapped.startswith(_VERSION + self._id)

    def _cipher(self, context: bytes) -> ChaCha20Poly1305:
        if not context:
            raise ValueError("a key is wrapped in a context")
        # A key for every context keeps each one far below the bound of random 96-bit nonces.
        return ChaCha20Poly1305(_derive(self._secret, b"callguard/wrap/1\x00" + context))


@dataclass(frozen=True, slots=True)
class NewIdentity:
    """A tenant's new key pair: the public half to publish, the private half to store."""

    recipient: str
    wrapped: bytes = field(repr=False)


def identity_context(tenant: str, version: int) -> bytes:
    """The context of one version of a tenant's identity."""
    return f"tenant-identity\x00{tenant}\x00{version}".encode()


def file_key_context(recording: str) -> bytes:
    """The context of the file key of a recording in progress."""
    return f"file-key\x00{recording}".encode()


def generate_tenant_identity(
    wrapper: KeyWrapper, tenant: str, version: int, kind: age.KeyKind = "pq"
) -> NewIdentity:
    """Make an identity for a tenant and wrap it. Its private half exists nowhere else."""
    identity = age.generate_identity(kind)
    wrapped = wrap_tenant_identity(wrapper, identity, tenant, version)
    return NewIdentity(str(identity.recipient), wrapped)


def wrap_tenant_identity(
    wrapper: KeyWrapper, identity: age.Identity, tenant: str, version: int
) -> bytes:
    """Wrap a tenant's identity as that version of it. Raises KeyStoreError."""
    return wrapper.wrap(identity.encode().encode("ascii"), identity_context(tenant, version))


def open_tenant_identity(
    wrapper: KeyWrapper, wrapped: bytes, tenant: str, version: int
) -> age.Identity:
    """Return the identity to open recordings with. Raises KeyStoreError."""
    text = wrapper.unwrap(wrapped, identity_context(tenant, version))
    try:
        return age.parse_identity(text.decode("ascii"))
    except (UnicodeDecodeError, age.KeyFormatError):
        raise UnwrapError("the wrapped key is not an age identity") from None


def wrap_file_key(wrapper: KeyWrapper, file_key: bytes, recording: str) -> bytes:
    """Wrap the file key of a recording for as long as it is in progress."""
    return wrapper.wrap(file_key, file_key_context(recording))


def unwrap_file_key(wrapper: KeyWrapper, wrapped: bytes, recording: str) -> bytes:
    """Return the file key to resume a recording with. Raises KeyStoreError."""
    file_key = wrapper.unwrap(wrapped, file_key_context(recording))
    if len(file_key) != age.FILE_KEY_SIZE:
        raise UnwrapError("the wrapped key is not a file key")
    return file_key


def _derive(secret: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(secret)
