"""The API token: who has it may ask. It is named by file, and only the file's owner reads it."""

import hmac
import os
import re
import stat
from pathlib import Path
from secrets import token_urlsafe
from typing import Final

_SIZE: Final = 32
_MOST: Final = 512
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/=-]{32,512}", re.ASCII)
"""What a Bearer header can carry (RFC 6750, section 2.1), and long enough not to be guessed."""


class TokenError(Exception):
    """The token cannot be had. The message is one line and shows no token."""


def new_token() -> str:
    """A token nobody can guess."""
    return token_urlsafe(_SIZE)


def read_token(file: Path) -> str | None:
    """The token in a file; None where there is no such file. Raises TokenError, also where others
    could have read it."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as opened:
            _check_file(os.fstat(descriptor))
            text = opened.read(_MOST + 2).decode("ascii", "replace").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TokenError(error.strerror or "the file cannot be read") from error
    if not _TOKEN.fullmatch(text):
        raise TokenError(f"the file does not hold one token of 32 to {_MOST} characters")
    return text


def is_token(given: str, token: str) -> bool:
    """Whether they are the same, in a time that tells nothing of where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), token.encode())


def _check_file(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise TokenError("it is not a regular file")
    if status.st_uid not in (0, os.geteuid()):
        raise TokenError("the file belongs to another user")
    mode = stat.S_IMODE(status.st_mode)
    if mode not in (0o400, 0o600):
        raise TokenError(f"the file has mode {mode:04o}; it must be 0600 or 0400")
