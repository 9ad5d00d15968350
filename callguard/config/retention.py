"""When what has expired goes, from here and from folders of other programs."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, Self

from cronsim import CronSim, CronSimError
from pydantic import Field, field_validator, model_validator

from callguard.config.section import Section, ZoneName


class Purge(Section):
    """When what has expired is taken away: ``schedule`` as cron has it, in ``time_zone`` (IANA);
    or once a day ``at`` a time, in UTC, where no schedule is given. After ``max_gap_days`` of which
    callguard saw nothing somebody must say that the clock is right. ``audit`` is whether the oldest
    entries of the audit log go too."""

    at: Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")] = "02:30"
    schedule: str | None = None
    time_zone: ZoneName = "UTC"
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


class Folder(Section):
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
    tenants: dict[str, str] = Field(default_factory=dict)
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


class Ledger(Section):
    """Further copies of the erasure ledger, on other disks or mounts: a database that is restored
    from a backup forgets by the newest of them."""

    copies: tuple[Path, ...] = ()
