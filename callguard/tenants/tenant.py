"""What a tenant is and has chosen."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from types import MappingProxyType
from typing import Annotated, Literal, Self
from zoneinfo import available_timezones

from phonenumbers import SUPPORTED_REGIONS
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from callguard.policy.facts import Purpose
from callguard.policy.limits import RetentionLimit
from callguard.policy.overrides import Override
from callguard.policy.span import Span
from callguard.retention.at_end import AtEnd

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")

RecordingFormat = Literal["pcm-8000-1", "pcm-8000-2", "pcm-16000-1", "ulaw-8000-1", "alaw-8000-1"]
Digit = Annotated[str, Field(pattern=r"^[0-9]$")]
AgentCode = Literal["pause", "resume", "stop", "withdraw", "optout"]
SubjectCode = Literal["stop", "withdraw", "optout"]
"""Whoever is recorded may end that, and never begin it: to resume is none of theirs."""


@cache
def _zones() -> frozenset[str]:
    """All there are; finding them out takes the time of many calls."""
    return frozenset(available_timezones())


class TenantError(ValueError):
    """A tenant that cannot be made or changed so; one line that says why."""


class TenantSettings(BaseModel):
    """A tenant's own choices.

    ``record`` is whether its calls are recorded where the law lets them be; ``on_opt_out``
    what follows a digit 9 in the notice of an answered call; ``shown_number`` is the number that
    the people called see, where the PBX's channel names only an extension. ``languages`` are
    those that the opt-out line offers and whose words a text message is searched for (the
    tenant's ``language`` where left out); ``typed_opt_out`` is what becomes of a number that was
    typed on the opt-out line by somebody who does not call from it: ``accept`` it at once, or
    ``call_back`` and let it be confirmed there.

    ``recording_mode`` is how its calls are recorded where the law asks for no more: ``silent``,
    after a ``notice``, after a ``notice_or_refuse`` in which ``refuse_digit`` says no, or after an
    ``ask`` in which ``accept_digit`` says yes. A question is put again ``ask_repeats`` times when
    no answer came within ``answer_s`` seconds of its end; ``barge_in`` is whether a yes counts
    that came before its end (a no always does); ``late_s`` is how long a no may come after the
    end of a notice. ``on_refusal`` is what follows a no. A yes
    is good for further calls for ``remember_days``. ``agent_codes`` and ``subject_codes`` are the
    feature codes that each of them may press. ``beep_s`` is the time between two tones, where
    a rule demands them.

    ``own_key`` is whether callguard's own identity of the tenant opens its recordings, beside the
    outside recipients. ``recording_format`` is how recordings to come are coded: samples, a second
    and channels; with two of these whoever is recorded is on the left, whom they hear on the right.

    ``licensed_operator`` is whether the law takes it for an operator of telephone networks, which
    has duties of its own to keep records. ``time_zone`` (IANA) is where its days are counted.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    home_region: Annotated[str, Field(min_length=2, max_length=2)] = "GB"
    language: str = "en"
    purpose: Purpose = "marketing"
    record: bool = True
    on_opt_out: Literal["end", "connect"] = "end"
    key_kind: Literal["pq", "x25519"] = "pq"
    own_key: bool = True
    recording_format: RecordingFormat = "pcm-8000-1"
    blocked_prompt: bool = False
    shown_number: str = ""
    languages: tuple[str, ...] = ()
    typed_opt_out: Literal["accept", "call_back"] = "accept"
    recording_mode: Literal["silent", "notice", "notice_or_refuse", "ask"] = "notice"
    on_refusal: Literal["connect", "end"] = "connect"
    accept_digit: Digit = "1"
    refuse_digit: Digit = "2"
    opt_out_digit: Digit = "9"
    ask_repeats: Annotated[int, Field(ge=0, le=5)] = 1
    answer_s: Annotated[float, Field(ge=1, le=30)] = 5.0
    late_s: Annotated[float, Field(ge=0, le=5)] = 1.5
    barge_in: bool = False
    remember_days: Annotated[int, Field(ge=0, le=3_650)] = 0
    agent_codes: tuple[AgentCode, ...] = ("pause", "resume", "stop", "withdraw", "optout")
    subject_codes: tuple[SubjectCode, ...] = ("stop", "withdraw", "optout")
    beep_s: Annotated[int, Field(ge=5, le=120)] = 15
    licensed_operator: bool = False
    time_zone: str = "UTC"

    @field_validator("home_region")
    @classmethod
    def _region(cls, value: str) -> str:
        if value not in SUPPORTED_REGIONS:
            raise ValueError(f"{value!r} is not a region of the telephone numbering plans")
        return value

    @field_validator("time_zone")
    @classmethod
    def _zone(cls, value: str) -> str:
        if value != "UTC" and value not in _zones():
            raise ValueError(f"{value!r} is no time zone such as Europe/Paris")
        return value

    @model_validator(mode="after")
    def _digits_differ(self) -> Self:
        if len({self.accept_digit, self.refuse_digit, self.opt_out_digit}) != 3:
            raise ValueError("accept_digit, refuse_digit and opt_out_digit are not three digits")
        return self


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant as the gate knows it. ``retention`` is how long it chose to keep its records, by
    data class; ``limits`` what the law says of that; ``overrides`` are its own values for rules,
    by the rule's id. ``ended_at`` is when its contract ended or will; ``at_end`` what then becomes
    of its records, by data class, where it chose that."""

    id: str
    name: str
    settings: TenantSettings
    recipients: tuple[str, ...]
    retention: Mapping[str, Span]
    overrides: tuple[Override, ...] = ()
    limits: tuple[RetentionLimit, ...] = ()
    ended_at: datetime | None = None
    at_end: Mapping[str, AtEnd] = field(default_factory=lambda: MappingProxyType({}))


def check_id(text: str) -> str:
    """A tenant's id: lower-case letters, digits and hyphens. Raises TenantError."""
    if not _ID.fullmatch(text):
        raise TenantError(
            f"{text!r} is no tenant id: 1 to 63 lower-case letters, digits and hyphens"
        )
    return text


def check_settings(values: dict[str, object]) -> TenantSettings:
    """Raises TenantError naming the first setting that is wrong, or those that do not go
    together."""
    try:
        return TenantSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        raise TenantError(f"{key}: {said}" if key else said) from error
