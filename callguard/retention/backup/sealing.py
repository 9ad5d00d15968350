"""The seal of a manifest, and the age file of a database."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence

from callguard.recording import age
from callguard.recording.keys import KeyWrapper, UnwrapError
from callguard.recording.payload import seal_stream
from callguard.retention.backup.manifest import BackupError

_CONTEXT = b"backup-manifest"


def seal_manifest(raw: bytes, wrapper: KeyWrapper) -> bytes:
    """What only the holder of the master key can make of a manifest. Raises KeyStoreError."""
    return wrapper.wrap(hashlib.sha256(raw).digest(), _CONTEXT)


def check_seal(raw: bytes, seal: bytes, wrapper: KeyWrapper) -> None:
    """Raises BackupError where the manifest is not the one that was sealed, KeyStoreError where
    the keeper of the key does not answer."""
    try:
        sealed = wrapper.unwrap(seal, _CONTEXT)
    except UnwrapError as error:
        raise BackupError(
            "its seal does not open: it was changed, or sealed with another master key"
        ) from error
    if sealed != hashlib.sha256(raw).digest():
        raise BackupError("it is not the one that was sealed: it was changed")


def read_recipients(texts: Iterable[str]) -> list[age.Recipient]:
    """Raises AgeError."""
    return [age.parse_recipient(text) for text in texts]


def sealed_for(recipients: Sequence[age.Recipient], plain: Iterable[bytes]) -> Iterator[bytes]:
    """An age file that any of the recipients opens. Raises AgeError."""
    file_key = age.new_file_key()
    yield age.build_header(file_key, recipients)
    yield from seal_stream(plain, file_key, age.new_nonce())


def opened_by(identities: Sequence[age.Identity], sealed: Iterable[bytes]) -> Iterator[bytes]:
    """The content of an age file. Raises AgeError."""
    opener = age.FileOpener(identities)
    for piece in sealed:
        if plain := opener.feed(piece):
            yield plain
    yield opener.finish()
