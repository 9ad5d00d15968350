"""What every section of the settings is made of."""

from typing import Annotated
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class ConfigError(ValueError):
    """Settings that cannot be used; one line that says which and why."""


class Section(BaseModel):
    """One table of the file. A key that it does not have is refused, and nothing in it changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _known_zone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError(f"{value!r} is no time zone such as Europe/Paris")
    return value


Port = Annotated[int, Field(ge=0, le=65_535)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
ZoneName = Annotated[str, AfterValidator(_known_zone)]
"""A time zone of the IANA."""
