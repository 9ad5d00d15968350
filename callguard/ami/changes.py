"""What can change in the channels of an Asterisk: plain values."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ChannelUp:
    """A channel exists that was not known before; it need not be answered."""

    uniqueid: str
    channel: str
    linkedid: str


@dataclass(frozen=True, slots=True)
class ChannelAnswered:
    """A channel was answered. Said once."""

    uniqueid: str
    channel: str


@dataclass(frozen=True, slots=True)
class Dialled:
    """A channel was made to call somebody: by another channel, or by nobody (an Originate).
    ``string`` is what was dialled, as the channel's technology writes it."""

    uniqueid: str
    by: str | None
    string: str


@dataclass(frozen=True, slots=True)
class Bridged:
    """A channel entered a bridge."""

    uniqueid: str
    bridge: str


@dataclass(frozen=True, slots=True)
class Unbridged:
    """A channel left a bridge."""

    uniqueid: str
    bridge: str


@dataclass(frozen=True, slots=True)
class Held:
    """Whoever is on a channel put the others on hold, or took them back (``on`` is false)."""

    uniqueid: str
    on: bool


@dataclass(frozen=True, slots=True)
class ChannelGone:
    """A channel ended, with its Q.850 cause; None when the hang-up itself was missed."""

    uniqueid: str
    cause: int | None


@dataclass(frozen=True, slots=True)
class RecordingStarted:
    """A MixMonitor started on a channel, perhaps one more."""

    uniqueid: str
    channel: str


@dataclass(frozen=True, slots=True)
class RecordingStopped:
    """A MixMonitor stopped on a channel; said too when the channel ends with one running."""

    uniqueid: str
    channel: str


@dataclass(frozen=True, slots=True)
class RecordingMuted:
    """The recordings of a channel were silenced, or are heard again. ``direction``: as sent."""

    uniqueid: str
    channel: str
    muted: bool
    direction: str


Change = (
    ChannelUp
    | ChannelAnswered
    | Dialled
    | Bridged
    | Unbridged
    | Held
    | ChannelGone
    | RecordingStarted
    | RecordingStopped
    | RecordingMuted
)
