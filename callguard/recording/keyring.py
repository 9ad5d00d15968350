"""Who wraps what: the two kinds of secrets that lie wrapped in the database."""

from dataclasses import dataclass

from callguard.config import Settings
from callguard.recording.keys import KeyWrapper, MasterKey


@dataclass(frozen=True, slots=True)
class Keyring:
    """``identities`` wraps the tenants' identities and may ask a KMS: never from the event loop.
    ``in_progress`` wraps the file keys of recordings in progress; it is here and quick."""

    identities: KeyWrapper
    in_progress: KeyWrapper


def open_keyring(settings: Settings) -> Keyring:
    """The keyring that the settings name. May ask a KMS. Raises KeyStoreError."""
    master = MasterKey.load(settings.master_key)
    return Keyring(identities=master, in_progress=master)
