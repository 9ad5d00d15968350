"""Files that hold a secret: read only where nobody else could have read them."""

from __future__ import annotations

import os
import stat
from pathlib import Path


class SecretFileError(Exception):
    """The file is missing, too open, too long or of another user. One line, without its content."""


def read_secret(path: Path, what: str, *, limit: int) -> bytes:
    """The bytes of the file. ``what`` names it in errors, ``limit`` is its greatest length.

    Raises SecretFileError.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            _check(os.fstat(descriptor), path, what)
            secret = file.read(limit + 1)
    except OSError as error:
        raise SecretFileError(f"cannot read {what} {path}: {error.strerror}") from None
    if len(secret) > limit:
        raise SecretFileError(f"{what} {path} is longer than {limit} bytes")
    return secret


def _check(status: os.stat_result, path: Path, what: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SecretFileError(f"{what} {path} is not a regular file")
    if status.st_uid not in (0, os.geteuid()):
        raise SecretFileError(f"{what} {path} belongs to another user")
    mode = stat.S_IMODE(status.st_mode)
    # systemd hands a credential over by an access list, which shows as group bits on a file in a
    # folder that only the service can enter.
    allowed = (0o400, 0o600, 0o440) if _is_credential(path) else (0o400, 0o600)
    if mode not in allowed:
        raise SecretFileError(f"{what} {path} has mode {mode:04o}; it must be 0600 or 0400")


def _is_credential(path: Path) -> bool:
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return bool(folder) and path.resolve().parent == Path(str(folder)).resolve()
