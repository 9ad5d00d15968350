"""Files that hold a secret: read only where nobody else could have read them."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Collection
from pathlib import Path

LIMIT = 64 * 1024
"""Bytes of the longest secret that is read, where nobody says less."""


class SecretFileError(Exception):
    """The file is missing, too open, too long or of another user. One line, without its content."""


def read_secret(path: Path, what: str, *, limit: int = LIMIT) -> bytes:
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


def read_line(path: Path, what: str, *, limit: int = LIMIT) -> str:
    """A token or a password: one line of printable ASCII. Raises SecretFileError."""
    text = read_secret(path, what, limit=limit).decode("ascii", errors="replace").strip()
    if not text or not text.isprintable() or not text.isascii():
        raise SecretFileError(f"{what} {path} does not hold one line of printable ASCII")
    return text


def read_table(
    path: Path, what: str, needed: Collection[str], more: Collection[str] = ()
) -> dict[str, str]:
    """The texts of a TOML file that has all the keys in ``needed`` and perhaps those in ``more``.

    Raises SecretFileError, without the parser's words, which may quote the file.
    """
    try:
        found = tomllib.loads(read_secret(path, what).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise SecretFileError(f"{what} {path} is not TOML") from None
    if unknown := sorted(found.keys() - {*needed, *more}):
        raise SecretFileError(f"{what} {path} has an unknown key: {unknown[0][:40]!r}")
    for key in sorted({*needed, *found}):
        value = found.get(key)
        if not isinstance(value, str) or not value:
            raise SecretFileError(f"{what} {path} needs {key}, a text")
        if not value.isascii() or not value.isprintable():
            raise SecretFileError(f"{what} {path}: {key} has a character that no key has")
    return found


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
