"""The page and the API, and what comes in by them."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from callguard.config.section import Port, Section

FieldNames = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=64)], ...], Field(min_length=1)
]


class Web(Section):
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


class Sms(Section):
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
    numbers: dict[str, str] = Field(default_factory=dict)
    tenant: str | None = None
    confirm: bool = True


class Scrubs(Section):
    """Lists that are scrubbed by the API. ``max_bytes`` is the longest list, ``keep_days`` how
    long the lists and what became of them lie here, ``reserve_bytes`` what stays free of the disk,
    ``max_waiting`` how many lists may be here at once."""

    max_bytes: Annotated[int, Field(ge=1)] = 2 * 1024**3
    keep_days: Annotated[int, Field(ge=1, le=31)] = 7
    reserve_bytes: Annotated[int, Field(ge=0)] = 1024**3
    max_waiting: Annotated[int, Field(ge=1, le=1_000)] = 32
