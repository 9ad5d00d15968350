"""Whom a number that came over the web means."""

import re

from callguard.gate.room import Gate
from callguard.policy.numbers import parse_address, parse_number
from callguard.tenants.tenant import Tenant

_SCHEME = re.compile(r"(?:whatsapp|sms|rcs):", re.ASCII | re.IGNORECASE)
"""What gateways put before a number that came by another channel of theirs."""


def subject_of(text: str, gate: Gate, tenant: Tenant | None) -> str:
    """The key of a telephone number, read as in the tenant's home region, or of an e-mail
    address; empty where it is neither."""
    key = parse_number(text, region_of(gate, tenant)).key
    return key or (parse_address(text).key if "@" in text else "")


def sender_of(text: str, gate: Gate, tenant: Tenant | None) -> tuple[str, ...]:
    """The keys that the sender of a text message may have. Gateways name people in international
    form with or without the plus; digits that are a number at home too are both, so that a wish
    reaches whoever uttered it."""
    region = region_of(gate, tenant)
    bare = _SCHEME.sub("", text.strip())
    readings = [parse_number(bare, region)]
    if bare.isascii() and bare.isdigit():
        abroad = bare.removeprefix("00")
        if not abroad.startswith("0"):
            readings.insert(0, parse_number(f"+{abroad}", region))
    return tuple(dict.fromkeys(number.key for number in readings if number.known))


def region_of(gate: Gate, tenant: Tenant | None) -> str:
    """As somebody of which country numbers are read."""
    return tenant.settings.home_region if tenant is not None else gate.home_region
