"""The Asterisks that callguard stands beside."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from callguard.config.section import ConfigError, Port, Section, ZoneName

API = "api"
"""In place of an Asterisk's name: calls that a program counted through the API."""


class Asterisk(Section):
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
