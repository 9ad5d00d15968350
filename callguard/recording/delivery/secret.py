"""The files with which a place is opened. What is wrong with one is wrong with the place."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from callguard import secret_file
from callguard.recording.delivery.places import PlaceError
from callguard.recording.store.s3_place import SECRETS, SESSION
from callguard.secret_file import SecretFileError


def read_secret(path: Path) -> bytes:
    """The bytes of a key file. Raises PlaceError."""
    with _of_a_place():
        return secret_file.read_secret(path, "key file")


def read_text(path: Path) -> str:
    """A token or a password. Raises PlaceError."""
    with _of_a_place():
        return secret_file.read_line(path, "secret file")


def read_credentials(path: Path) -> dict[str, str]:
    """What a bucket is opened with. Raises PlaceError."""
    with _of_a_place():
        return secret_file.read_table(path, "credentials file", SECRETS, SESSION)


@contextmanager
def _of_a_place() -> Iterator[None]:
    try:
        yield
    except SecretFileError as error:
        raise PlaceError(str(error)) from None
