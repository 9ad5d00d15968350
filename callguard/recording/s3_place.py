"""Where a bucket is and who may use it, as the settings say; checked before anything is sent."""

from __future__ import annotations

import ipaddress
import os
import ssl
import stat
import tomllib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from callguard.config import S3
from callguard.recording.objects import ObjectStoreError
from callguard.recording.s3_signature import Credentials

_CREDENTIALS_BYTES = 64 * 1024
_SECRETS = {"access_key_id", "secret_access_key", "session_token"}


@dataclass(frozen=True, slots=True)
class Place:
    """A bucket's address: ``endpoint`` without a path, and ``base`` before every key (``/`` or
    ``/bucket/``)."""

    endpoint: str
    base: str

    @property
    def host(self) -> str:
        return urlsplit(self.endpoint).netloc

    @property
    def encrypted(self) -> bool:
        return self.endpoint.startswith("https://")


def place_of(s3: S3) -> Place:
    """Raises ObjectStoreError where audio's ciphertext, or a session token, would cross a network
    openly."""
    endpoint = (s3.endpoint or f"https://s3.{s3.region}.amazonaws.com").rstrip("/")
    scheme, _, host = endpoint.partition("://")
    if scheme != "https" and not _is_loopback(urlsplit(endpoint).hostname):
        raise ObjectStoreError(
            f"objects.s3.endpoint {endpoint} must begin with https:// (http:// is for this machine)"
        )
    if s3.path_style:
        return Place(endpoint, f"/{s3.bucket}/")
    return Place(f"{scheme}://{s3.bucket}.{host}", "/")


def load_credentials(file: Path) -> Credentials:
    """Read the file. Raises ObjectStoreError, also when others could have read it."""
    told = f"credentials file {file}"
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as opened:
            _check(os.fstat(descriptor), told)
            text = opened.read(_CREDENTIALS_BYTES).decode()
        values = tomllib.loads(text)
    except OSError as error:
        raise ObjectStoreError(f"cannot read {told}: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError):
        # Without the parser's words, which may quote the file.
        raise ObjectStoreError(f"{told} is not TOML") from None
    if unknown := sorted(set(values) - _SECRETS):
        raise ObjectStoreError(f"{told} has an unknown key: {unknown[0][:40]!r}")
    for key in sorted(_SECRETS):
        value = values.get(key, "" if key == "session_token" else None)
        if not isinstance(value, str) or (key != "session_token" and not value):
            raise ObjectStoreError(f"{told} needs {key}, a text")
        if not value.isascii() or not value.isprintable():
            raise ObjectStoreError(f"{told}: {key} has a character that no key has")
    return Credentials(
        values["access_key_id"], values["secret_access_key"], values.get("session_token") or None
    )


def trust(ca_file: Path | None) -> ssl.SSLContext:
    """Who is believed to be the bucket: what this machine trusts, and those in ``ca_file``.

    Raises ObjectStoreError.
    """
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:
            reason = error.strerror or "it holds no certificate"
            raise ObjectStoreError(f"cannot use objects.s3.ca_file {ca_file}: {reason}") from None
    return context


def _check(status: os.stat_result, told: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ObjectStoreError(f"{told} is not a regular file")
    if status.st_uid not in (0, os.geteuid()):
        raise ObjectStoreError(f"{told} belongs to another user")
    mode = stat.S_IMODE(status.st_mode)
    if mode not in (0o400, 0o600):
        raise ObjectStoreError(f"{told} has mode {mode:04o}; it must be 0600 or 0400")


def _is_loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
