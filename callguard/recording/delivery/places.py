"""Where a tenant wishes its recordings: the values, and how they are read.

Secrets are named by file, never written here: what is in a place may stand in the database, in a
list and in a backup.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from callguard.loopback import is_loopback

MAIL_BYTES = 25 * 1024**2
"""Longest file that is sent by mail; few servers take more."""

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_ADDRESS = r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.\[\]:-]{1,189}$"


class PlaceError(ValueError):
    """A place that cannot be used so; one line that says what is wrong, and no secret."""


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("it is not the whole path of a file, from /")
    return path


def _listed(value: object) -> object:
    """What was typed with commas."""
    return [one.strip() for one in value.split(",")] if isinstance(value, str) else value


File = Annotated[Path, AfterValidator(_absolute)]
Host = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.:-]{0,252}[A-Za-z0-9])?$")]
Port = Annotated[int, Field(ge=1, le=65_535)]
Timeout = Annotated[float, Field(ge=1, le=600)]
Address = Annotated[str, Field(pattern=_ADDRESS)]


class _Settings(BaseModel):
    """``timeout`` is how many seconds the place may say nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    timeout: Timeout = 30.0


class S3Settings(_Settings):
    """A bucket. ``credentials_file`` is a TOML file of mode 0600 with ``access_key_id``,
    ``secret_access_key`` and perhaps ``session_token``."""

    bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
    region: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,63}$")] = "us-east-1"
    endpoint: str | None = None
    prefix: Annotated[str, Field(pattern=r"^([A-Za-z0-9_-][A-Za-z0-9._-]*/)*$")] = ""
    credentials_file: File
    path_style: bool = True
    ca_file: File | None = None

    @field_validator("endpoint")
    @classmethod
    def _is_secure(cls, value: str | None) -> str | None:
        return None if value is None else check_url(value)


class SftpSettings(_Settings):
    """A folder behind SSH. The host's key is pinned: by ``known_hosts_file``, or by
    ``fingerprint``, as ``ssh-keygen -lf`` prints it."""

    host: Host
    port: Port = 22
    username: Annotated[str, Field(pattern=r"^[^\s:@/]{1,64}$")]
    key_file: File
    known_hosts_file: File | None = None
    fingerprint: Annotated[str | None, Field(pattern=f"^{_FINGERPRINT.pattern}$")] = None
    folder: Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,512}$")] = "."

    @model_validator(mode="after")
    def _is_pinned(self) -> Self:
        if (self.known_hosts_file is None) == (self.fingerprint is None):
            raise ValueError("the host key is pinned by known_hosts_file or by fingerprint")
        return self


class HttpsSettings(_Settings):
    """A web server. With PUT the name of the file is added to ``url``, with POST it is not.
    ``secret_file`` holds the token (``bearer``), or the key with which the request is signed
    (``hmac``, RFC 9421)."""

    url: str
    method: Literal["PUT", "POST"] = "PUT"
    auth: Literal["bearer", "hmac", "none"] = "bearer"
    secret_file: File | None = None
    key_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")] = "callguard"
    ca_file: File | None = None

    @field_validator("url")
    @classmethod
    def _is_secure(cls, value: str) -> str:
        return check_url(value)

    @model_validator(mode="after")
    def _has_its_secret(self) -> Self:
        if (self.auth == "none") != (self.secret_file is None):
            raise ValueError("auth bearer and hmac need a secret_file, auth none has none")
        return self


class MailSettings(_Settings):
    """A mail server. ``tls`` is ``starttls``, ``tls`` from the first byte, or ``none``, which a
    server on this machine alone may have. ``max_bytes`` is the longest recording that is sent."""

    host: Host
    port: Port = 587
    tls: Literal["starttls", "tls", "none"] = "starttls"
    ca_file: File | None = None
    username: Annotated[str | None, Field(pattern=r"^[\x21-\x7e]{1,128}$")] = None
    password_file: File | None = None
    sender: Address
    to: Annotated[tuple[Address, ...], BeforeValidator(_listed), Field(min_length=1, max_length=8)]
    max_bytes: Annotated[int, Field(ge=1024, le=MAIL_BYTES)] = 10 * 1024**2

    @model_validator(mode="after")
    def _is_secure(self) -> Self:
        if self.tls == "none" and not is_loopback(self.host):
            raise ValueError("without TLS mail goes to a server on this machine only")
        if (self.username is None) != (self.password_file is None):
            raise ValueError("username and password_file go together")
        return self


PlaceSettings = S3Settings | SftpSettings | HttpsSettings | MailSettings

KINDS: Mapping[str, type[PlaceSettings]] = {
    "s3": S3Settings,
    "sftp": SftpSettings,
    "https": HttpsSettings,
    "mail": MailSettings,
}


@dataclass(frozen=True, slots=True)
class Place:
    """One place of a tenant. ``keep`` is whether a recording stays here once it arrived there."""

    tenant: str
    name: str
    kind: str
    settings: PlaceSettings
    keep: bool
    added_at: datetime

    def stored(self) -> dict[str, object]:
        """The settings as they stand in the database."""
        return self.settings.model_dump(mode="json", exclude_none=True)


def read_place(
    tenant: str, name: str, kind: str, values: Mapping[str, object], keep: bool, at: datetime
) -> Place:
    """Raises PlaceError, which names the first setting that is wrong and never its value."""
    if not _NAME.fullmatch(name):
        raise PlaceError("a place's name is 1 to 63 lower-case letters, digits and hyphens")
    model = KINDS.get(kind)
    if model is None:
        raise PlaceError(f"{kind[:20]!r} is no kind of place; known: {', '.join(KINDS)}")
    if kind == "mail" and not keep:
        raise PlaceError(
            "a mail server takes a message without saying what arrived, so a recording that was "
            "only mailed is never removed here: --no-keep is refused for mail"
        )
    try:
        settings = model.model_validate(dict(values))
    except ValidationError as error:
        raise PlaceError(_told(error, model)) from None
    return Place(tenant, name, kind, settings, keep, at)


def read_pairs(pairs: Sequence[str]) -> dict[str, object]:
    """``key=value`` each. Raises PlaceError."""
    found: dict[str, object] = {}
    for pair in pairs:
        key, equals, text = (one.strip() for one in pair.partition("="))
        if not equals or not key.isidentifier():
            raise PlaceError("what follows --set is not KEY=VALUE")
        if key in found:
            raise PlaceError(f"{key} is given twice")
        found[key] = text
    return found


def check_url(text: str) -> str:
    """An address with TLS and without anything secret in it; without TLS on this machine only."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("it is no address such as https://example.com/recordings") from None
    if parts.scheme not in ("https", "http") or not host or not text.isascii():
        raise ValueError("it is no address such as https://example.com/recordings")
    if not text.isprintable() or " " in text:
        raise ValueError("it is no address such as https://example.com/recordings")
    if "@" in parts.netloc or "?" in text or "#" in text:
        raise ValueError("it has a password, a query or a fragment, where secrets would be seen")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError("without TLS recordings go to this machine only: https is needed")
    return text


def _told(error: ValidationError, model: type[PlaceSettings]) -> str:
    found = error.errors(include_input=False, include_url=False)
    unknown = [one for one in found if one["type"] == "extra_forbidden"]
    first = (unknown or found)[0]
    key = ".".join(str(part) for part in first["loc"])
    said = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        return f"there is no setting {key[:40]!r}; known: {', '.join(model.model_fields)}"
    if first["type"] == "missing":
        return f"{key} is missing"
    return f"{key}: {said}" if key else said
