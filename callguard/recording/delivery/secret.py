"""Reading files that hold a secret."""

import os
import stat
import tomllib
from pathlib import Path

from callguard.recording.delivery.places import PlaceError

MAX_BYTES = 64 * 1024


def read_secret(path: Path) -> bytes:
    """The bytes of a file of mode 0600 or 0400, of this user or of root. Raises PlaceError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise PlaceError(f"{path} is not a file")
            mode = stat.S_IMODE(found.st_mode)
            if mode not in (0o600, 0o400):
                raise PlaceError(f"{path} has mode {mode:04o}, not 0600 or 0400")
            if found.st_uid not in (os.geteuid(), 0):
                raise PlaceError(f"{path} belongs to another user")
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise PlaceError(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise PlaceError(f"{path} is longer than {MAX_BYTES} bytes")
    return data


def read_text(path: Path) -> str:
    """A token or a password: one line of printable ASCII. Raises PlaceError."""
    text = read_secret(path).decode("ascii", errors="replace").strip()
    if not text or not text.isprintable() or not text.isascii():
        raise PlaceError(f"{path} does not hold one line of printable ASCII")
    return text


def read_credentials(path: Path) -> dict[str, str]:
    """What a bucket is opened with. Raises PlaceError."""
    wanted = ("access_key_id", "secret_access_key", "session_token")
    try:
        found = tomllib.loads(read_secret(path).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise PlaceError(f"{path} is not a TOML file") from None
    if any(not isinstance(value, str) or not value for value in found.values()):
        raise PlaceError(f"{path}: its values are not text")
    if not {*wanted[:2]} <= found.keys() <= {*wanted}:
        raise PlaceError(f"{path} needs access_key_id and secret_access_key, and no other key")
    return found
