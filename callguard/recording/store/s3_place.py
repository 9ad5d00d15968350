"""Where a bucket is and who may use it, as the settings say; checked before anything is sent."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import structlog

from callguard.config import S3
from callguard.loopback import is_loopback
from callguard.recording.store.objects import ObjectStoreError
from callguard.recording.store.s3_signature import Credentials
from callguard.secret_file import SecretFileError, read_table

log = structlog.get_logger(__name__)

SECRETS = ("access_key_id", "secret_access_key")
"""The keys that a file of credentials has."""

SESSION = ("session_token",)
"""What it may have as well."""


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
    if scheme != "https" and not is_loopback(urlsplit(endpoint).hostname or ""):
        raise ObjectStoreError(
            f"objects.s3.endpoint {endpoint} must begin with https:// (http:// is for this machine)"
        )
    if s3.path_style:
        return Place(endpoint, f"/{s3.bucket}/")
    if _is_address(urlsplit(endpoint).hostname or ""):
        raise ObjectStoreError(f"objects.s3.endpoint {endpoint} is an address: it needs path_style")
    return Place(f"{scheme}://{s3.bucket}.{host}", "/")


class CredentialsFile:
    """Who asks, as the file says now: it may be replaced while callguard runs."""

    def __init__(self, file: Path) -> None:
        """Raises ObjectStoreError."""
        self._file = file
        self._stamp = self._changed()
        self._read = load_credentials(file)

    def __call__(self) -> Credentials:
        """Those read last where the file is gone or unfit; that is logged once a change."""
        stamp = self._changed()
        if stamp is not None and stamp != self._stamp:
            self._stamp = stamp
            try:
                self._read = load_credentials(self._file)
            except ObjectStoreError as error:
                log.error("credentials_not_read", reason=str(error))
        return self._read

    def _changed(self) -> tuple[int, int, int] | None:
        try:
            status = self._file.stat()
        except OSError:
            return None
        return status.st_ino, status.st_ctime_ns, status.st_size


def load_credentials(file: Path) -> Credentials:
    """Read the file. Raises ObjectStoreError, also when others could have read it."""
    try:
        keys = read_table(file, "credentials file", SECRETS, SESSION)
    except SecretFileError as error:
        raise ObjectStoreError(str(error)) from None
    return Credentials(keys["access_key_id"], keys["secret_access_key"], keys.get("session_token"))


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


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
