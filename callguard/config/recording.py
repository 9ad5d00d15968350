"""Where recordings lie, on the way and for good, and who keeps their keys."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from callguard.config.section import Seconds, Section


class Spool(Section):
    """Where audio waits to be sealed. A tmpfs, so that plaintext never reaches a disk."""

    folder: Path = Path("/dev/shm/callguard")  # noqa: S108 - a tmpfs by design, made 0700
    reserve_bytes: Annotated[int, Field(ge=0)] = 64 * 1024 * 1024
    shared_group: bool = False


class S3(Section):
    """Where payloads go instead of a folder: a bucket of any store that speaks S3.

    ``credentials_file`` is a TOML file of mode 0600 with ``access_key_id``, ``secret_access_key``
    and perhaps ``session_token``. ``part_bytes`` is how much goes up at once while a call runs.
    """

    bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
    region: str = "us-east-1"
    endpoint: Annotated[str | None, Field(pattern=r"^https?://[^/?#@]+/?$")] = None
    prefix: Annotated[str, Field(pattern=r"^([A-Za-z0-9._-]+/)*$")] = ""
    credentials_file: Path
    path_style: bool = True
    ca_file: Path | None = None
    part_bytes: Annotated[int, Field(ge=5 * 1024**2, le=256 * 1024**2)] = 8 * 1024**2
    timeout: Seconds = 30.0


class Objects(Section):
    """Where sealed payloads lie: in a folder, or in a bucket (``s3``) by way of that folder.
    ``reserve_bytes`` stay free of its disk, ``queue_bytes`` is the most that waits there for the
    bucket: past either nothing more is recorded."""

    folder: Path | None = None
    reserve_bytes: Annotated[int, Field(ge=0)] = 256 * 1024**2
    queue_bytes: Annotated[int, Field(ge=0)] = 16 * 1024**3
    s3: S3 | None = None


class Vault(Section):
    """The transit engine of a Vault or OpenBao, which then wraps the tenants' identities.
    ``token_file`` holds a token that may encrypt and decrypt with ``key``, and nothing else. With
    ``leaving`` it only opens what it wrapped, and the master key wraps again."""

    url: Annotated[str, Field(pattern=r"^https?://[^/?#@]+/?$")]
    key: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,128}$")]
    mount: Annotated[str, Field(pattern=r"^[A-Za-z0-9_./-]{1,128}$")] = "transit"
    namespace: Annotated[str, Field(pattern=r"^[!-~]{1,128}$")] | None = None
    token_file: Path
    ca_file: Path | None = None
    timeout: Annotated[float, Field(gt=0, le=60)] = 5.0
    leaving: bool = False


class Keys(Section):
    """Who keeps the master key: this machine (``master_key_file``), or a KMS. ``rotate_days`` is
    how often every tenant gets a new identity; 0 is never."""

    vault: Vault | None = None
    rotate_days: Annotated[int, Field(ge=0, le=3_650)] = 0
