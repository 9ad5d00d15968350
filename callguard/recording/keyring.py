"""Who wraps what: the two kinds of secrets that lie wrapped in the database.

With a KMS the tenants' identities are wrapped by it and leave it only while a recording is read or
rewrapped. Recordings begin and end without asking it: their file keys are wrapped by a key of this
machine's, which the KMS opens once, at the start.
"""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass
from pathlib import Path

from callguard.config import Settings
from callguard.recording.durable import sync_folder
from callguard.recording.keys import (
    MASTER_KEY_SIZE,
    KeyStoreError,
    KeyWrapper,
    MasterKey,
    UnwrapError,
)
from callguard.recording.transit import TransitWrapper
from callguard.secret_file import SecretFileError, read_secret

PROGRESS_KEY = "progress.key"
"""In the data folder: the key of recordings in progress, wrapped by the KMS."""

_PROGRESS = b"in-progress"
_WRAPPED_LIMIT = 4096


@dataclass(frozen=True, slots=True)
class Keyring:
    """``identities`` wraps the tenants' identities and may ask a KMS: never from the event loop.
    ``in_progress`` wraps the file keys of recordings in progress; it is here and quick."""

    identities: KeyWrapper
    in_progress: KeyWrapper


@dataclass(frozen=True, slots=True)
class Followed:
    """A wrapper that took the place of another, and still opens what that one wrapped."""

    now: KeyWrapper
    before: KeyWrapper

    def wrap(self, plaintext: bytes, context: bytes) -> bytes:
        return self.now.wrap(plaintext, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        try:
            return self.now.unwrap(wrapped, context)
        except UnwrapError as error:
            try:
                return self.before.unwrap(wrapped, context)
            except UnwrapError:
                raise error from None

    def made(self, wrapped: bytes) -> bool:
        return self.now.made(wrapped)


def open_keyring(settings: Settings) -> Keyring:
    """The keyring that the settings name. May ask a KMS. Raises KeyStoreError.

    A process that holds keys, and those it starts, leave no core dump from here on."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if settings.keys.vault is None:
        master = MasterKey.load(settings.master_key)
        return Keyring(identities=master, in_progress=master)
    vault = TransitWrapper(settings.keys.vault)
    secret = vault.unwrap(_read(settings.data / PROGRESS_KEY), _PROGRESS)
    if len(secret) != MASTER_KEY_SIZE:
        raise UnwrapError("the key of recordings in progress is of another size")
    own: KeyWrapper = MasterKey(secret)
    if settings.keys.vault.leaving:
        master = MasterKey.load(settings.master_key)
        return Keyring(Followed(master, vault), Followed(master, own))
    if not settings.master_key.exists():
        return Keyring(identities=vault, in_progress=own)
    before = MasterKey.load(settings.master_key)
    return Keyring(Followed(vault, before), Followed(own, before))


def make_keyring(settings: Settings) -> list[Path]:
    """Makes what the keyring needs and is not there yet; which files those are. Raises
    KeyStoreError."""
    if settings.keys.vault is None or settings.keys.vault.leaving:
        if settings.master_key.exists():
            MasterKey.load(settings.master_key)
            return []
        MasterKey.create(settings.master_key)
        return [settings.master_key]
    path = settings.data / PROGRESS_KEY
    if path.exists():
        open_keyring(settings)
        return []
    wrapped = TransitWrapper(settings.keys.vault).wrap(os.urandom(MASTER_KEY_SIZE), _PROGRESS)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(wrapped)
            file.flush()
            os.fsync(descriptor)
        sync_folder(path.parent)
    except OSError as error:
        raise KeyStoreError(f"cannot write {path}: {error.strerror}") from None
    return [path]


def _read(path: Path) -> bytes:
    try:
        return read_secret(path, "the key of recordings in progress", limit=_WRAPPED_LIMIT)
    except SecretFileError as error:
        told = str(error)
        if not path.exists():
            told += "; callguard init makes one, which opens no recording that is in progress now"
        raise KeyStoreError(told) from None
