"""What the simulated Asterisk writes down while it works."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.harness.channels import Channel


@dataclass(frozen=True, slots=True)
class Heard:
    """A prompt that was played: samples heard of how many (None: no such file), and the result
    that AGI reports (0, the ASCII code of a digit, -1 at a hang-up)."""

    prompt: str
    samples: int
    of: int | None
    channel: str
    result: int = 0

    @property
    def whole(self) -> bool:
        """True when it was played to its end."""
        return self.of is not None and self.samples == self.of


@dataclass(frozen=True, slots=True)
class Invite:
    """What a carrier or a phone saw: a call to a number at an endpoint."""

    number: str
    endpoint: str
    at: float
    channel: Channel


@dataclass(frozen=True, slots=True)
class Note:
    """Something that happened, for expectations and for reading a failed test."""

    at: float
    kind: str
    channel: str
    detail: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)
