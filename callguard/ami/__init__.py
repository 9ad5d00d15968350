"""The Asterisk Manager Interface: what happens on the PBX, and a hand on its controls."""

from callguard.ami.errors import AmiDown, AmiError, AmiRefused, AmiTimeout, LoginRefused
from callguard.ami.session import AmiSession
from callguard.ami.settings import AmiSettings, Connector, tcp_connect
from callguard.ami.wire import Message

__all__ = [
    "AmiDown",
    "AmiError",
    "AmiRefused",
    "AmiSession",
    "AmiSettings",
    "AmiTimeout",
    "Connector",
    "LoginRefused",
    "Message",
    "tcp_connect",
]
