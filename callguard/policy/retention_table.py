"""A floor or a ceiling as it stands in a pack: one ``[[retention]]``."""

from collections.abc import Mapping
from datetime import date
from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from callguard.policy.facts import Direction, Purpose
from callguard.policy.limits import Bound, RetentionLimit, Whose
from callguard.policy.rules import Status
from callguard.policy.span import Span, SpanField
from callguard.policy.tables import Day, Region, Text
from callguard.retention.classes import SETTABLE

_Field = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]


class LimitScope(BaseModel):
    """Which records it is about; an empty condition holds always. Regions that are left out are
    the pack's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    regions: frozenset[Region] | None = None
    whose: Whose = "tenant"
    purposes: frozenset[Purpose] = frozenset()
    directions: frozenset[Direction] = frozenset()
    operators_only: Annotated[bool, Field(strict=True)] = False


class LimitTable(BaseModel):
    """One ``[[retention]]`` as it stands in the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern=r"^[a-z0-9]+([.-][a-z0-9]+)+$")]
    bound: Bound
    data_class: Annotated[str, Field(alias="class")]
    span: SpanField
    title: Text
    citation: Text
    effective_from: Day
    effective_to: Day | None = None
    status: Status = "unverified"
    verified_on: Day | None = None
    source: str = ""
    minimum: tuple[_Field, ...] = ()
    scope: LimitScope = LimitScope()

    @field_validator("data_class")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in SETTABLE:
            raise ValueError(f"{name!r} is no data class; known: {', '.join(SETTABLE)}")
        return name

    @field_validator("effective_to")
    @classmethod
    def _after(cls, until: date | None, values: ValidationInfo) -> date | None:
        since = values.data.get("effective_from")
        if until is not None and since is not None and until < since:
            raise ValueError("effective_to is before effective_from")
        return until

    @model_validator(mode="after")
    def _sound(self) -> "LimitTable":
        if self.status == "verified" and not (self.verified_on and self.source):
            raise ValueError("a verified limit says when and where (verified_on, source)")
        if self.bound == "floor" and self.span == Span():
            raise ValueError("a floor of no time asks for nothing")
        if self.bound == "ceiling" and self.minimum:
            raise ValueError("only a floor asks for a minimum of fields")
        return self


def read_limit(entry: Mapping[str, object], regions: frozenset[str]) -> RetentionLimit:
    """``regions`` are the pack's. Raises ValidationError whose places are those of the file."""
    table = LimitTable.model_validate(entry)
    scope = table.scope
    return RetentionLimit(
        id=table.id,
        bound=table.bound,
        data_class=table.data_class,
        span=table.span,
        title=table.title,
        citation=table.citation,
        effective_from=table.effective_from,
        effective_to=table.effective_to,
        status=table.status,
        verified_on=table.verified_on,
        source=table.source,
        regions=regions if scope.regions is None else scope.regions,
        whose=scope.whose,
        purposes=frozenset(scope.purposes),
        directions=frozenset(scope.directions),
        operators_only=scope.operators_only,
        minimum=table.minimum,
    )
