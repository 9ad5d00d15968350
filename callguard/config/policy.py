"""Which rules count, and the public lists that they ask."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from callguard.config.section import Section


class Policy(Section):
    """Which rules count: ``packs`` is the operator's own folder of them, ``leave_out`` names the
    shipped packs that do not."""

    packs: Path | None = None
    leave_out: tuple[str, ...] = ()


class RegistryList(Section):
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


class Registries(Section):
    """Public do-not-call lists. ``max_bad_share`` of a file's lines may hold no number;
    ``max_fall_share`` is how much shorter than the present list a new one may be, in all and in
    each covered prefix; ``warn_days`` before a list goes stale there is an alarm."""

    folder: Path | None = None
    max_bad_share: Annotated[float, Field(ge=0, le=1)] = 0.001
    max_fall_share: Annotated[float, Field(ge=0, le=1)] = 0.1
    warn_days: Annotated[int, Field(ge=0, le=365)] = 5
    lists: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")], RegistryList] = Field(
        default_factory=dict
    )
