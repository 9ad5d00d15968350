"""How to reach one Asterisk's manager port, and how patient to be with it."""

import asyncio
import ipaddress
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, fields

from callguard.ami.wire import Limits, build_action

#: What one read takes at most; twice as much waits in the process, the rest in the kernel.
READ_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class AmiSettings:
    """One Asterisk's manager interface. Times are seconds.

    ``events`` is the mask of event classes sent with the login, ``wanted`` the kinds that are
    parsed of those that still arrive (None: all). The secret crosses the wire only as an MD5
    response to a challenge, unless the connection is TLS or loopback or ``allow_plain`` is set.
    """

    name: str
    host: str
    username: str
    secret: str = field(repr=False)
    port: int = 5038
    tls: ssl.SSLContext | None = None
    allow_plain: bool = False
    events: str = "call,cdr,dtmf,agi"
    wanted: frozenset[str] | None = None
    limits: Limits = field(default_factory=Limits)
    connect_timeout: float = 5.0
    login_timeout: float = 10.0
    action_timeout: float = 5.0
    ping_interval: float = 10.0
    ping_timeout: float = 5.0
    backoff_min: float = 0.5
    backoff_max: float = 15.0
    #: Actions awaiting their answer at once; further ones wait their turn.
    in_flight: int = 256
    #: Events one list may hold before the connection is given up.
    list_events: int = 50_000

    def __post_init__(self) -> None:
        """Raises ValueError (LocalProtocolError for text AMI cannot carry) on nonsense."""
        if not (self.name and self.host and self.username):
            raise ValueError("AMI settings: name, host and username must not be empty")
        build_action(
            "Login",
            [("Username", self.username), ("Secret", self.secret), ("Events", self.events)],
            "1",
        )
        for item in fields(self):
            if item.type is float and not getattr(self, item.name) > 0:
                raise ValueError(f"AMI settings: {item.name} must be more than 0")
        if self.backoff_min > self.backoff_max:
            raise ValueError("AMI settings: backoff_min is more than backoff_max")
        if self.in_flight < 1 or self.list_events < 1:
            raise ValueError("AMI settings: in_flight and list_events must be at least 1")

    @property
    def may_log_in_plainly(self) -> bool:
        """Whether the secret itself may be sent when Asterisk offers no challenge."""
        return self.allow_plain or self.tls is not None or _is_loopback(self.host)


Connector = Callable[[AmiSettings], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


async def tcp_connect(
    settings: AmiSettings,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connects over TCP, with TLS if the settings say so. Raises OSError.

    The caller bounds the time.
    """
    return await asyncio.open_connection(
        settings.host,
        settings.port,
        ssl=settings.tls,
        limit=READ_BYTES,
    )


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
