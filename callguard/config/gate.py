"""The door at which calls ask, and how long the gate waits."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated

from pydantic import Field, field_validator

from callguard.config.section import Port, Seconds, Section


class Agi(Section):
    """The FastAGI door."""

    host: str = "127.0.0.1"
    port: Port = 4573
    allow: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    max_sessions: Annotated[int, Field(ge=1)] = 1024
    header_timeout: Seconds = 5.0

    @field_validator("allow")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            ip_network(text)
        return value

    @property
    def networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        return tuple(ip_network(text) for text in self.allow)


class Limits(Section):
    """How long the gate waits."""

    durable_s: Annotated[float, Field(gt=0, le=5)] = 2.0
    lease_s: Annotated[float, Field(gt=0, le=1)] = 1.0
    watchdog_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 2.0
