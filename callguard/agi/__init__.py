"""AGI: how Asterisk asks callguard about a call, and how callguard speaks on it."""

from callguard.agi.environment import AgiEnvironment
from callguard.agi.limits import AgiLimits
from callguard.agi.link import AgiTimeout, ChannelDead, CommandOutstanding
from callguard.agi.server import AgiServer, AgiStats
from callguard.agi.session import AgiSession, CommandRefused, Streamed
from callguard.agi.wire import (
    AgiError,
    LocalProtocolError,
    ProtocolError,
    RemoteProtocolError,
)

__all__ = [
    "AgiEnvironment",
    "AgiError",
    "AgiLimits",
    "AgiServer",
    "AgiSession",
    "AgiStats",
    "AgiTimeout",
    "ChannelDead",
    "CommandOutstanding",
    "CommandRefused",
    "LocalProtocolError",
    "ProtocolError",
    "RemoteProtocolError",
    "Streamed",
]
