"""The tables of a pack as they stand in its file, and what is wrong with them in one line."""

from collections.abc import Mapping
from datetime import date
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from callguard.policy.exemption import Exemption
from callguard.policy.kinds import KINDS
from callguard.policy.rules import CALL_REJECTED, KindSettings, OnUnknown, Status
from callguard.policy.scope import Scope, check_regions


def _region(value: str) -> str:
    check_regions([value])
    return value


Region = Annotated[str, AfterValidator(_region)]
Day = Annotated[date, Field(strict=True)]
Text = Annotated[str, Field(min_length=1)]

Cause = Annotated[int, Field(ge=1, le=127, strict=True)]
"""A Q.850 hang-up cause."""

Prompt = Annotated[str, Field(pattern=r"^[a-z0-9-]*$")]
"""The name of a prompt; it becomes that of a file."""


class RuleTable(BaseModel):
    """One ``[[rule]]`` as it stands in the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern=r"^[a-z0-9]+([.-][a-z0-9]+)+$")]
    kind: Text
    title: Text
    citation: Text
    effective_from: Day
    effective_to: Day | None = None
    status: Status = "unverified"
    verified_on: Day | None = None
    source: str = ""
    series: str = ""
    on_unknown: OnUnknown = "block"
    cause: Cause = CALL_REJECTED
    prompt: Prompt = "blocked"
    scope: dict[str, object] = {}
    unless: Exemption | None = None
    settings: dict[str, object] = {}

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str) -> str:
        if kind not in KINDS:
            raise ValueError(f"no kind of rule is called {kind!r}")
        return kind

    @field_validator("effective_to")
    @classmethod
    def _after(cls, until: date | None, values: ValidationInfo) -> date | None:
        since = values.data.get("effective_from")
        if until is not None and since is not None and until < since:
            raise ValueError("effective_to is before effective_from")
        return until

    @model_validator(mode="after")
    def _proved(self) -> "RuleTable":
        if self.status == "verified" and not (self.verified_on and self.source):
            raise ValueError("a verified rule says when and where (verified_on, source)")
        return self


class ScopeTable(BaseModel):
    """The ``scope`` of a rule, with what the pack gives it."""

    scope: Scope


class PackTable(BaseModel):
    """The pack as a whole, its rules and limits not looked into."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: Text
    regions: frozenset[Region] = frozenset()
    rule: list[dict[str, object]] = []
    retention: list[dict[str, object]] = []


def read_settings(settings: type[KindSettings], values: Mapping[str, object]) -> KindSettings:
    """The settings of a kind. Raises ValidationError, also for the name of a time zone that the
    file system stumbles over before anybody can say that there is no such zone."""
    try:
        return settings.model_validate(values)
    except OSError as error:
        fault = PydanticCustomError("file", "{told}", {"told": f"no file: {error.strerror}"})
        line: InitErrorDetails = {"type": fault, "loc": (), "input": values}
        raise ValidationError.from_exception_data(settings.__name__, [line]) from error


def key_of(fault: ErrorDetails) -> str:
    """The key at fault, in one line."""
    return plain(".".join(map(str, fault["loc"])))


def told_of(fault: ErrorDetails) -> str:
    """What is wrong with it, in one line."""
    if fault["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return "there is no such key"
    return plain(fault["msg"].removeprefix("Value error, "))


def plain(text: str) -> str:
    """Without what would end the line or move a terminal's cursor."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
