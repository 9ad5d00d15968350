"""The settings of one callguard, from one TOML file.

Secrets are named by file, never written here, so that the settings can be shown and backed up.
"""

import tomllib
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import available_timezones

from cronsim import CronSim, CronSimError
from phonenumbers import SUPPORTED_REGIONS
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

Port = Annotated[int, Field(ge=0, le=65_535)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


API = "api"
"""In place of an Asterisk's name: calls that a program counted through the API."""


class ConfigError(ValueError):
    """Settings that cannot be used; one line that says which and why."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _known_zone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError(f"{value!r} is no time zone such as Europe/Paris")
    return value


ZoneName = Annotated[str, AfterValidator(_known_zone)]


class Asterisk(_Section):
    """One PBX: its manager interface, and where it sees what callguard shares with it.

    ``spool`` and ``prompts`` are the folders as that Asterisk names them; left out, they are
    the same as callguard's own (they differ with a chroot or a container). ``lease_file`` is
    whether its dialplan reads the lease from the file too (``CALLGUARD_LEASE_FILE``).
    ``call_back`` is the channel by which a number is called back that was typed on the opt-out
    line: ``PJSIP/{number}@carrier``, or ``{digits}`` for E.164 without its plus.

    ``trunks`` are the endpoints behind which the world is (``PJSIP/carrier``, ``DAHDI/*``): who
    speaks there is recorded only once told. Every other endpoint is then one of the tenants' own
    people, who are told by policy; without ``trunks`` only those that a tenant names are.
    ``ungated`` is what becomes of a call that a trunk carries without a verdict,
    ``foreign_recordings`` of a recording that callguard did not begin, of somebody who did not
    consent.

    ``cdr_format`` is whether ``cdr_file`` is the one of asterisk-conf/, or Asterisk's
    ``Master.csv``; ``cdr_backlog`` whether files that were rotated away before the first look are
    read too.
    ``time_zone`` (IANA) is that of its own clock, in which its manager and ``Master.csv`` tell
    times; ``cdr_time_zone`` that of ``Master.csv`` if it differs (UTC with ``usegmtime``).
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,63}$")] = "asterisk"
    host: str = "127.0.0.1"
    port: Port = 5038
    username: str = "callguard"
    secret_file: Path
    tls: bool = False
    tls_ca_file: Path | None = None
    allow_plain_login: bool = False
    spool: Path | None = None
    prompts: Path | None = None
    cdr_file: Path | None = None
    cdr_format: Literal["callguard", "master"] = "callguard"
    cdr_time_zone: ZoneName | None = None
    cdr_backlog: bool = True
    time_zone: ZoneName = "UTC"
    lease_file: bool = False
    call_back: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9_.@:{}/+-]{3,128}$")] = None
    trunks: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9]+/[^;@\s]{1,120}$")], ...] = ()
    ungated: Literal["report", "hangup"] = "report"
    foreign_recordings: Literal["stop", "report"] = "stop"

    @field_validator("call_back")
    @classmethod
    def _says_whom_to_call(cls, value: str | None) -> str | None:
        if value is not None and "{number}" not in value and "{digits}" not in value:
            raise ValueError("it names neither {number} nor {digits}, so it would call nobody")
        return value

    def secret(self) -> str:
        """The manager password. Raises ConfigError."""
        try:
            return self.secret_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"asterisk {self.name}: secret_file: {error}") from error


class Agi(_Section):
    """The FastAGI door."""

    host: str = "127.0.0.1"
    port: Port = 4573
    allow: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    max_sessions: Annotated[int, Field(ge=1)] = 1024
    header_timeout: Seconds = 5.0

    @field_validator("allow")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            ip_network(text)
        return value

    @property
    def networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        return tuple(ip_network(text) for text in self.allow)


class Web(_Section):
    """The status page and the API. The page has no login, so both stay on loopback."""

    host: str = "127.0.0.1"
    port: Port = 8073
    api_token_file: Path | None = None

    @field_validator("host")
    @classmethod
    def _loopback(cls, value: str) -> str:
        if value not in ("127.0.0.1", "::1", "localhost"):
            raise ValueError("the page has no login and is served on loopback only")
        return value


FieldNames = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=64)], ...], Field(min_length=1)
]


class Sms(_Section):
    """The door for a gateway of text messages. The ``…_field`` are the names under which one sends
    the sender, the number sent to, the text and the message's id: the first that is there counts,
    and a dot leads into a JSON object. ``numbers`` says whose a short code or number is that the
    tenants do not have among theirs, ``tenant`` whose all others are. ``confirm`` is whether the
    answer holds a text for the sender."""

    token_file: Path | None = None
    from_field: FieldNames = ("from", "From", "msisdn", "sender", "originator", "source")
    to_field: FieldNames = ("to", "To", "recipient", "receiver", "destination", "shortcode")
    text_field: FieldNames = ("text", "Text", "Body", "body", "message", "content", "payload")
    id_field: FieldNames = (
        "MessageSid",
        "SmsSid",
        "MessageUUID",
        "messageId",
        "message_id",
        "message-id",
        "id",
    )
    numbers: dict[str, str] = {}
    tenant: str | None = None
    confirm: bool = True


class Scrubs(_Section):
    """Lists that are scrubbed by the API. ``max_bytes`` is the longest list, ``keep_days`` how
    long the lists and what became of them lie here, ``reserve_bytes`` what stays free of the disk,
    ``max_waiting`` how many lists may be here at once."""

    max_bytes: Annotated[int, Field(ge=1)] = 2 * 1024**3
    keep_days: Annotated[int, Field(ge=1, le=31)] = 7
    reserve_bytes: Annotated[int, Field(ge=0)] = 1024**3
    max_waiting: Annotated[int, Field(ge=1, le=1_000)] = 32


class Spool(_Section):
    """Where audio waits to be sealed. A tmpfs, so that plaintext never reaches a disk."""

    folder: Path = Path("/dev/shm/callguard")  # noqa: S108 - a tmpfs by design, made 0700
    reserve_bytes: Annotated[int, Field(ge=0)] = 64 * 1024 * 1024
    shared_group: bool = False


class S3(_Section):
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


class Objects(_Section):
    """Where sealed payloads lie: in a folder, or in a bucket (``s3``) by way of that folder.
    ``reserve_bytes`` stay free of its disk, ``queue_bytes`` is the most that waits there for the
    bucket: past either nothing more is recorded."""

    folder: Path | None = None
    reserve_bytes: Annotated[int, Field(ge=0)] = 256 * 1024**2
    queue_bytes: Annotated[int, Field(ge=0)] = 16 * 1024**3
    s3: S3 | None = None


class Vault(_Section):
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


class Keys(_Section):
    """Who keeps the master key: this machine (``master_key_file``), or a KMS. ``rotate_days`` is
    how often every tenant gets a new identity; 0 is never."""

    vault: Vault | None = None
    rotate_days: Annotated[int, Field(ge=0, le=3_650)] = 0


class Purge(_Section):
    """When what has expired is taken away: ``schedule`` as cron has it, in ``time_zone`` (IANA);
    or once a day ``at`` a time, in UTC, where no schedule is given. After ``max_gap_days`` of which
    callguard saw nothing somebody must say that the clock is right. ``audit`` is whether the oldest
    entries of the audit log go too."""

    at: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] = "02:30"
    schedule: str | None = None
    time_zone: str = "UTC"
    max_gap_days: Annotated[int, Field(ge=1, le=3_650)] = 35
    audit: bool = False

    @field_validator("schedule")
    @classmethod
    def _cron(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                CronSim(value, datetime(2026, 1, 1, tzinfo=UTC))
            except CronSimError as error:
                raise ValueError(f"{value!r} is no schedule such as '30 2 * * *'") from error
        return value

    @field_validator("time_zone")
    @classmethod
    def _zone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError(f"{value!r} is no time zone such as Europe/Paris")
        return value


class Folder(_Section):
    """A folder of files that another program writes, and that callguard keeps no longer than its
    data class allows: of one ``tenant``, or by the name of the folder within it (``tenants``, a
    voicemail context for example). ``files`` are the names that count, as in a shell; ``layout``
    is ``voicemail`` where Asterisk's app_voicemail keeps it, whose messages go as a whole.
    ``quiet_s`` is for how long nothing may have happened to a file before it is taken;
    ``remove_empty`` is whether folders below it go that were emptied so."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    path: Path
    data_class: Literal["recording", "voicemail", "fax", "transcript", "call_record"]
    tenant: str | None = None
    tenants: dict[str, str] = {}
    files: tuple[Annotated[str, Field(min_length=1, max_length=128)], ...] = ("*",)
    layout: Literal["files", "voicemail"] = "files"
    quiet_s: Annotated[float, Field(ge=0, le=31 * 86_400)] = 3_600.0
    remove_empty: bool = False

    @model_validator(mode="after")
    def _says_whose(self) -> Self:
        if (self.tenant is None) == (not self.tenants):
            raise ValueError(f"folder {self.name}: it names one tenant, or tenants by folder")
        if not self.path.is_absolute():
            raise ValueError(f"folder {self.name}: {self.path} does not begin at /")
        return self


class Ledger(_Section):
    """Further copies of the erasure ledger, on other disks or mounts: a database that is restored
    from a backup forgets by the newest of them."""

    copies: tuple[Path, ...] = ()


class RegistryList(_Section):
    """How one registry's files are read. ``number`` and ``action`` name columns of a CSV by their
    heading or their place, from 1; ``add`` and ``remove`` are the words in the column ``action``.
    ``region`` is whose national numbers they are, where they are not E.164; ``covers`` the
    prefixes (``+44``) that the list can speak for."""

    format: Literal["us-dnc", "uk-tps", "e164", "csv"] | None = None
    region: Annotated[str | None, Field(pattern=r"^[A-Z]{2}$")] = None
    covers: tuple[Annotated[str, Field(pattern=r"^\+[1-9][0-9]{0,14}$")], ...] = ()
    number: str | int = 1
    action: str | int = 2
    add: tuple[str, ...] = ("A", "ADD")
    remove: tuple[str, ...] = ("D", "DELETE", "R", "REMOVE")
    delimiter: Annotated[str | None, Field(min_length=1, max_length=1)] = None


class Registries(_Section):
    """Public do-not-call lists. ``max_bad_share`` of a file's lines may hold no number;
    ``max_fall_share`` is how much shorter than the present list a new one may be, in all and in
    each covered prefix; ``warn_days`` before a list goes stale there is an alarm."""

    folder: Path | None = None
    max_bad_share: Annotated[float, Field(ge=0, le=1)] = 0.001
    max_fall_share: Annotated[float, Field(ge=0, le=1)] = 0.1
    warn_days: Annotated[int, Field(ge=0, le=365)] = 5
    lists: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")], RegistryList] = {}


class Policy(_Section):
    """Which rules count: ``packs`` is the operator's own folder of them, ``leave_out`` names the
    shipped packs that do not."""

    packs: Path | None = None
    leave_out: tuple[str, ...] = ()


class Limits(_Section):
    """How long the gate waits."""

    durable_s: Annotated[float, Field(gt=0, le=5)] = 2.0
    lease_s: Annotated[float, Field(gt=0, le=1)] = 1.0
    watchdog_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 2.0


class Settings(_Section):
    """Everything callguard needs to know of the machine it stands on."""

    data: Path = Path("/var/lib/callguard")
    home_region: str = "GB"
    database: str | None = None
    master_key_file: Path | None = None
    prompts: Path | None = None
    asterisk: tuple[Asterisk, ...] = ()
    agi: Agi = Agi()
    web: Web = Web()
    sms: Sms = Sms()
    scrubs: Scrubs = Scrubs()
    spool: Spool = Spool()
    objects: Objects = Objects()
    keys: Keys = Keys()
    purge: Purge = Purge()
    ledger: Ledger = Ledger()
    folders: tuple[Folder, ...] = ()
    policy: Policy = Policy()
    registries: Registries = Registries()
    limits: Limits = Limits()

    @field_validator("home_region")
    @classmethod
    def _region(cls, value: str) -> str:
        if value not in SUPPORTED_REGIONS:
            raise ValueError(f"{value!r} is not a region of the telephone numbering plans")
        return value

    @field_validator("folders")
    @classmethod
    def _folders_differ(cls, value: tuple[Folder, ...]) -> tuple[Folder, ...]:
        names = [folder.name for folder in value]
        if len(set(names)) != len(names):
            raise ValueError("two folders have one name")
        return value

    @field_validator("asterisk")
    @classmethod
    def _names_differ(cls, value: tuple[Asterisk, ...]) -> tuple[Asterisk, ...]:
        names = [pbx.name for pbx in value]
        if len(set(names)) != len(names):
            raise ValueError("two Asterisks have one name")
        if API in names:
            raise ValueError(f"no Asterisk is called {API!r}: so are calls that the API counted")
        return value

    @property
    def database_url(self) -> str:
        return self.database or f"sqlite:///{self.data / 'callguard.db'}"

    @property
    def master_key(self) -> Path:
        return self.master_key_file or self.data / "master.key"

    @property
    def api_token(self) -> Path:
        return self.web.api_token_file or self.data / "api.token"

    @property
    def sms_token(self) -> Path:
        return self.sms.token_file or self.data / "sms.token"

    @property
    def prompt_folder(self) -> Path:
        return self.prompts or self.data / "prompts"

    @property
    def registry_folder(self) -> Path:
        return self.registries.folder or self.data / "registries"

    @property
    def scrub_folder(self) -> Path:
        return self.data / "scrubs"

    @property
    def object_folder(self) -> Path:
        return self.objects.folder or self.data / "objects"

    @property
    def erasure_ledger(self) -> Path:
        """Outside of the database, so that a restored one forgets again."""
        return self.data / "erasures.ledger"

    @property
    def export_folder(self) -> Path:
        return self.data / "exports"

    def pbx(self, name: str) -> Asterisk | None:
        """The Asterisk of that name."""
        return next((pbx for pbx in self.asterisk if pbx.name == name), None)

    @classmethod
    def load(cls, file: Path) -> Self:
        """Reads the file. Raises ConfigError, in one line that names the file and the key."""
        try:
            data = tomllib.loads(file.read_text(encoding="utf-8"))
            return cls.model_validate(data)
        except OSError as error:
            raise ConfigError(f"{file}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file}: {error}") from error
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"]) or "settings"
            raise ConfigError(f"{file}: {key}: {first['msg']}") from error
