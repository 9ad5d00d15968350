"""A call record as it is told and exported: its columns, by stable names. Pure.

The columns and what they promise are docs/formats.md, "Call records".
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from callguard.policy.numbers import mask

VERSION: Final = 1
"""Of the columns. A new column at the end, or another name, order or meaning, takes another one."""

Kind = Literal["text", "whole", "moment", "texts"]
"""``moment`` is an instant in UTC; ``texts`` are any number of texts."""

Value = str | int | datetime | tuple[str, ...] | None
Told = tuple[Value, ...]
"""One record, in the order of ``COLUMNS``."""


@dataclass(frozen=True, slots=True)
class Column:
    """``between`` is what stands between several texts where a cell holds but one. ``hides`` is
    what of it goes where numbers are masked: all of a ``number``, or the ``digits`` within it."""

    name: str
    kind: Kind = "text"
    between: str = " "
    hides: Literal["number", "digits"] | None = None


COLUMNS: Final = (
    Column("tenant"),
    Column("pbx"),
    Column("call_id"),
    Column("linked_id"),
    Column("unique_id"),
    Column("sequence", "whole"),
    Column("direction"),
    Column("purpose"),
    Column("campaign", hides="digits"),
    Column("agent", hides="digits"),
    Column("caller", hides="number"),
    Column("called", hides="number"),
    Column("own_number", hides="number"),
    Column("routed_to", hides="digits"),
    Column("started_at", "moment"),
    Column("answered_at", "moment"),
    Column("ended_at", "moment"),
    Column("duration_s", "whole"),
    Column("billed_s", "whole"),
    Column("disposition"),
    Column("cause", "whole"),
    Column("cause_text"),
    Column("account_code", hides="digits"),
    Column("verdict"),
    Column("verdict_reasons", "texts", between="; ", hides="digits"),
    Column("recording_ids", "texts"),
    Column("recording_states", "texts"),
    Column("consent_ids", "texts"),
    Column("consent_states", "texts"),
    Column("source"),
)

NAMES: Final = tuple(column.name for column in COLUMNS)

_RUN = re.compile(r"\+?[0-9]{5,}")
"""Digits in a text that may be somebody's number: no short code is as long."""


def masked(record: Told) -> Told:
    """The record without anybody's number, the tenant's own ones among them."""
    values = list(record)
    for place, hide in _HIDING:
        values[place] = hide(values[place])
    return tuple(values)


def as_mapping(record: Told) -> dict[str, object]:
    """By the names of the columns; instants in ISO 8601, UTC, to the microsecond."""
    return dict(zip(NAMES, map(_plain, record), strict=True))


def moment(at: datetime) -> str:
    """As it is written: ISO 8601, UTC, to the microsecond."""
    return at.isoformat(timespec="microseconds")


def _plain(value: Value) -> object:
    if isinstance(value, datetime):
        return moment(value)
    return list(value) if isinstance(value, tuple) else value


def _number(value: Value) -> Value:
    return mask(value) if isinstance(value, str) and value else value


def _digits(value: Value) -> Value:
    if isinstance(value, str):
        return _RUN.sub(_starred, value)
    if isinstance(value, tuple):
        return tuple(_RUN.sub(_starred, one) for one in value)
    return value


def _starred(found: re.Match[str]) -> str:
    return f"{'*' * (len(found[0]) - 2)}{found[0][-2:]}"


_HIDE: Final[Mapping[str, Callable[[Value], Value]]] = {"number": _number, "digits": _digits}
_HIDING: Final[Sequence[tuple[int, Callable[[Value], Value]]]] = [
    (place, _HIDE[column.hides]) for place, column in enumerate(COLUMNS) if column.hides is not None
]
